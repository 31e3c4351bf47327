//! Who is heard at all: decided from a source's address alone, before a message is read.
//!
//! One hash finds the four places that a source may have in a table of fixed size. Its place holds its budget, its strikes
//! and its ban. Where all four are taken, the one goes that matters least: never a ban while there is anything else.
//! Configured peers have neither budget nor bans: what they may do is said by their own limits.

use std::collections::HashSet;
use std::net::IpAddr;

use tandem_contract::Nanos;

use crate::config::SourceNet;

/// Places that one hash leads to.
const WAYS: usize = 4;
/// Sources that are remembered.
const SOURCES: usize = 32_768;

/// Strikes are counted by the minute.
const MINUTE_NS: u64 = 60_000_000_000;

/// What strangers may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardConfig {
    /// Only these networks and configured peers are heard; all where it is empty.
    pub allow: Vec<SourceNet>,
    /// These are not heard. Where networks of both lists hold an address, the smaller one decides.
    pub deny: Vec<SourceNet>,
    /// Messages a second of one source, on average; 0 for any number.
    pub messages_per_s: u32,
    /// Messages of one source at once.
    pub burst: u32,
    /// Strikes in a minute that lead to a ban; 0 for no bans.
    pub ban_after: u32,
    /// How long a ban lasts.
    pub ban_s: u32,
    /// What scanners call themselves in `User-Agent`: beginnings, compared without regard to case.
    pub scanners: Vec<String>,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            messages_per_s: 100,
            burst: 500,
            ban_after: 30,
            ban_s: 600,
            scanners: Vec::new(),
        }
    }
}

/// What somebody did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Offence {
    /// It sent what is no SIP message.
    Malformed,
    /// It calls itself what scanners do.
    Scanner,
    /// It called without being a peer.
    Stranger,
    /// It did not know a password, or there is no such user.
    Credentials,
    /// An operator said so.
    Operator,
}

impl Offence {
    /// How many strikes it is worth.
    const fn strikes(self) -> u32 {
        match self {
            Self::Malformed | Self::Stranger | Self::Credentials => 1,
            Self::Scanner | Self::Operator => u32::MAX,
        }
    }
}

/// Whether a source is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Heard,
    /// By `allow` or `deny`.
    Denied,
    Banned,
    OverBudget,
}

/// What was not heard since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct GuardCounters {
    /// Messages and connections of sources that `allow` or `deny` excludes.
    pub denied: u64,
    /// Messages and connections of banned sources.
    pub banned: u64,
    /// Messages and connections beyond a source's budget.
    pub over_budget: u64,
    /// Requests of scanners.
    pub scanners: u64,
    /// Bans pronounced.
    pub bans: u64,
}

/// A source that is not heard for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Ban {
    /// The source.
    pub source: IpAddr,
    /// The last thing it did.
    pub offence: Offence,
    /// Seconds that are left.
    pub left_s: u64,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    source: IpAddr,
    standing: Standing,
    /// Messages it may still send, in thousandths, at `seen`.
    budget: u64,
    seen: Nanos,
    strikes: u32,
    /// When the minute began that strikes are counted in.
    striking_since: Nanos,
    ban: Option<(Nanos, Offence)>,
}

/// What the configuration says of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Peer,
    Stranger,
    Denied,
}

/// The guard.
#[derive(Debug)]
pub(crate) struct Guard {
    config: GuardConfig,
    peers: Prefixes,
    allow: Prefixes,
    deny: Prefixes,
    places: Box<[Option<Place>]>,
    /// Nobody who does not know them can choose addresses that meet in the table.
    keys: [u128; 2],
    pub(crate) counters: GuardCounters,
}

impl Guard {
    /// `peers` are always heard. `random` chooses where sources go.
    pub(crate) fn new(
        config: GuardConfig,
        peers: impl Iterator<Item = SourceNet>,
        mut random: impl FnMut() -> u64,
    ) -> Self {
        let mut key = || u128::from(random()) << 64 | u128::from(random());
        let keys = [key() | 1, key()];
        Self {
            peers: Prefixes::new(peers),
            allow: Prefixes::new(config.allow.iter().copied()),
            deny: Prefixes::new(config.deny.iter().copied()),
            config,
            places: vec![None; SOURCES].into_boxed_slice(),
            keys,
            counters: GuardCounters::default(),
        }
    }

    /// Other lists and limits from now on. Bans stay.
    pub(crate) fn reconfigure(&mut self, config: GuardConfig, peers: impl Iterator<Item = SourceNet>) {
        self.peers = Prefixes::new(peers);
        self.allow = Prefixes::new(config.allow.iter().copied());
        self.deny = Prefixes::new(config.deny.iter().copied());
        self.config = config;
        for index in 0..self.places.len() {
            if let Some(known) = self.places[index] {
                let standing = self.standing(known.source);
                self.places[index] = Some(Place { standing, ..known });
            }
        }
    }

    /// Whether a message of `source` is heard; it counts towards the source's budget.
    pub(crate) fn admit(&mut self, now: Nanos, source: IpAddr) -> Verdict {
        let (rate, burst) = (u64::from(self.config.messages_per_s), u64::from(self.config.burst.max(1)) * 1000);
        let place = self.place(now, source);
        let verdict = if place.standing == Standing::Denied {
            Verdict::Denied
        } else if place.ban.is_some_and(|(until, _)| now < until) {
            Verdict::Banned
        } else if place.standing == Standing::Peer || rate == 0 {
            Verdict::Heard
        } else {
            // Parts of a thousandth are not lost: what was not earned yet counts from where it began.
            let earned = u128::from(now.since(place.seen)) * u128::from(rate) / 1_000_000;
            let whole = place.seen.plus((earned * 1_000_000 / u128::from(rate)) as u64);
            let budget = u128::from(place.budget) + earned;
            place.seen = if budget >= u128::from(burst) { now } else { whole };
            place.budget = budget.min(burst.into()) as u64;
            match place.budget.checked_sub(1000) {
                Some(left) => {
                    place.budget = left;
                    Verdict::Heard
                }
                None => Verdict::OverBudget,
            }
        };
        match verdict {
            Verdict::Heard => {}
            Verdict::Denied => self.counters.denied += 1,
            Verdict::Banned => self.counters.banned += 1,
            Verdict::OverBudget => self.counters.over_budget += 1,
        }
        verdict
    }

    /// Whether this is what a scanner calls itself. Peers may call themselves what they like.
    pub(crate) fn is_scanner(&mut self, now: Nanos, source: IpAddr, user_agent: &str) -> bool {
        let begins =
            |scanner: &String| user_agent.get(..scanner.len()).is_some_and(|start| start.eq_ignore_ascii_case(scanner));
        self.config.scanners.iter().any(begins) && self.place(now, source).standing != Standing::Peer
    }

    /// `source` did something wrong. Enough of that, and it is not heard any more.
    pub(crate) fn strike(&mut self, now: Nanos, source: IpAddr, offence: Offence) {
        let (ban_after, ban_s) = (self.config.ban_after, self.config.ban_s);
        self.counters.scanners += u64::from(offence == Offence::Scanner);
        let place = self.place(now, source);
        if place.standing == Standing::Peer || ban_after == 0 {
            return;
        }
        if now.since(place.striking_since) >= MINUTE_NS {
            place.striking_since = now;
            place.strikes = 0;
        }
        place.strikes = place.strikes.saturating_add(offence.strikes());
        if place.strikes >= ban_after {
            place.strikes = 0;
            self.ban(now, source, ban_s, offence);
        }
    }

    /// Does not hear `source` for so many seconds; `false` for a peer.
    pub(crate) fn ban(&mut self, now: Nanos, source: IpAddr, seconds: u32, offence: Offence) -> bool {
        let place = self.place(now, source);
        if place.standing == Standing::Peer {
            return false;
        }
        place.ban = Some((now.plus(u64::from(seconds) * 1_000_000_000), offence));
        self.counters.bans += 1;
        true
    }

    /// Lifts a ban; `false` where there was none.
    pub(crate) fn unban(&mut self, now: Nanos, source: IpAddr) -> bool {
        self.place(now, source).ban.take().is_some_and(|(until, _)| now < until)
    }

    /// Every ban, the one that ends first in front.
    pub(crate) fn bans(&self, now: Nanos) -> Vec<Ban> {
        let banned = self.places.iter().flatten().filter_map(|place| {
            let (until, offence) = place.ban.filter(|(until, _)| now < *until)?;
            Some(Ban { source: place.source, offence, left_s: until.since(now).div_ceil(1_000_000_000) })
        });
        let mut bans: Vec<_> = banned.collect();
        bans.sort_by_key(|ban| (ban.left_s, ban.source));
        bans
    }

    /// The place of `source`, which is made where there is none.
    fn place(&mut self, now: Nanos, source: IpAddr) -> &mut Place {
        let source = source.to_canonical();
        let [factor, summand] = self.keys;
        let hash = number(source).wrapping_mul(factor).wrapping_add(summand) >> 64;
        let first = (hash as usize % (SOURCES / WAYS)) * WAYS;
        let set = &self.places[first..first + WAYS];
        let found = set.iter().position(|place| place.is_some_and(|place| place.source == source));
        let index = first + found.unwrap_or_else(|| victim(now, set));
        if found.is_none() {
            let budget = u64::from(self.config.burst.max(1)) * 1000;
            let standing = self.standing(source);
            self.places[index] =
                Some(Place { source, standing, budget, seen: now, strikes: 0, striking_since: now, ban: None });
        }
        self.places[index].as_mut().expect("a place that was found or made")
    }

    fn standing(&self, source: IpAddr) -> Standing {
        if self.peers.longest(source).is_some() {
            return Standing::Peer;
        }
        let (allowed, denied) = (self.allow.longest(source), self.deny.longest(source));
        if denied > allowed || (denied.is_none() && allowed.is_none() && !self.allow.is_empty()) {
            Standing::Denied
        } else {
            Standing::Stranger
        }
    }
}

/// Which of four places is given to a new source.
fn victim(now: Nanos, set: &[Option<Place>]) -> usize {
    let worth = |place: &Option<Place>| match place {
        None => (0, Nanos(0)),
        Some(place) => match place.ban {
            Some((until, _)) if now < until => (2, until),
            _ => (1, place.seen),
        },
    };
    set.iter().enumerate().min_by_key(|(_, place)| worth(place)).map_or(0, |(index, _)| index)
}

/// An address as a number; IPv4 as IPv6 has it.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped().to_bits(),
        IpAddr::V6(six) => six.to_bits(),
    }
}

/// A set of networks that is asked once for each length of prefix in it.
#[derive(Debug)]
struct Prefixes {
    /// Descending.
    lengths: Vec<u8>,
    networks: HashSet<(u8, u128)>,
}

impl Prefixes {
    fn new(networks: impl Iterator<Item = SourceNet>) -> Self {
        let key = |net: SourceNet| {
            let length = if net.address.is_ipv4() { 96 + net.prefix_len.min(32) } else { net.prefix_len.min(128) };
            (length, masked(number(net.address), length))
        };
        let networks: HashSet<_> = networks.map(key).collect();
        let mut lengths: Vec<_> = networks.iter().map(|(length, _)| *length).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        Self { lengths, networks }
    }

    fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// The length of the longest prefix that holds `address`.
    fn longest(&self, address: IpAddr) -> Option<u8> {
        let number = number(address);
        self.lengths.iter().copied().find(|&length| self.networks.contains(&(length, masked(number, length))))
    }
}

const fn masked(number: u128, length: u8) -> u128 {
    if length == 0 { 0 } else { number & (u128::MAX << (128 - length)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> SourceNet {
        let (address, length) = text.split_once('/').expect("a length");
        SourceNet { address: address.parse().expect("an address"), prefix_len: length.parse().expect("a number") }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn guard(config: GuardConfig) -> Guard {
        let mut seed = 1_u64;
        let random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed
        };
        Guard::new(config, [net("10.0.0.0/24")].into_iter(), random)
    }

    #[test]
    fn a_source_has_a_burst_and_then_its_rate() {
        let mut guard = guard(GuardConfig { messages_per_s: 10, burst: 5, ..GuardConfig::default() });
        let heard = |guard: &mut Guard, ms| guard.admit(Nanos::from_millis(ms), ip("192.0.2.1")) == Verdict::Heard;
        assert_eq!((0..20).filter(|_| heard(&mut guard, 1000)).count(), 5);
        assert_eq!((0..1000).filter(|ms| heard(&mut guard, 1001 + ms)).count(), 10, "a message each 100 ms");
        assert_eq!(guard.counters.over_budget, 15 + 990);
        assert_eq!(guard.admit(Nanos::from_millis(2000), ip("192.0.2.2")), Verdict::Heard, "another source");
        let flood = (0..50_000_u64).map(|number| Nanos(3_000_000_000 + number * 20_000));
        let heard = flood.filter(|now| guard.admit(*now, ip("192.0.2.1")) == Verdict::Heard).count();
        assert_eq!(heard, 5 + 9, "who floods has no less than its share");
    }

    #[test]
    fn peers_have_no_budget_and_no_bans() {
        let mut guard = guard(GuardConfig { messages_per_s: 1, burst: 1, ban_after: 1, ..GuardConfig::default() });
        for _ in 0..100 {
            assert_eq!(guard.admit(Nanos(1), ip("10.0.0.7")), Verdict::Heard);
            guard.strike(Nanos(1), ip("10.0.0.7"), Offence::Malformed);
        }
        assert!(guard.bans(Nanos(1)).is_empty());
    }

    #[test]
    fn the_smaller_network_decides_and_what_allow_does_not_hold_is_denied() {
        let deny = vec![net("192.0.2.0/24"), net("2001:db8::/32")];
        let mut guard = guard(GuardConfig {
            allow: vec![net("192.0.2.128/25"), net("203.0.113.0/24")],
            deny,
            ..GuardConfig::default()
        });
        for (source, verdict) in [
            ("192.0.2.1", Verdict::Denied),
            ("192.0.2.200", Verdict::Heard),
            ("203.0.113.5", Verdict::Heard),
            ("::ffff:203.0.113.5", Verdict::Heard),
            ("198.51.100.1", Verdict::Denied),
            ("2001:db8::1", Verdict::Denied),
            ("10.0.0.1", Verdict::Heard),
        ] {
            assert_eq!(guard.admit(Nanos(1), ip(source)), verdict, "{source}");
        }
        guard.reconfigure(GuardConfig::default(), std::iter::empty());
        assert_eq!(guard.admit(Nanos(2), ip("192.0.2.1")), Verdict::Heard, "lists change while running");
    }

    #[test]
    fn strikes_within_a_minute_ban_and_the_ban_ends() {
        let mut guard = guard(GuardConfig { ban_after: 3, ban_s: 60, ..GuardConfig::default() });
        let at = |s: u64| Nanos::from_millis(s * 1000);
        guard.strike(at(1), ip("192.0.2.1"), Offence::Malformed);
        guard.strike(at(30), ip("192.0.2.1"), Offence::Credentials);
        guard.strike(at(61), ip("192.0.2.1"), Offence::Stranger);
        assert_eq!(guard.admit(at(61), ip("192.0.2.1")), Verdict::Heard, "the first was a minute ago");
        guard.strike(at(62), ip("192.0.2.1"), Offence::Malformed);
        guard.strike(at(63), ip("192.0.2.1"), Offence::Malformed);
        assert_eq!(guard.admit(at(64), ip("192.0.2.1")), Verdict::Banned);
        let ban = Ban { source: ip("192.0.2.1"), offence: Offence::Malformed, left_s: 59 };
        assert_eq!(guard.bans(at(64)), [ban]);
        assert_eq!(guard.admit(at(123), ip("192.0.2.1")), Verdict::Heard);
        assert!(!guard.unban(at(123), ip("192.0.2.1")));
        guard.ban(at(124), ip("192.0.2.1"), 10, Offence::Operator);
        assert!(guard.unban(at(125), ip("192.0.2.1")));
        assert_eq!(guard.admit(at(125), ip("192.0.2.1")), Verdict::Heard);
    }

    #[test]
    fn a_flood_of_sources_drives_out_neither_bans_nor_memory() {
        let mut guard = guard(GuardConfig { ban_after: 1, ..GuardConfig::default() });
        guard.strike(Nanos(1), ip("192.0.2.1"), Offence::Malformed);
        for number in 0..500_000_u32 {
            guard.admit(Nanos(u64::from(number)), std::net::Ipv4Addr::from_bits(0xc600_0000 + number).into());
        }
        assert_eq!(guard.admit(Nanos(500_000), ip("192.0.2.1")), Verdict::Banned);
        assert_eq!(guard.places.len(), SOURCES);
    }

    #[test]
    fn scanners_are_known_by_how_their_name_begins() {
        let scanners = vec!["friendly-scanner".to_owned()];
        let mut guard = guard(GuardConfig { scanners, ..GuardConfig::default() });
        assert!(guard.is_scanner(Nanos(1), ip("192.0.2.1"), "Friendly-Scanner/1.8"));
        assert!(!guard.is_scanner(Nanos(1), ip("192.0.2.1"), "friendly"));
        assert!(!guard.is_scanner(Nanos(1), ip("10.0.0.1"), "friendly-scanner"), "a peer may be called so");
        guard.strike(Nanos(1), ip("192.0.2.1"), Offence::Scanner);
        assert_eq!(guard.admit(Nanos(2), ip("192.0.2.1")), Verdict::Banned, "one is enough");
    }
}
