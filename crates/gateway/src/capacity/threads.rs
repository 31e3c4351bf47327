//! How busy the threads of a gateway on this machine are, as the kernel accounts for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The kernel's clock ticks a second, as it tells them to programs (`USER_HZ`): fixed on every architecture that we run on.
const TICKS: f64 = 100.0;
/// What the names of workers' threads begin with: they poll, and are always busy.
const WORKERS: &str = "worker-";

/// A process's threads but its workers.
pub(super) struct Threads {
    tasks: PathBuf,
    begin: Option<(Instant, BTreeMap<u32, f64>)>,
    end: Option<(Instant, BTreeMap<u32, f64>)>,
}

impl Threads {
    /// Of the process with that number, below `/proc`.
    pub(super) fn of(proc: &Path, pid: u32) -> Self {
        Self { tasks: proc.join(pid.to_string()).join("task"), begin: None, end: None }
    }

    /// A run begins.
    pub(super) fn begin(&mut self) {
        (self.begin, self.end) = (None, None);
    }

    /// Reads them: the first time in a run, and each time after, until the last one that counts.
    pub(super) fn read(&mut self) {
        let now = Some((Instant::now(), self.seconds_run()));
        if self.begin.is_none() { self.begin = now } else { self.end = now }
    }

    /// The share of a core that the busiest one took between the first reading and the last.
    pub(super) fn busiest(&self) -> Option<f64> {
        let ((begin, before), (end, after)) = (self.begin.as_ref()?, self.end.as_ref()?);
        let seconds = end.duration_since(*begin).as_secs_f64();
        let ran = after.iter().map(|(thread, ran)| ran - before.get(thread).unwrap_or(&0.0));
        let most = ran.max_by(f64::total_cmp)?;
        (seconds > 0.2).then(|| most / seconds)
    }

    /// Seconds that each has run, in user space and in the kernel (proc(5)).
    fn seconds_run(&self) -> BTreeMap<u32, f64> {
        let tasks = std::fs::read_dir(&self.tasks).into_iter().flatten().flatten();
        let ran = |task: std::fs::DirEntry| {
            let thread = task.file_name().to_str()?.parse().ok()?;
            Some((thread, seconds_of(&std::fs::read_to_string(task.path().join("stat")).ok()?)?))
        };
        tasks.filter_map(ran).collect()
    }
}

/// What a thread's `stat` says it has run; none for a worker's.
fn seconds_of(stat: &str) -> Option<f64> {
    // The name, in parentheses, may hold anything; the state is the first field behind it.
    let (name, rest) = (stat.get(stat.find('(')? + 1..stat.rfind(')')?)?, stat.get(stat.rfind(')')? + 1..)?);
    if name.starts_with(WORKERS) {
        return None;
    }
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(name: &str, user: u32, system: u32) -> String {
        format!("17 ({name}) S 1 17 17 0 -1 4194560 9 0 0 0 {user} {system} 0 0 20 0 3 0 100 1 1")
    }

    #[test]
    fn a_thread_has_run_in_user_space_and_in_the_kernel_and_workers_do_not_count() {
        assert_eq!(seconds_of(&stat("tandem-switch", 150, 50)), Some(2.0));
        assert_eq!(seconds_of(&stat("a) b (c", 100, 0)), Some(1.0));
        assert_eq!(seconds_of(&stat("worker-0", 150, 50)), None);
        assert_eq!(seconds_of("17 (x) S"), None);
        assert_eq!(seconds_of(""), None);
    }

    #[test]
    fn the_busiest_thread_is_told_once_it_was_read_twice() {
        let proc = tempfile::tempdir().unwrap();
        let write = |thread: u32, ticks| {
            let task = proc.path().join(format!("9/task/{thread}"));
            std::fs::create_dir_all(&task).unwrap();
            std::fs::write(task.join("stat"), stat("tandem-switch", ticks, 0)).unwrap();
        };
        let mut threads = Threads::of(proc.path(), 9);
        (0..3).for_each(|thread| write(thread, 100 * thread));
        threads.read();
        assert_eq!(threads.busiest(), None);
        write(1, 250);
        threads.read();
        // As if a second had passed between.
        let (begin, _) = threads.begin.as_mut().unwrap();
        *begin -= std::time::Duration::from_secs(1);
        let busiest = threads.busiest().unwrap();
        assert!((1.0..=1.5).contains(&busiest), "{busiest}");
        threads.begin();
        assert_eq!(threads.busiest(), None);
        assert_eq!(Threads::of(proc.path(), 8).seconds_run().len(), 0);
    }
}
