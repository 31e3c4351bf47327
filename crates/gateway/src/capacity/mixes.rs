//! Mixes by name, and as a report tells them.

use std::fmt;
use std::str::FromStr;

use tandem_capacity::report::{self, CodecShare};
use tandem_loadgen::{CallKind, Impairments, Mix, MixError, SpeechCodec};

/// What is measured where nothing else is asked for: the name in reports, and the mix.
pub(super) const STANDARD: [(&str, &str); 5] = [
    ("relay", "pcmu-pcmu"),
    ("g711", "pcmu-pcma"),
    ("g711-g729", "pcmu-g729"),
    ("g711-g722", "pcmu-g722"),
    ("g722-g729", "g722-g729"),
];

/// What has a name besides: SRTP on both legs, each with its keys; and SRTP outside, plain RTP inside.
pub(super) const NAMED: [(&str, &str); 4] = [
    ("srtp-relay", "pcmu+srtp-pcmu+srtp"),
    ("srtp-g711", "pcmu+srtp-pcma"),
    ("srtp-g711-g729", "pcmu+srtp-g729"),
    ("gcm-relay", "pcmu+gcm-pcmu+gcm"),
];

/// A mix with the name that reports and plans call it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NamedMix {
    pub(super) name: String,
    pub(super) mix: Mix,
}

/// Why a text names no mix that a capacity can be measured of.
#[derive(Debug, thiserror::Error)]
pub(super) enum NamedMixError {
    #[error("{0}; or one of {names}", names = known().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))]
    Mix(#[from] MixError),
    #[error("'{0}' is not a name: letters, digits, '-', '_' and '.'")]
    Name(String),
    #[error("its legs have different packet times: a capacity is that of one packet time, so measure each by itself")]
    PacketTimes,
}

/// Every mix that goes by a name.
fn known() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    STANDARD.iter().chain(&NAMED)
}

impl NamedMix {
    /// The standard mixes.
    pub(super) fn standard() -> Vec<Self> {
        // They are parsed in a test.
        STANDARD.iter().filter_map(|(name, _)| name.parse().ok()).collect()
    }

    fn packet_time_ms(&self) -> u8 {
        self.mix.kinds()[0].legs[0].ptime_ms
    }

    /// Calls to begin with: far below what one core of any machine carries.
    pub(super) fn first(&self) -> u64 {
        let speaks = |codec: SpeechCodec| {
            let transcoded = self.mix.kinds().iter().filter(|kind| kind.legs[0].codec != kind.legs[1].codec);
            transcoded.flat_map(|kind| kind.legs).any(|leg| leg.codec == codec)
        };
        match () {
            () if speaks(SpeechCodec::G729) => 200,
            () if speaks(SpeechCodec::G722) => 500,
            () => 2_000,
        }
    }

    /// As a report has it.
    pub(super) fn told(&self, impairments: &Impairments) -> report::Mix {
        let sum: f64 = self.mix.kinds().iter().map(|kind| f64::from(kind.weight)).sum();
        let share = |kind: &CallKind| CodecShare {
            a: kind.legs[0].codec.name().to_uppercase(),
            b: kind.legs[1].codec.name().to_uppercase(),
            share: f64::from(kind.weight) / sum,
            suites: kind.legs.map(|leg| Some(leg.protection?.suite().name().to_owned())),
        };
        let is_protected = self.mix.kinds().iter().flat_map(|kind| kind.legs).any(|leg| leg.protection.is_some());
        report::Mix {
            codecs: self.mix.kinds().iter().map(share).collect(),
            packet_time_ms: u32::from(self.packet_time_ms()),
            dtx: f64::from(impairments.silence_percent) / 100.0,
            srtp: is_protected,
            loss: impairments.loss_percent / 100.0,
            jitter_ms: f64::from(impairments.jitter_ms),
            loss_burst: impairments.loss_burst.max(1.0),
            bursts: impairments.bursts_per_packet_time.into(),
        }
    }
}

/// `relay`, `pcmu-g729@40`, `night=3*pcmu-pcmu,pcmu-g729`.
impl FromStr for NamedMix {
    type Err = NamedMixError;

    fn from_str(text: &str) -> Result<Self, NamedMixError> {
        let text = text.trim();
        let standard = known().find(|(name, mix)| *name == text || *mix == text);
        let (name, mix) = match (standard, text.split_once('=')) {
            (Some((name, mix)), _) => (*name, *mix),
            (None, Some((name, mix))) => (name.trim(), mix),
            (None, None) => (text, text),
        };
        let mix: Mix = mix.parse()?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.*,@+".contains(c);
        if name.is_empty() || name.len() > 100 || !name.chars().all(fits) {
            return Err(NamedMixError::Name(name.to_owned()));
        }
        let named = Self { name: name.to_owned(), mix };
        let one = named.packet_time_ms();
        if named.mix.kinds().iter().flat_map(|kind| kind.legs).any(|leg| leg.ptime_ms != one) {
            return Err(NamedMixError::PacketTimes);
        }
        Ok(named)
    }
}

impl fmt::Display for NamedMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mix = self.mix.to_string();
        if mix == self.name { f.write_str(&mix) } else { write!(f, "{} ({mix})", self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_mixes_are_five_and_go_by_name_or_by_codecs() {
        assert_eq!(NamedMix::standard().len(), STANDARD.len());
        for (name, mix) in known() {
            assert_eq!(name.parse::<NamedMix>().unwrap(), mix.parse::<NamedMix>().unwrap());
        }
    }

    #[test]
    fn a_mix_of_ones_own_may_have_a_name() {
        let named: NamedMix = "night=3*pcmu-pcmu,pcmu-g729".parse().unwrap();
        assert_eq!(named.to_string(), "night (3*pcmu-pcmu,pcmu-g729)");
        let told = named.told(&Impairments { silence_percent: 40, ..Impairments::NONE });
        assert_eq!((told.codecs[0].share, told.dtx, told.packet_time_ms), (0.75, 0.4, 20));
        assert_eq!((told.codecs[1].a.as_str(), told.codecs[1].b.as_str()), ("PCMU", "G729"));
        assert_eq!(
            "pcma-g722@40".parse::<NamedMix>().unwrap_err().to_string().split(':').next(),
            Some("its legs have different packet times")
        );
        assert_eq!("pcmu@40-pcmu@40".parse::<NamedMix>().unwrap().name, "pcmu@40-pcmu@40");
    }

    #[test]
    fn what_the_network_does_and_how_legs_are_protected_is_told() {
        let impairments = Impairments {
            loss_percent: 2.0,
            loss_burst: 3.0,
            jitter_ms: 15,
            silence_percent: 40,
            bursts_per_packet_time: 4,
        };
        let told = "srtp-g711".parse::<NamedMix>().unwrap().told(&impairments);
        assert_eq!((told.loss, told.loss_burst, told.jitter_ms, told.dtx, told.bursts), (0.02, 3.0, 15.0, 0.4, 4));
        assert!(told.srtp);
        assert_eq!(told.codecs[0].suites, [Some("AES_CM_128_HMAC_SHA1_80".to_owned()), None]);
        let plain = "relay".parse::<NamedMix>().unwrap().told(&Impairments::NONE);
        assert!(!plain.srtp && plain.codecs[0].suites == [None, None] && plain.loss_burst == 1.0);
    }

    #[test]
    fn what_is_no_mix_is_answered_with_those_there_are() {
        let said = "gsm".parse::<NamedMix>().unwrap_err().to_string();
        assert!(said.contains("relay, g711, g711-g729"), "{said}");
        assert!("=pcmu-pcmu".parse::<NamedMix>().is_err());
        assert!("a b=pcmu-pcmu".parse::<NamedMix>().is_err());
    }

    #[test]
    fn the_first_step_is_the_lower_the_dearer_the_codecs() {
        let first = |mix: &str| mix.parse::<NamedMix>().unwrap().first();
        assert!(first("relay") > first("g711-g722") && first("g711-g722") > first("g722-g729"));
        assert_eq!(first("g729-g729"), first("relay"), "relayed, whatever the codec");
    }
}
