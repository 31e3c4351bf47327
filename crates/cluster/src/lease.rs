//! The store's vote: one record per service that is only ever compared and set.
//!
//! The record has no expiry. Its owner counts it up with every renewal; whoever else wants it must have seen it stand still
//! for a whole lease on his own clock, and then set it only if it is still that one. So the store needs no clock, and a store
//! that was restarted, restored or replaced by an older copy only makes everybody watch it for a lease again: whoever had a
//! connection to it has to make another. (Not so where somebody changes it while it runs: nobody sees that a record was another for a moment.)

use std::fmt;
use std::str::FromStr;

use tandem_contract::Nanos;

use crate::config::{MemberId, ServiceId};

/// A request that was not answered for so many intervals is lost, or its answer is.
const LOST_INTERVALS: u64 = 2;
/// Looks in an interval of who wants what another has.
const LOOKS_OF_WHO_WANTS: u64 = 4;

/// What stands in the store for a service, as text: `owner incarnation epoch count`, the owner `-` where it was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseRecord {
    /// Whose it is.
    pub owner: Option<MemberId>,
    /// Which life of the owner's.
    pub incarnation: u64,
    /// The epoch that it was taken for.
    pub epoch: u64,
    /// Grows with every renewal.
    pub count: u64,
}

/// A holder as the service's record names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Who.
    pub member: MemberId,
    /// Which life of his.
    pub incarnation: u64,
    /// The epoch that he holds it in.
    pub epoch: u64,
}

impl fmt::Display for Hold {
    /// How the record begins.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.member.0, self.incarnation, self.epoch)
    }
}

/// What is in the store is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no lease record")]
pub struct LeaseRecordError(String);

impl LeaseRecord {
    /// Whether this life of a member has it.
    pub(crate) fn is_of(&self, member: MemberId, incarnation: u64) -> bool {
        self.owner == Some(member) && self.incarnation == incarnation
    }
}

impl fmt::Display for LeaseRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.owner {
            Some(owner) => write!(f, "{}", owner.0)?,
            None => write!(f, "-")?,
        }
        write!(f, " {} {} {}", self.incarnation, self.epoch, self.count)
    }
}

impl FromStr for LeaseRecord {
    type Err = LeaseRecordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || LeaseRecordError(text.chars().take(80).collect());
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or_else(error);
        let owner = match word()? {
            "-" => None,
            number => Some(MemberId(number.parse().map_err(|_| error())?)),
        };
        let mut number = || word()?.parse().map_err(|_| error());
        let record = Self { owner, incarnation: number()?, epoch: number()?, count: number()? };
        if words.next().is_some() {
            return Err(error());
        }
        Ok(record)
    }
}

/// One operation of the store's. It must be atomic; it may be late, lost or repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Whose record.
    pub service: ServiceId,
    /// For the answer.
    pub request: u64,
    /// What to set, and what must stand there for that (`None`: nothing); only reads where this is `None`.
    pub set: Option<(Option<LeaseRecord>, LeaseRecord)>,
}

/// What the store said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseAnswer {
    /// The service of the request.
    pub service: ServiceId,
    /// The request's number.
    pub request: u64,
    /// Whether what was to be set was set.
    pub set: bool,
    /// What stands there now.
    pub record: Option<LeaseRecord>,
    /// The connection is new: a store that was restarted, or another that stands in for it, may have forgotten what came last. The first
    /// request over a connection sets nothing, whatever it wants.
    pub anew: bool,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    request: u64,
    sent_at: Nanos,
    wants: Option<LeaseRecord>,
}

/// The store's record as this node knows it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StoreVote {
    /// What was there, and since when it has been seen unchanged.
    seen: Option<(Option<LeaseRecord>, Nanos)>,
    /// Its owner was seen to give it up. One that is found given up may be an older one of a store that was restored.
    given_up: bool,
    /// When the store answered last: what was not looked at was not seen to stand still.
    answered_at: Nanos,
    /// What this node set last. An older record of its own is one that the store was restored to.
    last_set: Option<LeaseRecord>,
    in_flight: Option<InFlight>,
    next_request: Nanos,
    /// Until when the vote counts, for the epoch it was given for.
    until: Nanos,
    epoch: u64,
}

/// What this node wants of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// To know it.
    Watch,
    /// To have it in this epoch.
    Have(u64),
    /// To give it up if it is one's own.
    GiveUp,
}

/// Who asks, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) own: MemberId,
    pub(crate) incarnation: u64,
    /// Records of its own for earlier epochs are of an earlier hold, as a store that was restored may have them: they are
    /// another's.
    pub(crate) since_epoch: u64,
    pub(crate) lease_ns: u64,
    pub(crate) interval_ns: u64,
}

impl StoreVote {
    /// Until when the store's vote counts, where it was given for `first` or a later epoch.
    pub(crate) fn until(&self, first: u64) -> Nanos {
        if self.epoch >= first { self.until } else { Nanos(0) }
    }

    /// No vote that was asked for before now counts.
    pub(crate) fn forget(&mut self) {
        self.until = Nanos(0);
        self.in_flight = None;
        // Unknown how long this node did not see.
        (self.seen, self.given_up) = (None, false);
    }

    /// The epoch in the store; 0 where none is known.
    pub(crate) fn epoch(&self) -> u64 {
        self.seen.and_then(|(record, _)| record).map_or(0, |record| record.epoch)
    }

    /// Whose it is and the epoch, for people.
    pub(crate) fn record(&self) -> Option<LeaseRecord> {
        self.seen.and_then(|(record, _)| record)
    }

    fn is_mine(asker: &Asker, record: &LeaseRecord) -> bool {
        record.is_of(asker.own, asker.incarnation) && record.epoch >= asker.since_epoch
    }

    /// When something could be asked next.
    pub(crate) fn deadline(&self, asker: &Asker, want: Want) -> Nanos {
        if let Some(flight) = self.in_flight {
            return flight.sent_at.plus(LOST_INTERVALS * asker.interval_ns);
        }
        // What stands still is taken the moment it may be.
        let is_renewed = |record: &LeaseRecord| Self::is_mine(asker, record) && self.next_request < self.until;
        match (self.seen, want) {
            (Some((record, since)), Want::Have(_)) if record.is_none_or(|record| !is_renewed(&record)) => {
                self.next_request.min(since.plus(asker.lease_ns))
            }
            _ => self.next_request,
        }
    }

    /// The operation that is due. `hurry` does not wait for the next interval.
    pub(crate) fn request(
        &mut self,
        now: Nanos,
        asker: &Asker,
        want: Want,
        hurry: bool,
        service: ServiceId,
        number: u64,
    ) -> Option<LeaseRequest> {
        if self.in_flight.is_some_and(|flight| now.since(flight.sent_at) < LOST_INTERVALS * asker.interval_ns) {
            return None;
        }
        let set = self.wanted(now, asker, want);
        let is_takeover = set.is_some_and(|(expected, _)| expected.is_none_or(|record| !Self::is_mine(asker, &record)));
        if !hurry && !is_takeover && now < self.next_request {
            return None;
        }
        // Who wants it looks more often: its owner may be giving it up.
        let has_it = self.record().is_some_and(|record| Self::is_mine(asker, &record));
        let looks = if matches!(want, Want::Have(_)) && !has_it { LOOKS_OF_WHO_WANTS } else { 1 };
        self.next_request = now.plus(asker.interval_ns / looks);
        self.in_flight = Some(InFlight { request: number, sent_at: now, wants: set.map(|(_, record)| record) });
        Some(LeaseRequest { service, request: number, set })
    }

    /// What may be set now.
    fn wanted(&self, now: Nanos, asker: &Asker, want: Want) -> Option<(Option<LeaseRecord>, LeaseRecord)> {
        let (record, since) = self.seen?;
        let mine = record.filter(|record| Self::is_mine(asker, record));
        match want {
            Want::Watch => None,
            Want::GiveUp => {
                // After a restored one another may have had it.
                let is_old = |mine: &LeaseRecord| self.last_set.is_some_and(|last| mine.count < last.count);
                mine.filter(|mine| !is_old(mine))
                    .map(|mine| (record, LeaseRecord { owner: None, count: mine.count.wrapping_add(1), ..mine }))
            }
            Want::Have(epoch) => {
                // One's own that has run out may be a store's that was restored: another may have had it since.
                let renews = mine.is_some() && now < self.until;
                let free = renews || self.given_up || now.since(since) >= asker.lease_ns;
                // Never one that was there before: in a store that was restored the record would pass again through what
                // somebody has seen and waits for.
                let last = [record, self.last_set].into_iter().flatten().map(|record| record.count).max();
                let count = last.unwrap_or(0).wrapping_add(1);
                let wanted = LeaseRecord { owner: Some(asker.own), incarnation: asker.incarnation, epoch, count };
                let current = epoch > self.epoch() || mine.is_some_and(|mine| epoch >= mine.epoch);
                (free && current).then_some((record, wanted))
            }
        }
    }

    /// Takes an answer in; whether it was one to the request that is under way.
    pub(crate) fn on_answer(&mut self, now: Nanos, asker: &Asker, vote_ns: u64, answer: &LeaseAnswer) -> bool {
        let Some(flight) = self.in_flight.take_if(|flight| flight.request == answer.request) else { return false };
        let unseen_ns = now.since(std::mem::replace(&mut self.answered_at, now));
        let unwatched = answer.anew || unseen_ns > asker.lease_ns;
        if let Some(wanted) = flight.wants.filter(|_| answer.set) {
            self.seen = Some((Some(wanted), now));
            self.last_set = Some(wanted);
            self.given_up = wanted.owner.is_none();
            if wanted.owner == Some(asker.own) {
                (self.epoch, self.until) = (wanted.epoch, flight.sent_at.plus(vote_ns));
            }
        } else if unwatched || self.seen.is_none_or(|(record, _)| record != answer.record) {
            let before = self.record().filter(|_| !unwatched);
            let is_after = |before: LeaseRecord, after: LeaseRecord| {
                (before.incarnation, before.epoch) == (after.incarnation, after.epoch) && before.count < after.count
            };
            let given_up = answer.record.filter(|record| record.owner.is_none()).zip(before);
            self.given_up = given_up.is_some_and(|(after, before)| is_after(before, after));
            self.seen = Some((answer.record, now));
            if flight.wants.is_some() && answer.record.is_some_and(|record| Self::is_mine(asker, &record)) {
                // It was set earlier, by a request whose answer was lost.
                self.next_request = now;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn asker(own: u8) -> Asker {
        Asker { own: MemberId(own), incarnation: 7, since_epoch: 1, lease_ns: 80 * MS, interval_ns: 20 * MS }
    }

    /// A register, as a store is.
    #[derive(Default)]
    struct Register(Option<LeaseRecord>);

    impl Register {
        fn perform(&mut self, request: LeaseRequest) -> LeaseAnswer {
            let set = request.set.is_some_and(|(expected, _)| expected == self.0);
            if set {
                self.0 = request.set.map(|(_, record)| record);
            }
            LeaseAnswer { service: request.service, request: request.request, set, record: self.0, anew: false }
        }
    }

    fn turn(vote: &mut StoreVote, register: &mut Register, own: u8, want: Want, at_ms: u64) -> bool {
        let now = Nanos(at_ms * MS);
        let Some(request) = vote.request(now, &asker(own), want, false, ServiceId(0), at_ms) else { return false };
        let answer = register.perform(request);
        vote.on_answer(now, &asker(own), 75 * MS, &answer);
        answer.set
    }

    #[test]
    fn a_record_that_is_renewed_is_not_taken_and_one_that_stood_still_is() {
        let (mut a, mut b, mut register) = (StoreVote::default(), StoreVote::default(), Register::default());
        let mut taken = None;
        for ms in 0..2000 {
            if turn(&mut a, &mut register, 0, Want::Have(1), ms) && taken.is_none() {
                taken = Some(ms);
            }
            assert!(!turn(&mut b, &mut register, 1, Want::Have(2), ms), "at {ms}");
        }
        assert_eq!(taken, Some(80), "nothing was there, and that was watched for a lease");
        let last = a.until(1);
        let stolen = (2000..).find(|ms| turn(&mut b, &mut register, 1, Want::Have(2), *ms)).unwrap();
        assert!(Nanos(stolen * MS) > last);
        assert!(stolen < 2000 + 100, "{stolen}");
        assert!(!turn(&mut a, &mut register, 0, Want::Have(1), stolen + 1));
    }

    #[test]
    fn what_was_given_up_is_taken_at_once() {
        let (mut a, mut b, mut register) = (StoreVote::default(), StoreVote::default(), Register::default());
        for ms in 0..=100 {
            turn(&mut a, &mut register, 0, Want::Have(1), ms);
            turn(&mut b, &mut register, 1, Want::Watch, ms);
        }
        assert!(turn(&mut a, &mut register, 0, Want::GiveUp, 120));
        turn(&mut b, &mut register, 1, Want::Watch, 120);
        assert!(turn(&mut b, &mut register, 1, Want::Have(2), 121));
        assert_eq!(b.until(2), Nanos(196 * MS));
        assert_eq!(b.until(3), Nanos(0), "a vote for an earlier epoch is none");
    }

    #[test]
    fn a_record_is_watched_anew_over_a_new_connection() {
        let (mut b, mut register) = (StoreVote::default(), Register::default());
        register.0 = Some(LeaseRecord { owner: Some(MemberId(0)), incarnation: 7, epoch: 1, count: 9 });
        for ms in 0..80 {
            assert!(!turn(&mut b, &mut register, 1, Want::Have(2), ms));
        }
        let now = Nanos(80 * MS);
        b.in_flight = Some(InFlight { request: 1000, sent_at: now, wants: None });
        let answer = LeaseAnswer { service: ServiceId(0), request: 1000, set: false, record: register.0, anew: true };
        b.on_answer(now, &asker(1), 75 * MS, &answer);
        for ms in 81..160 {
            assert!(!turn(&mut b, &mut register, 1, Want::Have(2), ms), "at {ms}");
        }
        assert!(turn(&mut b, &mut register, 1, Want::Have(2), 160));
    }

    #[test]
    fn a_record_in_a_store_that_was_restored_is_never_again_what_somebody_saw_before() {
        let (mut a, mut b, mut register) = (StoreVote::default(), StoreVote::default(), Register::default());
        for ms in 0..=120 {
            turn(&mut a, &mut register, 0, Want::Have(1), ms);
        }
        let restored = register.0;
        for ms in 121..=200 {
            turn(&mut a, &mut register, 0, Want::Have(1), ms);
            turn(&mut b, &mut register, 1, Want::Watch, ms);
        }
        let seen = b.record();
        register.0 = restored;
        for ms in 201..=270 {
            let now = Nanos(ms * MS);
            if let Some(request) = a.request(now, &asker(0), Want::Have(1), false, ServiceId(0), ms) {
                let mut answer = register.perform(request);
                // The first over the new connection sets nothing.
                answer.anew = ms < 221;
                a.on_answer(now, &asker(0), 75 * MS, &answer);
            }
            assert_ne!(register.0, seen, "at {ms}");
        }
        assert!(register.0.unwrap().count > seen.unwrap().count);
    }

    #[test]
    fn a_vote_counts_from_the_moment_it_was_asked_for() {
        let mut vote = StoreVote::default();
        let (asker, service) = (asker(0), ServiceId(0));
        let read = vote.request(Nanos(0), &asker, Want::Have(1), false, service, 1).unwrap();
        assert!(read.set.is_none(), "nothing is known yet");
        vote.on_answer(
            Nanos(MS),
            &asker,
            75 * MS,
            &LeaseAnswer { service, request: 1, set: false, record: None, anew: true },
        );
        let set = vote.request(Nanos(81 * MS), &asker, Want::Have(1), false, service, 2).unwrap();
        let record = set.set.map(|(_, record)| record);
        vote.on_answer(
            Nanos(100 * MS),
            &asker,
            75 * MS,
            &LeaseAnswer { service, request: 2, set: true, record, anew: false },
        );
        assert_eq!(vote.until(1), Nanos(156 * MS));
    }

    #[test]
    fn an_answer_that_is_not_waited_for_changes_nothing() {
        let mut vote = StoreVote::default();
        let answer = LeaseAnswer { service: ServiceId(0), request: 5, set: true, record: None, anew: false };
        assert!(!vote.on_answer(Nanos(0), &asker(0), 75 * MS, &answer));
        assert!(vote.seen.is_none());
    }

    #[test]
    fn a_record_is_the_same_when_it_is_read_again_and_anything_else_is_named() {
        for owner in [None, Some(MemberId(3))] {
            let record = LeaseRecord { owner, incarnation: u64::MAX, epoch: 4, count: 5 };
            assert_eq!(record.to_string().parse(), Ok(record));
        }
        for wrong in ["", "1 2 3", "1 2 3 4 5", "x 2 3 4", "1 2 3 -4", "999 1 1 1"] {
            let error = wrong.parse::<LeaseRecord>().unwrap_err();
            assert_eq!(error.to_string(), format!("`{wrong}` is no lease record"));
        }
    }
}
