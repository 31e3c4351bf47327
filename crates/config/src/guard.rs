//! What is heard of SIP, and how much of it.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::Cidr;

/// Who is heard. Configured peers always are; what follows is about everybody else.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    /// Networks that are heard; everybody where there are none. Where networks of both lists hold an address, the smaller one
    /// decides.
    #[garde(length(max = 65_536))]
    pub allow: Vec<Cidr>,
    /// Networks that are not heard.
    #[garde(length(max = 65_536))]
    pub deny: Vec<Cidr>,
    /// Messages a second of one address, on average; 0 for any number. What comes beyond is dropped before it is read.
    #[garde(range(max = 1_000_000))]
    pub messages_per_s: u32,
    /// Messages of one address at once.
    #[garde(range(min = 1, max = 1_000_000))]
    pub burst: u32,
    /// Wrongs of one address in a minute that lead to a ban: what is no SIP message, calls from nobody's peer, wrong
    /// passwords; 0 for no bans. Where SIP goes over UDP, somebody can forge an address and have it banned.
    #[garde(range(max = 1_000_000))]
    pub ban_after: u32,
    /// Seconds that a ban lasts.
    #[garde(range(min = 1, max = 31_536_000))]
    pub ban_s: u32,
    /// How the `User-Agent` of scanners begins, without regard to case. They hear nothing, and are banned at once.
    #[garde(length(max = 256), inner(length(bytes, min = 3, max = 64)))]
    pub scanners: Vec<String>,
    /// How busy the thread that handles calls may be, in percent of a second. Beyond that, requests that would begin
    /// something new are answered 503 with Retry-After at once, so that calls that are up go on.
    #[garde(range(min = 10, max = 100))]
    pub max_load_percent: u8,
}

impl Default for Guard {
    fn default() -> Self {
        let scanners = [
            "friendly-scanner",
            "friendly-request",
            "sipvicious",
            "sundayddr",
            "sip-scan",
            "sipcli",
            "siparmyknife",
            "sivus",
            "smap",
            "iwar",
            "pplsip",
            "gulp",
        ];
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            messages_per_s: 100,
            burst: 500,
            ban_after: 30,
            ban_s: 600,
            scanners: scanners.map(str::to_owned).into(),
            max_load_percent: 90,
        }
    }
}

/// Bounds on a message. Longer ones are refused, over connections as soon as they show.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Messages {
    /// Octets from the start line to the end of the body.
    #[garde(range(min = 1_300, max = 65_535))]
    pub max_bytes: u16,
    /// Octets of the start line and headers.
    #[garde(range(min = 1_300, max = 65_535))]
    pub max_head_bytes: u16,
    /// Header lines.
    #[garde(range(min = 16, max = 1_024))]
    pub max_headers: u16,
    /// Octets of the Request-URI.
    #[garde(range(min = 64, max = 16_384))]
    pub max_uri_bytes: u16,
}

impl Default for Messages {
    fn default() -> Self {
        Self { max_bytes: 65_535, max_head_bytes: 16_384, max_headers: 128, max_uri_bytes: 2_048 }
    }
}
