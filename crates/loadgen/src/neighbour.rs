//! ARP on the source's port: its addresses are answered for, next hops are asked for (RFC 826).

use std::collections::HashMap;
use std::net::Ipv4Addr;

use tandem_contract::Nanos;
use tandem_packet_io::{Burst, PacketBuf, PacketIo};
use tandem_wire::arp::{self, Arp, Operation};
use tandem_wire::ethernet::{ETHERTYPE_ARP, Ethernet, EthernetFields, HEADER_LEN as ETHERNET, MacAddress};

use crate::LoadError;

const FRAME: usize = ETHERNET + arp::PACKET_LEN;
/// Between two questions for the same next hop.
const ASK_AGAIN_NS: u64 = 100_000_000;
/// How long next hops have to answer.
const PATIENCE_NS: u64 = 5_000_000_000;

/// Turns a question for one of `addresses` into its answer, where it lies; `false` where the frame is something else.
pub(crate) fn answer<B: PacketBuf>(frame: &mut B, addresses: &[Ipv4Addr], mac: MacAddress) -> bool {
    let asked = arp_of(frame.data()).filter(|asked| asked.operation == Operation::Request);
    let Some(asked) = asked.filter(|asked| addresses.contains(&asked.target_ip)) else { return false };
    let reply = Arp {
        operation: Operation::Reply,
        sender_mac: mac,
        sender_ip: asked.target_ip,
        target_mac: asked.sender_mac,
        target_ip: asked.sender_ip,
    };
    write(frame, &reply, asked.sender_mac)
}

/// Asks for all next hops from all addresses, so that they know each of those too, and answers what is asked meanwhile.
///
/// # Errors
/// A next hop does not answer.
pub fn resolve<Io: PacketIo>(
    io: &mut Io,
    clock: &mut impl FnMut() -> Nanos,
    addresses: &[Ipv4Addr],
    next_hops: &[Ipv4Addr],
) -> Result<HashMap<Ipv4Addr, MacAddress>, LoadError> {
    let mac = MacAddress(io.capabilities().mac);
    let mut known: HashMap<(Ipv4Addr, Ipv4Addr), MacAddress> = HashMap::new();
    let pairs = || addresses.iter().flat_map(|own| next_hops.iter().map(|hop| (*own, *hop)));
    let (mut frames, mut out) = (Burst::new(), Burst::new());
    let start = clock();
    let mut ask_at = start;
    loop {
        let now = clock();
        let missing = pairs().find(|pair| !known.contains_key(pair));
        let Some((_, hop)) = missing else { break };
        if now.0 > start.0 + PATIENCE_NS {
            return Err(LoadError::Port(format!(
                "{hop} does not answer ARP: is the gateway's port up, and the address its own?"
            )));
        }
        if now >= ask_at {
            ask_at = now.plus(ASK_AGAIN_NS);
            for (own, hop) in pairs().filter(|pair| !known.contains_key(pair)) {
                let Some(mut frame) = io.allocate() else { continue };
                let question = Arp {
                    operation: Operation::Request,
                    sender_mac: mac,
                    sender_ip: own,
                    target_mac: MacAddress::default(),
                    target_ip: hop,
                };
                if write(&mut frame, &question, MacAddress::BROADCAST) {
                    out.push(frame);
                }
                if out.is_full() {
                    io.tx_burst(&mut out);
                    out.clear();
                }
            }
        }
        io.rx_burst(&mut frames);
        for mut frame in frames.drain(..) {
            match arp_of(frame.data()) {
                Some(reply) if reply.operation == Operation::Reply && addresses.contains(&reply.target_ip) => {
                    known.insert((reply.target_ip, reply.sender_ip), reply.sender_mac);
                }
                _ if !out.is_full() && answer(&mut frame, addresses, mac) => out.push(frame),
                _ => {}
            }
        }
        io.tx_burst(&mut out);
        out.clear();
    }
    Ok(known.into_iter().map(|((_, hop), mac)| (hop, mac)).collect())
}

fn arp_of(frame: &[u8]) -> Option<Arp> {
    let ethernet = Ethernet::parse(frame).ok().filter(|ethernet| ethernet.ethertype() == ETHERTYPE_ARP)?;
    Arp::parse(ethernet.payload()).ok()
}

fn write<B: PacketBuf>(frame: &mut B, arp: &Arp, destination: MacAddress) -> bool {
    if frame.set_len(FRAME).is_err() {
        return false;
    }
    let Some((header, packet)) = frame.data_mut().split_first_chunk_mut::<ETHERNET>() else { return false };
    EthernetFields { destination, source: arp.sender_mac, ethertype: ETHERTYPE_ARP }.write(header);
    let Some(packet) = packet.first_chunk_mut() else { return false };
    arp.write(packet);
    true
}
