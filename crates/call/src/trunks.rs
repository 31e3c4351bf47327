//! How each peer does: whether it is in service, how quickly it answers, how much it has taken.
//!
//! | what happens | what it means |
//! | --- | --- |
//! | any final response to our OPTIONS but 503 | in service; the time it took is noted |
//! | 503, silence or a broken transport, for OPTIONS or INVITE, [`HealthPolicy::failures`] times in a row | out of service |
//! | too few of the last calls were answered | out of service for [`HealthPolicy::hold_out_s`], then judged anew |
//! | its name leads nowhere | out of service until it does |
//! | out of service, and nobody asks it with OPTIONS | tried again after [`HealthPolicy::hold_out_s`]; one more failure and it is out again |

use std::collections::VecDeque;
use std::sync::Arc;

use tandem_contract::Nanos;

use crate::config::{HealthPolicy, Peer, PeerId};
use crate::exchange::seconds;
use crate::registration::RegistrationState;
use crate::routing::Standing;

/// What was counted of one peer since the start, and how it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TrunkStatus {
    /// The peer's name.
    pub peer: String,
    /// Whether calls are sent to it while others of its group can have them.
    pub in_service: bool,
    /// Why not; empty where it is.
    pub out_because: String,
    /// Calls from and to it at present.
    pub calls: u32,
    /// Calls that it was sent.
    pub attempts: u64,
    /// Those that it answered.
    pub answered: u64,
    /// Those that it refused with 503, did not answer at all, or could not be reached for.
    pub failures: u64,
    /// Calls that it was not sent because of its own limits.
    pub over_limit: u64,
    /// Of its last calls, so many in a hundred were answered; `None` before there were enough to judge.
    pub answer_ratio_percent: Option<u8>,
    /// How long its answer to our OPTIONS takes, in microseconds, smoothed; `None` where none was answered.
    pub round_trip_us: Option<u32>,
    /// How our registration with it stands; `None` where there is to be none.
    pub registration: Option<RegistrationState>,
}

/// A peer was taken out of service, or brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkEvent {
    /// Which.
    pub peer: String,
    /// Why it is out; `None` where it is in service again.
    pub out_because: Option<String>,
}

/// How all peers do, by [`PeerId`].
#[derive(Debug, Default)]
pub(crate) struct Trunks {
    states: Vec<Trunk>,
    events: VecDeque<TrunkEvent>,
}

#[derive(Debug)]
struct Trunk {
    peer: Arc<Peer>,
    status: TrunkStatus,
    /// Failures in a row.
    failures: u8,
    /// Why it is out of service.
    out: Option<Out>,
    /// The last calls, the latest in the lowest bit: whether they were answered.
    outcomes: u128,
    /// How many of them there are.
    judged: u8,
    /// When OPTIONS is due; `None` before the first look.
    ping_at: Option<Nanos>,
    /// When the one under way was sent.
    asked: Option<Nanos>,
    /// Calls that may begin now, in billionths of one.
    tokens: u64,
    filled: Nanos,
}

/// Why a peer is out of service, and when it is tried again.
#[derive(Clone, Copy, Debug)]
enum Out {
    /// It was not reached; the answer to our OPTIONS brings it back where there is no time for it.
    Unreached(Option<Nanos>),
    /// It answered too few calls.
    Unanswered(Nanos),
    /// Its name leads nowhere.
    Nameless,
}

impl Out {
    const fn until(self) -> Option<Nanos> {
        match self {
            Self::Unreached(until) => until,
            Self::Unanswered(until) => Some(until),
            Self::Nameless => None,
        }
    }
}

/// One call in [`Trunk::tokens`].
const ONE_CALL: u64 = 1_000_000_000;

/// How an attempt to reach a peer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It answered, with whatever but 503.
    Yes,
    /// It answered 503.
    Refusing,
    /// It said nothing.
    Silent,
    /// The transport failed.
    Unreachable,
}

impl Trunks {
    /// These are the peers now; who was there before, by name, keeps its state.
    pub(crate) fn set_peers<'p>(&mut self, peers: impl Iterator<Item = &'p Arc<Peer>>) {
        let mut before = std::mem::take(&mut self.states);
        self.states = peers
            .map(|peer| match before.iter().position(|known| known.peer.name == peer.name) {
                Some(known) => Trunk { peer: Arc::clone(peer), ..before.swap_remove(known) },
                None => Trunk::new(Arc::clone(peer)),
            })
            .collect();
    }

    pub(crate) fn status(&self, id: PeerId) -> Option<&TrunkStatus> {
        self.states.get(usize::from(id.0)).map(|trunk| &trunk.status)
    }

    /// What routing must know of a peer.
    pub(crate) fn standing(&self, id: PeerId, calls: u32) -> Standing {
        let status = self.status(id);
        Standing {
            calls,
            round_trip_us: status.and_then(|status| status.round_trip_us),
            is_out: status.is_some_and(|status| !status.in_service),
        }
    }

    pub(crate) fn statuses(&self) -> impl Iterator<Item = &TrunkStatus> {
        self.states.iter().map(|trunk| &trunk.status)
    }

    pub(crate) fn poll_event(&mut self) -> Option<TrunkEvent> {
        self.events.pop_front()
    }

    fn named(&mut self, name: &str) -> Option<(&mut Trunk, &mut VecDeque<TrunkEvent>)> {
        let trunk = self.states.iter_mut().find(|trunk| trunk.peer.name == name)?;
        Some((trunk, &mut self.events))
    }

    /// Whether the peer's rate allows another call now; it is counted then.
    pub(crate) fn admit(&mut self, now: Nanos, id: PeerId) -> bool {
        let Some(trunk) = self.states.get_mut(usize::from(id.0)) else { return false };
        let Some(rate) = trunk.peer.max_calls_per_s.map(u64::from) else {
            trunk.status.attempts += 1;
            return true;
        };
        // At most a second's worth is saved up.
        let earned = now.since(trunk.filled).min(1_000_000_000) * rate;
        trunk.tokens = (trunk.tokens + earned).min(rate * ONE_CALL);
        trunk.filled = now;
        if trunk.tokens < ONE_CALL {
            trunk.status.over_limit += 1;
            return false;
        }
        trunk.tokens -= ONE_CALL;
        trunk.status.attempts += 1;
        true
    }

    /// A call was not sent to the peer, because it has as many as it may.
    pub(crate) fn on_full(&mut self, id: PeerId) {
        if let Some(trunk) = self.states.get_mut(usize::from(id.0)) {
            trunk.status.over_limit += 1;
        }
    }

    /// A call to a peer came to its end before, or with, the answer.
    pub(crate) fn on_call(&mut self, now: Nanos, name: &str, reached: Reached, is_answered: bool) {
        let Some((trunk, events)) = self.named(name) else { return };
        trunk.status.answered += u64::from(is_answered);
        trunk.status.failures += u64::from(reached != Reached::Yes);
        trunk.on_reached(now, reached, events);
        trunk.judge(now, is_answered, events);
    }

    /// A call to a peer was given up before it was answered: by the caller, or because it rang for too long.
    pub(crate) fn on_unanswered(&mut self, now: Nanos, name: &str) {
        if let Some((trunk, events)) = self.named(name) {
            trunk.judge(now, false, events);
        }
    }

    /// The peers that are due to be asked with OPTIONS; who has not answered the last one by then was silent. `draw` spreads
    /// the first round.
    pub(crate) fn due_pings(&mut self, now: Nanos, mut draw: impl FnMut() -> u64) -> Vec<Arc<Peer>> {
        let mut due = Vec::new();
        for trunk in &mut self.states {
            let Some(interval) = trunk.peer.health.options_interval_s.map(seconds) else { continue };
            match trunk.ping_at {
                None => trunk.ping_at = Some(now.plus(draw() % interval.min(1_000_000_000))),
                Some(at) if at <= now => {
                    trunk.ping_at = Some(now.plus(interval));
                    if trunk.asked.replace(now).is_some() {
                        trunk.on_reached(now, Reached::Silent, &mut self.events);
                    }
                    due.push(Arc::clone(&trunk.peer));
                }
                Some(_) => {}
            }
        }
        due
    }

    /// The OPTIONS to a peer could not leave.
    pub(crate) fn forget_ping(&mut self, name: &str) {
        if let Some((trunk, _)) = self.named(name) {
            trunk.asked = None;
        }
    }

    /// What came of the OPTIONS that was sent to a peer at `asked`. One that another followed has counted as silence already;
    /// its answer is a sign of life all the same.
    pub(crate) fn on_ping(&mut self, now: Nanos, (name, asked): (&str, Nanos), reached: Reached) {
        let Some((trunk, events)) = self.named(name) else { return };
        let has_answered = matches!(reached, Reached::Yes | Reached::Refusing);
        let is_latest = trunk.asked.take_if(|latest| *latest == asked).is_some();
        if !is_latest && !has_answered {
            return;
        }
        if is_latest && has_answered {
            let took_us = u32::try_from(now.since(asked) / 1_000).unwrap_or(u32::MAX);
            // As TCP smooths its round-trip time (RFC 6298 §2).
            let smoothed = trunk.status.round_trip_us.map_or(took_us, |known| known - known / 8 + took_us / 8);
            trunk.status.round_trip_us = Some(smoothed);
        }
        trunk.on_reached(now, reached, events);
    }

    /// A peer's name leads nowhere, for this reason; or somewhere again.
    pub(crate) fn on_name(&mut self, name: &str, problem: Option<String>) {
        let Some((trunk, events)) = self.named(name) else { return };
        let is_nameless = matches!(trunk.out, Some(Out::Nameless));
        match problem {
            Some(why) if trunk.out.is_none() => trunk.take_out(why, Out::Nameless, events),
            Some(_) => {}
            None if is_nameless => trunk.bring_back(events),
            None => {}
        }
    }

    /// Brings back those whose time out of service is over.
    pub(crate) fn on_timeout(&mut self, now: Nanos) {
        for trunk in &mut self.states {
            if trunk.out.and_then(Out::until).is_some_and(|at| at <= now) {
                // On probation: one failure is enough.
                trunk.failures = trunk.peer.health.failures.saturating_sub(1);
                trunk.bring_back(&mut self.events);
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        let pinged = self.states.iter().filter(|trunk| trunk.peer.health.options_interval_s.is_some());
        let pings = pinged.map(|trunk| trunk.ping_at.unwrap_or_default());
        pings.chain(self.states.iter().filter_map(|trunk| trunk.out?.until())).min()
    }
}

impl Trunk {
    fn new(peer: Arc<Peer>) -> Self {
        Self {
            status: TrunkStatus { peer: peer.name.clone(), in_service: true, ..TrunkStatus::default() },
            tokens: u64::from(peer.max_calls_per_s.unwrap_or(0)) * ONE_CALL,
            peer,
            failures: 0,
            out: None,
            outcomes: 0,
            judged: 0,
            ping_at: None,
            asked: None,
            filled: Nanos::default(),
        }
    }

    fn on_reached(&mut self, now: Nanos, reached: Reached, events: &mut VecDeque<TrunkEvent>) {
        if reached == Reached::Yes {
            self.failures = 0;
            // Who is out for too few answers stays out: that it speaks says nothing of them.
            if matches!(self.out, Some(Out::Unreached(_))) {
                self.bring_back(events);
            }
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.peer.health.failures && self.out.is_none() {
            let why = match reached {
                Reached::Refusing => "it answers 503",
                Reached::Unreachable => "it cannot be reached",
                Reached::Yes | Reached::Silent => "it does not answer",
            };
            // Where OPTIONS are sent, their answer brings it back.
            let holds = self.peer.health.options_interval_s.is_none();
            let until = holds.then(|| now.plus(seconds(self.peer.health.hold_out_s)));
            self.take_out(why.to_owned(), Out::Unreached(until), events);
        }
    }

    /// Counts a call for the answer-seizure ratio (ITU-T E.411), and takes the peer out where that is too low.
    fn judge(&mut self, now: Nanos, is_answered: bool, events: &mut VecDeque<TrunkEvent>) {
        let HealthPolicy { answer_window, min_answer_percent, hold_out_s, .. } = self.peer.health;
        let window = answer_window.clamp(1, 128);
        self.outcomes = self.outcomes << 1 | u128::from(is_answered);
        self.judged = self.judged.saturating_add(1).min(window);
        if self.judged < window {
            return;
        }
        let counted = self.outcomes & u128::MAX >> (128 - u32::from(window));
        let percent = (counted.count_ones() * 100 / u32::from(window)) as u8;
        self.status.answer_ratio_percent = Some(percent);
        if percent < min_answer_percent && self.out.is_none() {
            self.judged = 0;
            let why = format!("{percent} % of the last {window} calls were answered");
            self.take_out(why, Out::Unanswered(now.plus(seconds(hold_out_s))), events);
        }
    }

    fn take_out(&mut self, why: String, out: Out, events: &mut VecDeque<TrunkEvent>) {
        self.status.in_service = false;
        self.status.out_because.clone_from(&why);
        self.out = Some(out);
        events.push_back(TrunkEvent { peer: self.peer.name.clone(), out_because: Some(why) });
    }

    fn bring_back(&mut self, events: &mut VecDeque<TrunkEvent>) {
        self.out = None;
        if !std::mem::replace(&mut self.status.in_service, true) {
            self.status.out_because.clear();
            events.push_back(TrunkEvent { peer: self.peer.name.clone(), out_because: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tandem_contract::Codec;

    use super::*;
    use crate::config::ListenerId;

    const ID: PeerId = PeerId(0);

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(ms)
    }

    fn trunks(change: impl FnOnce(&mut Peer)) -> Trunks {
        let address = (Ipv4Addr::LOCALHOST, 5060).into();
        let mut peer = Peer::new("a", address, ListenerId(0), vec![Codec::Pcmu], Ipv4Addr::LOCALHOST.into());
        change(&mut peer);
        let mut trunks = Trunks::default();
        trunks.set_peers([Arc::new(peer)].iter());
        trunks
    }

    fn is_in(trunks: &Trunks) -> bool {
        trunks.status(ID).expect("a peer").in_service
    }

    #[test]
    fn failures_in_a_row_take_a_peer_out_and_its_time_brings_it_back_on_probation() {
        let mut trunks = trunks(|peer| peer.health = HealthPolicy { failures: 2, hold_out_s: 10, ..peer.health });
        trunks.on_call(at(0), "a", Reached::Silent, false);
        trunks.on_call(at(0), "a", Reached::Yes, false);
        trunks.on_call(at(0), "a", Reached::Refusing, false);
        assert!(is_in(&trunks), "never two in a row");
        trunks.on_call(at(1), "a", Reached::Unreachable, false);
        assert!(!is_in(&trunks));
        assert_eq!(trunks.next_deadline(), Some(at(10_001)));
        trunks.on_timeout(at(10_001));
        assert!(is_in(&trunks));
        trunks.on_call(at(10_002), "a", Reached::Silent, false);
        assert!(!is_in(&trunks), "one more is enough");
        let told: Vec<_> = std::iter::from_fn(|| trunks.poll_event()).map(|event| event.out_because).collect();
        assert_eq!(told, [Some("it cannot be reached".into()), None, Some("it does not answer".into())]);
    }

    #[test]
    fn options_take_a_peer_out_bring_it_back_and_tell_how_far_it_is() {
        let mut trunks = trunks(|peer| {
            peer.health = HealthPolicy { failures: 1, options_interval_s: Some(5), ..peer.health };
        });
        assert_eq!(trunks.due_pings(at(0), || 250_000_000).len(), 0, "the first round is spread");
        assert_eq!(trunks.next_deadline(), Some(at(250)));
        assert_eq!(trunks.due_pings(at(250), || 0).len(), 1);
        trunks.on_ping(at(258), ("a", at(250)), Reached::Yes);
        assert_eq!(trunks.status(ID).and_then(|status| status.round_trip_us), Some(8_000));
        assert_eq!(trunks.due_pings(at(5_250), || 0).len(), 1);
        assert_eq!(trunks.due_pings(at(10_250), || 0).len(), 1, "it is asked again");
        assert!(!is_in(&trunks), "the last one has no answer yet");
        trunks.on_ping(at(10_260), ("a", at(5_250)), Reached::Yes);
        assert!(is_in(&trunks), "late, and a sign of life");
        assert_eq!(
            trunks.status(ID).and_then(|status| status.round_trip_us),
            Some(8_000),
            "of that nothing is learned"
        );
        trunks.on_ping(at(10_266), ("a", at(10_250)), Reached::Yes);
        assert!(is_in(&trunks));
        assert_eq!(trunks.status(ID).and_then(|status| status.round_trip_us), Some(9_000));
    }

    #[test]
    fn too_few_answers_take_a_peer_out_whatever_options_say() {
        let health = HealthPolicy {
            options_interval_s: Some(5),
            answer_window: 4,
            min_answer_percent: 50,
            hold_out_s: 10,
            ..HealthPolicy::default()
        };
        let mut trunks = trunks(|peer| peer.health = health);
        for is_answered in [true, false, true, false, false] {
            assert!(is_in(&trunks));
            trunks.on_call(at(0), "a", Reached::Yes, is_answered);
        }
        assert!(!is_in(&trunks), "one of four");
        trunks.due_pings(at(0), || 0);
        trunks.due_pings(at(0), || 0);
        trunks.on_ping(at(1), ("a", at(0)), Reached::Yes);
        assert!(!is_in(&trunks));
        trunks.on_timeout(at(10_000));
        assert!(is_in(&trunks));
        trunks.on_call(at(10_001), "a", Reached::Yes, false);
        assert!(is_in(&trunks), "it is judged anew");
    }

    #[test]
    fn a_rate_is_kept_second_by_second() {
        let mut trunks = trunks(|peer| peer.max_calls_per_s = Some(2));
        let admitted = |trunks: &mut Trunks, ms| (0..5).filter(|_| trunks.admit(at(ms), ID)).count();
        assert_eq!(admitted(&mut trunks, 0), 2);
        assert_eq!(admitted(&mut trunks, 500), 1);
        assert_eq!(admitted(&mut trunks, 60_000), 2, "no more than a second is saved up");
        let status = trunks.status(ID).expect("a peer");
        assert_eq!((status.attempts, status.over_limit), (5, 10));
    }

    #[test]
    fn a_peer_keeps_its_state_by_name_when_the_configuration_changes() {
        let mut trunks = trunks(|peer| peer.health.failures = 1);
        trunks.on_call(at(0), "a", Reached::Silent, false);
        let address = (Ipv4Addr::LOCALHOST, 5070).into();
        let named = |name| Arc::new(Peer::new(name, address, ListenerId(0), vec![], Ipv4Addr::LOCALHOST.into()));
        trunks.set_peers([named("b"), named("a")].iter());
        assert!(is_in(&trunks), "b is new");
        assert!(!trunks.status(PeerId(1)).expect("a").in_service);
    }
}
