//! Flows of other nodes' calls that are at hand on the workers: when such a node is gone its media goes on at once, and its
//! calls after that.
//!
//! They have the places that nobody else wants: a call of our own that needs one gets it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use tandem_contract::{Command, Epoch, FlowId, LegConfig, LegPosition, LegSide, Nanos, SentPosition, WorkerId};

use crate::call::Call;
use crate::exchange::Exchange;
use crate::media_pool::Reservation;
use crate::replica::Replica;
use crate::restore::{MediaPosition, RestoreError};
use crate::switch::Switch;

/// Confirmed by the worker, and waited for by no call: theirs are later.
const EPOCH: Epoch = Epoch(0);

/// By where their legs receive, which two calls never share.
pub(crate) type Standby = BTreeMap<[SocketAddr; 2], AtHand>;

/// A flow at hand.
#[derive(Debug)]
pub(crate) struct AtHand {
    pub(crate) reservation: Reservation,
    legs: [LegConfig; 2],
    /// When its media may have begun.
    began: Nanos,
    /// Media goes on here, and the call has yet to come.
    pub(crate) goes_on: bool,
}

impl Switch {
    /// Has the flow of a call that another node has at hand, as the call is now; of one that is over there is none.
    ///
    /// # Errors
    /// Why it cannot be had. That may pass: another flow may have its ports, or all places be taken.
    pub fn prepare(&mut self, now: Nanos, replica: &Replica) -> Result<(), RestoreError> {
        let exchange = &mut self.exchange;
        let media = replica.media();
        let before = exchange.standby.get(&media);
        if before.is_some_and(|at_hand| at_hand.goes_on) {
            return Ok(());
        }
        let before = before.map(|at_hand| (at_hand.reservation, at_hand.legs));
        if replica.is_over() || !media.iter().all(|local| exchange.has_media_address(local.ip())) {
            exchange.dismiss(media);
            return Ok(());
        }
        let peers = Call::peers_of(exchange, replica)?;
        let reservation = match before {
            Some((reservation, _)) => reservation,
            None => exchange.pool.claim(media)?,
        };
        let call = Call::of_replica(exchange, now, replica, peers, reservation);
        let legs = call.legs_of_flow();
        if before.is_none_or(|(_, known)| known != legs) {
            let began = call.answered.unwrap_or(call.started);
            let Reservation { worker, flow, .. } = reservation;
            exchange.standby.insert(media, AtHand { reservation, legs, began, goes_on: false });
            exchange.command(worker, Command::PrepareFlow { flow, epoch: EPOCH, legs });
        }
        Ok(())
    }

    /// No call is expected any more whose legs receive there.
    pub fn dismiss(&mut self, media: [SocketAddr; 2]) {
        self.exchange.dismiss(media);
    }

    /// Lets media go on that another node had, where its flow is at hand; its call comes by [`Switch::restore`]. `position` is
    /// how far it had come, where that is known. The addresses have to be ours by now. Whether the flow was at hand.
    pub fn resume_media(&mut self, now: Nanos, media: [SocketAddr; 2], position: Option<MediaPosition>) -> bool {
        let Some(at_hand) = self.exchange.standby.get_mut(&media) else { return false };
        if !std::mem::replace(&mut at_hand.goes_on, true) {
            let Reservation { worker, flow, .. } = at_hand.reservation;
            let legs = at_hand.legs;
            let positions = positions(&legs, position.unwrap_or_else(|| MediaPosition::unknown(now, at_hand.began)));
            self.exchange.command(worker, Command::ResumeFlow { flow, epoch: EPOCH, legs, positions });
        }
        true
    }

    /// Lets go of media that goes on without a call.
    pub fn abandon_media(&mut self) {
        let orphans = self.exchange.standby.iter().filter(|(_, at_hand)| at_hand.goes_on);
        let orphans: Vec<_> = orphans.map(|(media, _)| *media).collect();
        orphans.into_iter().for_each(|media| self.exchange.dismiss(media));
    }

    /// Flows of other nodes' calls that are at hand.
    pub fn flows_at_hand(&self) -> usize {
        self.exchange.standby.len()
    }
}

impl MediaPosition {
    /// Of media that may have run since it `began`.
    pub(crate) fn unknown(now: Nanos, began: Nanos) -> Self {
        Self { legs: [LegPosition::default(); 2], age_ms: now.since(began) / 1_000_000 }
    }
}

/// From where legs go on that had come so far.
pub(crate) fn positions(legs: &[LegConfig; 2], known: MediaPosition) -> [LegPosition; 2] {
    LegSide::BOTH.map(|side| {
        let (leg, config) = (&known.legs[side.index()], &legs[side.index()]);
        // Where no position was read, the leg may have sent as well.
        let srtp = leg.srtp.or(config.crypto.map(|_| Default::default()));
        // The first packet would have these numbers.
        let first = SentPosition { sequence: config.first_sequence.wrapping_sub(1), timestamp: config.first_timestamp };
        LegPosition { srtp, ..*leg }.ahead(known.age_ms, config.format.as_ref(), first)
    })
}

impl Exchange {
    /// Nothing is at hand there any more.
    pub(crate) fn dismiss(&mut self, media: [SocketAddr; 2]) {
        if let Some(AtHand { reservation: Reservation { worker, flow, .. }, .. }) = self.standby.remove(&media) {
            self.command(worker, Command::AbandonFlow { flow });
            // Whoever gets the place next asks the same worker for it, after that.
            self.pool.give_back(worker, flow);
        }
    }

    /// A worker refused something; whether that was to have a flow at hand.
    pub(crate) fn on_refused_at_hand(&mut self, worker: WorkerId, flow: FlowId) -> bool {
        let media = self.pool.tenant(worker, flow).filter(|media| self.standby.contains_key(media));
        media.inspect(|media| self.dismiss(*media)).is_some()
    }

    /// A place for a call of our own, as [`crate::media_pool::MediaPool::reserve`] finds it.
    pub(crate) fn reserve(
        &mut self,
        now: Nanos,
        addresses: [IpAddr; 2],
        caller: Option<SocketAddr>,
    ) -> Option<Reservation> {
        let place = self.pool.reserve(now, addresses, caller);
        place.or_else(|| self.make_room(None).then(|| self.pool.reserve(now, addresses, caller)).flatten())
    }

    /// The same wherever there is most room.
    pub(crate) fn reserve_anywhere(&mut self, now: Nanos) -> Option<Reservation> {
        let place = self.pool.reserve_anywhere(now);
        place.or_else(|| self.make_room(None).then(|| self.pool.reserve_anywhere(now)).flatten())
    }

    /// The place of a call that another node had.
    pub(crate) fn claim(&mut self, media: [SocketAddr; 2]) -> Result<Reservation, RestoreError> {
        match self.pool.claim(media) {
            Err(RestoreError::NoSlot) if self.make_room(Some(self.pool.owner(media[0]))) => self.pool.claim(media),
            claimed => claimed,
        }
    }

    /// Gives up what is at hand on one worker, or on any; `false` where nothing is.
    fn make_room(&mut self, on: Option<WorkerId>) -> bool {
        let is_there = |at_hand: &AtHand| !at_hand.goes_on && on.is_none_or(|on| on == at_hand.reservation.worker);
        let media = self.standby.iter().find(|(_, at_hand)| is_there(at_hand)).map(|(media, _)| *media);
        media.inspect(|media| self.dismiss(*media)).is_some()
    }
}
