//! The load of a gateway that is not ours, as the kernel accounts for it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tandem_capacity::report::{Core, GatewayReading};

use super::gauge::Gauge;

/// The kernel's clock ticks a second, as it tells them to programs (`USER_HZ`): fixed on every architecture that we run on.
const TICKS: f64 = 100.0;

/// A process with one core: what share of the time it ran.
pub(super) struct ProcessGauge {
    stat: PathBuf,
    seconds: f64,
    begin: Option<(Instant, f64)>,
    end: Option<(Instant, f64)>,
}

impl ProcessGauge {
    /// Of the process with that number, below `/proc`.
    pub(super) fn new(proc: &Path, pid: u32) -> anyhow::Result<Self> {
        let gauge = Self { stat: proc.join(pid.to_string()).join("stat"), seconds: 0.0, begin: None, end: None };
        anyhow::ensure!(gauge.cpu_s().is_some(), "there is no process {pid}");
        Ok(gauge)
    }

    /// Seconds that it has run, in user space and in the kernel, all its threads together (proc(5)).
    fn cpu_s(&self) -> Option<f64> {
        let text = std::fs::read_to_string(&self.stat).ok()?;
        // The name, in parentheses, may hold anything; the state is the first field behind it.
        let mut fields = text.get(text.rfind(')')? + 1..)?.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        Some((ticks()? + ticks()?) as f64 / TICKS)
    }
}

impl Gauge for ProcessGauge {
    fn begin(&mut self, seconds: f64) {
        *self = Self { stat: std::mem::take(&mut self.stat), seconds, begin: None, end: None };
    }

    fn tick(&mut self, seconds: f64) {
        let now = || Some((Instant::now(), self.cpu_s()?));
        if self.begin.is_none() && seconds > -0.5 {
            self.begin = now();
        } else if seconds > 0.5 && seconds < self.seconds + 0.5 {
            self.end = now();
        }
    }

    fn reading(&mut self) -> Option<GatewayReading> {
        let ((begin, before), (end, after)) = (self.begin?, self.end?);
        let seconds = end.duration_since(begin).as_secs_f64();
        let busy = ((after - before) / seconds).clamp(0.0, 1.0);
        let core = Core { busy, ..Core::default() };
        (seconds > 0.2).then(|| GatewayReading { cores: vec![core], ..GatewayReading::default() })
    }

    fn answers(&mut self) -> bool {
        self.cpu_s().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_a_process_ran_is_read_whatever_its_name() {
        let proc = tempfile::tempdir().unwrap();
        let folder = proc.path().join("42");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("stat"), "42 (rtp) engine) S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 7\n").unwrap();
        let mut gauge = ProcessGauge::new(proc.path(), 42).unwrap();
        assert_eq!(gauge.cpu_s(), Some(3.0));
        gauge.begin(2.0);
        assert_eq!(gauge.reading(), None);
        assert!(ProcessGauge::new(proc.path(), 43).is_err());
    }
}
