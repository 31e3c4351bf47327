//! What one leg said, sample by sample, each at its time.

use std::collections::VecDeque;

use tandem_codec::Level;
use tandem_codec::g711::{self, Law};
use tandem_codec::g722;
use tandem_codec::g729::bitstream::{Frame, SPEECH_OCTETS};
use tandem_codec::g729::{self, FRAME_SAMPLES};
use tandem_codec::resample::{Rate, Resampler};
use tandem_contract::Codec;
use tandem_wire::rtp::Rtp;

/// A packet whose timestamp puts it further than this from its arrival begins a new line of timestamps, in milliseconds.
const SLACK_MS: u64 = 500;
/// The most speech one packet can bring, in milliseconds.
const MAX_PACKET_MS: usize = 200;

/// The samples of one leg that are not written yet, lost packets as silence.
pub(super) struct Timeline {
    rate: Rate,
    decoder: Option<Decoder>,
    anchor: Option<Anchor>,
    /// The sequence number of the newest packet.
    newest: u16,
    /// The samples from `written` on.
    samples: VecDeque<i16>,
    written: u64,
}

/// Where a line of timestamps stands.
#[derive(Clone, Copy)]
struct Anchor {
    ssrc: u32,
    codec: Codec,
    timestamp: u32,
    position: u64,
}

impl Timeline {
    pub(super) const fn new(rate: Rate) -> Self {
        Self { rate, decoder: None, anchor: None, newest: 0, samples: VecDeque::new(), written: 0 }
    }

    /// Takes a packet that arrived at `arrival`, in samples since the recording began.
    pub(super) fn push(&mut self, arrival: u64, codec: Codec, rtp: &Rtp<'_>) {
        if self.decoder.as_ref().is_none_or(|decoder| decoder.codec != codec) {
            self.decoder = Decoder::new(codec, self.rate);
        }
        let Some(decoder) = &mut self.decoder else { return };
        let place =
            self.anchor.filter(|anchor| anchor.ssrc == rtp.ssrc() && anchor.codec == codec).and_then(|anchor| {
                let ticks = i64::from(rtp.timestamp().wrapping_sub(anchor.timestamp) as i32);
                let samples = ticks * i64::from(self.rate.hz()) / i64::from(codec.clock_rate_hz());
                let position = anchor.position.checked_add_signed(samples)?;
                (position.abs_diff(arrival) <= SLACK_MS * self.rate.samples_per_ms() as u64).then_some(position)
            });
        let position = place.unwrap_or(arrival);
        if place.is_none() {
            self.anchor = Some(Anchor { ssrc: rtp.ssrc(), codec, timestamp: rtp.timestamp(), position });
        } else if rtp.sequence().wrapping_sub(self.newest) as i16 <= 0 && decoder.has_memory() {
            // Overtaken, or a duplicate: the decoder has gone on.
            return;
        }
        self.newest = rtp.sequence();
        let samples = decoder.decode(rtp.payload());
        self.put(position, &samples);
    }

    fn put(&mut self, position: u64, samples: &[i16]) {
        // What is written already cannot be heard any more.
        let late = self.written.saturating_sub(position) as usize;
        let samples = samples.get(late..).unwrap_or_default();
        let at = position.saturating_sub(self.written) as usize;
        if self.samples.len() < at + samples.len() {
            self.samples.resize(at + samples.len(), 0);
        }
        self.samples.range_mut(at..at + samples.len()).zip(samples).for_each(|(place, sample)| *place = *sample);
    }

    /// The position behind the last sample.
    pub(super) fn end(&self) -> u64 {
        self.written + self.samples.len() as u64
    }

    /// The next sample to be written; silence where there is none.
    pub(super) fn next(&mut self) -> i16 {
        self.written += 1;
        self.samples.pop_front().unwrap_or(0)
    }
}

struct Decoder {
    codec: Codec,
    kind: Kind,
    resampler: Resampler,
}

enum Kind {
    G711(Law),
    G722(Box<g722::ConcealingDecoder>),
    G729(Box<g729::Decoder>),
}

impl Decoder {
    /// `None` for a codec that is not recorded as speech.
    fn new(codec: Codec, to: Rate) -> Option<Self> {
        let (kind, from) = match codec {
            Codec::Pcmu => (Kind::G711(Law::Mu), Rate::Hz8000),
            Codec::Pcma => (Kind::G711(Law::A), Rate::Hz8000),
            Codec::G722 => (Kind::G722(Box::new(g722::ConcealingDecoder::new(g722::Mode::default()))), Rate::Hz16000),
            Codec::G729 => (Kind::G729(Box::new(g729::Decoder::new())), Rate::Hz8000),
            Codec::Opus => return None,
        };
        Some(Self { codec, kind, resampler: Resampler::new(from, to) })
    }

    const fn has_memory(&self) -> bool {
        !matches!(self.kind, Kind::G711(_))
    }

    /// The samples of a payload at the recording's rate.
    fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        let level = Level::detect();
        // 64 kbit/s: eight octets a millisecond.
        let payload = &payload[..payload.len().min(8 * MAX_PACKET_MS)];
        let pcm = match &mut self.kind {
            Kind::G711(law) => {
                let mut pcm = vec![0; payload.len()];
                g711::decode(level, *law, payload, &mut pcm);
                pcm
            }
            Kind::G722(state) => {
                let mut pcm = vec![0; 2 * payload.len()];
                let job = g722::ConcealingJob { state, octets: Some(payload), pcm: &mut pcm };
                g722::decode_or_conceal_batch(level, &mut [job]);
                pcm
            }
            Kind::G729(state) => {
                let (speech, rest) = payload.as_chunks::<SPEECH_OCTETS>();
                let speech = &speech[..speech.len().min(MAX_PACKET_MS / 10)];
                let mut frames: Vec<Frame> = speech.iter().map(|octets| Frame::Speech(*octets)).collect();
                if let Ok(descriptor) = rest.try_into() {
                    frames.push(Frame::Sid(descriptor));
                }
                let mut pcm = vec![0; FRAME_SAMPLES * frames.len()];
                let (frames_out, _) = pcm.as_chunks_mut::<FRAME_SAMPLES>();
                g729::decode_batch(level, &mut [g729::DecodeJob { state, frames: &frames, pcm: frames_out }]);
                pcm
            }
        };
        if self.resampler.from() == self.resampler.to() {
            return pcm;
        }
        let ratio = self.resampler.to().samples_per_ms();
        let mut output = vec![0; pcm.len() * ratio / self.resampler.from().samples_per_ms()];
        let made = self.resampler.process(level, &pcm, &mut output);
        output.truncate(made);
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_wire::rtp::HEADER_LEN;

    fn packet(sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let mut octets = vec![0; HEADER_LEN];
        octets[0] = 0x80;
        octets[2..4].copy_from_slice(&sequence.to_be_bytes());
        octets[4..8].copy_from_slice(&timestamp.to_be_bytes());
        octets[8..12].copy_from_slice(&7_u32.to_be_bytes());
        octets.extend(payload);
        octets
    }

    fn push(line: &mut Timeline, arrival: u64, codec: Codec, octets: &[u8]) {
        line.push(arrival, codec, &Rtp::parse(octets).unwrap());
    }

    fn all(mut line: Timeline) -> Vec<i16> {
        (0..line.end()).map(|_| line.next()).collect()
    }

    fn pcm(octets: &[u8]) -> Vec<i16> {
        let mut pcm = vec![0; octets.len()];
        g711::decode(Level::Scalar, Law::Mu, octets, &mut pcm);
        pcm
    }

    #[test]
    fn packets_stand_where_their_timestamps_say_whatever_the_network_did() {
        let mut line = Timeline::new(Rate::Hz8000);
        let octets: Vec<u8> = (0..200).collect();
        // The third before the second, the fourth twice, jitter of 3 ms, the fifth lost; timestamps wrap.
        let start = u32::MAX - 100;
        for (number, arrival) in [(0_u16, 80), (2, 260), (1, 264), (3, 330), (3, 350), (5, 480)] {
            let payload = &octets[usize::from(number) * 10..][..80];
            push(&mut line, arrival, Codec::Pcmu, &packet(number, start.wrapping_add(u32::from(number) * 80), payload));
        }
        let mut expected = vec![0; 80];
        for number in [0, 1, 2, 3] {
            expected.extend(pcm(&octets[number * 10..][..80]));
        }
        expected.extend([0; 80]);
        expected.extend(pcm(&octets[50..130]));
        assert_eq!(all(line), expected);
    }

    #[test]
    fn a_jump_of_timestamps_is_placed_by_its_arrival() {
        let mut line = Timeline::new(Rate::Hz8000);
        push(&mut line, 0, Codec::Pcmu, &packet(0, 5, &[0; 80]));
        push(&mut line, 80, Codec::Pcmu, &packet(1, 4_000_000_000, &[1; 80]));
        push(&mut line, 160, Codec::Pcmu, &packet(2, 4_000_000_080, &[2; 80]));
        let expected: Vec<i16> = [0, 1, 2].into_iter().flat_map(|octet| pcm(&[octet; 80])).collect();
        assert_eq!(all(line), expected);
    }

    #[test]
    fn what_comes_after_its_place_was_written_is_cut_off() {
        let mut line = Timeline::new(Rate::Hz8000);
        push(&mut line, 0, Codec::Pcmu, &packet(0, 0, &[3; 80]));
        let written: Vec<i16> = (0..120).map(|_| line.next()).collect();
        assert_eq!(written[80..], [0; 40]);
        push(&mut line, 200, Codec::Pcmu, &packet(1, 80, &[4; 80]));
        assert_eq!(line.end(), 160);
        assert_eq!((0..40).map(|_| line.next()).collect::<Vec<_>>(), pcm(&[4; 40]));
    }

    #[test]
    fn every_codec_of_a_leg_lasts_as_long_as_its_packets() {
        for (codec, payload) in [(Codec::Pcma, 160), (Codec::G722, 160), (Codec::G729, 20), (Codec::G729, 12)] {
            for rate in [Rate::Hz8000, Rate::Hz16000] {
                let mut line = Timeline::new(rate);
                push(&mut line, 0, codec, &packet(0, 0, &vec![0x55; payload]));
                assert_eq!(line.end(), 20 * rate.samples_per_ms() as u64, "{codec:?} at {rate:?}");
            }
        }
        let mut line = Timeline::new(Rate::Hz8000);
        push(&mut line, 0, Codec::Opus, &packet(0, 0, &[0; 100]));
        push(&mut line, 0, Codec::G729, &packet(0, 0, &[]));
        push(&mut line, 0, Codec::Pcmu, &packet(1, 0, &[0; 9_000]));
        assert_eq!(line.end(), 8 * MAX_PACKET_MS as u64, "no packet makes memory grow without bound");
    }
}
