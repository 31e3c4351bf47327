//! Sections about where calls go: routes and groups of peers.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{is_domain, is_name, is_pattern, is_time_of_day, is_time_zone, is_user_part};
use crate::signalling::CodecName;
use crate::stir::IdentityVerdict;

/// One row of the routing table. Rows are tried in order; the first whose conditions all hold takes the call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The peer or group that gets the call.
    #[garde(skip)]
    #[schemars(example = &"carrier")]
    pub peer: String,
    /// What records call it; its place in the table, counted from 1, where none is given.
    #[serde(default)]
    #[garde(inner(custom(is_name)))]
    #[schemars(example = &"to-carrier")]
    pub name: Option<String>,
    /// Calls from this peer only.
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"office")]
    pub from: Option<String>,
    /// Calls whose Request-URI's user part starts so.
    #[serde(default)]
    #[garde(inner(custom(is_user_part)))]
    #[schemars(example = &"+49")]
    pub prefix: Option<String>,
    /// Calls whose Request-URI's user part has this form as a whole: a regular expression.
    #[serde(default)]
    #[garde(inner(custom(is_pattern)))]
    #[schemars(example = &"0[1-9][0-9]{5,}")]
    pub number: Option<String>,
    /// Calls whose caller's number, the user part of From, has this form as a whole: a regular expression.
    #[serde(default)]
    #[garde(inner(custom(is_pattern)))]
    #[schemars(example = &"2[0-9]{2}")]
    pub caller: Option<String>,
    /// Calls whose Request-URI has this host part.
    #[serde(default)]
    #[garde(inner(custom(is_domain)))]
    #[schemars(example = &"example.com")]
    pub domain: Option<String>,
    /// How many characters to take off the front of the user part.
    #[serde(default)]
    #[garde(range(max = 64))]
    pub strip: u8,
    /// Calls whose offer has this codec; those without an offer have all.
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"G722")]
    pub codec: Option<CodecName>,
    /// Calls of whose caller's identity this is known (`peers[].stir.check`).
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"verified")]
    pub identity: Option<IdentityVerdict>,
    /// The peer that such calls are recorded by, a recording server (SIPREC).
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"recorder")]
    pub recorder: Option<String>,
    /// What to put in front of the user part, after `strip`.
    #[serde(default)]
    #[garde(custom(is_user_part))]
    pub prepend: String,
    /// Calls that come at these times.
    #[serde(default)]
    #[garde(dive)]
    pub hours: Option<Hours>,
}

impl Route {
    /// Whether it asks nothing of a call.
    pub(crate) fn takes_every_call(&self) -> bool {
        let texts = [&self.from, &self.prefix, &self.number, &self.caller, &self.domain];
        texts.iter().all(|text| text.is_none())
            && self.codec.is_none()
            && self.identity.is_none()
            && self.hours.is_none()
    }
}

/// Times of the week.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// Days; all where none are given. A night belongs to the day it begins on.
    #[serde(default = "every_day")]
    #[garde(length(min = 1, max = 7))]
    pub days: Vec<Day>,
    /// The minute from which it holds.
    #[serde(default = "midnight")]
    #[garde(custom(is_time_of_day))]
    #[schemars(example = &"08:00")]
    pub from: String,
    /// The minute at which it ends; where that is not after `from`, on the next day.
    #[serde(default = "midnight")]
    #[garde(custom(is_time_of_day))]
    #[schemars(example = &"18:00")]
    pub until: String,
    /// Whose clocks: a name of the IANA time zone database.
    #[serde(default = "utc")]
    #[garde(custom(is_time_zone))]
    #[schemars(example = &"Europe/Berlin")]
    pub zone: String,
}

fn every_day() -> Vec<Day> {
    vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun]
}

fn midnight() -> String {
    "00:00".to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// Seconds after midnight of a time as in `08:30`; `None` for anything else.
pub fn seconds_of_day(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !two_digits(hours) || !two_digits(minutes) {
        return None;
    }
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 3_600 + minutes * 60)
}

/// Peers that stand in for each other. Those that are out of service (`peers[].health`) are left out, unless all are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What routes call it; no peer has that name.
    #[garde(custom(is_name))]
    #[schemars(example = &"carriers")]
    pub name: String,
    /// Who is in it.
    #[garde(length(min = 1, max = 64), dive)]
    pub members: Vec<GroupMember>,
    /// Who is called first, and who next.
    #[serde(default)]
    #[garde(skip)]
    pub order: GroupOrder,
    /// When the next one is called.
    #[serde(default)]
    #[garde(skip)]
    pub mode: GroupMode,
    /// In `fail_over`: after which final responses the next one is called. Silence and a broken transport count always.
    #[serde(default = "default_next_on")]
    #[garde(length(max = 32), inner(range(min = 300, max = 599)))]
    pub next_on: Vec<u16>,
    /// A peer that has said nothing at all for so many milliseconds, not even 100, is given up for the next.
    #[serde(default = "default_silence_timeout_ms")]
    #[garde(range(min = 500, max = 32_000))]
    pub silence_timeout_ms: u32,
    /// In `in_order`: a callee that has rung for so many seconds is given up for the next.
    #[serde(default = "default_ring_timeout_s")]
    #[garde(range(min = 1, max = 3_600))]
    pub ring_timeout_s: u32,
}

fn default_next_on() -> Vec<u16> {
    vec![503]
}

const fn default_silence_timeout_ms() -> u32 {
    5_000
}

const fn default_ring_timeout_s() -> u32 {
    20
}

/// A peer in a group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct GroupMember {
    /// Its name.
    #[garde(skip)]
    #[schemars(example = &"carrier")]
    pub peer: String,
    /// Its share of the calls, where the order goes by weight or by calls.
    #[serde(default = "default_weight")]
    #[garde(range(min = 1, max = 1_000))]
    pub weight: u16,
}

const fn default_weight() -> u16 {
    1
}

/// Who of a group is called first, and who next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupOrder {
    /// As they are written.
    #[default]
    Listed,
    /// Each in turn.
    RoundRobin,
    /// At random, in proportion to weight.
    Weight,
    /// Who has the fewest calls for its weight.
    LeastCalls,
    /// Whose answer to OPTIONS came quickest; needs `peers[].health.options_interval_s`.
    Latency,
    /// By the caller's number: the same caller meets the same member, as long as that one is in service.
    CallerHash,
}

/// When the next of a group is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupMode {
    /// Where one could not take the call (`next_on`). A busy callee is busy.
    #[default]
    FailOver,
    /// Where one did not take the call, for whatever reason but 6xx, or rang for too long.
    InOrder,
    /// All are called at once; the first answer wins.
    Parallel,
}

/// When a peer counts as out of service: then others of its group get its calls.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// It is asked with OPTIONS every so many seconds; never where none is given. Any answer but 503 shows that it is alive.
    #[garde(inner(range(min = 1, max = 3_600)))]
    #[schemars(example = 30)]
    pub options_interval_s: Option<u32>,
    /// So many failures in a row take it out: 503, silence or a broken transport, of a call or of OPTIONS.
    #[garde(range(min = 1, max = 100))]
    pub failures: u8,
    /// Over how many of its last calls its answer-seizure ratio is taken.
    #[garde(range(min = 1, max = 128))]
    pub answer_window: u8,
    /// Where fewer than so many in a hundred of them were answered it is taken out; 0 never does.
    #[garde(range(max = 100))]
    pub min_answer_percent: u8,
    /// How long it stays out where OPTIONS cannot bring it back, in seconds. Then one more failure is enough.
    #[garde(range(min = 1, max = 86_400))]
    pub hold_out_s: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self { options_interval_s: None, failures: 3, answer_window: 50, min_answer_percent: 0, hold_out_s: 30 }
    }
}
