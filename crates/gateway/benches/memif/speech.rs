//! Something like speech: two gliding tones and noise, loud and soft by turns, so that no codec finds it silent.

use tandem_codec::Level;
use tandem_codec::g711::{self, Law};
use tandem_codec::transcode::{Codec, Input, Transcoder};

/// Packets until it begins again.
pub(crate) const PACKETS: usize = 64;
/// Octets of a packet of G.711, and samples.
pub(crate) const SAMPLES: usize = 160;

/// The payloads of one endless stream.
pub(crate) fn payloads(codec: Codec) -> Vec<Vec<u8>> {
    let mut noise = 1_u32;
    let samples: Vec<i16> = (0..PACKETS * SAMPLES)
        .map(|n| {
            let t = n as f32 / 8000.0;
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let hiss = (noise >> 16) as f32 / 65_536.0 - 0.5;
            let loudness = 0.3 + 0.7 * (t * 4.0 * std::f32::consts::PI).sin().abs();
            let pitch = 120.0 + 40.0 * (t * 3.0).sin();
            let tone =
                (t * pitch * std::f32::consts::TAU).sin() + 0.4 * (t * 7.0 * pitch * std::f32::consts::TAU).sin();
            (6000.0 * loudness * (tone + 0.2 * hiss)) as i16
        })
        .collect();
    let level = Level::detect();
    let mut transcoder = Transcoder::new(Codec::Pcmu, codec);
    let packet = |pcm: &[i16]| {
        let mut mu = vec![0; SAMPLES];
        g711::encode(level, Law::Mu, pcm, &mut mu);
        if codec == Codec::Pcmu {
            return mu;
        }
        let mut made = vec![0; SAMPLES];
        let octets = transcoder.transcode(level, Input::Payload(&mu), &mut made).expect("20 ms").octets();
        made.truncate(octets);
        made
    };
    samples.chunks(SAMPLES).map(packet).collect()
}
