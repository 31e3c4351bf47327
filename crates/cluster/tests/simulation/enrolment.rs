//! Members that come and go: what the cloud says of each, the list in the store, and who is in it.

use tandem_cluster::{
    Cluster, Enrolled, Found, Keeper, LeaseRequest, MemberId, Placement, Roster, RosterAnswer, RosterRequest, ServiceId,
};
use tandem_contract::Nanos;

use crate::faults::Fault;
use crate::world::{MS, Shape, What, World, config};

/// Between looks into the cloud.
const LOOK_NS: u64 = 150 * MS;

impl World {
    /// Everybody is in the list at first. Some are taken away and brought back until `end`; by `all_well` all are back.
    pub(crate) fn enrol(&mut self, end: u64, all_well: u64) {
        let members = (0..self.nodes.len()).map(|node| Enrolled {
            slot: node as u8,
            name: name(node),
            address: [10, 0, 0, node as u8].into(),
            placement: config(self.shape, 0).members[0].placement.clone(),
        });
        let roster = Roster { generation: 1, last_slot: self.nodes.len() as u8 - 1, members: members.collect() };
        self.roster = Some(roster.text());
        for _ in 0..self.rng.usize(0..6) {
            let (at, member) = (self.rng.u64(0..end), self.rng.usize(0..self.nodes.len()));
            let back = at + self.rng.u64(0..end);
            self.at(at, What::Fault(Fault::Belongs(member, false)));
            self.at(back.min(all_well), What::Fault(Fault::Belongs(member, true)));
        }
        for member in 0..self.nodes.len() {
            self.at(all_well, What::Fault(Fault::Belongs(member, true)));
        }
    }

    pub(crate) fn start_enrolled(&mut self, member: usize) {
        if self.nodes[member].keeper.is_some() {
            return;
        }
        let now = self.clock(member);
        let node = &mut self.nodes[member];
        node.life += 1;
        node.permits.fill(Nanos(0));
        node.keeper = Some(Keeper::new(now, &name(member)));
        let life = node.life;
        self.at(self.now, What::Look(member, life));
    }

    pub(crate) fn look(&mut self, member: usize, life: u64) {
        if self.nodes[member].life != life {
            return;
        }
        let now = self.clock(member);
        let found = self.nodes.iter().enumerate().map(|(place, node)| Found {
            name: name(place),
            address: [10, 0, 0, place as u8].into(),
            placement: Placement { zone: "a".to_owned(), subnet: "a1".to_owned(), host: None, group: None },
            belongs: node.belongs,
        });
        let found = found.collect();
        let node = &mut self.nodes[member];
        let Some(keeper) = &mut node.keeper else { return };
        keeper.on_found(found);
        let holds = node.cluster.as_ref().and_then(|cluster| cluster.held(now, ServiceId(0)));
        let request = keeper.request(now, holds);
        self.at(self.now + LOOK_NS, What::Look(member, life));
        if let Some(request) = request {
            // On whom it counts has to be known before the write is on its way.
            self.follow(member);
            let delay = self.delay_ns + self.rng.u64(0..self.delay_ns);
            self.at(self.now + delay, What::RosterAtStore(member, [life, self.store_life], request));
        }
    }

    /// The machine is of who is in the list: made, changed or ended with it.
    fn follow(&mut self, member: usize) {
        let now = self.clock(member);
        let shape = self.shape;
        let incarnation = self.rng.u64(1..);
        let node = &mut self.nodes[member];
        let Some(keeper) = &node.keeper else { return };
        let members: Vec<_> = keeper.members().iter().map(Enrolled::member).collect();
        let (own, record) = (keeper.enrolled(), keeper.record());
        if node.cluster.as_ref().is_some_and(|cluster| Some(cluster.own()) != own) {
            node.permits.fill(Nanos(0));
            node.cluster = None;
        }
        match (own, &mut node.cluster) {
            (Some(_), Some(cluster)) => cluster.set_members(now, &members, record.as_ref()),
            (Some(own), None) => {
                let mut config = config(shape, 0);
                let (_, other) = members[0].clone();
                config.own = own;
                config.members = vec![other; 16];
                let mut cluster = Cluster::new(now, config, incarnation, self.now / MS).expect("a configuration");
                cluster.set_members(now, &members, record.as_ref());
                (node.cluster, node.incarnation) = (Some(cluster), incarnation);
                self.look_at_wall_clock(member);
            }
            (None, _) => {}
        }
        self.perform(member);
    }

    pub(crate) fn roster_at_store(&mut self, member: usize, [life, of_store]: [u64; 2], request: RosterRequest) {
        if !self.store_reachable[member] || of_store != self.store_life {
            return;
        }
        let record = self.register.get(&ServiceId(0)).map(ToString::to_string);
        if let Some(write) = request.write
            && write.expected == self.roster
            && record.as_deref().unwrap_or_default().starts_with(&write.record)
        {
            self.told(|| format!("m{member} writes {}", write.text));
            self.roster = Some(write.text);
        }
        let answer = RosterAnswer { request: request.request, roster: self.roster.clone(), record };
        if self.rng.u32(0..100) > 0 {
            let delay = self.delay_ns + self.rng.u64(0..self.delay_ns);
            self.at(self.now + delay, What::RosterFromStore(member, life, answer));
        }
    }

    pub(crate) fn roster_from_store(&mut self, member: usize, life: u64, answer: RosterAnswer) {
        let now = self.clock(member);
        let node = &mut self.nodes[member];
        if let Some(keeper) = node.keeper.as_mut().filter(|_| node.life == life) {
            keeper.on_answer(now, answer).expect("a list");
            self.follow(member);
        }
    }

    /// The store gives the service's record to who is in the list alone.
    pub(crate) fn may_have_record(&self, member: usize, request: &LeaseRequest) -> bool {
        let Some(owner) = request.set.and_then(|(_, record)| record.owner) else { return true };
        let mark = Enrolled::mark(owner, &name(member));
        self.shape != Shape::Enrolled || self.roster.as_ref().is_some_and(|roster| roster.contains(&mark))
    }

    /// Whose a number is, as a node knows it.
    pub(crate) fn node_of(&self, member: usize, number: MemberId) -> Option<usize> {
        let Some(keeper) = &self.nodes[member].keeper else { return Some(usize::from(number.0)) };
        let members = keeper.members();
        let known = members.iter().find(|known| known.slot == number.0)?;
        (0..self.nodes.len()).find(|node| name(*node) == known.name)
    }
}

fn name(node: usize) -> String {
    format!("m{node}")
}
