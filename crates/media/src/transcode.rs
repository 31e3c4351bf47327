//! Which codecs can be joined, and how.

use tandem_codec::Level;
use tandem_codec::g711::{self, Law};
use tandem_codec::transcode;
use tandem_contract::{Codec, DropReason};
use tandem_packet_io::PacketBuf;

/// A conversion between two codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// From this G.711 law to the other: octet by octet, without state, in place.
    Law(Law),
    /// Over linear samples, with a state per stream, in batches.
    Linear(Pair),
}

/// Two codecs that are joined over linear samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) from: transcode::Codec,
    pub(crate) to: transcode::Codec,
}

impl Pair {
    /// How many kinds of batch there are.
    pub(crate) const KINDS: usize = 9;

    /// Which batch: both laws of G.711 run through the same kernels.
    pub(crate) const fn kind(self) -> usize {
        const fn family(codec: transcode::Codec) -> usize {
            match codec {
                transcode::Codec::Pcmu | transcode::Codec::Pcma => 0,
                transcode::Codec::G722 => 1,
                transcode::Codec::G729 => 2,
            }
        }
        family(self.from) * 3 + family(self.to)
    }
}

/// The codec under the name of the codec library, `None` for those it does not have.
const fn codec(codec: Codec) -> Option<transcode::Codec> {
    match codec {
        Codec::Pcmu => Some(transcode::Codec::Pcmu),
        Codec::Pcma => Some(transcode::Codec::Pcma),
        Codec::G722 => Some(transcode::Codec::G722),
        Codec::G729 | Codec::Opus => None,
    }
}

impl Conversion {
    /// `None` when the two cannot be joined.
    pub(crate) const fn between(from: Codec, to: Codec) -> Option<Self> {
        match (codec(from), codec(to)) {
            (Some(transcode::Codec::Pcmu), Some(transcode::Codec::Pcma)) => Some(Self::Law(Law::Mu)),
            (Some(transcode::Codec::Pcma), Some(transcode::Codec::Pcmu)) => Some(Self::Law(Law::A)),
            (Some(from), Some(to)) => Some(Self::Linear(Pair { from, to })),
            _ => None,
        }
    }
}

/// Longest payload, in milliseconds of speech, that is transcoded.
pub(crate) const MAX_PTIME_MS: usize = 120;

/// Converts the payload that stands at `at..` of the frame from one law to the other in place.
pub(crate) fn convert_law<B: PacketBuf>(level: Level, from: Law, frame: &mut B, at: usize) -> Result<(), DropReason> {
    let payload = frame.data_mut().get_mut(at..).ok_or(DropReason::RtpHeaderBad)?;
    if payload.is_empty() || payload.len() > MAX_PTIME_MS * 8 {
        return Err(DropReason::PayloadLengthBad);
    }
    g711::transcode_in_place(level, from, payload);
    Ok(())
}
