//! DPDK's nouns as Rust types.
//!
//! | module | noun |
//! | --- | --- |
//! | [`eal`] | the environment abstraction layer, one per process |
//! | [`device`] | a device as a configuration names it |
//! | [`mempool`] | a pool of packet buffers |
//! | [`mbuf`] | a packet buffer, [`PacketBuf`](tandem_packet_io::PacketBuf) |
//! | [`port`] | a configured and started Ethernet port, its counters |
//! | [`queue`] | a receive and a send queue, [`PacketIo`](tandem_packet_io::PacketIo) |
//! | [`ring`] | mbufs from one thread to another |
//! | [`lcore`] | a thread pinned to a core and known to DPDK |
//! | [`error`] | error numbers by name |
//!
//! Raw integers, null pointers and C strings end at this crate's border, and so does `unsafe`. What keeps it sound is who holds whom: a queue holds its
//! port and its pool, a port its pool, and everything the EAL. So nothing is freed under anyone, in whatever order values are dropped, and with the last
//! of them EAL gives everything back.
//!
//! ```no_run
//! use dpdk::{eal::{Eal, EalConfig}, lcore, mempool::{Mempool, MempoolConfig}, port::{Port, PortConfig}};
//! use tandem_packet_io::{Burst, PacketIo};
//!
//! let device: dpdk::device::Device = "net_af_packet0,iface=eth1".parse()?;
//! let eal = Eal::start(&EalConfig { devices: vec![device.clone()], ..EalConfig::default() })?;
//! let pool = Mempool::new(&eal, &MempoolConfig::new("packets", 8191))?;
//! let (port, queues) = Port::start(&eal, &device, &PortConfig::default(), &pool)?;
//! for (core, mut queue) in (1..).zip(queues) {
//!     let eal = eal.clone();
//!     std::thread::spawn(move || {
//!         let _lcore = lcore::enter(&eal, core)?;
//!         let mut burst = Burst::new();
//!         loop {
//!             queue.rx_burst(&mut burst);
//!             queue.tx_burst(&mut burst);
//!             burst.clear();
//!         }
//!         # #[expect(unreachable_code)]
//!         Ok::<(), lcore::LcoreError>(())
//!     });
//! }
//! println!("{:?}", port.stats()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod device;
pub mod eal;
pub mod error;
pub mod lcore;
pub mod mbuf;
pub mod mempool;
pub mod port;
pub mod queue;
pub mod ring;
