//! One end of the memif.

use std::time::{Duration, Instant};

use dpdk::device::Device;
use dpdk::eal::{Eal, EalConfig, Memory};
use dpdk::mempool::{Mempool, MempoolConfig};
use dpdk::port::{Port, PortConfig};
use dpdk::queue::QueuePair;

use crate::Result;

/// A queue pair on one end of the memif, with its link up.
pub(crate) struct End {
    pub(crate) eal: Eal,
    pub(crate) _port: Port,
    pub(crate) queue: QueuePair,
}

impl End {
    /// `ring_log2`: rings hold two to the power of this many frames.
    pub(crate) fn open(role: &str, socket: &str, core: usize, ring_log2: u32) -> Result<Self> {
        let device = format!("net_memif0,role={role},socket={socket},socket-abstract=no,rsize={ring_log2}");
        let device: Device = device.parse()?;
        let eal = Eal::start(&EalConfig {
            file_prefix: format!("bench-{role}-{}", std::process::id()),
            memory: Memory::HugePages,
            memory_mib: 128,
            main_core: core,
            devices: vec![device.clone()],
            ..EalConfig::default()
        })?;
        let pool = Mempool::new(&eal, &MempoolConfig::new("packets", 16_383))?;
        let (port, mut queues) = Port::start(&eal, &device, &PortConfig::default(), &pool)?;
        let until = Instant::now() + Duration::from_secs(20);
        while !port.link()?.up {
            if Instant::now() > until {
                return Err("the memif link did not come up in 20 s".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Self { eal, _port: port, queue: queues.remove(0) })
    }
}
