//! The routing table's words: conditions, targets, groups of peers.

use std::fmt;

use regex::Regex;
use tandem_contract::Codec;

use super::{PeerId, Rewrite};
use crate::stir::IdentityVerdict;

/// One line of the routing table: conditions, all of which must hold, and where the call then goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// For people and call records.
    pub name: String,
    /// What must hold.
    pub when: Conditions,
    /// Where the call goes.
    pub to: Target,
    /// What happens to the Request-URI on the way.
    pub rewrite: Rewrite,
    /// The name of the peer that such calls are recorded by (RFC 7866).
    pub recorder: Option<String>,
}

/// What a route asks of a call; what is empty or `None` asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Only calls from this peer.
    pub from: Option<PeerId>,
    /// Only Request-URIs whose user part begins so. `+` is an ordinary character here.
    pub user_prefix: String,
    /// Only Request-URIs whose user part has this form.
    pub number: Option<Pattern>,
    /// Only callers whose user part in `From` has this form.
    pub caller: Option<Pattern>,
    /// Only Request-URIs of this host, compared without regard to case.
    pub domain: Option<String>,
    /// Only calls whose offer has this codec; one without an offer has all.
    pub codec: Option<Codec>,
    /// Only calls of whose caller's identity this is known.
    pub identity: Option<IdentityVerdict>,
    /// Only calls that come at these times.
    pub hours: Option<Hours>,
}

/// A regular expression that a whole text must match.
#[derive(Clone)]
pub struct Pattern {
    whole: Regex,
    written: String,
}

/// Times of the week on the clocks of one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    /// Monday to Sunday.
    pub days: [bool; 7],
    /// Seconds after midnight from which it holds.
    pub from_s: u32,
    /// Seconds after midnight at which it ends; where that is not after `from_s`, on the next day.
    pub until_s: u32,
    /// The place.
    pub zone: jiff::tz::TimeZone,
}

/// Where a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To one peer.
    Peer(PeerId),
    /// To the members of a group, until one takes it.
    Group(GroupId),
}

/// A group, by its place in [`super::SwitchConfig::groups`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u16);

/// Peers that stand in for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// For people.
    pub name: String,
    /// Who they are.
    pub members: Vec<Member>,
    /// Who comes first.
    pub order: Order,
    /// How they are called.
    pub hunt: HuntPolicy,
}

/// One of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub peer: PeerId,
    /// Its share of the calls, where shares count; at least 1.
    pub weight: u16,
}

/// Who of a group is called first, and who next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they are written.
    Listed,
    /// Each in turn.
    RoundRobin,
    /// At random, in proportion to weight.
    Weight,
    /// Who has the fewest calls for its weight.
    LeastCalls,
    /// Whose answer to our OPTIONS came quickest; those that never answered come last.
    Latency,
    /// By the caller's number: the same caller meets the same member, as long as that one is in service.
    CallerHash,
}

/// How the members of a group are called.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HuntPolicy {
    /// One after another, or all at once.
    pub mode: HuntMode,
    /// Final responses after which the next one is called, beside silence and a broken transport.
    pub next_on: Vec<u16>,
    /// Who has said nothing at all for so long, not even 100, is given up for the next.
    pub silence_ms: u32,
    /// Who has rung for so long is given up for the next, in [`HuntMode::InOrder`].
    pub ring_s: u32,
}

/// One after another, or all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum HuntMode {
    /// The next is called where the one before could not take the call; who is busy or does not answer decides for all.
    FailOver,
    /// The next is called where the one before did not take the call, for whatever reason but 6xx.
    InOrder,
    /// All are called at once; the first answer wins.
    Parallel,
}

impl Default for HuntPolicy {
    fn default() -> Self {
        Self { mode: HuntMode::FailOver, next_on: vec![503], silence_ms: 5_000, ring_s: 20 }
    }
}

impl Pattern {
    /// Reads a regular expression.
    ///
    /// # Errors
    /// It is none, or too large once compiled.
    pub fn new(written: &str) -> Result<Self, String> {
        let whole = regex::RegexBuilder::new(&format!("^(?:{written})$")).size_limit(1 << 20).build();
        let whole = whole.map_err(|error| error.to_string().lines().last().unwrap_or_default().trim().to_owned())?;
        Ok(Self { whole, written: written.to_owned() })
    }

    /// Whether all of `text` has this form.
    pub fn matches(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.written)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Pattern {}

impl Hours {
    /// Whether they hold at `unix_ms` milliseconds after 1970-01-01T00:00:00Z.
    pub fn hold_at(&self, unix_ms: u64) -> bool {
        let Ok(at) = jiff::Timestamp::from_millisecond(i64::try_from(unix_ms).unwrap_or(i64::MAX)) else {
            return false;
        };
        let local = self.zone.to_datetime(at);
        let second = local.hour() as u32 * 3_600 + local.minute() as u32 * 60 + local.second() as u32;
        let today = local.weekday().to_monday_zero_offset() as usize % 7;
        let yesterday = (today + 6) % 7;
        if self.from_s < self.until_s {
            return self.days[today] && (self.from_s..self.until_s).contains(&second);
        }
        // Past midnight the day that it began on counts.
        (self.days[today] && second >= self.from_s) || (self.days[yesterday] && second < self.until_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01T00:00:00Z, a Thursday.
    const THURSDAY_MS: u64 = 1_767_225_600_000;
    const HOUR_MS: u64 = 3_600_000;

    fn hours(days: [bool; 7], from_h: u32, until_h: u32, zone: jiff::tz::TimeZone) -> Hours {
        Hours { days, from_s: from_h * 3_600, until_s: until_h * 3_600, zone }
    }

    #[test]
    fn a_pattern_is_matched_by_the_whole_text_alone() {
        let pattern = Pattern::new("0|1[0-9]").expect("a pattern");
        assert!(pattern.matches("0") && pattern.matches("17"));
        assert!(!pattern.matches("00") && !pattern.matches("170") && !pattern.matches(""));
        assert!(Pattern::new("(").is_err());
        assert!(Pattern::new("(a{1000}){1000}").is_err(), "what takes a lot of memory is refused");
    }

    #[test]
    fn hours_hold_from_their_first_second_to_their_last() {
        let open = hours([true, true, true, true, true, false, false], 8, 18, jiff::tz::TimeZone::UTC);
        assert!(!open.hold_at(THURSDAY_MS + 8 * HOUR_MS - 1));
        assert!(open.hold_at(THURSDAY_MS + 8 * HOUR_MS));
        assert!(open.hold_at(THURSDAY_MS + 18 * HOUR_MS - 1));
        assert!(!open.hold_at(THURSDAY_MS + 18 * HOUR_MS));
        assert!(!open.hold_at(THURSDAY_MS + 2 * 24 * HOUR_MS + 9 * HOUR_MS), "not on Saturday");
    }

    #[test]
    fn a_night_belongs_to_the_day_it_begins_on() {
        let thursday = [false, false, false, true, false, false, false];
        let night = hours(thursday, 22, 6, jiff::tz::TimeZone::UTC);
        assert!(night.hold_at(THURSDAY_MS + 23 * HOUR_MS));
        assert!(night.hold_at(THURSDAY_MS + 29 * HOUR_MS));
        assert!(!night.hold_at(THURSDAY_MS + 30 * HOUR_MS));
        assert!(!night.hold_at(THURSDAY_MS + 5 * HOUR_MS), "that is Wednesday's night");
    }

    #[test]
    fn hours_follow_the_clocks_of_their_place() {
        let zone = jiff::tz::TimeZone::get("Europe/Berlin").expect("a zone");
        let noon = hours([true; 7], 12, 13, zone);
        assert!(noon.hold_at(THURSDAY_MS + 11 * HOUR_MS), "an hour ahead in winter");
        let july_ms = THURSDAY_MS + 181 * 24 * HOUR_MS;
        assert!(noon.hold_at(july_ms + 10 * HOUR_MS), "two hours ahead in summer");
        assert!(!noon.hold_at(july_ms + 11 * HOUR_MS));
    }
}
