//! Sends frames of 214 octets, as an RTP packet of 20 ms of G.711 is on Ethernet, as fast as they go, and counts what comes back.

mod side;

use std::error::Error;

use clap::Parser;
use side::Side;
use tandem_packet_io::{Burst, PacketBuf, PacketIo};

/// Ethernet, IPv4, UDP and RTP headers, and 160 octets of G.711.
const FRAME_LEN: usize = 14 + 20 + 8 + 12 + 160;

/// A source of packets.
#[derive(Parser)]
struct Blast {
    #[command(flatten)]
    side: Side,
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut out = Burst::new();
    let mut back = Burst::new();
    let mut number = 0u64;
    Blast::parse().side.run(move |queue, counted| {
        queue.rx_burst(&mut back);
        counted.received += back.len() as u64;
        back.clear();
        queue.mempool().allocate_burst(&mut out);
        for frame in &mut out {
            if frame.set_len(FRAME_LEN).is_ok() {
                frame.data_mut()[42..50].copy_from_slice(&number.to_be_bytes());
                number += 1;
            }
        }
        let offered = out.len() as u64;
        queue.tx_burst(&mut out);
        counted.sent += offered - out.len() as u64;
        counted.unsent += out.len() as u64;
        counted.idle += u64::from(offered == out.len() as u64);
        out.clear();
    })
}
