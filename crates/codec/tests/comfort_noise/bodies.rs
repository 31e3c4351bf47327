//! What must hold for any octets: driven by property tests here and by the fuzzer.

use tandem_codec::Level;
use tandem_codec::cn::{Description, Generator};
use tandem_codec::g729::bitstream::{Frame, SidParameters};
use tandem_codec::g729::{DecodeJob, Decoder, Encoder, FRAME_SAMPLES, decode_batch};

/// Any octets as comfort noise: refused, or a description that reads back as written and makes noise within bounds.
pub(crate) fn comfort_noise(payload: &[u8]) {
    let Ok(description) = Description::parse(payload) else {
        assert!(payload.first().is_none_or(|level| level & 0x80 != 0));
        return;
    };
    let written = description.payload();
    assert!(written.len() <= payload.len() && written[0] == payload[0]);
    assert_eq!(Description::parse(&written), Ok(description));
    let mut generator = Generator::new(u32::from(payload[0]));
    let mut pcm = [0; 480];
    for _ in 0..4 {
        generator.describe(&description);
        generator.generate(&mut pcm);
    }
    // At −127 dBov there is nothing to be heard in 16 bits, unless a spectrum is so sharp that it rings.
    if written.len() == 1 && written[0] == 127 {
        assert_eq!(pcm, [0; 480]);
    }
}

/// Any octets as comfort noise go through a descriptor of G.729 and come back as loud, with a stable filter; encoder and decoder agree on
/// what the noise is, however it changes.
pub(crate) fn through_descriptors(octets: &[u8]) {
    let (mut encoder, mut decoder) = (Encoder::with_annex_b(), Decoder::new());
    let mut generator = Generator::new(1);
    let mut pcm = [0; FRAME_SAMPLES];
    for payload in octets.chunks(12).take(20) {
        let Ok(noise) = Description::parse(payload) else { continue };
        generator.describe(&noise);
        generator.generate(&mut pcm);
        let Frame::Sid(sid) = encoder.encode_noise(Some(&noise), &pcm) else { panic!("noise is sent as a descriptor") };
        decode(&mut decoder, Frame::Sid(sid), &mut pcm);
        let heard = decoder.comfort_noise();
        assert!(heard.reflection().len() == 10 && heard.reflection().iter().all(|k| k.abs() < 1.0));
        let off = i32::from(heard.minus_dbov) - i32::from(noise.minus_dbov);
        // Half the step of the gain that was taken; the least and the greatest one stand for all that is beyond.
        let tolerated = match SidParameters::from_octets(sid).gain {
            0 => i32::MIN..=4,
            1 => -4..=2,
            2..=5 => -2..=2,
            6 => -2..=1,
            31 => -1..=i32::MAX,
            _ => -1..=1,
        };
        assert!(tolerated.contains(&off), "{payload:?} came back at -{} dBov", heard.minus_dbov);
    }
}

/// Decodes one frame.
pub(crate) fn decode(decoder: &mut Decoder, frame: Frame, pcm: &mut [i16; FRAME_SAMPLES]) {
    let pcm = std::slice::from_mut(pcm);
    decode_batch(Level::detect(), &mut [DecodeJob { state: decoder, frames: &[frame], pcm }]);
}
