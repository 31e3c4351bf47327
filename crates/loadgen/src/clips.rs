//! The speech of callers and callees, encoded once for everybody who speaks it.

use tandem_codec::Level;
use tandem_codec::g711::{self, Law};
use tandem_codec::g722;
use tandem_codec::g729::bitstream::Frame;
use tandem_codec::g729::{self, FRAME_SAMPLES};
use tandem_codec::resample::{Rate, Resampler};

use crate::SpeechCodec;

/// Both sides of a conversation, 12 s each, 16 kHz 16-bit mono (`benches/speech/README.md` tells whose).
const RECORDINGS: [&[u8]; 2] =
    [include_bytes!("../../../benches/speech/caller.wav"), include_bytes!("../../../benches/speech/callee.wav")];
/// Octets before the samples of those files.
const WAV_HEADER: usize = 44;

/// Frames of 10 ms in a recording.
pub(crate) const FRAMES: usize = 1_200;
/// Frames of the longest packet.
const LONGEST_PACKET: usize = 6;

/// A recording that is spoken again and again, encoded in one codec.
pub(crate) struct Loop {
    octets_per_frame: usize,
    /// All frames, and as many of the first ones again as a packet can hold: whatever is sent is one slice.
    octets: Box<[u8]>,
}

impl Loop {
    /// What the caller (0) or the callee (1) says.
    pub(crate) fn recorded(level: Level, speaker: usize, codec: SpeechCodec) -> Self {
        let (samples, _) = RECORDINGS[speaker % RECORDINGS.len()][WAV_HEADER..].as_chunks();
        let wide: Vec<i16> = samples.iter().map(|sample| i16::from_le_bytes(*sample)).collect();
        let narrow = || {
            let mut narrow = vec![0; wide.len() / 2];
            let length = Resampler::new(Rate::Hz16000, Rate::Hz8000).process(level, &wide, &mut narrow);
            narrow.truncate(length);
            narrow
        };
        let law = |law| {
            let pcm = narrow();
            let mut octets = vec![0; pcm.len()];
            g711::encode(level, law, &pcm, &mut octets);
            octets
        };
        let octets = match codec {
            SpeechCodec::Pcmu => law(Law::Mu),
            SpeechCodec::Pcma => law(Law::A),
            SpeechCodec::G722 => {
                let mut octets = vec![0; wide.len() / 2];
                g722::Encoder::new(g722::Mode::Kbit64).encode(&wide, &mut octets);
                octets
            }
            SpeechCodec::G729 => {
                let pcm = narrow();
                let (pcm, _) = pcm.as_chunks::<FRAME_SAMPLES>();
                let mut frames = vec![Frame::NotSent; pcm.len()];
                let mut state = g729::Encoder::new();
                g729::encode_batch(level, &mut [g729::EncodeJob { state: &mut state, pcm, frames: &mut frames }]);
                let speech = |frame: &Frame| if let Frame::Speech(octets) = frame { *octets } else { [0; 10] };
                frames.iter().flat_map(speech).collect()
            }
        };
        Self::of(octets, codec)
    }

    /// The other law's octets of the same speech.
    pub(crate) fn in_other_law(&self, from: Law, to: SpeechCodec) -> Self {
        let frames = &self.octets[..FRAMES * self.octets_per_frame];
        Self::of(frames.iter().map(|octet| g711::transcode_octet(from, *octet)).collect(), to)
    }

    fn of(mut octets: Vec<u8>, codec: SpeechCodec) -> Self {
        let octets_per_frame = codec.octets(10);
        octets.resize(FRAMES * octets_per_frame, 0);
        octets.extend_from_within(..LONGEST_PACKET * octets_per_frame);
        Self { octets_per_frame, octets: octets.into_boxed_slice() }
    }

    /// So many frames from a frame on, of however many times the recording is spoken.
    #[inline]
    pub(crate) fn frames(&self, first: u32, frames: u32) -> &[u8] {
        let at = (first % FRAMES as u32) as usize * self.octets_per_frame;
        &self.octets[at..at + frames as usize * self.octets_per_frame]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_goes_on_where_it_began() {
        for codec in SpeechCodec::ALL {
            let spoken = Loop::recorded(Level::detect(), 1, codec);
            assert_eq!(spoken.frames(FRAMES as u32 - 1, 2)[codec.octets(10)..], *spoken.frames(0, 1));
            assert_eq!(spoken.frames(7, 3), spoken.frames(7 + 5 * FRAMES as u32, 3));
            assert_ne!(spoken.frames(300, 6), spoken.frames(306, 6), "there is speech in it");
        }
    }
}
