//! What came of a packet: its octets, and the RTP packets that they are.

use core::ops::Range;

use super::{Codec, FRAME_TICKS};
use crate::g729::bitstream::SPEECH_OCTETS;

/// What was made of a packet.
///
/// Usually speech throughout. Where silence is described, each 10 ms is speech, a descriptor, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    octets: usize,
    /// Frames of 10 ms.
    frames: u32,
    /// The frames that are descriptors, and those of which nothing is sent: bit n for the nth.
    described: u32,
    unsent: u32,
    descriptor_octets: u8,
}

/// Frames that [`Made`] can tell apart.
pub(super) const MAX_FRAMES: usize = u32::BITS as usize;

/// What a packet holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Speech.
    Speech,
    /// Speech that ends in a silence descriptor; G.729 alone has such payloads.
    SpeechThenDescriptor,
    /// A silence descriptor: of G.729 under its own payload type, otherwise comfort noise under its.
    Descriptor,
}

/// What is to be sent as one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where in the made octets it is.
    pub octets: Range<usize>,
    /// When it begins, in ticks from the beginning of the input.
    pub at: usize,
    /// What it holds.
    pub content: Content,
}

impl Made {
    /// All octets that were made.
    #[must_use]
    pub const fn octets(&self) -> usize {
        self.octets
    }

    /// Ticks that the octets and what is not sent stand for, in whole frames.
    #[must_use]
    pub const fn ticks(&self) -> usize {
        self.frames as usize * FRAME_TICKS
    }

    /// Whether all is speech, so that the octets are one payload; nothing at all counts as such.
    #[must_use]
    pub const fn is_speech(&self) -> bool {
        self.described | self.unsent == 0
    }

    /// The packets that the octets are, in `codec`: none where nothing is to be sent.
    pub fn parts(self, codec: Codec) -> impl Iterator<Item = Part> {
        let mut frame = 0;
        let mut octet = 0;
        let bit = |bits: u32, frame: usize| frame < MAX_FRAMES && bits >> frame & 1 == 1;
        core::iter::from_fn(move || {
            if self.is_speech() {
                // Speech need not be a whole number of frames.
                let octets = core::mem::replace(&mut octet, self.octets)..self.octets;
                return (!octets.is_empty()).then_some(Part { octets, at: 0, content: Content::Speech });
            }
            let frames = self.frames as usize;
            while frame < frames && bit(self.unsent, frame) {
                frame += 1;
            }
            if frame >= frames {
                return None;
            }
            let (first, start) = (frame, octet);
            while frame < frames && !bit(self.described | self.unsent, frame) {
                frame += 1;
            }
            octet += (frame - first) * speech_octets(codec);
            let has_speech = frame > first;
            let has_descriptor = frame < frames && bit(self.described, frame);
            let takes_descriptor = has_descriptor && (codec == Codec::G729 || !has_speech);
            if takes_descriptor {
                frame += 1;
                octet += usize::from(self.descriptor_octets);
            }
            let content = match (has_speech, takes_descriptor) {
                (_, false) => Content::Speech,
                (true, true) => Content::SpeechThenDescriptor,
                (false, true) => Content::Descriptor,
            };
            Some(Part { octets: start..octet, at: first * FRAME_TICKS, content })
        })
    }

    /// Speech follows.
    pub(super) const fn push_speech(&mut self, ticks: usize, octets: usize) {
        self.frames += ticks.div_ceil(FRAME_TICKS) as u32;
        self.octets += octets;
    }

    /// A frame follows that is a descriptor.
    pub(super) const fn push_descriptor(&mut self, octets: usize) {
        self.described |= bits(self.frames, 1);
        self.frames += 1;
        self.octets += octets;
        self.descriptor_octets = octets as u8;
    }

    /// Ticks follow of which nothing is sent.
    pub(super) const fn push_unsent(&mut self, ticks: usize) {
        let frames = ticks.div_ceil(FRAME_TICKS) as u32;
        self.unsent |= bits(self.frames, frames);
        self.frames += frames;
    }
}

/// So many bits from the nth on; what is beyond the last is left out.
const fn bits(first: u32, count: u32) -> u32 {
    if first >= u32::BITS || count == 0 {
        return 0;
    }
    let count = if count > u32::BITS { u32::BITS } else { count };
    (u32::MAX >> (u32::BITS - count)) << first
}

/// Octets of 10 ms of speech.
const fn speech_octets(codec: Codec) -> usize {
    match codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 => FRAME_TICKS,
        Codec::G729 => SPEECH_OCTETS,
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use Content::{Descriptor, Speech, SpeechThenDescriptor};

    /// Frames by a letter each: speech, descriptor, nothing.
    fn parts(frames: &str, codec: Codec, descriptor: usize) -> Vec<(usize, Range<usize>, Content)> {
        let mut made = Made::default();
        for frame in frames.chars() {
            match frame {
                's' => made.push_speech(80, speech_octets(codec)),
                'd' => made.push_descriptor(descriptor),
                _ => made.push_unsent(80),
            }
        }
        made.parts(codec).map(|part| (part.at, part.octets, part.content)).collect()
    }

    #[test]
    fn descriptor_ends_a_payload_of_g729() {
        assert_eq!(parts("ss", Codec::G729, 2), [(0, 0..20, Speech)]);
        assert_eq!(parts("sd", Codec::G729, 2), [(0, 0..12, SpeechThenDescriptor)]);
        assert_eq!(parts("sn", Codec::G729, 2), [(0, 0..10, Speech)]);
        assert_eq!(parts("dn", Codec::G729, 2), [(0, 0..2, Descriptor)]);
        assert_eq!(parts("nd", Codec::G729, 2), [(80, 0..2, Descriptor)]);
        assert_eq!(parts("ds", Codec::G729, 2), [(0, 0..2, Descriptor), (80, 2..12, Speech)]);
        assert_eq!(parts("ns", Codec::G729, 2), [(80, 0..10, Speech)]);
        assert_eq!(parts("nn", Codec::G729, 2), []);
        assert_eq!(parts("sdnnds", Codec::G729, 2).len(), 3);
    }

    #[test]
    fn comfort_noise_is_a_packet_of_its_own() {
        assert_eq!(parts("sd", Codec::Pcmu, 11), [(0, 0..80, Speech), (80, 80..91, Descriptor)]);
        assert_eq!(parts("d", Codec::G722, 1), [(0, 0..1, Descriptor)]);
    }

    #[test]
    fn speech_of_any_length_is_one_packet() {
        let mut made = Made::default();
        made.push_speech(160, 160);
        made.push_speech(33, 33);
        assert!(made.is_speech());
        assert_eq!(made.parts(Codec::Pcma).collect::<Vec<_>>(), [Part { octets: 0..193, at: 0, content: Speech }]);
        assert_eq!(Made::default().parts(Codec::Pcma).count(), 0);
    }

    #[test]
    fn last_frame_that_can_be_told_is_told() {
        let mut made = Made::default();
        made.push_unsent(31 * 80);
        made.push_descriptor(2);
        let parts: Vec<Part> = made.parts(Codec::G729).collect();
        assert_eq!(parts, [Part { octets: 0..2, at: 31 * 80, content: Descriptor }]);
        let mut made = Made::default();
        made.push_unsent(32 * 80);
        assert_eq!(made.parts(Codec::G729).count(), 0);
    }
}
