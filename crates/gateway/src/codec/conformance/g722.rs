//! G.722: the digital sequences of Appendix II, the speech of the Software Tool Library, the concealment of Appendix IV.

use tandem_codec::g722::conformance::{decode_sub_bands, encode_sub_bands};
use tandem_codec::g722::{
    ConcealingDecoder, ConcealingJob, DecodeJob, Decoder, EncodeJob, Encoder, Mode, decode_batch,
    decode_or_conceal_batch, encode_batch,
};

use super::folder::Folder;
use super::{Report, Work, calls, in_turns};
use crate::codec::error::CodecError;

/// Octets of 20 ms.
const PACKET: usize = 160;

pub(super) fn compare(folder: &Folder, report: &mut Report) -> Result<(), CodecError> {
    compare_sub_bands(folder, report)?;
    compare_speech(folder, report)?;
    compare_concealment(folder, report)
}

fn compare_sub_bands(folder: &Folder, report: &mut Report) -> Result<(), CodecError> {
    let work =
        |name: &str, operation| folder.path(name).map(|file| Work { file, operation, unit: "sample", per_frame: 1 });
    for (input, expected) in [("bt1c1.xmt", "bt2r1.cod"), ("bt1c2.xmt", "bt2r2.cod")] {
        let (Some((input, expected)), Some(work)) =
            (folder.pair(input, expected)?, work(expected, "G.722 sub-band encode"))
        else {
            continue;
        };
        let mut codes = vec![0; input.len()];
        encode_sub_bands(report.level, &input, &mut codes);
        report.compare(&work, &codes, &expected);
    }
    for (codes, low_name, high_name) in
        [("bt2r1.cod", "bt3l1", "bt3h1"), ("bt2r2.cod", "bt3l2", "bt3h2"), ("bt1d3.cod", "bt3l3", "bt3h3")]
    {
        let Some(codes) = folder.words(codes)? else { continue };
        for mode in Mode::ALL {
            let (mut low, mut high) = (vec![0; codes.len()], vec![0; codes.len()]);
            decode_sub_bands(report.level, mode, &codes, &mut low, &mut high);
            let name = format!("{low_name}.rc{}", mode as u16 + 1);
            if let (Some(expected), Some(work)) = (folder.words(&name)?, work(&name, operation(mode))) {
                report.compare(&work, &low, &expected);
            }
            let name = format!("{high_name}.rc0");
            if let (Some(expected), Some(work)) = (folder.words(&name)?, work(&name, operation(mode))) {
                report.compare(&work, &high, &expected);
            }
        }
    }
    Ok(())
}

const fn operation(mode: Mode) -> &'static str {
    match mode {
        Mode::Kbit64 => "G.722 sub-band decode 64",
        Mode::Kbit56 => "G.722 sub-band decode 56",
        Mode::Kbit48 => "G.722 sub-band decode 48",
    }
}

fn compare_speech(folder: &Folder, report: &mut Report) -> Result<(), CodecError> {
    let Some(words) = folder.words("codspw.cod")? else { return Ok(()) };
    let octets: Vec<u8> = words.iter().map(|word| *word as u8).collect();
    let packets = octets.len() / PACKET;
    let octets = &octets[..packets * PACKET];
    let calls = calls(report.level);

    if let (Some(pcm), Some(file)) = (folder.words("inpsp.bin")?, folder.path("codspw.cod")) {
        let mut states = vec![Encoder::default(); calls];
        let mut made = vec![Vec::new(); calls];
        in_turns(calls, packets.min(pcm.len() / (2 * PACKET)), |due| {
            let mut room = vec![[0; PACKET]; calls];
            let mut jobs: Vec<EncodeJob<'_>> = Vec::new();
            for (call, (state, octets)) in states.iter_mut().zip(&mut room).enumerate() {
                let Some((_, packet)) = due.iter().find(|(due, _)| *due == call) else { continue };
                jobs.push(EncodeJob { state, pcm: &pcm[2 * PACKET * packet..][..2 * PACKET], octets });
            }
            encode_batch(report.level, &mut jobs);
            due.iter().for_each(|(call, _)| made[*call].extend(room[*call]));
            Ok::<_, CodecError>(())
        })?;
        let work = Work { file, operation: "G.722 encode", unit: "octet", per_frame: PACKET };
        report.compare_calls(&work, &made, octets);
        // The same octets in 16-bit words, the earlier one in the high half.
        if let (Some(mut packed), Some(file)) = (folder.octets("codsp.cod")?, folder.path("codsp.cod")) {
            packed.truncate(octets.len());
            packed.as_chunks_mut::<2>().0.iter_mut().for_each(|word| word.swap(0, 1));
            report.compare_calls(&Work { file, ..work }, &made, &packed);
        }
    }

    // The modes side by side in one vector: call `c` has mode `c % 3`.
    let mut states: Vec<Decoder> = (0..calls.max(3)).map(|call| Decoder::new(Mode::ALL[call % 3])).collect();
    let mut made = vec![Vec::new(); states.len()];
    in_turns(states.len(), packets, |due| {
        let mut room = vec![[0; 2 * PACKET]; states.len()];
        let mut jobs: Vec<DecodeJob<'_>> = Vec::new();
        for (call, (state, pcm)) in states.iter_mut().zip(&mut room).enumerate() {
            let Some((_, packet)) = due.iter().find(|(due, _)| *due == call) else { continue };
            jobs.push(DecodeJob { state, octets: &octets[PACKET * packet..][..PACKET], pcm });
        }
        decode_batch(report.level, &mut jobs);
        due.iter().for_each(|(call, _)| made[*call].extend(room[*call]));
        Ok::<_, CodecError>(())
    })?;
    for mode in Mode::ALL {
        let name = format!("outsp{}.bin", mode as u16 + 1);
        let (Some(mut expected), Some(file)) = (folder.words(&name)?, folder.path(&name)) else { continue };
        expected.truncate(2 * octets.len());
        let calls: Vec<&Vec<i16>> = made.iter().skip(mode as usize).step_by(3).collect();
        let operation = ["G.722 decode 64", "G.722 decode 56", "G.722 decode 48"][mode as usize];
        let work = Work { file, operation, unit: "sample", per_frame: 2 * PACKET };
        report.compare_calls(&work, &calls, &expected);
    }
    Ok(())
}

fn compare_concealment(folder: &Folder, report: &mut Report) -> Result<(), CodecError> {
    let (Some((words, expected)), Some(file)) = (folder.pair("test10.bst", "test10.out")?, folder.path("test10.out"))
    else {
        return Ok(());
    };
    let frames = frames_of_bit_planes(&words);
    let calls = calls(report.level);
    let mut states = vec![ConcealingDecoder::new(Mode::Kbit64); calls];
    let mut made = vec![Vec::new(); calls];
    in_turns(calls, frames.len(), |due| {
        let mut room = vec![[0; 2 * FRAME]; calls];
        let mut jobs: Vec<ConcealingJob<'_>> = Vec::new();
        for (call, (state, pcm)) in states.iter_mut().zip(&mut room).enumerate() {
            let Some((_, frame)) = due.iter().find(|(due, _)| *due == call) else { continue };
            jobs.push(ConcealingJob { state, octets: frames[*frame].as_ref().map(|octets| &octets[..]), pcm });
        }
        decode_or_conceal_batch(report.level, &mut jobs);
        due.iter().for_each(|(call, _)| made[*call].extend(room[*call]));
        Ok::<_, CodecError>(())
    })?;
    let work = Work { file, operation: "G.722 Appendix IV", unit: "sample", per_frame: 2 * FRAME };
    report.compare_calls(&work, &made, &expected);
    Ok(())
}

/// Octets of 10 ms.
const FRAME: usize = 80;

/// The frames of a G.192 file that carries their octets as bit planes: bit 2 of all octets first, up to bit 7, then bits 1 and 0. `None` is lost.
fn frames_of_bit_planes(words: &[i16]) -> Vec<Option<[u8; FRAME]>> {
    let mut frames = Vec::new();
    let mut rest = words;
    while let [sync, count, following @ ..] = rest {
        let count = (*count as u16 as usize).min(following.len());
        let (bits, next) = following.split_at(count);
        let received = *sync == 0x6b21 && count == 8 * FRAME;
        frames.push(received.then(|| {
            let mut octets = [0; FRAME];
            for (bits, bit) in bits.chunks(FRAME).zip([2, 3, 4, 5, 6, 7, 1, 0]) {
                for (octet, word) in octets.iter_mut().zip(bits) {
                    *octet |= u8::from(word & 0x80 != 0) << bit;
                }
            }
            octets
        }));
        rest = next;
    }
    frames
}
