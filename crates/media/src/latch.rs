//! Learning where a leg's peer is, and refusing everybody else: the defence against injected speech and against speech sent
//! to strangers ("RTP bleed").
//!
//! | learning  | heard while learning                   | media goes to                | settled by                          |
//! | --------- | -------------------------------------- | ---------------------------- | ----------------------------------- |
//! | off       | -                                      | the signalled address        | from the start, on the signalled    |
//! | port      | -                                      | the signalled, then learned  | first packet of the signalled IP    |
//! | immediate | -                                      | the signalled, then learned  | first packet                        |
//! | delayed   | the first source, or signalled         | the signalled, then learned  | signalled, or after the interval    |
//! | heuristic | the source most like the signalled one | the signalled, then learned  | signalled, or after the interval    |
//!
//! Whoever calls has made sure that the packet is what the leg speaks; on a leg with SRTP, also that it is authentic.

use std::net::SocketAddr;

use tandem_contract::{Learning, Nanos, SourcePolicy};

/// A source that is being heard while the remote is learned keeps its place until it has been silent for so long.
const HOLD_NS: u64 = 200_000_000;

/// What the source of a packet means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    /// Admitted, and from now on where media goes.
    Learned,
    Refused,
}

/// How much a source is like the signalled one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    None,
    Port,
    Address,
    Exact,
}

/// Who the peer of a leg is: signalled, being learned, or settled.
#[derive(Debug)]
pub(crate) struct Latch {
    /// Whose packets are taken: the remote once it is settled, before that the best source so far.
    speaker: Option<SocketAddr>,
    settled: bool,
    policy: SourcePolicy,
    /// The speaker's last packet.
    heard_at: Nanos,
    /// End of the interval that began with the first packet.
    learning_until: Nanos,
    /// A change of the configuration lets another SSRC from another source start learning anew until then.
    reopened_until: Nanos,
    signalled: Option<SocketAddr>,
    /// Where media goes.
    remote: Option<SocketAddr>,
    /// Whose place the leg's party has taken, and until when packets of that one may still be under way.
    former: Option<(SocketAddr, Nanos)>,
}

impl Latch {
    pub(crate) const fn new(signalled: Option<SocketAddr>, policy: SourcePolicy) -> Self {
        let learns = !matches!(policy.learning, Learning::Off);
        Self {
            speaker: if learns { None } else { signalled },
            settled: !learns,
            policy,
            heard_at: Nanos(0),
            learning_until: Nanos(0),
            reopened_until: Nanos(0),
            signalled,
            remote: signalled,
            former: None,
        }
    }

    /// Another party takes the place of the leg's. What was learned is forgotten, and is not learned again from packets of the one that
    /// leaves, for one interval of learning: the first packet would often be one of those.
    pub(crate) fn change_party(&mut self, now: Nanos) {
        let former = self.learned().map(|learned| (learned, now.plus(self.interval_ns())));
        *self = Self { former, ..Self::new(self.signalled, self.policy) };
    }

    /// The leg was configured: another signalled address or policy forgets what was learned.
    pub(crate) fn configure(&mut self, now: Nanos, signalled: Option<SocketAddr>, policy: SourcePolicy) {
        if (signalled, policy) != (self.signalled, self.policy) {
            *self = Self { former: self.former, ..Self::new(signalled, policy) };
        } else if policy.relearn_on_update {
            self.reopened_until = now.plus(self.interval_ns());
        }
    }

    /// What was learned, where that is so.
    pub(crate) fn learned(&self) -> Option<SocketAddr> {
        let learns = self.policy.learning != Learning::Off;
        self.speaker.filter(|_| learns && self.settled)
    }

    /// Another node has learned this. `None` where it had not got so far: then it is learned here.
    pub(crate) fn resume(&mut self, now: Nanos, learned: Option<SocketAddr>) {
        if let Some(learned) = learned.filter(|learned| self.is_in_reach(*learned)) {
            self.settle(now, learned);
        }
    }

    /// Where media goes.
    pub(crate) const fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// Whose packets alone are taken without a question, once that is settled.
    pub(crate) fn settled_on(&self) -> Option<SocketAddr> {
        self.speaker.filter(|_| self.settled)
    }

    /// When the speaker was heard last.
    pub(crate) const fn heard_at(&self) -> Nanos {
        self.heard_at
    }

    /// Whom it has settled on was heard, as late as `at`.
    pub(crate) fn heard(&mut self, at: Nanos) {
        if self.settled {
            self.heard_at = self.heard_at.max(at);
        }
    }

    /// Whether a packet from `source` is taken. `is_other_ssrc`: it is not of the synchronisation source heard so far.
    #[inline]
    pub(crate) fn admit(&mut self, now: Nanos, source: SocketAddr, is_other_ssrc: bool) -> Admission {
        if self.settled && self.speaker == Some(source) {
            self.heard_at = now;
            return Admission::Admitted;
        }
        self.admit_other(now, source, is_other_ssrc)
    }

    #[cold]
    fn admit_other(&mut self, now: Nanos, source: SocketAddr, is_other_ssrc: bool) -> Admission {
        if !self.is_in_reach(source) || self.is_leaving(now, source) {
            return Admission::Refused;
        }
        if self.settled && self.relearns(now, is_other_ssrc) {
            (self.settled, self.speaker) = (false, None);
        }
        if self.settled {
            return self.admit_beside();
        }
        let likeness = self.likeness(source);
        let waits = matches!(self.policy.learning, Learning::Delayed | Learning::Heuristic);
        if !waits || likeness == Likeness::Exact {
            return self.settle(now, source);
        }
        match self.speaker {
            Some(speaker) if speaker == source => {}
            Some(speaker) if !self.gives_way(now, speaker, likeness) => return self.admit_beside(),
            Some(_) => {}
            None => self.learning_until = now.plus(self.interval_ns()),
        }
        if now >= self.learning_until {
            return self.settle(now, source);
        }
        (self.speaker, self.heard_at) = (Some(source), now);
        Admission::Admitted
    }

    /// What becomes of a source that is not the speaker.
    const fn admit_beside(&self) -> Admission {
        if self.policy.strict { Admission::Refused } else { Admission::Admitted }
    }

    fn settle(&mut self, now: Nanos, source: SocketAddr) -> Admission {
        (self.settled, self.speaker, self.heard_at) = (true, Some(source), now);
        self.reopened_until = Nanos(0);
        let before = self.remote.replace(source);
        if before == Some(source) { Admission::Admitted } else { Admission::Learned }
    }

    /// Whether the best source so far makes room for another one.
    fn gives_way(&self, now: Nanos, speaker: SocketAddr, to: Likeness) -> bool {
        let is_silent = now.since(self.heard_at) >= HOLD_NS;
        let likeness = self.likeness(speaker);
        to > likeness || is_silent && (to == likeness || now >= self.learning_until)
    }

    fn relearns(&self, now: Nanos, is_other_ssrc: bool) -> bool {
        let silence_ns = u64::from(self.policy.relearn_after_ms) * 1_000_000;
        let was_silent = silence_ns > 0 && now.since(self.heard_at) >= silence_ns;
        let was_reopened = is_other_ssrc && now < self.reopened_until;
        self.policy.learning != Learning::Off && (was_silent || was_reopened)
    }

    /// Whether a packet is one of a party that has left, unless the one that came is signalled to be there too.
    fn is_leaving(&self, now: Nanos, source: SocketAddr) -> bool {
        let left = self.former.is_some_and(|(former, until)| former == source && now < until);
        left && self.signalled != Some(source)
    }

    /// Whether a source may ever be the peer.
    fn is_in_reach(&self, source: SocketAddr) -> bool {
        let sends = source.port() != 0 && !source.ip().is_unspecified() && !source.ip().is_multicast();
        let reaches = match self.policy.learning {
            Learning::Port => self.signalled.is_some_and(|signalled| signalled.ip() == source.ip()),
            Learning::Off | Learning::Immediate | Learning::Delayed | Learning::Heuristic => true,
        };
        sends && reaches
    }

    fn likeness(&self, source: SocketAddr) -> Likeness {
        let Some(signalled) = self.signalled else { return Likeness::None };
        let grades = self.policy.learning == Learning::Heuristic;
        if signalled == source {
            Likeness::Exact
        } else if grades && signalled.ip() == source.ip() {
            Likeness::Address
        } else if grades && signalled.port() == source.port() {
            Likeness::Port
        } else {
            Likeness::None
        }
    }

    fn interval_ns(&self) -> u64 {
        u64::from(self.policy.interval_ms) * 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNALLED: &str = "192.0.2.1:4000";
    const SAME_ADDRESS: &str = "192.0.2.1:5555";
    const SAME_PORT: &str = "203.0.113.7:4000";
    const FOREIGN: &str = "203.0.113.9:6666";

    fn at(source: &str) -> SocketAddr {
        source.parse().unwrap()
    }

    fn latch(policy: SourcePolicy) -> Latch {
        Latch::new(Some(at(SIGNALLED)), policy)
    }

    /// Lets packets come at their times in ms; returns what became of them.
    fn hear(latch: &mut Latch, packets: &[(u64, &str)]) -> Vec<Admission> {
        packets.iter().map(|(ms, source)| latch.admit(Nanos::from_millis(*ms), at(source), false)).collect()
    }

    use Admission::{Admitted, Learned, Refused};

    #[test]
    fn what_another_node_learned_is_where_media_goes_from_the_first_packet_on() {
        let mut first = latch(SourcePolicy::new(Learning::Immediate));
        assert_eq!(first.learned(), None);
        assert_eq!(hear(&mut first, &[(0, FOREIGN)]), [Learned]);
        let mut second = latch(SourcePolicy::new(Learning::Immediate));
        second.resume(Nanos(0), first.learned());
        assert_eq!(second.remote(), Some(at(FOREIGN)));
        assert_eq!(hear(&mut second, &[(1, SAME_PORT), (2, FOREIGN)]), [Refused, Admitted]);
        let mut strict = latch(SourcePolicy::new(Learning::Port));
        strict.resume(Nanos(0), first.learned());
        assert_eq!(strict.remote(), Some(at(SIGNALLED)), "an address that it would never have learned");
    }

    #[test]
    fn heuristic_prefers_the_address_to_the_port_and_the_port_to_the_rest() {
        let mut latch = latch(SourcePolicy::new(Learning::Heuristic));
        let sources =
            [(0, FOREIGN), (20, SAME_PORT), (21, FOREIGN), (40, SAME_ADDRESS), (41, SAME_PORT), (60, SAME_ADDRESS)];
        assert_eq!(hear(&mut latch, &sources), [Admitted, Admitted, Refused, Admitted, Refused, Admitted]);
        assert_eq!(latch.remote(), Some(at(SIGNALLED)), "nothing is sent elsewhere while it learns");
        assert_eq!(
            hear(&mut latch, &[(400, SAME_ADDRESS), (500, SAME_PORT), (501, SAME_ADDRESS)]),
            [Admitted, Refused, Learned]
        );
        assert_eq!(hear(&mut latch, &[(502, FOREIGN)]), [Refused]);
        assert_eq!(latch.remote(), Some(at(SAME_ADDRESS)));
        assert_eq!(hear(&mut latch, &[(523, SIGNALLED)]), [Refused], "too late");
    }

    #[test]
    fn the_signalled_source_settles_it_at_once_whoever_spoke_before() {
        for learning in [Learning::Delayed, Learning::Heuristic] {
            let mut latch = latch(SourcePolicy::new(learning));
            let sources = [(0, FOREIGN), (20, SAME_ADDRESS), (30, SIGNALLED), (40, FOREIGN), (900, SAME_ADDRESS)];
            let second = if learning == Learning::Heuristic { Admitted } else { Refused };
            assert_eq!(hear(&mut latch, &sources), [Admitted, second, Admitted, Refused, Refused], "{learning:?}");
            assert_eq!(latch.remote(), Some(at(SIGNALLED)));
        }
    }

    #[test]
    fn a_source_that_fell_silent_while_learning_makes_room_for_one_as_good() {
        let mut latch = latch(SourcePolicy::new(Learning::Delayed));
        let sources = [(0, FOREIGN), (100, SAME_PORT), (210, SAME_PORT), (211, FOREIGN), (499, SAME_PORT)];
        assert_eq!(hear(&mut latch, &sources), [Admitted, Refused, Admitted, Refused, Admitted]);
        assert_eq!(hear(&mut latch, &[(500, FOREIGN), (501, SAME_PORT)]), [Refused, Learned]);
    }

    #[test]
    fn a_worse_source_waits_for_the_interval_to_end() {
        let mut latch = latch(SourcePolicy::new(Learning::Heuristic));
        assert_eq!(
            hear(&mut latch, &[(0, SAME_ADDRESS), (499, FOREIGN), (500, FOREIGN)]),
            [Admitted, Refused, Learned]
        );
    }

    #[test]
    fn what_was_learned_stays_unless_it_may_be_learned_again_after_silence() {
        let mut latch = latch(SourcePolicy::new(Learning::Immediate));
        assert_eq!(hear(&mut latch, &[(0, SAME_PORT), (3_600_000, FOREIGN)]), [Learned, Refused]);
        let mut latch = self::latch(SourcePolicy { relearn_after_ms: 1000, ..SourcePolicy::new(Learning::Immediate) });
        let sources = [(0, SAME_PORT), (500, SAME_PORT), (1499, FOREIGN), (1500, FOREIGN), (1501, SAME_PORT)];
        assert_eq!(hear(&mut latch, &sources), [Learned, Admitted, Refused, Learned, Refused]);
    }

    #[test]
    fn media_goes_where_it_went_while_it_is_learned_again() {
        let policy = SourcePolicy { relearn_after_ms: 1000, ..SourcePolicy::new(Learning::Delayed) };
        let mut latch = latch(policy);
        assert_eq!(
            hear(&mut latch, &[(0, SAME_PORT), (500, SAME_PORT), (1500, FOREIGN)]),
            [Admitted, Learned, Admitted]
        );
        assert_eq!(latch.remote(), Some(at(SAME_PORT)));
        assert_eq!(hear(&mut latch, &[(2000, FOREIGN)]), [Learned]);
    }

    #[test]
    fn an_update_opens_it_for_another_ssrc_from_another_source_and_for_the_interval_only() {
        let policy = SourcePolicy { relearn_on_update: true, ..SourcePolicy::new(Learning::Immediate) };
        let ms = Nanos::from_millis;
        let mut latch = latch(policy);
        assert_eq!(latch.admit(ms(0), at(SAME_PORT), false), Learned);
        assert_eq!(latch.admit(ms(10), at(FOREIGN), true), Refused, "nothing was updated");
        latch.configure(ms(1000), Some(at(SIGNALLED)), policy);
        assert_eq!(latch.admit(ms(1500), at(FOREIGN), true), Refused, "too late");
        latch.configure(ms(2000), Some(at(SIGNALLED)), policy);
        assert_eq!(latch.admit(ms(2001), at(FOREIGN), false), Refused, "the same SSRC");
        assert_eq!(latch.admit(ms(2002), at(FOREIGN), true), Learned);
        assert_eq!(latch.admit(ms(2003), at(SAME_PORT), true), Refused, "once");
        latch.configure(ms(3000), Some(at(SAME_ADDRESS)), policy);
        assert_eq!(latch.remote(), Some(at(SAME_ADDRESS)), "a new signalled address is believed");
    }

    #[test]
    fn what_a_party_that_has_left_still_sends_is_not_taken_for_the_one_in_its_place() {
        for learning in [Learning::Immediate, Learning::Delayed, Learning::Heuristic] {
            let policy = SourcePolicy::new(learning);
            let mut latch = latch(policy);
            hear(&mut latch, &[(0, FOREIGN), (500, FOREIGN)]);
            assert_eq!(latch.learned(), Some(at(FOREIGN)), "{learning:?}");
            latch.change_party(Nanos::from_millis(1000));
            latch.configure(Nanos::from_millis(1000), Some(at(SAME_PORT)), policy);
            let heard = hear(&mut latch, &[(1001, FOREIGN), (1002, SAME_PORT), (1003, FOREIGN)]);
            assert_eq!(heard, [Refused, Admitted, Refused], "{learning:?}");
            assert_eq!(latch.remote(), Some(at(SAME_PORT)), "{learning:?}");
        }
        let mut latch = latch(SourcePolicy::new(Learning::Immediate));
        hear(&mut latch, &[(0, FOREIGN)]);
        latch.change_party(Nanos::from_millis(1000));
        assert_eq!(hear(&mut latch, &[(1499, FOREIGN), (1500, FOREIGN)]), [Refused, Learned], "it is there after all");
        latch.change_party(Nanos::from_millis(2000));
        latch.configure(Nanos::from_millis(2000), Some(at(FOREIGN)), SourcePolicy::new(Learning::Immediate));
        assert_eq!(hear(&mut latch, &[(2001, FOREIGN)]), [Admitted], "both are behind one address");
    }

    #[test]
    fn no_packet_can_come_from_port_0_from_nowhere_or_from_a_group() {
        for source in ["192.0.2.1:0", "0.0.0.0:4000", "224.0.0.1:4000", "[::]:4000", "[ff02::1]:4000"] {
            for learning in [Learning::Off, Learning::Immediate, Learning::Delayed, Learning::Heuristic] {
                let mut latch = latch(SourcePolicy { strict: false, ..SourcePolicy::new(learning) });
                assert_eq!(hear(&mut latch, &[(0, source)]), [Refused], "{source} {learning:?}");
            }
        }
    }

    #[test]
    fn a_peer_that_signalled_nothing_can_be_learned() {
        for learning in [Learning::Immediate, Learning::Delayed, Learning::Heuristic] {
            let mut latch = Latch::new(None, SourcePolicy::new(learning));
            hear(&mut latch, &[(0, FOREIGN), (500, FOREIGN)]);
            assert_eq!(latch.remote(), Some(at(FOREIGN)), "{learning:?}");
        }
        for learning in [Learning::Off, Learning::Port] {
            let mut latch = Latch::new(None, SourcePolicy::new(learning));
            assert_eq!(hear(&mut latch, &[(0, FOREIGN)]), [Refused]);
        }
    }
}
