//! G.711 against the ITU-T sweep: all 65 536 samples, at every level.

mod vectors;

use tandem_codec::Level;
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
