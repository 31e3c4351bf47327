//! What the two sides of the measurement have in common: their command line, and one queue pair on a core of its own.

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Args;
use dpdk::device::{Device, MemifRole};
use dpdk::eal::{Eal, EalConfig, Memory};
use dpdk::error::Errno;
use dpdk::lcore;
use dpdk::mempool::{Mempool, MempoolConfig};
use dpdk::port::{Port, PortConfig};
use dpdk::queue::QueuePair;

/// What both command lines have.
#[derive(Args)]
pub(crate) struct Side {
    /// The device, like net_memif0,role=server,socket=/run/echo.sock,socket-abstract=no
    #[arg(long)]
    device: Device,
    /// The core to poll on.
    #[arg(long)]
    core: usize,
    /// How long to measure, in seconds, once the link is up.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// DPDK's file prefix, unlike the other side's.
    #[arg(long)]
    file_prefix: String,
    /// Do without huge pages.
    #[arg(long)]
    no_huge: bool,
}

/// What one side has seen.
#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) unsent: u64,
    /// Polls that found nothing.
    pub(crate) idle: u64,
}

impl Side {
    /// Runs `poll` on the core until the time is over, and prints what it has counted as one line of JSON.
    pub(crate) fn run(
        &self,
        poll: impl FnMut(&mut QueuePair, &mut Counted) + Send,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let eal = Eal::start(&EalConfig {
            file_prefix: self.file_prefix.clone(),
            memory: if self.no_huge { Memory::NoHugePages } else { Memory::HugePages },
            memory_mib: 64,
            main_core: self.core,
            devices: vec![self.device.clone()],
            ..EalConfig::default()
        })?;
        let pool = Mempool::new(&eal, &MempoolConfig::new("packets", 8191))?;
        let (port, mut queues) = Port::start(&eal, &self.device, &PortConfig::default(), &pool)?;
        while !port.link()?.up {
            std::thread::sleep(Duration::from_millis(1));
        }
        let queue = &mut queues[0];
        let (counted, elapsed) = std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let _lcore = lcore::enter(&eal, self.core)?;
                Ok::<_, lcore::LcoreError>(measure(Duration::from_secs(self.seconds), queue, poll))
            });
            worker.join().expect("the worker does not panic")
        })?;
        if matches!(self.device, Device::Memif { role: MemifRole::Client, .. }) {
            outlast_peer(&port)?;
        }
        let seconds = elapsed.as_secs_f64();
        println!(
            "{{\"received_per_second\":{:.0},\"sent_per_second\":{:.0},\"unsent\":{},\"idle_polls\":{},\"seconds\":{seconds:.3}}}",
            counted.received as f64 / seconds,
            counted.sent as f64 / seconds,
            counted.unsent,
            counted.idle,
        );
        Ok(())
    }
}

/// Holds still until the far side has closed its end. To close this one while the far side polls would be its end: see [`Device::Memif`].
fn outlast_peer(port: &Port) -> Result<(), Errno> {
    for _ in 0..10_000 {
        if !port.link()?.up {
            std::thread::sleep(Duration::from_millis(50)); // the driver marks the link down first, and then tears down
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Polls for some time, from the first packet on, for which it waits as long again. The clock is read once in a thousand polls.
fn measure(
    time: Duration,
    queue: &mut QueuePair,
    mut poll: impl FnMut(&mut QueuePair, &mut Counted),
) -> (Counted, Duration) {
    let mut counted = Counted::default();
    let mut started = false;
    let mut start = Instant::now();
    loop {
        for _ in 0..1000 {
            poll(queue, &mut counted);
        }
        if !started && counted.received + counted.sent > 0 {
            started = true;
            counted = Counted::default();
            start = Instant::now();
        }
        let elapsed = start.elapsed();
        if elapsed >= time {
            return (counted, elapsed);
        }
    }
}
