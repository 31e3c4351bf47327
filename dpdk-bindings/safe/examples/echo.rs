//! Sends back what it receives and touches nothing: the floor under everything that does more with a packet.
//!
//! On a `net_null0` device, which always has 32 packets, it measures the calls into DPDK alone.

mod side;

use std::error::Error;

use clap::Parser;
use side::Side;
use tandem_packet_io::{Burst, PacketIo};

/// The far side of a source of packets.
#[derive(Parser)]
struct Echo {
    #[command(flatten)]
    side: Side,
    /// Receive only.
    #[arg(long)]
    sink: bool,
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let Echo { side, sink } = Echo::parse();
    let mut burst = Burst::new();
    side.run(move |queue, counted| {
        queue.rx_burst(&mut burst);
        if burst.is_empty() {
            counted.idle += 1;
            return;
        }
        let received = burst.len() as u64;
        counted.received += received;
        if sink {
            burst.clear();
            return;
        }
        queue.tx_burst(&mut burst);
        counted.sent += received - burst.len() as u64;
        counted.unsent += burst.len() as u64;
        burst.clear();
    })
}
