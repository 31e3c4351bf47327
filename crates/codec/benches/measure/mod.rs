//! How the benches measure: CPU time of this thread, the best of several rounds, as channels per core.

use std::fs;
use std::time::Instant;

/// Rounds of which the best counts: noise on a shared machine only ever adds.
const ROUNDS: usize = 5;

/// Least CPU time of a round.
const ROUND_S: f64 = 0.3;

/// Seconds this thread has been on a processor, or wall-clock time where the kernel does not say.
fn cpu_s(start: Instant) -> f64 {
    let on_cpu_ns = fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|stat| stat.split_ascii_whitespace().next()?.parse::<u64>().ok());
    on_cpu_ns.map_or_else(|| start.elapsed().as_secs_f64(), |ns| ns as f64 * 1e-9)
}

/// Channels that one core carries, if a call of `work` does `audio_s` seconds of one channel.
pub(crate) fn channels_per_core(audio_s: f64, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut best = 0.0_f64;
    work();
    for _ in 0..ROUNDS {
        let (before, mut runs) = (cpu_s(start), 0);
        let spent = loop {
            work();
            runs += 1;
            let spent = cpu_s(start) - before;
            if spent >= ROUND_S {
                break spent;
            }
        };
        best = best.max(f64::from(runs) * audio_s / spent);
    }
    best
}
