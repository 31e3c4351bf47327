//! One service as one member sees it.

use tandem_contract::Nanos;

use crate::config::{MAX_MEMBERS, MemberId};
use crate::lease::StoreVote;

/// A vote that holds until it is given back.
pub(crate) const FOR_GOOD: Nanos = Nanos(u64::MAX);

/// This member's vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) to: MemberId,
    pub(crate) incarnation: u64,
    pub(crate) epoch: u64,
    pub(crate) until: Nanos,
    /// When he sent what was answered with it, on his clock.
    pub(crate) request_sent_at: u64,
}

/// Who is known to hold the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) member: MemberId,
    pub(crate) epoch: u64,
}

/// What this member is to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mine {
    /// Not its holder.
    No,
    /// It asks for votes.
    Standing {
        epoch: u64,
        since: Nanos,
        /// The holder that offered it.
        offered_by: Option<MemberId>,
        from: Option<MemberId>,
    },
    /// It holds it.
    Held { epoch: u64, stage: Stage },
}

/// Where a holder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The addresses are being moved here; `since` votes were asked for.
    Moving { since: Nanos, failures: u32, again_at: Option<Nanos> },
    /// They are here.
    Settled,
    /// They are here, and this member may have them.
    Offered { to: MemberId, until: Nanos },
}

#[derive(Clone, Debug)]
pub(crate) struct ServiceState {
    pub(crate) promise: Option<Promise>,
    /// The latest epoch that was voted for, and whose it is: no vote goes to an earlier one.
    pub(crate) granted: (u64, Option<MemberId>),
    /// The latest epoch that was heard of: a new one comes after it.
    pub(crate) highest: u64,
    pub(crate) holder: Option<Holder>,
    /// Who held it last: a successor is chosen by where he was.
    pub(crate) last_holder: Option<MemberId>,
    pub(crate) mine: Mine,
    /// Until when each member's vote counts, for the present epoch.
    pub(crate) votes: [Nanos; MAX_MEMBERS],
    pub(crate) store: StoreVote,
    /// The epoch in which votes were first asked for the last time.
    pub(crate) asked_from: u64,
    /// The first epoch of the present hold: votes for any since count.
    pub(crate) held_from: u64,
    /// Whether that is later than what was last put out as the holder's epoch.
    pub(crate) held_anew: bool,
    /// The last permit that was put out.
    pub(crate) permit: Nanos,
    /// Whether that ran out.
    pub(crate) lapsed: bool,
    /// Since when.
    pub(crate) lapsed_since: Nanos,
    /// The operator said that the others are dead.
    pub(crate) forced: bool,
    /// Since when nobody is known to hold it.
    pub(crate) vacant_since: Option<Nanos>,
    /// This member does not ask for votes before then.
    pub(crate) not_before: Nanos,
    /// It could not move the addresses: it is no candidate until then.
    pub(crate) failed_until: Nanos,
    /// The epoch that was given up, told until then.
    pub(crate) released: Option<(u64, Nanos)>,
    /// The operator wants it here, told to the holder until then.
    pub(crate) wanted_until: Nanos,
    /// Looks that found the addresses elsewhere, one after the other.
    pub(crate) elsewhere: u32,
    pub(crate) next_look: Nanos,
    /// The holder does not offer it before then.
    pub(crate) no_offer_before: Nanos,
}

impl ServiceState {
    pub(crate) fn new(now: Nanos, first_epoch: u64) -> Self {
        Self {
            promise: None,
            granted: (0, None),
            highest: first_epoch.min(1 << 62),
            holder: None,
            last_holder: None,
            mine: Mine::No,
            votes: [Nanos(0); MAX_MEMBERS],
            store: StoreVote::default(),
            asked_from: 0,
            held_from: 0,
            held_anew: false,
            permit: Nanos(0),
            lapsed: false,
            lapsed_since: Nanos(0),
            forced: false,
            vacant_since: Some(now),
            not_before: now,
            failed_until: Nanos(0),
            released: None,
            wanted_until: Nanos(0),
            elsewhere: 0,
            next_look: now,
            no_offer_before: now,
        }
    }

    /// The vote as it stands; one that ran out is nobody's.
    pub(crate) fn promise(&self, now: Nanos) -> Option<&Promise> {
        self.promise.as_ref().filter(|promise| now < promise.until)
    }

    /// The epoch that votes are wanted for or held in.
    pub(crate) fn epoch(&self) -> Option<u64> {
        match self.mine {
            Mine::No => None,
            Mine::Standing { epoch, .. } | Mine::Held { epoch, .. } => Some(epoch),
        }
    }

    /// Hears of an epoch. The bound leaves room for many more, whatever a member or the store says.
    pub(crate) fn hear(&mut self, epoch: u64) {
        self.highest = self.highest.max(epoch.min(1 << 62));
    }

    /// An epoch that comes after every one heard of and that no other member can choose.
    pub(crate) fn next_epoch(&mut self, own: MemberId) -> u64 {
        let members = MAX_MEMBERS as u64;
        let round = self.highest / members * members + u64::from(own.0);
        self.highest = if round > self.highest { round } else { round + members };
        self.highest
    }

    /// The first epoch whose votes count.
    pub(crate) fn held_from_or(&self, epoch: u64) -> u64 {
        if self.is_held() { self.held_from } else { epoch }
    }

    pub(crate) fn is_held(&self) -> bool {
        matches!(self.mine, Mine::Held { .. })
    }
}
