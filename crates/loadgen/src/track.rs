//! What is sent on a leg and what has to come out of the other one: by direction, kind of call and place in the
//! recording, never by call.

use std::collections::HashMap;
use std::sync::Arc;

use tandem_codec::Level;
use tandem_codec::g711::Law;
use tandem_codec::transcode::{Codec, Input, TranscodeJob, Transcoder, transcode_batch};

use crate::clips::{FRAMES, Loop};
use crate::{LegSpeech, LoadSpec, SpeechCodec};

/// Places in the recording at which speakers begin. As many as the widest vector has lanes: they are transcoded together.
const PLACES: usize = 16;
/// Packets at the beginning of a stream that are told apart by what is in them.
pub(crate) const TOLD_APART: u32 = 4;
/// Octets that any payload fits in.
const ROOM: usize = 480;

/// One direction of those calls that begin at one place of the recording.
pub(crate) struct Track {
    spoken: Arc<Loop>,
    first_frame: u32,
    frames: u32,
    pub(crate) payload_type: u8,
    pub(crate) payload_len: u16,
    /// Milliseconds of a packet that is sent, and of one that comes out.
    pub(crate) ptime_ms: [u8; 2],
    pub(crate) expected_type: u8,
    pub(crate) expected_len: u16,
    expected: Expected,
}

enum Expected {
    /// The octets of a loop, from the frame at which the speaker began.
    Loop(Arc<Loop>),
    /// A sum of each packet's octets: what codecs with a memory make of a loop never repeats.
    Sums(Box<[u64]>),
    /// What the gateway makes of a stream with holes depends on when it notices them.
    Unknown,
}

/// Whether a payload is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audio {
    Right,
    Wrong,
    Unchecked,
}

impl Track {
    /// The payload of the `n`th packet.
    #[inline]
    pub(crate) fn payload(&self, n: u32) -> &[u8] {
        self.spoken.frames(self.first_frame + (n % FRAMES as u32) * self.frames, self.frames)
    }

    /// Holds a payload against that of the `n`th packet that has to come out.
    #[inline]
    pub(crate) fn check(&self, n: u32, payload: &[u8]) -> Audio {
        let is_right = match &self.expected {
            Expected::Unknown => return Audio::Unchecked,
            Expected::Loop(expected) => {
                let frames = u32::from(self.ptime_ms[1] / 10);
                payload == expected.frames(self.first_frame + (n % FRAMES as u32) * frames, frames)
            }
            Expected::Sums(sums) => match sums.get(n as usize) {
                Some(sum) => payload.len() == usize::from(self.expected_len) && sum_of(payload) == *sum,
                None => return Audio::Unchecked,
            },
        };
        if is_right { Audio::Right } else { Audio::Wrong }
    }

    /// Packets that have come out whole once the first `n` are in.
    #[inline]
    pub(crate) fn out_of(&self, n: u32) -> u32 {
        let [sent, out] = self.ptime_ms;
        if sent == out { n } else { (u64::from(n) * u64::from(sent) / u64::from(out)) as u32 }
    }

    /// The packet that makes the `n`th one whole that comes out.
    #[inline]
    pub(crate) fn completed_by(&self, n: u32) -> u32 {
        let [sent, out] = self.ptime_ms;
        if sent == out { n } else { (((u64::from(n) + 1) * u64::from(out) - 1) / u64::from(sent)) as u32 }
    }
}

/// A sum that differs where octets do, but for one in 2^64 cases. Four at a time, so that multiplications overlap.
fn sum_of(octets: &[u8]) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut sums = [octets.len() as u64, 1, 2, 3];
    let (blocks, rest) = octets.as_chunks::<32>();
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = (*sum ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME).rotate_left(29);
        }
    }
    for octet in rest {
        sums[0] = (sums[0] ^ u64::from(*octet)).wrapping_mul(PRIME).rotate_left(29);
    }
    sums.into_iter().fold(0, |all, sum| (all ^ sum).wrapping_mul(PRIME).rotate_left(31))
}

/// All tracks of a mix.
pub(crate) struct Tracks {
    pub(crate) tracks: Vec<Track>,
}

impl Tracks {
    /// Makes what is sent and what is expected for a whole run.
    pub(crate) fn new(level: Level, spec: &LoadSpec) -> Self {
        let mut loops: HashMap<(usize, SpeechCodec), Arc<Loop>> = HashMap::new();
        let mut tracks = Vec::new();
        for kind in spec.mix.kinds() {
            for speaker in [0, 1] {
                let [from, to] = [kind.legs[speaker], kind.legs[1 - speaker]];
                let spoken = loops
                    .entry((speaker, from.codec))
                    .or_insert_with(|| Arc::new(Loop::recorded(level, speaker, from.codec)))
                    .clone();
                tracks.extend(direction(level, spec, &spoken, from, to));
            }
        }
        Self { tracks }
    }

    /// The track of what leg `side` of a call sends. Neighbours of a kind begin at different places.
    pub(crate) fn of(kind: usize, side: usize, call: u32) -> u16 {
        ((2 * kind + side) * PLACES + call as usize % PLACES) as u16
    }
}

/// The tracks of one direction of a kind of calls.
fn direction(level: Level, spec: &LoadSpec, spoken: &Arc<Loop>, from: LegSpeech, to: LegSpeech) -> Vec<Track> {
    let law = match (from.codec, to.codec) {
        (SpeechCodec::Pcmu, SpeechCodec::Pcma) => Some(Law::Mu),
        (SpeechCodec::Pcma, SpeechCodec::Pcmu) => Some(Law::A),
        _ => None,
    };
    let same = (from.codec == to.codec).then(|| spoken.clone());
    let repeats = same.or_else(|| Some(Arc::new(spoken.in_other_law(law?, to.codec))));
    // As far apart as can be, moved by the seed, and in the middle of speech: a first packet is told from the next ones.
    let told_apart = TOLD_APART * u32::from(from.ptime_ms.max(to.ptime_ms) / 10);
    let heard = repeats.as_ref().unwrap_or(spoken);
    let speaks =
        |place: &u32| (0..told_apart).all(|frame| heard.frames(place + frame, 1) != heard.frames(place + frame + 1, 1));
    let place = |place: usize| {
        let first = ((place * FRAMES / PLACES) as u64 + spec.seed % FRAMES as u64) as u32;
        (first..first + FRAMES as u32).find(speaks).unwrap_or(first)
    };
    let places: Vec<u32> = (0..PLACES).map(place).collect();
    let expected: Vec<Expected> = match repeats {
        Some(repeats) => places.iter().map(|_| Expected::Loop(repeats.clone())).collect(),
        None if keeps_every_packet(spec, from) => {
            sums(level, spec, spoken, &places, from, to).into_iter().map(Expected::Sums).collect()
        }
        None => places.iter().map(|_| Expected::Unknown).collect(),
    };
    let track = |(first_frame, expected)| Track {
        spoken: spoken.clone(),
        first_frame,
        frames: u32::from(from.ptime_ms / 10),
        payload_type: from.codec.payload_type(),
        payload_len: from.codec.octets(from.ptime_ms) as u16,
        ptime_ms: [from.ptime_ms, to.ptime_ms],
        expected_type: to.codec.payload_type(),
        expected_len: to.codec.octets(to.ptime_ms) as u16,
        expected,
    };
    places.into_iter().zip(expected).map(track).collect()
}

/// Whether every packet of a stream leaves, and none overtakes another.
fn keeps_every_packet(spec: &LoadSpec, sent: LegSpeech) -> bool {
    let impairments = &spec.impairments;
    impairments.loss_percent == 0.0 && impairments.silence_percent == 0 && impairments.jitter_ms < sent.ptime_ms
}

/// What comes of each place's speech, packet by packet, for as long as the run lasts.
fn sums(
    level: Level,
    spec: &LoadSpec,
    spoken: &Loop,
    places: &[u32],
    from: LegSpeech,
    to: LegSpeech,
) -> Vec<Box<[u64]>> {
    let mut states: Vec<Transcoder> =
        places.iter().map(|_| Transcoder::new(codec(from.codec), codec(to.codec))).collect();
    let run_ms = u64::from(spec.warm_up_ms) + 1_000 * u64::from(spec.seconds);
    // A little more than is sent: the last round of packets may be a part of one.
    let packets = run_ms / u64::from(from.ptime_ms) + 8;
    let frames = u32::from(from.ptime_ms / 10);
    let len = to.codec.octets(to.ptime_ms);
    let mut sums: Vec<Vec<u64>> = places.iter().map(|_| Vec::with_capacity(packets as usize)).collect();
    let mut waiting: Vec<Vec<u8>> = places.iter().map(|_| Vec::with_capacity(2 * ROOM)).collect();
    let mut rooms = vec![[0; ROOM]; places.len()];
    for n in 0..packets {
        let first = (n % FRAMES as u64) as u32 * frames;
        let mut jobs: Vec<TranscodeJob<'_>> = states
            .iter_mut()
            .zip(&mut rooms)
            .zip(places)
            .map(|((state, room), place)| TranscodeJob {
                state,
                input: Input::Payload(spoken.frames(place + first, frames)),
                output: room,
                made: Ok(Default::default()),
            })
            .collect();
        transcode_batch(level, &mut jobs);
        let made: Vec<usize> = jobs.into_iter().map(|job| job.made.map_or(0, |made| made.octets())).collect();
        for (((octets, room), waiting), sums) in made.into_iter().zip(&rooms).zip(&mut waiting).zip(&mut sums) {
            waiting.extend_from_slice(&room[..octets]);
            while waiting.len() >= len {
                sums.push(sum_of(&waiting[..len]));
                waiting.drain(..len);
            }
        }
    }
    sums.into_iter().map(Vec::into_boxed_slice).collect()
}

const fn codec(codec: SpeechCodec) -> Codec {
    match codec {
        SpeechCodec::Pcmu => Codec::Pcmu,
        SpeechCodec::Pcma => Codec::Pcma,
        SpeechCodec::G722 => Codec::G722,
        SpeechCodec::G729 => Codec::G729,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tracks(mix: &str) -> Vec<Track> {
        Tracks::new(Level::detect(), &LoadSpec { warm_up_ms: 0, ..LoadSpec::new(mix.parse().unwrap(), 1, 15) }).tracks
    }

    /// What one call's own transcoder makes of a track, cut into packets.
    fn transcoded(track: &Track, from: Codec, to: Codec, packets: u32) -> Vec<Vec<u8>> {
        let mut state = Transcoder::new(from, to);
        let (mut room, mut made) = ([0; ROOM], Vec::new());
        for n in 0..packets {
            let octets = state.transcode(Level::Scalar, Input::Payload(track.payload(n)), &mut room).unwrap().octets();
            made.extend_from_slice(&room[..octets]);
        }
        made.chunks_exact(track.expected_len.into()).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn each_direction_expects_what_a_transcoder_of_its_own_makes_of_it_even_when_the_recording_begins_anew() {
        for (mix, codecs) in [
            ("pcmu-g722", [Codec::Pcmu, Codec::G722]),
            ("pcma-pcmu@40", [Codec::Pcma, Codec::Pcmu]),
            ("g729@30-pcma", [Codec::G729, Codec::Pcma]),
            ("g722-g722@10", [Codec::G722, Codec::G722]),
        ] {
            let tracks = tracks(mix);
            for side in [0, 1] {
                let track = &tracks[usize::from(Tracks::of(0, side, 5))];
                let [from, to] = [codecs[side], codecs[1 - side]];
                let packets = 13_000 / u32::from(track.ptime_ms[0]);
                let made = transcoded(track, from, to, packets);
                assert_eq!(made.len(), track.out_of(packets) as usize, "{mix} {side}");
                for (payload, n) in made.iter().zip(0..) {
                    assert_eq!(track.check(n, payload), Audio::Right, "{mix} {side}: packet {n}");
                }
                let mut damaged = made[7].clone();
                damaged[3] ^= 1;
                assert_eq!(track.check(7, &damaged), Audio::Wrong);
                assert_eq!(track.check(8, &made[7]), Audio::Wrong);
            }
        }
    }

    #[test]
    fn a_packet_is_whole_when_its_last_speech_is_in() {
        let all = tracks("pcmu@30-pcma@20");
        let track = &all[usize::from(Tracks::of(0, 0, 0))];
        assert_eq!([0, 1, 2, 3].map(|n| track.out_of(n)), [0, 1, 3, 4]);
        assert_eq!([0, 1, 2, 3].map(|n| track.completed_by(n)), [0, 1, 1, 2]);
    }

    #[test]
    fn nothing_is_expected_of_codecs_with_a_memory_when_packets_are_withheld() {
        let mut spec = LoadSpec::new("pcmu-g729".parse().unwrap(), 1, 1);
        spec.impairments.loss_percent = 1.0;
        let tracks = Tracks::new(Level::detect(), &spec).tracks;
        assert_eq!(tracks[0].check(0, &[0; 20]), Audio::Unchecked);
    }
}
