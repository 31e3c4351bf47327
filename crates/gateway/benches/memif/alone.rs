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

/// All calls in one direction: from G.711 to G.729, or back.
struct Side {
    calls: Vec<Transcoder>,
    payloads: Vec<Vec<u8>>,
}

impl Side {
    fn new(from: Codec) -> Self {
        let to = if from == Codec::G729 { Codec::Pcmu } else { Codec::G729 };
        Self { calls: (0..CALLS).map(|_| Transcoder::new(from, to)).collect(), payloads: speech::payloads(from) }
    }
}

/// Prints packets per second.
pub(crate) fn run(path: Path, seconds: u64) -> Result<()> {
    let mut core = CpuSet::new();
    core.set(WORKER_CORE);
    sched_setaffinity(None, &core)?;
    let level = Level::detect();
    let mut sides: Vec<Side> = path.spoken().iter().map(|codec| Side::new(*codec)).collect();
    let mut outputs = [[0; SAMPLES]; BATCH];
    let (start, mut packets, mut round) = (Instant::now(), 0_u64, 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        for first in (0..CALLS).step_by(BATCH) {
            for Side { calls, payloads } in &mut sides {
                let last = CALLS.min(first + BATCH);
                let batch = calls[first..last].iter_mut().zip(&mut outputs).zip(first..);
                let mut jobs: Vec<TranscodeJob<'_>> = batch
                    .map(|((state, output), call)| TranscodeJob {
                        state,
                        input: Input::Payload(&payloads[(round + call) % PACKETS]),
                        output,
                        made: Ok(Made::default()),
                    })
                    .collect();
                transcode_batch(level, &mut jobs);
                packets += jobs.len() as u64;
            }
        }
        round += 1;
    }
    println!("{:.0}", packets as f64 / start.elapsed().as_secs_f64());
    Ok(())
}
