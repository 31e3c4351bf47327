use tandem_contract::{Codec, PayloadType};

use crate::attributes::Fmtp;

/// One format of an RTP media line: its payload type and what `a=rtpmap` and `a=fmtp` say of it, or RFC 3551 §6 where
/// a static payload type goes without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// The payload type.
    pub payload_type: PayloadType,
    /// The encoding name, as it was written.
    pub name: String,
    /// Ticks of the RTP timestamp per second.
    pub clock_rate_hz: u32,
    /// Audio channels.
    pub channels: u8,
    /// Format parameters; empty where there are none.
    pub fmtp: Fmtp,
}

/// The static payload types that are worth knowing: ours, and comfort noise (RFC 3389 §4).
const STATIC: [(u8, &str); 5] = [(0, "PCMU"), (8, "PCMA"), (9, "G722"), (13, "CN"), (18, "G729")];

impl Encoding {
    /// The codec, where it is one of ours with parameters we speak.
    ///
    /// `G722/16000` and the names `G729A` and `G729AB` are wrong but common and unmistakable, so they are taken.
    pub fn codec(&self) -> Option<Codec> {
        let named = |name: &str| self.name.eq_ignore_ascii_case(name);
        let (codec, rates, channels): (_, &[u32], _) = if named("PCMU") {
            (Codec::Pcmu, &[8_000], 1)
        } else if named("PCMA") {
            (Codec::Pcma, &[8_000], 1)
        } else if named("G722") {
            (Codec::G722, &[8_000, 16_000], 1)
        } else if named("G729") || named("G729A") || named("G729AB") {
            (Codec::G729, &[8_000], 1)
        } else if named("opus") {
            // RFC 7587 §7: always 48000/2, whatever is sent.
            (Codec::Opus, &[48_000], 2)
        } else {
            return None;
        };
        (rates.contains(&self.clock_rate_hz) && self.channels == channels).then_some(codec)
    }

    /// Whether these are RFC 4733 telephone events.
    pub fn is_telephone_event(&self) -> bool {
        self.name.eq_ignore_ascii_case("telephone-event")
    }

    /// Whether this is comfort noise (RFC 3389).
    pub fn is_comfort_noise(&self) -> bool {
        self.name.eq_ignore_ascii_case("CN")
    }

    /// The encodings of a format list, in its order; payload types that cannot be resolved are left out, and of two
    /// equal payload types the first counts.
    pub(crate) fn read_all(formats: &str, attributes: &[sdp_types::Attribute]) -> Vec<Self> {
        let of = |name: &'static str, payload_type: u8| {
            attributes.iter().filter(move |a| a.attribute == name).find_map(move |a| {
                let (number, rest) = a.value.as_deref()?.trim_start().split_once([' ', '\t'])?;
                (number.parse() == Ok(payload_type)).then_some(rest)
            })
        };
        let mut encodings: Vec<Self> = Vec::new();
        for number in formats.split_ascii_whitespace().filter_map(|format| format.parse::<u8>().ok()) {
            let Some(payload_type) = PayloadType::new(number) else { continue };
            if encodings.iter().any(|known| known.payload_type == payload_type) {
                continue;
            }
            let Some((name, clock_rate_hz, channels)) = (match of("rtpmap", number) {
                Some(rtpmap) => parse_rtpmap(rtpmap),
                None => STATIC.iter().find(|(known, _)| *known == number).map(|(_, name)| (*name, 8_000, 1)),
            }) else {
                continue;
            };
            let fmtp = of("fmtp", number).map(Fmtp::new).unwrap_or_default();
            encodings.push(Self { payload_type, name: name.to_owned(), clock_rate_hz, channels, fmtp });
        }
        encodings
    }
}

/// `<encoding name>/<clock rate>[/<channels>]` (RFC 8866 §6.6).
fn parse_rtpmap(value: &str) -> Option<(&str, u32, u8)> {
    let mut parts = value.trim().split('/');
    let name = parts.next().filter(|name| !name.is_empty())?;
    let clock_rate_hz = parts.next()?.trim().parse().ok()?;
    let channels = parts.next().map_or(Some(1), |channels| channels.trim().parse().ok())?;
    Some((name, clock_rate_hz, channels))
}
