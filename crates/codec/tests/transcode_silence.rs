//! Silence on its way through the pipeline: described, passed on, or made audible.

#![allow(clippy::unwrap_used)]

mod vectors;

use proptest::collection::vec;
use proptest::prelude::*;
use tandem_codec::Level;
use tandem_codec::audio_level::{mean_square, mean_square_of};
use tandem_codec::cn::{Description, Generator};
use tandem_codec::g711::{self, Law};
use tandem_codec::g729::bitstream::{Frame, SerialFrames, split_payload};
use tandem_codec::transcode::{
    Codec, Content, Input, Made, Silence, TranscodeError, TranscodeJob, Transcoder, transcode_batch,
};
use vectors::Vectors;

const SECOND: usize = 50;
const NOISE: [u8; 5] = [50, 70, 150, 110, 130];

/// What is sent, packet by packet: when, what, and its octets.
type Sent = Vec<(usize, Content, Vec<u8>)>;

/// Puts the inputs through; times are ticks from the first.
fn send(state: &mut Transcoder, inputs: &[Input<'_>]) -> Sent {
    let (mut sent, mut now) = (Sent::new(), 0);
    for input in inputs {
        let mut room = [0; 480];
        let made = state.transcode(Level::detect(), *input, &mut room).unwrap();
        sent.extend(made.parts(state.to()).map(|part| (now + part.at, part.content, room[part.octets].to_vec())));
        now += match input {
            Input::Payload(payload) => state.from().ticks_of_payload(payload.len()).unwrap(),
            Input::Lost { ticks } | Input::NotSent { ticks } | Input::Noise { ticks, .. } => *ticks,
        };
    }
    sent
}

/// Payloads of 20 ms of A-law: half a second of a loud buzz, then quiet noise.
fn speech_then_noise(packets: usize) -> Vec<Vec<u8>> {
    let mut generator = Generator::new(5);
    generator.describe(&Description::parse(&NOISE).unwrap());
    (0..packets)
        .map(|packet| {
            let mut pcm = [0; 160];
            generator.generate(&mut pcm);
            if packet < SECOND / 2 {
                for (i, sample) in pcm.iter_mut().enumerate() {
                    *sample += (((packet * 160 + i) % 73) as i16 - 36) * 250;
                }
            }
            let mut octets = vec![0; 160];
            g711::encode(Level::Scalar, Law::A, &pcm, &mut octets);
            octets
        })
        .collect()
}

/// Level in dB of payloads of A-law.
fn loudness(sent: &[(usize, Content, Vec<u8>)]) -> f32 {
    let pcm: Vec<i16> = sent.iter().flat_map(|(_, _, octets)| octets).map(|octet| Law::A.decode(*octet)).collect();
    10.0 * mean_square(&pcm).max(1e-3).log10()
}

#[test]
fn background_noise_leaves_g729_with_annex_b_as_a_few_descriptors() {
    let packets = speech_then_noise(4 * SECOND);
    let inputs: Vec<Input<'_>> = packets.iter().map(|payload| Input::Payload(payload)).collect();
    let mut all = Transcoder::new(Codec::Pcma, Codec::G729);
    assert!(
        send(&mut all, &inputs).iter().all(|(_, content, octets)| (*content, octets.len()) == (Content::Speech, 20))
    );

    let mut state = Transcoder::with_silence(Codec::Pcma, Codec::G729, Silence::Described);
    let sent = send(&mut state, &inputs);
    let ends_in_descriptor = |content: &Content| *content != Content::Speech;
    let descriptors = sent.iter().filter(|(_, content, _)| ends_in_descriptor(content)).count();
    assert!((1..40).contains(&descriptors), "{descriptors} descriptors");
    assert!(sent.len() < 2 * SECOND, "{} packets instead of {}", sent.len(), packets.len());
    for (at, content, octets) in &sent {
        assert!(at % 80 == 0);
        let frames: Vec<Frame> = split_payload(octets).unwrap().collect();
        let (last, speech) = frames.split_last().unwrap();
        assert_eq!(ends_in_descriptor(content), matches!(last, Frame::Sid(_)));
        assert_eq!(*content == Content::Descriptor, frames.len() == 1 && matches!(last, Frame::Sid(_)));
        assert!(speech.iter().all(|frame| matches!(frame, Frame::Speech(_))));
    }
}

#[test]
fn comfort_noise_becomes_a_descriptor_and_a_descriptor_comfort_noise() {
    let packets = speech_then_noise(10);
    let mut inputs: Vec<Input<'_>> = packets.iter().map(|payload| Input::Payload(payload)).collect();
    inputs.push(Input::Noise { payload: &NOISE, ticks: 160 });
    inputs.extend([Input::NotSent { ticks: 160 }; 20]);
    inputs.push(Input::Lost { ticks: 160 });
    let mut there = Transcoder::with_silence(Codec::Pcma, Codec::G729, Silence::Described);
    let sent = send(&mut there, &inputs);
    assert_eq!(sent.len(), 11, "speech and one descriptor");
    let (at, content, descriptor) = &sent[10];
    assert_eq!((*at, *content, descriptor.len()), (1600, Content::Descriptor, 2));

    let mut back = Transcoder::with_silence(Codec::G729, Codec::Pcma, Silence::Described);
    let mut inputs: Vec<Input<'_>> = sent.iter().map(|(_, _, payload)| Input::Payload(payload)).collect();
    inputs.extend([Input::NotSent { ticks: 160 }, Input::Lost { ticks: 160 }]);
    let sent = send(&mut back, &inputs);
    assert_eq!(sent.len(), 11);
    let (at, content, payload) = &sent[10];
    assert_eq!((*at, *content), (1600, Content::Descriptor));
    let (heard, noise) = (Description::parse(payload).unwrap(), Description::parse(&NOISE).unwrap());
    assert!(heard.minus_dbov.abs_diff(noise.minus_dbov) <= 1);
    assert!((heard.reflection()[0] - noise.reflection()[0]).abs() < 0.2);
}

#[test]
fn speech_and_descriptor_of_one_payload_are_two_packets_beside_comfort_noise() {
    let mut encoder = Transcoder::new(Codec::Pcma, Codec::G729);
    let speech = send(&mut encoder, &[Input::Payload(&speech_then_noise(1)[0])]).remove(0).2;
    let payload = [&speech[..], &[0x4a, 0x52]].concat();
    for to in [Codec::Pcmu, Codec::Pcma, Codec::G722] {
        let mut state = Transcoder::with_silence(Codec::G729, to, Silence::Described);
        let sent = send(&mut state, &[Input::Payload(&payload), Input::NotSent { ticks: 80 }]);
        assert_eq!(sent.len(), 2);
        assert_eq!((sent[0].0, sent[0].1, sent[0].2.len()), (0, Content::Speech, 160));
        // A spectrum at 8 kHz says nothing at 16 kHz.
        let octets = if to == Codec::G722 { 1 } else { 11 };
        assert_eq!((sent[1].0, sent[1].1, sent[1].2.len()), (160, Content::Descriptor, octets));
    }
}

#[test]
fn silence_that_the_far_end_does_not_take_is_heard_as_loud_as_it_was_described() {
    let mut descriptor = Transcoder::with_silence(Codec::Pcma, Codec::G729, Silence::Described);
    let sid = send(&mut descriptor, &[Input::Noise { payload: &NOISE, ticks: 80 }]).remove(0).2;
    let described = 10.0 * mean_square_of(NOISE[0]).log10();
    let silence = [Input::NotSent { ticks: 160 }; 3 * SECOND];
    for (from, first) in [
        (Codec::G729, Input::Payload(&sid)),
        (Codec::Pcmu, Input::Noise { payload: &NOISE, ticks: 160 }),
        (Codec::G722, Input::Noise { payload: &NOISE[..1], ticks: 160 }),
    ] {
        let mut state = Transcoder::with_silence(from, Codec::Pcma, Silence::AsSpeech);
        let mut sent = send(&mut state, &[first]);
        sent.extend(send(&mut state, &silence));
        assert!(sent.iter().all(|(_, content, _)| *content == Content::Speech));
        assert_eq!(sent.len(), 1 + silence.len());
        let loud = loudness(&sent[10..]);
        // Half of the band of G.722 is lost on the way to 8 kHz.
        let expected = if from == Codec::G722 { described - 3.0 } else { described };
        assert!((loud - expected).abs() < 2.0, "from {from:?}: {loud} dB instead of {expected} dB");
    }
}

#[test]
fn annex_b_is_taken_out_where_the_far_end_refuses_it_and_passes_where_it_does_not() {
    let Some(serial) = Vectors::open("g729ab").and_then(|vectors| vectors.octets("tstseq3a.bit")) else { return };
    let frames: Vec<Frame> = SerialFrames::new(&serial).map(Result::unwrap).collect();
    let inputs: Vec<Input<'_>> = frames
        .iter()
        .map(|frame| match frame {
            Frame::Speech(octets) => Input::Payload(octets),
            Frame::Sid(octets) => Input::Payload(octets),
            Frame::NotSent => Input::NotSent { ticks: 80 },
            Frame::Erased => Input::Lost { ticks: 80 },
        })
        .collect();
    let mut without = Transcoder::with_silence(Codec::G729, Codec::G729, Silence::AsSpeech);
    let sent = send(&mut without, &inputs);
    assert_eq!(sent.len(), frames.len());
    assert!(sent.iter().all(|(_, content, octets)| (*content, octets.len()) == (Content::Speech, 10)));

    let mut with = Transcoder::with_silence(Codec::G729, Codec::G729, Silence::Described);
    let sent = send(&mut with, &inputs);
    let came: Vec<&[u8]> =
        inputs.iter().filter_map(|i| if let Input::Payload(p) = i { Some(*p) } else { None }).collect();
    assert!(sent.iter().map(|(_, _, octets)| &octets[..]).eq(came));

    // A comfort-noise side hears of each new noise once, and of nothing else.
    let mut other = Transcoder::with_silence(Codec::G729, Codec::Pcmu, Silence::Described);
    let sent = send(&mut other, &inputs);
    let count = |wanted| frames.iter().filter(|frame| matches!(frame, Frame::Sid(_)) == wanted).count();
    assert_eq!(sent.iter().filter(|(_, content, _)| *content == Content::Descriptor).count(), count(true));
}

#[test]
fn a_noise_that_begins_without_its_descriptor_is_described_all_the_same() {
    let mut encoder = Transcoder::new(Codec::Pcma, Codec::G729);
    let speech = send(&mut encoder, &[Input::Payload(&speech_then_noise(1)[0])]).remove(0).2;
    let mut state = Transcoder::with_silence(Codec::G729, Codec::Pcmu, Silence::Described);
    let sent =
        send(&mut state, &[Input::Payload(&speech), Input::NotSent { ticks: 160 }, Input::NotSent { ticks: 80 }]);
    let contents: Vec<(usize, Content)> = sent.iter().map(|(at, content, _)| (*at, *content)).collect();
    assert_eq!(contents, [(0, Content::Speech), (160, Content::Descriptor)]);
}

#[test]
fn comfort_noise_passes_between_the_laws_as_it_is() {
    for (from, to) in [(Codec::Pcmu, Codec::Pcma), (Codec::Pcma, Codec::Pcma), (Codec::G722, Codec::G722)] {
        let mut state = Transcoder::with_silence(from, to, Silence::Described);
        let sent = send(&mut state, &[Input::Noise { payload: &NOISE, ticks: 160 }, Input::NotSent { ticks: 160 }]);
        assert_eq!(sent, [(0, Content::Descriptor, NOISE.to_vec())]);
    }
}

#[test]
fn what_is_no_comfort_noise_is_refused() {
    let refused = |from, payload, ticks| {
        let mut state = Transcoder::with_silence(from, Codec::G722, Silence::Described);
        state.transcode(Level::detect(), Input::Noise { payload, ticks }, &mut [0; 4000]).unwrap_err()
    };
    assert_eq!(refused(Codec::Pcmu, &[], 80), TranscodeError::Noise);
    assert_eq!(refused(Codec::Pcmu, &[0x80], 80), TranscodeError::Noise);
    assert_eq!(refused(Codec::G729, &[50], 80), TranscodeError::Noise);
    assert_eq!(refused(Codec::Pcmu, &[50], 81), TranscodeError::Length);
    assert_eq!(refused(Codec::Pcmu, &[50], 33 * 80), TranscodeError::Length);
}

/// What comes next for a stream, by three octets.
fn input<'a>(from: Codec, dice: (u8, u8, u8), octets: &'a [u8]) -> Input<'a> {
    let ticks = 80 * (1 + usize::from(dice.1 % 4));
    match dice.0 % 8 {
        0 => Input::Lost { ticks },
        1 | 2 => Input::NotSent { ticks },
        3 if from != Codec::G729 => Input::Noise { payload: &octets[..1 + usize::from(dice.2 % 12)], ticks },
        3 => Input::Payload(&octets[..2]),
        4 if from == Codec::G729 => Input::Payload(&octets[..ticks / 8 + 2]),
        _ => Input::Payload(&octets[..from.octets_of_speech(ticks).unwrap()]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_inputs_give_the_same_at_every_level_and_parts_that_are_sound(
        dice in vec(any::<(u8, u8, u8)>(), 4..9),
        mut octets in vec(any::<u8>(), 400),
    ) {
        octets[0] &= 0x7f;
        let pairs: Vec<(Codec, Codec, Silence)> = Codec::ALL
            .into_iter()
            .flat_map(|from| Codec::ALL.map(|to| (from, to)))
            .flat_map(|(from, to)| [Silence::AsSpeech, Silence::Described].map(|silence| (from, to, silence)))
            .collect();
        let mut reference: Option<Vec<(Made, [u8; 480])>> = None;
        for level in Level::available() {
            let mut states: Vec<Transcoder> =
                pairs.iter().map(|(from, to, silence)| Transcoder::with_silence(*from, *to, *silence)).collect();
            let mut results = Vec::new();
            for round in 0..dice.len() {
                let mut outputs = vec![[0; 480]; pairs.len()];
                let mut jobs: Vec<TranscodeJob<'_>> = states
                    .iter_mut()
                    .zip(&mut outputs)
                    .enumerate()
                    .map(|(call, (state, output))| {
                        let input = input(state.from(), dice[(call + round) % dice.len()], &octets);
                        TranscodeJob { state, input, output, made: Err(TranscodeError::Room) }
                    })
                    .collect();
                transcode_batch(level, &mut jobs);
                let made: Vec<Made> = jobs.iter().map(|job| job.made.unwrap()).collect();
                for ((made, output), (_, to, silence)) in made.iter().zip(outputs).zip(&pairs) {
                    let parts: Vec<_> = made.parts(*to).collect();
                    prop_assert_eq!(parts.iter().map(|part| part.octets.len()).sum::<usize>(), made.octets());
                    prop_assert!(parts.iter().all(|part| !part.octets.is_empty()));
                    prop_assert!(*silence == Silence::Described || made.is_speech());
                    results.push((*made, output));
                }
            }
            match &reference {
                Some(reference) => prop_assert!(*reference == results, "{} makes otherwise", level),
                None => reference = Some(results),
            }
        }
    }
}
