//! Which codecs can be joined, and how.

use tandem_codec::Level;
use tandem_codec::g711::{self, Law};
use tandem_codec::g729::bitstream::{SID_OCTETS, SPEECH_OCTETS};
use tandem_codec::transcode::{self, Silence, Transcoder};
use tandem_contract::{Codec, DropReason, Format};
use tandem_packet_io::PacketBuf;

use crate::keys::{Carry, carries_tones};

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
    /// What is made of silence.
    pub(crate) silence: Silence,
    /// What is made of keys.
    pub(crate) keys: Carry,
}

/// Ticks of a frame of 10 ms, for which a silence descriptor stands.
pub(crate) const FRAME_TICKS: usize = 10 * TICKS_PER_MS;

impl Pair {
    /// The start of a stream.
    pub(crate) fn transcoder(self) -> Transcoder {
        if self.keys == Carry::ToTones && self.to.law().is_none() {
            // Tones of our own want the encoder that the speech has, also where both sides have one codec.
            return Transcoder::over_samples(self.from, self.to, self.silence);
        }
        Transcoder::with_silence(self.from, self.to, self.silence)
    }

    /// Whether a payload of the source's own ends in a silence descriptor.
    pub(crate) const fn ends_in_descriptor(self, payload_len: usize) -> bool {
        matches!(self.from, transcode::Codec::G729) && payload_len % SPEECH_OCTETS == SID_OCTETS
    }

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
        Codec::G729 => Some(transcode::Codec::G729),
        Codec::Opus => None,
    }
}

impl Conversion {
    /// What is done between two codecs and packet times; `None` when the codecs cannot be joined. Different packet times of
    /// the same codec need re-framing, where the codec library knows its frames.
    ///
    /// Silence that only the near end leaves out is made audible, which takes linear samples whatever the codecs.
    pub(crate) fn between(from: &Format, to: &Format) -> Option<Self> {
        let keys = carry(from, to);
        let as_it_is = from.ptime_ms == to.ptime_ms && !is_made_audible(from, to) && keys == Carry::AsTheyAre;
        let silence = match (codec(from.codec)?.law(), codec(to.codec)?.law()) {
            (Some(Law::Mu), Some(Law::A)) if as_it_is => return Some(Self::Law(Law::Mu)),
            (Some(Law::A), Some(Law::Mu)) if as_it_is => return Some(Self::Law(Law::A)),
            _ if to.describes_silence() => Silence::Described,
            // What needs no linear samples is passed on; there is no silence in it to tell from speech.
            (from_law, to_law)
                if !from.describes_silence() && (from.codec == to.codec || from_law.and(to_law).is_some()) =>
            {
                Silence::Described
            }
            _ => Silence::AsSpeech,
        };
        Some(Self::Linear(Pair { from: codec(from.codec)?, to: codec(to.codec)?, silence, keys }))
    }
}

/// Whether silence that `from` may leave out has to be heard by `to`.
pub(crate) const fn is_made_audible(from: &Format, to: &Format) -> bool {
    from.describes_silence() && !to.describes_silence()
}

/// How keys get from one leg to the other.
pub(crate) fn carry(from: &Format, to: &Format) -> Carry {
    let has_tones = |of: &Format| of.in_band_dtmf && codec(of.codec).is_some_and(carries_tones);
    match (from.telephone_event, to.telephone_event) {
        (None, Some(_)) if has_tones(from) => Carry::ToEvents,
        (Some(_), None) if has_tones(to) => Carry::ToTones,
        _ => Carry::AsTheyAre,
    }
}

/// Longest payload, in milliseconds of speech, that is transcoded.
pub(crate) const MAX_PTIME_MS: usize = 120;
/// The RTP clock of every codec that is transcoded here (G.722's too: RFC 3551 §4.5.2).
pub(crate) const TICKS_PER_MS: usize = 8;
/// Octets of the longest payload that is made: no codec here needs more than an octet per tick.
pub(crate) const MAX_PAYLOAD: usize = MAX_PTIME_MS * TICKS_PER_MS;

/// Converts the payload that stands at `at..` of the frame from one law to the other in place.
pub(crate) fn convert_law<B: PacketBuf>(level: Level, from: Law, frame: &mut B, at: usize) -> Result<(), DropReason> {
    let payload = frame.data_mut().get_mut(at..).ok_or(DropReason::RtpHeaderBad)?;
    if payload.is_empty() || payload.len() > MAX_PAYLOAD {
        return Err(DropReason::PayloadLengthBad);
    }
    g711::transcode_in_place(level, from, payload);
    Ok(())
}
