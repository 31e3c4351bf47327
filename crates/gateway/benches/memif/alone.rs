//! A path's codec without packets around it.

use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};
use tandem_codec::Level;
use tandem_codec::transcode::{Codec, Input, Made, TranscodeJob, Transcoder, transcode_batch};

use crate::frames::Path;
use crate::speech::{self, PACKETS, SAMPLES};
use crate::{Result, WORKER_CORE};

/// Calls, as many as the worker has, and how many of them go through the codec at once, as in the worker's batches.
const CALLS: usize = 1_000;
const BATCH: usize = 32;

/// Prints packets per second.
pub(crate) fn run(path: Path, seconds: u64) -> Result<()> {
    let mut core = CpuSet::new();
    core.set(WORKER_CORE);
    sched_setaffinity(None, &core)?;
    let (from, to) = match path {
        Path::G729ToMu => (Codec::G729, Codec::Pcmu),
        _ => (Codec::Pcmu, Codec::G729),
    };
    let payloads = speech::payloads(from);
    let level = Level::detect();
    let mut calls: Vec<Transcoder> = (0..CALLS).map(|_| Transcoder::new(from, to)).collect();
    let mut outputs = [[0; SAMPLES]; BATCH];
    let (start, mut packets, mut round) = (Instant::now(), 0_u64, 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        for (nth, group) in calls.chunks_mut(BATCH).enumerate() {
            let mut jobs: Vec<TranscodeJob<'_>> = group
                .iter_mut()
                .zip(&mut outputs)
                .enumerate()
                .map(|(call, (state, output))| TranscodeJob {
                    state,
                    input: Input::Payload(&payloads[(round + nth * BATCH + call) % PACKETS]),
                    output,
                    made: Ok(Made::default()),
                })
                .collect();
            transcode_batch(level, &mut jobs);
            packets += jobs.len() as u64;
        }
        round += 1;
    }
    println!("{:.0}", packets as f64 / start.elapsed().as_secs_f64());
    Ok(())
}
