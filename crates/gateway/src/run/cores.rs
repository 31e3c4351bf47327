//! Which cores are whose.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps the calling thread, and those it starts from now on, off the workers' cores, where there are others. Returns the
/// core that DPDK's own thread, which sleeps, may have.
pub(crate) fn keep_off(workers: &[u16]) -> usize {
    let Ok(allowed) = sched_getaffinity(None) else { return 0 };
    let others: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core) && !workers.iter().any(|worker| usize::from(*worker) == *core))
        .collect();
    let Some(first) = others.first() else {
        tracing::warn!("workers have every core that this process may use: SIP waits for them");
        return (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)).unwrap_or(0);
    };
    let mut set = CpuSet::new();
    others.iter().for_each(|core| set.set(*core));
    if let Err(error) = sched_setaffinity(None, &set) {
        tracing::warn!(%error, "control's threads cannot be kept off the workers' cores");
    }
    *first
}
