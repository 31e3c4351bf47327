//! What an operator orders.

use tandem_contract::Nanos;

use crate::cluster::Cluster;
use crate::config::{MemberId, ServiceId};
use crate::placement::Exclusion;
use crate::service::{Mine, Stage};

/// Why an order is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such service.
    #[error("there is no such service")]
    UnknownService,
    /// This node is in no list of members.
    #[error("this node is no member of the cluster yet")]
    NoMember,
    /// There is no such member.
    #[error("there is no such member")]
    UnknownMember,
    /// Nobody is known to hold the service.
    #[error("nobody is known to hold the service")]
    Vacant,
    /// Only its holder can give it to a third.
    #[error("{holder} holds the service: order it there, or name this node as the one to take it")]
    NotHolder {
        /// Who holds it.
        holder: String,
    },
    /// It is there already.
    #[error("{0} holds the service already")]
    HoldsAlready(String),
    /// The addresses are on their way.
    #[error("the service is being moved")]
    Moving,
    /// The member cannot take it.
    #[error("{member} {why}")]
    Excluded {
        /// Who.
        member: String,
        /// Why.
        why: Exclusion,
    },
    /// Nobody can take it.
    #[error("no member can take the service")]
    NoSuccessor,
    /// Only two members without a store need to be told.
    #[error("this cluster takes over by itself: nobody needs to say that a member is dead")]
    NotNeeded,
    /// The other member is heard.
    #[error("{0} is heard: it is not dead")]
    Alive(String),
}

impl Cluster {
    fn name(&self, member: MemberId) -> String {
        self.config.members[member.index()].name.clone()
    }

    /// Hands a service over, as planned: to `to`, or to the best of the others. A node that does not hold it can ask for
    /// it for itself alone.
    ///
    /// # Errors
    /// It cannot be done now; nothing changed.
    pub fn switch_over(&mut self, now: Nanos, id: ServiceId, to: Option<MemberId>) -> Result<(), OrderError> {
        let service = self.services.get(id.index()).ok_or(OrderError::UnknownService)?;
        if to.is_some_and(|to| !self.is_member(to)) {
            return Err(OrderError::UnknownMember);
        }
        let own = self.config.own;
        if let Some(to) = to.filter(|to| service.holder.is_some_and(|holder| holder.member == *to)) {
            return Err(OrderError::HoldsAlready(self.name(to)));
        }
        if let Some(to) = to {
            let choices = self.choices(now, id, None);
            if let Some(why) = choices.iter().find(|choice| choice.member == to).and_then(|choice| choice.excluded) {
                return Err(OrderError::Excluded { member: self.name(to), why });
            }
        }
        match service.mine {
            Mine::Held { stage: Stage::Settled, .. } => {
                self.services[id.index()].no_offer_before = now;
                if !self.offer(now, id, to) {
                    return Err(OrderError::NoSuccessor);
                }
            }
            Mine::Held { .. } | Mine::Standing { .. } => return Err(OrderError::Moving),
            Mine::No => {
                let holder = service.holder.ok_or(OrderError::Vacant)?;
                if to.is_some_and(|to| to != own) {
                    return Err(OrderError::NotHolder { holder: self.name(holder.member) });
                }
                let choices = self.choices(now, id, None);
                let why = choices.iter().find(|choice| choice.member == own).and_then(|choice| choice.excluded);
                if let Some(why) = why {
                    return Err(OrderError::Excluded { member: self.name(own), why });
                }
                self.services[id.index()].wanted_until = now.plus(self.patience_ns());
                self.urgent = true;
            }
        }
        self.turn(now);
        Ok(())
    }

    /// Takes a service over though its holder's vote is missing, because the operator says that the other member of two is
    /// dead. If it is not, two answer until it hears of this.
    ///
    /// # Errors
    /// It is not needed, or not true as far as this node can tell.
    pub fn force(&mut self, now: Nanos, id: ServiceId) -> Result<(), OrderError> {
        if !self.config.is_bare_pair() {
            return Err(OrderError::NotNeeded);
        }
        let service = self.services.get(id.index()).ok_or(OrderError::UnknownService)?;
        if service.is_held() && !service.lapsed {
            return Err(OrderError::HoldsAlready(self.name(self.config.own)));
        }
        if let Some(other) = self.member_ids().find(|m| *m != self.config.own && self.is_alive(now, *m)) {
            return Err(OrderError::Alive(self.name(other)));
        }
        let service = &mut self.services[id.index()];
        service.promise = None;
        service.forced = true;
        if service.mine == Mine::No {
            self.stand(now, id, None);
        }
        self.turn(now);
        Ok(())
    }

    /// Begins or ends maintenance: this node hands over what it holds and takes nothing; it goes on voting.
    pub fn set_maintenance(&mut self, now: Nanos, on: bool) {
        self.maintenance = on;
        for service in &mut self.services {
            service.no_offer_before = now;
        }
        self.urgent = true;
        self.turn(now);
    }

    /// The process is about to end: services are handed over, or let go of where nobody takes them. Done when
    /// [`Cluster::holds_nothing`].
    pub fn leave(&mut self, now: Nanos) {
        self.leaving = true;
        for service in &mut self.services {
            service.no_offer_before = now;
        }
        self.urgent = true;
        self.turn(now);
    }

    /// Whether this node holds no service and asks for none.
    pub fn holds_nothing(&self) -> bool {
        self.services.iter().all(|service| service.mine == Mine::No)
    }
}
