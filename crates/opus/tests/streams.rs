//! Streams through libopus and back.

use tandem_opus::{
    DecodeError, Decoder, EncodeError, Encoder, EncoderOptions, MAX_PACKET_OCTETS, SampleRate, TICKS_PER_PACKET,
    ticks_of_packet,
};

const RATES: [SampleRate; 3] = [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz48000];

/// A tone of 400 Hz.
fn tone(rate: SampleRate, packets: usize) -> Vec<i16> {
    let step = 2.0 * std::f64::consts::PI * 400.0 / f64::from(rate.hz());
    (0..packets * rate.samples_per_packet()).map(|i| (9000.0 * (step * i as f64).sin()) as i16).collect()
}

fn packets(options: EncoderOptions, count: usize) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(options).expect("encoder");
    tone(options.rate, count)
        .chunks(options.rate.samples_per_packet())
        .map(|pcm| {
            let mut packet = [0; MAX_PACKET_OCTETS];
            let octets = encoder.encode(pcm, &mut packet).expect("encoded");
            packet[..octets].to_vec()
        })
        .collect()
}

fn energy(pcm: &[i16]) -> f64 {
    pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / pcm.len() as f64
}

#[test]
fn packets_are_20_ms_of_the_48_khz_clock_at_any_rate() {
    for rate in RATES {
        for packet in packets(EncoderOptions { rate, ..EncoderOptions::default() }, 5) {
            assert_eq!(ticks_of_packet(&packet), Some(TICKS_PER_PACKET));
        }
    }
    assert_eq!(ticks_of_packet(&[]), None);
}

#[test]
fn tone_comes_back_with_its_energy() {
    for rate in RATES {
        let mut decoder = Decoder::new(rate).expect("decoder");
        let mut pcm = vec![0; rate.samples_per_packet()];
        let mut last = 0.0;
        for packet in packets(EncoderOptions { rate, ..EncoderOptions::default() }, 20) {
            assert_eq!(decoder.decode(&packet, &mut pcm), Ok(rate.samples_per_packet()));
            last = energy(&pcm);
        }
        let expected = energy(&tone(rate, 20));
        assert!((0.7..1.4).contains(&(last / expected)), "{rate:?}: {last} of {expected}");
    }
}

#[test]
fn loss_is_concealed_and_with_fec_recovered_from_the_next_packet() {
    let rate = SampleRate::Hz16000;
    let stream = packets(EncoderOptions { rate, expected_loss_percent: 20, ..EncoderOptions::default() }, 30);
    let mut pcm = vec![0; rate.samples_per_packet()];
    let mut heard = [0.0; 2];
    for (recovers, heard) in [false, true].into_iter().zip(&mut heard) {
        let mut decoder = Decoder::new(rate).expect("decoder");
        for (i, packet) in stream.iter().enumerate() {
            if i != 20 {
                decoder.decode(packet, &mut pcm).expect("decoded");
                continue;
            }
            let count = if recovers { decoder.recover(&stream[21], &mut pcm) } else { decoder.conceal(&mut pcm) };
            assert_eq!(count, Ok(rate.samples_per_packet()));
            *heard = energy(&pcm);
        }
    }
    let expected = energy(&tone(rate, 1));
    assert!(heard.iter().all(|heard| heard / expected > 0.2), "{heard:?} of {expected}");
}

#[test]
fn wrong_lengths_and_what_is_no_packet_are_told() {
    let mut encoder = Encoder::new(EncoderOptions::default()).expect("encoder");
    assert_eq!(
        encoder.encode(&[0; 160], &mut [0; MAX_PACKET_OCTETS]),
        Err(EncodeError::Length { expected: 320, given: 160 })
    );
    let mut decoder = Decoder::new(SampleRate::Hz16000).expect("decoder");
    let mut pcm = [0; 320];
    assert!(matches!(decoder.decode(&[], &mut pcm), Err(DecodeError::Packet(_))));
    // Code 3 with a frame count of 0 (RFC 6716 section 3.2.5).
    assert!(matches!(decoder.decode(&[0x0b, 0x00], &mut pcm), Err(DecodeError::Packet(_))));
    assert!(matches!(decoder.conceal(&mut pcm[..100]), Err(DecodeError::Packet(_))));
}
