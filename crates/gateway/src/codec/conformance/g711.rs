//! G.711: the sweep of the Software Tool Library, and the concealment of Appendix I.

use tandem_codec::g711::concealment::{Concealment, DELAY, FRAME};
use tandem_codec::g711::{self, Law};

use super::folder::Folder;
use super::{Report, Work};
use crate::codec::error::CodecError;

pub(super) fn compare(folder: &Folder, report: &mut Report) -> Result<(), CodecError> {
    for (law, encode, decode, suffix) in [
        (Law::Mu, "G.711 µ-law encode", "G.711 µ-law decode", 'u'),
        (Law::A, "G.711 A-law encode", "G.711 A-law decode", 'a'),
    ] {
        let coded = format!("sweep-r.{suffix}");
        let work = |name: &str, operation| {
            folder.path(name).map(|file| Work { file, operation, unit: "sample", per_frame: 1 })
        };
        if let (Some((pcm, expected)), Some(work)) = (folder.pair("sweep.src", &coded)?, work(&coded, encode)) {
            let mut octets = vec![0; pcm.len()];
            g711::encode(report.level, law, &pcm, &mut octets);
            let words: Vec<i16> = octets.iter().map(|octet| i16::from(*octet)).collect();
            report.compare(&work, &words, &expected);
        }
        for decoded in [format!("sweep-r.{suffix}-{suffix}"), format!("sweep-r.re{suffix}")] {
            if let (Some((words, expected)), Some(work)) = (folder.pair(&coded, &decoded)?, work(&decoded, decode)) {
                let octets: Vec<u8> = words.iter().map(|word| *word as u8).collect();
                let mut pcm = vec![0; octets.len()];
                g711::decode(report.level, law, &octets, &mut pcm);
                report.compare(&work, &pcm, &expected);
            }
        }
    }
    for (mask, concealed, muted) in [("fe10", "f2_10", "f2_10m"), ("fe10_2", "f2_10_2", "f2_10_2m")] {
        let Some((pcm, mask)) = folder.pair("f2.le", &format!("{mask}.g192"))? else { continue };
        for (name, conceals) in [(concealed, true), (muted, false)] {
            let name = format!("{name}.raw");
            let (Some(expected), Some(file)) = (folder.words(&name)?, folder.path(&name)) else { continue };
            let work = Work { file, operation: "G.711 Appendix I", unit: "sample", per_frame: FRAME };
            report.compare(&work, &conceal(&pcm, &mask, conceals), &expected);
        }
    }
    Ok(())
}

fn conceal(pcm: &[i16], mask: &[i16], conceals: bool) -> Vec<i16> {
    let mut state = Concealment::new();
    let mut out = Vec::new();
    for (frame, word) in pcm.chunks_exact(FRAME).zip(mask.iter().cycle()) {
        let start = out.len();
        out.extend(frame);
        match (*word == 0x6b20, conceals) {
            (true, true) => state.conceal(&mut out[start..]),
            (true, false) => {
                out[start..].fill(0);
                state.receive(&mut out[start..]);
            }
            (false, _) => state.receive(&mut out[start..]),
        }
    }
    let mut rest = [0; FRAME];
    state.receive(&mut rest);
    out.extend(&rest[..DELAY]);
    out.drain(..DELAY);
    out
}
