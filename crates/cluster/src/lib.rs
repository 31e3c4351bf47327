//! Who answers for which floating address: membership, failure detection, votes and the choice of a successor, without I/O
//! or clock.
//!
//! A **service** is a set of floating addresses that move together, with the calls on them. A **member** is a node. At most
//! one member *holds* a service, ever; it alone may send from the service's addresses. Pairs (2N) and groups with a spare
//! (N+1) differ in their configuration only: how many services there are, whose home they have, how many a member takes.
//!
//! # Driving it
//!
//! Hand a [`Cluster`] what arrives, call [`Cluster::on_timeout`] when [`Cluster::next_deadline`] has come, and after each
//! of these perform every [`Output`] of [`Cluster::poll_output`] until it is `None`. `now` is the node's own monotonic clock.
//!
//! | input | when |
//! | --- | --- |
//! | [`on_datagram`](Cluster::on_datagram) | a heartbeat came in |
//! | [`on_lease`](Cluster::on_lease) | the store answered an [`Output::Lease`] |
//! | [`on_moved`](Cluster::on_moved) | [`Output::MoveAddresses`] is done, or failed |
//! | [`on_located`](Cluster::on_located) | [`Output::Locate`] found out where an address is |
//! | [`on_check`](Cluster::on_check) | a self-check changed |
//! | [`set_placement`](Cluster::set_placement) | a cloud says where a member is |
//! | [`set_members`](Cluster::set_members) | members came or went ([`Keeper`]) |
//! | [`on_wall_clock`](Cluster::on_wall_clock) | the wall clock, on every turn: a node that was stopped with all its clocks sees it here |
//! | [`switch_over`](Cluster::switch_over), [`force`](Cluster::force), [`set_maintenance`](Cluster::set_maintenance), [`leave`](Cluster::leave) | the operator, or the end of the process |
//!
//! | output | what to do |
//! | --- | --- |
//! | [`Output::Beat`] | send a datagram to a member over one of its paths |
//! | [`Output::Lease`] | one compare-and-set, or a read, in the store |
//! | [`Output::Promote`] | this node holds the service in this epoch: make its warm calls live |
//! | [`Output::Permit`] | until this time workers may send from the service's addresses: **each burst is compared with it** |
//! | [`Output::Rest`] | let workers send what they have taken, for a few milliseconds |
//! | [`Output::MoveAddresses`] | bring the addresses here |
//! | [`Output::Demote`] | the service is another's, or nobody's: remove its calls and addresses without a BYE |
//! | [`Output::Locate`] | look where the addresses really are |
//! | [`Output::Alarm`], [`Output::Event`] | tell the operator |
//!
//! # Why there are never two
//!
//! To hold a service takes a majority of votes. Every member has one; where members are even in number the store has one
//! too. A vote given to somebody is his for the time of a *lease* (on the voter's clock, from the arrival of the request);
//! whoever received it counts from the moment he *sent* the request, and a sixteenth less. So a vote is never counted by two.
//! Two majorities share a voter, therefore nobody else holds a service before the last holder's permit has run out, whether
//! he is dead, stopped, cut off or slow. No wall clock is compared with another, and the store needs no clock at all: its
//! record counts up with every renewal, and is taken from its owner only by who saw it stand still for a lease.
//!
//! A permit that runs out stops the workers by itself; if the votes come back before anybody else has had them, it goes on.
//! The epoch grows with every holder and is the fence for whatever is written in his name.
//!
//! # Members that come and go
//!
//! Where a cloud launches and ends nodes, a list in the store says who is a member ([`Roster`]). A majority of a list that changes
//! is none; there the store's record alone gives a service to somebody, and only to who is in the list: record and list are
//! compared in one step. While the store is away, a holder goes on as long as *everybody* in the list votes for him: whoever could
//! take the record then is one of them, and a vote is never given twice. The holder alone changes the list, in one step with a
//! look at whether the record is of his present hold. Until he knows what became of that he counts on who is in the list before
//! *and* after it; and he goes on without the store only by a list that he has read since the record is his.
//!
//! # Two members without a store
//!
//! Nobody can tell a dead node from a cut cable with two voters. There, a member's vote for the other holds until the other
//! gives the service up, is seen to have been restarted, or the operator says that it is dead ([`Cluster::force`]): planned
//! switch-over, self-checks, shutdown and restart move the service; silence raises an alarm. Automatic takeover takes a store
//! or a third member (which may be a witness that takes no service).
#![forbid(unsafe_code)]

mod beat;
mod beats;
mod checks;
mod cluster;
mod config;
mod detector;
mod election;
mod holding;
mod keeper;
mod lease;
mod orders;
mod output;
mod placement;
mod roster;
mod service;
mod view;

pub use beat::{BeatError, MAX_BEAT_BYTES};
pub use checks::Check;
pub use cluster::Cluster;
pub use config::{
    ClusterConfig, ClusterConfigError, GroupStrategy, MAX_MEMBERS, MAX_SERVICES, Member, MemberId, Membership,
    Placement, PlacementGroup, Reach, Secret, Service, ServiceId,
};
pub use keeper::Keeper;
pub use lease::{Hold, LeaseAnswer, LeaseRecord, LeaseRecordError, LeaseRequest};
pub use orders::OrderError;
pub use output::{Alarm, ClusterCounters, Ended, Event, Location, MoveError, Output};
pub use placement::{Choice, Exclusion, Reason};
pub use roster::{Enrolled, Found, Roster, RosterAnswer, RosterError, RosterRequest, RosterWrite};
pub use view::{Explanation, MemberView, ServiceView, Standing, Successor};

/// For the fuzz target and property tests alone.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::beat::{reads_what_it_writes, seal};

    /// What a beat has to say for its claims to be looked at.
    pub fn fingerprint(config: &crate::ClusterConfig) -> u32 {
        config.fingerprint()
    }
}
