//! G.729: the vectors of Annex A and of Annex A with Annex B.

use tandem_codec::g729::bitstream::{Frame, SERIAL_FRAME_OCTETS, SerialFrames, write_serial};
use tandem_codec::g729::{DecodeJob, Decoder, EncodeJob, FRAME_SAMPLES, decode_batch, encode_batch};

use super::folder::Folder;
use super::{Report, Work, calls, in_turns};
use crate::codec::coder::g729_encoder;
use crate::codec::error::CodecError;

/// Frames of a packet: 20 ms.
const PACKET: usize = 2;

pub(super) fn compare(folder: &Folder, report: &mut Report) -> Result<(), CodecError> {
    for (name, _) in folder.names() {
        let Some((stem, ending)) = name.rsplit_once('.') else { continue };
        match ending {
            "in" => compare_encoder(folder, report, name, &format!("{stem}.bit"), false)?,
            // The files of Annex B beside Annex A end in `a`, those beside the main body do not.
            "bin" if stem.starts_with("tstseq") => {
                compare_encoder(folder, report, name, &format!("{stem}a.bit"), true)?
            }
            "pst" => compare_decoder(folder, report, &format!("{stem}.bit"), name)?,
            "out" => {
                let input = match stem.strip_suffix('a').filter(|stem| stem.starts_with("tstseq")) {
                    Some(main) if folder.path(&format!("{stem}.bit")).is_none() => format!("{main}.bit"),
                    None if stem.starts_with("tstseq") => continue,
                    _ => format!("{stem}.bit"),
                };
                compare_decoder(folder, report, &input, name)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn compare_encoder(
    folder: &Folder,
    report: &mut Report,
    input: &str,
    output: &str,
    annexb: bool,
) -> Result<(), CodecError> {
    let (Some(pcm), Some(expected), Some(file)) = (folder.words(input)?, folder.octets(output)?, folder.path(output))
    else {
        return Ok(());
    };
    // A part of a frame at the end is left out, as the reference does.
    let (pcm, _) = pcm.as_chunks::<FRAME_SAMPLES>();
    let calls = calls(report.level);
    let mut states = vec![g729_encoder(annexb); calls];
    let mut made = vec![Vec::new(); calls];
    in_turns(calls, pcm.len().div_ceil(PACKET), |due| {
        let mut room = vec![[Frame::NotSent; PACKET]; calls];
        let mut jobs: Vec<EncodeJob<'_>> = Vec::new();
        for (call, (state, frames)) in states.iter_mut().zip(&mut room).enumerate() {
            let Some((_, packet)) = due.iter().find(|(due, _)| *due == call) else { continue };
            jobs.push(EncodeJob { state, pcm: &pcm[PACKET * packet..pcm.len().min(PACKET * (packet + 1))], frames });
        }
        encode_batch(report.level, &mut jobs);
        for (call, packet) in due {
            for frame in &room[*call][..PACKET.min(pcm.len() - PACKET * packet)] {
                let mut words = [0; SERIAL_FRAME_OCTETS];
                let count = write_serial(frame, &mut words);
                made[*call].extend_from_slice(&words[..count]);
            }
        }
        Ok::<_, CodecError>(())
    })?;
    let operation = if annexb { "G.729AB encode" } else { "G.729A encode" };
    // Of frames of differing length: told by the longest.
    let work = Work { file, operation, unit: "octet", per_frame: SERIAL_FRAME_OCTETS };
    report.compare_calls(&work, &made, &expected);
    Ok(())
}

fn compare_decoder(folder: &Folder, report: &mut Report, input: &str, output: &str) -> Result<(), CodecError> {
    let (Some(octets), Some(expected)) = (folder.octets(input)?, folder.words(output)?) else { return Ok(()) };
    let (Some(source), Some(file)) = (folder.path(input), folder.path(output)) else { return Ok(()) };
    let frames: Vec<Frame> = SerialFrames::new(&octets)
        .collect::<Result<_, _>>()
        .map_err(|error| CodecError::Serial { path: source, source: error })?;
    let calls = calls(report.level);
    let mut states = vec![Decoder::new(); calls];
    let mut made: Vec<Vec<i16>> = vec![Vec::new(); calls];
    in_turns(calls, frames.len().div_ceil(PACKET), |due| {
        let mut room = vec![[[0; FRAME_SAMPLES]; PACKET]; calls];
        let mut jobs: Vec<DecodeJob<'_>> = Vec::new();
        for (call, (state, pcm)) in states.iter_mut().zip(&mut room).enumerate() {
            let Some((_, packet)) = due.iter().find(|(due, _)| *due == call) else { continue };
            jobs.push(DecodeJob {
                state,
                frames: &frames[PACKET * packet..frames.len().min(PACKET * (packet + 1))],
                pcm,
            });
        }
        decode_batch(report.level, &mut jobs);
        for (call, packet) in due {
            made[*call].extend(room[*call][..PACKET.min(frames.len() - PACKET * packet)].as_flattened());
        }
        Ok::<_, CodecError>(())
    })?;
    let work = Work { file, operation: "G.729 decode", unit: "sample", per_frame: FRAME_SAMPLES };
    report.compare_calls(&work, &made, &expected);
    Ok(())
}
