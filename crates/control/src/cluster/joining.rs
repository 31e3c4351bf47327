//! The loop's part where members come and go: becoming one, following the list, and leaving.

use tandem_cluster::{Cluster, OrderError, RosterRequest};
use tandem_contract::Nanos;
use tokio::sync::mpsc::Receiver;
use tokio::time::sleep_until;

use super::ClusterRequest;
use super::enrolment::Enrolment;
use super::member::{Loop, SERVICE};
use super::view::ClusterView;

impl Loop {
    /// Waits until this node is in the list, and begins its life as that member; `false` where nobody can ask any more.
    pub(super) async fn become_member(&mut self, requests: &mut Receiver<ClusterRequest>) -> bool {
        loop {
            let now = self.clock.now();
            let Some(enrolment) = &mut self.enrolment else { return true };
            enrolment.look(now);
            if let Some(request) = enrolment.keeper.request(now, None) {
                enrolment.perform(request);
            }
            if self.begin_life(now) {
                return true;
            }
            let due = self.enrolment.as_ref().map_or(now, Enrolment::next_deadline);
            tokio::select! {
                happened = Enrolment::next(&mut self.enrolment) => {
                    if let Some(enrolment) = &mut self.enrolment {
                        enrolment.on(self.clock.now(), happened);
                    }
                }
                request = requests.recv() => match request {
                    Some(request) => self.refuse(request),
                    None => return false,
                },
                () = sleep_until(self.clock.instant(due)) => {}
            }
        }
    }

    /// A machine of its own for each number that this node gets in the list: what another was promised is not its own.
    fn begin_life(&mut self, now: Nanos) -> bool {
        let Some(enrolment) = &self.enrolment else { return false };
        let Some(own) = enrolment.keeper.enrolled() else { return false };
        let members = enrolment.members();
        let mut config = self.config.clone();
        config.own = own;
        let this = members.iter().find(|(member, _)| *member == own).map(|(_, member)| member.clone());
        config.members = vec![this.unwrap_or_else(|| self.config.members[0].clone()); usize::from(own.0) + 1];
        self.incarnation = self.incarnation.wrapping_add(1).max(1);
        let unix_ms = self.clock.wall().unix_ns / 1_000_000;
        match Cluster::new(now, config, self.incarnation, unix_ms) {
            Ok(cluster) => self.cluster = cluster,
            Err(error) => {
                tracing::error!(%error, "this node cannot be a member");
                return false;
            }
        }
        tracing::info!(number = own.0, members = members.len(), "this node is a member of the cluster");
        self.parting = false;
        self.cluster.set_maintenance(now, self.maintenance || self.unwanted);
        self.follow(now);
        true
    }

    /// The machine, and the ways to members, are of who is in the list.
    fn follow(&mut self, now: Nanos) {
        let Some(enrolment) = &mut self.enrolment else { return };
        if enrolment.has_changed() {
            let (names, addresses) = enrolment.directory();
            tracing::info!(members = names.join(" ").trim(), "members of the cluster");
            self.effects.names = names;
            self.effects.paths.set_members(addresses);
        }
        self.cluster.set_members(now, &enrolment.members(), enrolment.keeper.record().as_ref());
    }

    /// Looks at EC2 and at the list where that is due. What comes of it is to be performed after the machine's outputs.
    pub(super) fn enrol(&mut self, now: Nanos) -> Option<RosterRequest> {
        let holds = self.cluster.held(now, SERVICE);
        let enrolment = self.enrolment.as_mut()?;
        enrolment.look(now);
        let request = enrolment.keeper.request(now, holds);
        let unwanted = enrolment.keeper.is_unwanted();
        let has_news = std::mem::take(&mut enrolment.has_news) || request.is_some();
        if !enrolment.has_number(self.cluster.own()) {
            if !std::mem::replace(&mut self.parting, true) {
                self.cluster.leave(now);
            }
        } else if has_news {
            self.follow(now);
        }
        if unwanted != self.unwanted {
            self.unwanted = unwanted;
            if unwanted {
                tracing::error!("cluster.discover does not find this instance any more: it hands over what it has");
            }
            self.cluster.set_maintenance(now, self.maintenance || unwanted);
        }
        request
    }

    /// Whether this node is no member by its number, and holds nothing.
    pub(super) fn has_left(&self) -> bool {
        let Some(enrolment) = &self.enrolment else { return false };
        !enrolment.has_number(self.cluster.own()) && self.cluster.holds_nothing()
    }

    /// What is answered by who is no member yet.
    fn refuse(&self, request: ClusterRequest) {
        // Whoever asked may have gone; then nobody misses the answer.
        match request {
            ClusterRequest::View(answer) => drop(answer.send(ClusterView::of_nobody(self.effects.aws.as_ref()))),
            ClusterRequest::SwitchOver(_, answer) | ClusterRequest::Force(answer) => {
                drop(answer.send(Err(OrderError::NoMember)));
            }
            ClusterRequest::Maintenance(_, answer) | ClusterRequest::Leave(answer) => drop(answer.send(())),
        }
    }
}
