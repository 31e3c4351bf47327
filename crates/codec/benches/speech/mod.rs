//! Real speech for the benches: the project's own recordings, both sides of a conversation.

use std::path::Path;

use tandem_codec::Level;
use tandem_codec::g729::FRAME_SAMPLES;
use tandem_codec::resample::{Rate, Resampler};

/// Both recordings one after the other at 16 kHz.
#[allow(dead_code, reason = "wanted by the benches of wide-band codecs")]
pub(crate) fn at_16_khz() -> Vec<i16> {
    recordings().into_iter().flatten().collect()
}

/// Both recordings one after the other at 8 kHz, in frames of 10 ms.
#[allow(dead_code, reason = "wanted by the benches of narrow-band codecs")]
pub(crate) fn frames_at_8_khz() -> Vec<[i16; FRAME_SAMPLES]> {
    let mut narrow = Vec::new();
    for wide in recordings() {
        let mut half = vec![0; wide.len() / 2];
        let length = Resampler::new(Rate::Hz16000, Rate::Hz8000).process(Level::detect(), &wide, &mut half);
        narrow.extend_from_slice(half[..length].as_chunks().0);
    }
    narrow
}

/// The recordings at 16 kHz.
fn recordings() -> [Vec<i16>; 2] {
    ["caller.wav", "callee.wav"].map(|name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/speech").join(name);
        let octets = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // A RIFF file of these recordings is a header of 44 octets and samples.
        octets[44..].as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect()
    })
}
