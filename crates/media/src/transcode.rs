//! From one codec's frames to another's.

use tandem_codec::Level;
use tandem_codec::g711::{self, Law};
use tandem_contract::{Codec, DropReason};
use tandem_packet_io::PacketBuf;

/// A conversion between two codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// From this G.711 law to the other, octet by octet.
    Law(Law),
}

impl Conversion {
    pub(crate) const fn between(from: Codec, to: Codec) -> Option<Self> {
        match (from, to) {
            (Codec::Pcmu, Codec::Pcma) => Some(Self::Law(Law::Mu)),
            (Codec::Pcma, Codec::Pcmu) => Some(Self::Law(Law::A)),
            _ => None,
        }
    }
}

/// Longest payload, in milliseconds of speech, that is transcoded.
const MAX_PTIME_MS: usize = 120;

/// Converts the payload that stands at `at..` of the frame in place.
pub(crate) fn convert<B: PacketBuf>(
    level: Level,
    conversion: Conversion,
    frame: &mut B,
    at: usize,
) -> Result<(), DropReason> {
    let payload = frame.data_mut().get_mut(at..).ok_or(DropReason::RtpHeaderBad)?;
    match conversion {
        Conversion::Law(from) => {
            if payload.is_empty() || payload.len() > MAX_PTIME_MS * 8 {
                return Err(DropReason::PayloadLengthBad);
            }
            g711::transcode_in_place(level, from, payload);
        }
    }
    Ok(())
}
