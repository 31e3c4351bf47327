//! The pipeline that the media engine and the offline command share.

use tandem_codec::Level;
use tandem_codec::g711::{self, Law};
use tandem_codec::transcode::{Codec, Input, Made, TranscodeError, TranscodeJob, Transcoder, transcode_batch};

/// A speech-like payload: a tone that comes and goes, differently for each call.
fn payloads(codec: Codec, call: usize, packets: usize, ticks: usize) -> Vec<Vec<u8>> {
    let mut to_codec = Transcoder::new(Codec::Pcma, codec);
    let mut phase = 0.0_f64;
    (0..packets)
        .map(|packet| {
            let pcm: Vec<i16> = (0..ticks)
                .map(|i| {
                    phase += 0.1 + 0.03 * call as f64;
                    let swell = ((packet * ticks + i) as f64 / 900.0).sin();
                    (12000.0 * swell * phase.sin()) as i16
                })
                .collect();
            let mut pcma = vec![0; ticks];
            g711::encode(Level::Scalar, Law::A, &pcm, &mut pcma);
            let mut payload = vec![0; codec.octets_of_speech(ticks).expect("whole frames")];
            let made = to_codec.transcode(Level::Scalar, Input::Payload(&pcma), &mut payload).expect("made");
            payload.truncate(made.octets());
            payload
        })
        .collect()
}

#[test]
fn batch_of_any_mixture_at_any_level_equals_one_packet_at_a_time() {
    let pairs: Vec<(Codec, Codec)> =
        Codec::ALL.into_iter().flat_map(|from| Codec::ALL.into_iter().map(move |to| (from, to))).collect();
    for ticks in [80, 160, 240] {
        let streams: Vec<(Codec, Codec, Vec<Vec<u8>>)> = (0..70)
            .map(|call| {
                let (from, to) = pairs[call % pairs.len()];
                (from, to, payloads(from, call, 6, ticks))
            })
            .collect();
        let lost = |call: usize, packet: usize| (call + packet) % 5 == 3;
        let mut expected = Vec::new();
        for (call, (from, to, payloads)) in streams.iter().enumerate() {
            let mut state = Transcoder::new(*from, *to);
            let mut out = Vec::new();
            for (packet, payload) in payloads.iter().enumerate() {
                let input = if lost(call, packet) { Input::Lost { ticks } } else { Input::Payload(payload) };
                let mut output = vec![0; 480];
                let made = state.transcode(Level::Scalar, input, &mut output).expect("made");
                output.truncate(made.octets());
                out.push(output);
            }
            expected.push(out);
        }
        for level in Level::available() {
            let mut states: Vec<Transcoder> = streams.iter().map(|(from, to, _)| Transcoder::new(*from, *to)).collect();
            for packet in 0..6 {
                let mut outputs = vec![[0; 480]; streams.len()];
                let mut jobs: Vec<TranscodeJob<'_>> = states
                    .iter_mut()
                    .zip(&mut outputs)
                    .zip(&streams)
                    .enumerate()
                    .map(|(call, ((state, output), (_, _, payloads)))| {
                        let input =
                            if lost(call, packet) { Input::Lost { ticks } } else { Input::Payload(&payloads[packet]) };
                        TranscodeJob { state, input, output, made: Err(TranscodeError::Room) }
                    })
                    .collect();
                transcode_batch(level, &mut jobs);
                let made: Vec<usize> = jobs.iter().map(|job| job.made.expect("made").octets()).collect();
                for call in 0..streams.len() {
                    let (from, to, _) = &streams[call];
                    assert_eq!(
                        outputs[call][..made[call]],
                        expected[call][packet],
                        "{from:?} to {to:?}, packet {packet} of {ticks} ticks, {level}"
                    );
                }
            }
        }
    }
}

#[test]
fn companding_is_the_table_and_passes_a_loss_on() {
    let mut state = Transcoder::new(Codec::Pcmu, Codec::Pcma);
    let payload: Vec<u8> = (0..=255).collect();
    let mut output = [0; 256];
    assert_eq!(
        state.transcode(Level::detect(), Input::Payload(&payload), &mut output).map(|made| made.octets()),
        Ok(256)
    );
    for (from, to) in payload.iter().zip(output) {
        assert_eq!(to, g711::transcode_octet(Law::Mu, *from));
    }
    assert_eq!(state.transcode(Level::detect(), Input::Lost { ticks: 160 }, &mut output), Ok(Made::default()));
}

#[test]
fn payload_without_room_changes_nothing() {
    let mut state = Transcoder::new(Codec::G722, Codec::Pcma);
    let mut fresh = state;
    let payload = [0x55; 160];
    let mut output = [0; 160];
    assert_eq!(
        state.transcode(Level::detect(), Input::Payload(&payload), &mut output[..159]),
        Err(TranscodeError::Room)
    );
    let made = state.transcode(Level::detect(), Input::Payload(&payload), &mut output);
    let mut expected = [0; 160];
    assert_eq!(made, fresh.transcode(Level::detect(), Input::Payload(&payload), &mut expected));
    assert_eq!(output, expected);
}

#[test]
fn empty_payload_gives_an_empty_payload() {
    for from in Codec::ALL {
        for to in Codec::ALL {
            assert_eq!(
                Transcoder::new(from, to).transcode(Level::detect(), Input::Payload(&[]), &mut []),
                Ok(Made::default())
            );
        }
    }
}

#[test]
fn lost_g711_packet_is_concealed_from_what_came_before() {
    let ticks = 160;
    let packets = payloads(Codec::Pcmu, 3, 8, ticks);
    let mut state = Transcoder::new(Codec::Pcmu, Codec::G722);
    let mut back = Transcoder::new(Codec::G722, Codec::Pcmu);
    let energy = |payload: &[u8]| payload.iter().map(|octet| f64::from(Law::Mu.decode(*octet)).powi(2)).sum::<f64>();
    let (mut before, mut concealed) = (0.0, 0.0);
    for (packet, payload) in packets.iter().enumerate() {
        let input = if packet == 5 { Input::Lost { ticks } } else { Input::Payload(payload) };
        let (mut g722, mut pcmu) = ([0; 160], [0; 160]);
        state.transcode(Level::detect(), input, &mut g722).expect("made");
        back.transcode(Level::detect(), Input::Payload(&g722), &mut pcmu).expect("made");
        match packet {
            4 => before = energy(&pcmu),
            5 => concealed = energy(&pcmu),
            _ => {}
        }
    }
    assert!(concealed > before / 4.0, "the concealed packet has energy {concealed} after one of {before}");
}
