use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tandem_contract::{Codec, CryptoSuite};

/// A codec that the source speaks and checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpeechCodec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s.
    G722,
    /// G.729 Annex A.
    G729,
}

impl SpeechCodec {
    /// Every codec, in the order of the manual.
    pub const ALL: [Self; 4] = [Self::Pcmu, Self::Pcma, Self::G722, Self::G729];

    /// As a mix spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "pcmu",
            Self::Pcma => "pcma",
            Self::G722 => "g722",
            Self::G729 => "g729",
        }
    }

    /// The same codec in the contract between control and workers.
    pub const fn contract(self) -> Codec {
        match self {
            Self::Pcmu => Codec::Pcmu,
            Self::Pcma => Codec::Pcma,
            Self::G722 => Codec::G722,
            Self::G729 => Codec::G729,
        }
    }

    /// The static payload type (RFC 3551 §6).
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::G722 => 9,
            Self::G729 => 18,
        }
    }

    /// Octets of so many milliseconds of speech.
    pub const fn octets(self, ms: u8) -> usize {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 8 * ms as usize,
            Self::G729 => ms as usize,
        }
    }
}

/// How the packets of a leg are protected, with keys of its own each way (RFC 4568).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protection {
    /// `AES_CM_128_HMAC_SHA1_80` (RFC 3711).
    Srtp,
    /// `AEAD_AES_128_GCM` (RFC 7714).
    Gcm,
}

impl Protection {
    /// Every one, in the order of the manual.
    pub const ALL: [Self; 2] = [Self::Srtp, Self::Gcm];

    /// As a mix spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Srtp => "srtp",
            Self::Gcm => "gcm",
        }
    }

    /// The suite.
    pub const fn suite(self) -> CryptoSuite {
        match self {
            Self::Srtp => CryptoSuite::AesCm128HmacSha1_80,
            Self::Gcm => CryptoSuite::AeadAes128Gcm,
        }
    }
}

/// What the source speaks on one leg of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegSpeech {
    /// The codec.
    pub codec: SpeechCodec,
    /// Milliseconds of speech in a packet: 10 to 60 in steps of 10.
    pub ptime_ms: u8,
    /// SRTP; none for plain RTP.
    #[serde(default)]
    pub protection: Option<Protection>,
}

/// One kind of call: what its two legs speak, and its part of the mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallKind {
    /// Calls of this kind per sum of all weights; from 1.
    pub weight: u32,
    /// Leg A (the caller's), leg B.
    pub legs: [LegSpeech; 2],
}

/// Kinds of calls and their weights.
///
/// Text form, as on the command line: `pcmu-pcma`, `3*pcmu-pcmu,1*pcmu-g729@40`, `pcmu+srtp-pcma`. A leg is a codec (`pcmu`, `pcma`,
/// `g722`, `g729`), with `@` and milliseconds per packet where they are not 20, and with `+srtp` or `+gcm` where its packets are SRTP.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mix(Vec<CallKind>);

/// Why a text is no mix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// No kind at all, or more than [`Mix::MAX_KINDS`].
    #[error("a mix has 1 to {max} kinds of calls, not {0}", max = Mix::MAX_KINDS)]
    Kinds(usize),
    /// Two legs with `-` between them were expected.
    #[error("'{0}' is not a kind of call: write two codecs, such as pcmu-g729 or 3*pcmu-pcma@40")]
    Kind(String),
    /// Not a codec that the source speaks.
    #[error("'{0}' is not a codec of the source: pcmu, pcma, g722 or g729")]
    Codec(String),
    /// Neither plain RTP nor a protection that the source knows.
    #[error("'{0}' is not a protection of the source: srtp (AES_CM_128_HMAC_SHA1_80) or gcm (AEAD_AES_128_GCM)")]
    Protection(String),
    /// Packet time out of range.
    #[error("'{0}' is not a packet time: 10, 20, 30, 40, 50 or 60 milliseconds")]
    PacketTime(String),
    /// Weight out of range.
    #[error("'{0}' is not a weight: a whole number from 1 to 10000")]
    Weight(String),
}

impl Mix {
    /// Kinds in one mix, at most.
    pub const MAX_KINDS: usize = 32;

    /// A mix.
    ///
    /// # Errors
    /// No kind or too many, a weight or packet time out of range.
    pub fn new(kinds: Vec<CallKind>) -> Result<Self, MixError> {
        if kinds.is_empty() || kinds.len() > Self::MAX_KINDS {
            return Err(MixError::Kinds(kinds.len()));
        }
        for kind in &kinds {
            if kind.weight == 0 || kind.weight > 10_000 {
                return Err(MixError::Weight(kind.weight.to_string()));
            }
            for leg in kind.legs {
                if leg.ptime_ms == 0 || leg.ptime_ms > 60 || leg.ptime_ms % 10 != 0 {
                    return Err(MixError::PacketTime(leg.ptime_ms.to_string()));
                }
            }
        }
        Ok(Self(kinds))
    }

    /// Its kinds.
    pub fn kinds(&self) -> &[CallKind] {
        &self.0
    }

    /// The kind of each of so many calls, as an index into [`Mix::kinds`]: kinds are interleaved, so that any run of calls holds them by
    /// weight.
    pub fn interleaved(&self, calls: u32) -> Vec<usize> {
        let sum: i64 = self.0.iter().map(|kind| i64::from(kind.weight)).sum();
        // How far each kind is behind its share.
        let mut deficits = vec![0; self.0.len()];
        let next = |_| {
            for (deficit, kind) in deficits.iter_mut().zip(&self.0) {
                *deficit += i64::from(kind.weight);
            }
            // Of equals, the first.
            let chosen = (0..deficits.len()).rev().max_by_key(|kind| deficits[*kind]).unwrap_or(0);
            deficits[chosen] -= sum;
            chosen
        };
        (0..calls).map(next).collect()
    }
}

impl fmt::Display for LegSpeech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.codec.name())?;
        if self.ptime_ms != 20 {
            write!(f, "@{}", self.ptime_ms)?;
        }
        self.protection.map_or(Ok(()), |protection| write!(f, "+{}", protection.name()))
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, kind) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(",")?;
            }
            if kind.weight != 1 {
                write!(f, "{}*", kind.weight)?;
            }
            write!(f, "{}-{}", kind.legs[0], kind.legs[1])?;
        }
        Ok(())
    }
}

impl FromStr for LegSpeech {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let (text, protection) = match text.split_once('+') {
            Some((text, name)) => (text, Some(protection_of(name)?)),
            None => (text, None),
        };
        let (codec, ptime) = text.split_once('@').unwrap_or((text, "20"));
        let codec = SpeechCodec::ALL
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(codec))
            .ok_or_else(|| MixError::Codec(codec.to_owned()))?;
        let ptime_ms = ptime.parse().map_err(|_| MixError::PacketTime(ptime.to_owned()))?;
        Ok(Self { codec, ptime_ms, protection })
    }
}

fn protection_of(name: &str) -> Result<Protection, MixError> {
    let known = Protection::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name));
    known.ok_or_else(|| MixError::Protection(name.to_owned()))
}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let kind = |text: &str| {
            let text = text.trim();
            let (weight, legs) = text.split_once('*').unwrap_or(("1", text));
            let weight = weight.trim().parse().map_err(|_| MixError::Weight(weight.to_owned()))?;
            let (a, b) = legs.split_once('-').ok_or_else(|| MixError::Kind(text.to_owned()))?;
            Ok(CallKind { weight, legs: [a.trim().parse()?, b.trim().parse()?] })
        };
        Self::new(text.split(',').map(kind).collect::<Result<_, _>>()?)
    }
}

impl TryFrom<String> for Mix {
    type Error = MixError;

    fn try_from(text: String) -> Result<Self, MixError> {
        text.parse()
    }
}

impl From<Mix> for String {
    fn from(mix: Mix) -> Self {
        mix.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_printed_as_it_is_read() {
        for text in ["pcmu-pcma", "3*pcmu-pcmu,pcmu-g729@40", "g722@10-g729@60", "pcmu+srtp-pcmu@40+gcm"] {
            assert_eq!(text.parse::<Mix>().unwrap().to_string(), text);
        }
        assert_eq!(" 1*PCMU-pcma@20 ".parse::<Mix>().unwrap().to_string(), "pcmu-pcma");
    }

    #[test]
    fn what_is_no_mix_is_refused_by_name() {
        let refused = |text: &str| text.parse::<Mix>().unwrap_err();
        assert_eq!(refused(""), MixError::Kind(String::new()));
        assert_eq!(refused("pcmu"), MixError::Kind("pcmu".into()));
        assert_eq!(refused("pcmu-opus"), MixError::Codec("opus".into()));
        assert_eq!(refused("pcmu-pcma+zrtp"), MixError::Protection("zrtp".into()));
        assert_eq!(refused("pcmu-pcma+"), MixError::Protection(String::new()));
        assert_eq!(refused("pcmu-pcma+srtp@20"), MixError::Protection("srtp@20".into()));
        assert_eq!(refused("pcmu-pcma@15"), MixError::PacketTime("15".into()));
        assert_eq!(refused("pcmu-pcma@0"), MixError::PacketTime("0".into()));
        assert_eq!(refused("0*pcmu-pcma"), MixError::Weight("0".into()));
        assert_eq!(refused("x*pcmu-pcma"), MixError::Weight("x".into()));
        assert_eq!(refused(&["pcmu-pcma"; 33].join(",")), MixError::Kinds(33));
    }

    #[test]
    fn kinds_are_interleaved_by_weight() {
        let mix: Mix = "3*pcmu-pcmu,pcmu-g729".parse().unwrap();
        let kinds = mix.interleaved(400);
        let relays = |calls: std::ops::Range<usize>| kinds[calls].iter().filter(|kind| **kind == 0).count();
        assert_eq!(relays(0..4), 3);
        assert_eq!(relays(4..8), 3);
        assert_eq!(relays(0..400), 300);
        assert!((1..=2).contains(&relays(0..2)));
    }
}
