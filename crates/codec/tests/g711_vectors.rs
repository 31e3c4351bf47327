//! G.711 against the ITU-T sweep: all 65 536 samples, at every level.

mod vectors;

use tandem_codec::Level;
use tandem_codec::g711::concealment::{Concealment, DELAY, FRAME};
use tandem_codec::g711::{Law, decode, encode};
use vectors::{Vectors, first_difference};

#[test]
fn every_sample_and_every_code_is_exact_at_every_level() {
    let Some(vectors) = Vectors::open("g711/STL_sweep") else { return };
    let source = vectors.words("sweep.src").expect("sweep.src");
    let files =
        [(Law::A, "sweep-r.a", ["sweep-r.a-a", "sweep-r.rea"]), (Law::Mu, "sweep-r.u", ["sweep-r.u-u", "sweep-r.reu"])];
    for level in Level::available() {
        for (law, companded, decoded) in files {
            let mut octets = vec![0; source.len()];
            encode(level, law, &source, &mut octets);
            let words: Vec<i16> = octets.iter().map(|octet| i16::from(*octet)).collect();
            let expected = vectors.words(companded).expect(companded);
            assert_eq!(first_difference(&words, &expected), None, "{companded}, {level}");
            let mut pcm = vec![0; octets.len()];
            decode(level, law, &octets, &mut pcm);
            for name in decoded {
                if let Some(expected) = vectors.words(name) {
                    assert_eq!(first_difference(&pcm, &expected), None, "{name}, {level}");
                }
            }
        }
    }
}

#[test]
fn lost_frames_are_concealed_exactly() {
    let Some(vectors) = Vectors::open("g711/AppI_PLC") else { return };
    let pcm = vectors.words("f2.le").expect("f2.le");
    for (mask, concealed, muted) in
        [("fe10.g192", "f2_10.raw", "f2_10m.raw"), ("fe10_2.g192", "f2_10_2.raw", "f2_10_2m.raw")]
    {
        let Some(mask) = vectors.words(mask) else { continue };
        let frames: Vec<bool> = mask.iter().map(|word| *word == 0x6b20).collect();
        for (file, conceals) in [(concealed, true), (muted, false)] {
            let Some(expected) = vectors.words(file) else { continue };
            let mut state = Concealment::new();
            let mut out = Vec::new();
            for (frame, lost) in pcm.chunks_exact(FRAME).zip(frames.iter().cycle()) {
                let mut frame: [i16; FRAME] = frame.try_into().expect("80 samples");
                match (*lost, conceals) {
                    (true, true) => state.conceal(&mut frame),
                    (true, false) => {
                        frame.fill(0);
                        state.receive(&mut frame);
                    }
                    (false, _) => state.receive(&mut frame),
                }
                out.extend(frame);
            }
            let mut end = [0; FRAME];
            state.receive(&mut end);
            out.extend(&end[..DELAY]);
            assert_eq!(first_difference(&out[DELAY..], &expected), None, "{file}");
        }
    }
}
