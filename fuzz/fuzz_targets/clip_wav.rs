//! Any octets are refused as a clip, or one that is whole: every codec that plays clips has it from its beginning to its end.
#![no_main]

#[path = "../../crates/control/src/clips.rs"]
#[allow(dead_code, reason = "files are opened elsewhere")]
mod clips;

use tandem_contract::Codec;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let Ok(clip) = clips::read(octets) else { return };
    let ms = clip.duration_ms();
    assert!(ms >= 10 && ms % 10 == 0, "{ms} ms");
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::G729] {
        assert!(clip.frames(codec, 0, 10).is_some() && clip.frames(codec, ms - 10, 10).is_some(), "{codec:?}");
    }
});
