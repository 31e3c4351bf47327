//! RTP out of a packet capture.

use std::collections::HashMap;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, bail};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{LegacyPcapReader, PcapBlockOwned, PcapError};
use tandem_wire::demux::{self, Kind};
use tandem_wire::ethernet::Ethernet;
use tandem_wire::ipv4::Ipv4;
use tandem_wire::rtp::Rtp;
use tandem_wire::udp::Udp;

/// One captured RTP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) at_us: u64,
    pub(crate) sequence: u16,
    pub(crate) payload: Vec<u8>,
}

/// The RTP of one leg as its endpoint's interface saw it, in order of capture.
#[derive(Debug, Default)]
pub(crate) struct LegTraffic {
    /// From the endpoint to the gateway.
    pub(crate) sent: Vec<Packet>,
    /// From the gateway to the endpoint.
    pub(crate) arrived: Vec<Packet>,
}

/// A capture's legs by the gateway's address and port, which no two legs share.
pub(crate) type Capture = HashMap<SocketAddr, LegTraffic>;

/// Reads the RTP to and from `gateway` out of a pcap file.
pub(crate) fn read(path: &Path, gateway: IpAddr) -> Result<Capture> {
    let file = File::open(path).with_context(|| format!("cannot open the capture {}", path.display()))?;
    let mut reader = LegacyPcapReader::new(1 << 16, file)
        .map_err(|error| anyhow::anyhow!("{} is not a pcap file: {error:?}", path.display()))?;
    let mut capture = Capture::new();
    loop {
        match reader.next() {
            Ok((consumed, block)) => {
                if let PcapBlockOwned::Legacy(frame) = block {
                    let at_us = u64::from(frame.ts_sec) * 1_000_000 + u64::from(frame.ts_usec);
                    take(&mut capture, gateway, at_us, frame.data);
                }
                reader.consume(consumed);
            }
            Err(PcapError::Eof) => return Ok(capture),
            Err(PcapError::Incomplete(_)) => {
                reader.refill().map_err(|error| anyhow::anyhow!("{}: {error:?}", path.display()))?;
            }
            Err(error) => bail!("{} is damaged: {error:?}", path.display()),
        }
    }
}

fn take(capture: &mut Capture, gateway: IpAddr, at_us: u64, frame: &[u8]) -> Option<()> {
    let ethernet = Ethernet::parse(frame).ok()?;
    let ip = Ipv4::parse(ethernet.payload()).ok()?;
    let udp = Udp::parse(ip.payload()).ok()?;
    if demux::classify(udp.payload()) != Kind::Rtp {
        return None;
    }
    let rtp = Rtp::parse(udp.payload()).ok()?;
    let packet = Packet { at_us, sequence: rtp.sequence(), payload: rtp.payload().to_vec() };
    if IpAddr::from(ip.destination()) == gateway {
        capture.entry((gateway, udp.destination_port()).into()).or_default().sent.push(packet);
    } else if IpAddr::from(ip.source()) == gateway {
        capture.entry((gateway, udp.source_port()).into()).or_default().arrived.push(packet);
    }
    Some(())
}
