//! The frames that the source sends.

use std::net::Ipv4Addr;

use clap::ValueEnum;
use tandem_codec::transcode::Codec;
use tandem_contract::{CryptoSuite, MasterKey};
use tandem_srtp::Sender;
use tandem_wire::arp::{self, Arp, Operation};
use tandem_wire::ethernet::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, Ethernet, EthernetFields, HEADER_LEN as ETHERNET, MacAddress,
};
use tandem_wire::ipv4::{HEADER_LEN as IPV4, Ipv4Fields};
use tandem_wire::rtp::{HEADER_LEN as RTP, RtpFields};
use tandem_wire::udp::{self, HEADER_LEN as UDP, UdpFields};

use crate::speech;

pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 10);
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub(crate) const PEER_PORT: u16 = 20_000;
pub(crate) const FIRST_PORT: u16 = 1_024;
/// Packets to ports where nobody listens, for each packet of a call: 5 million a second beside 1,000 calls.
pub(crate) const JUNK_PER_PACKET: u32 = 100;
/// A port that no bench has flows on.
const NOBODYS_PORT: u16 = 65_000;

const PEER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const ARP_FRAME: usize = ETHERNET + arp::PACKET_LEN;
const HEADERS: usize = ETHERNET + IPV4 + UDP;

/// What the worker makes of what the source sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Path {
    Echo,
    Relay,
    MuToA,
    MuToG722,
    MuToG729,
    G729ToMu,
    /// Both directions of calls of these two.
    MuAndG729,
    CmToPlain,
    PlainToCm,
    GcmToPlain,
    PlainToGcm,
    Flood,
}

impl Path {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Relay => "relay",
            Self::MuToA => "mu-to-a",
            Self::MuToG722 => "mu-to-g722",
            Self::MuToG729 => "mu-to-g729",
            Self::G729ToMu => "g729-to-mu",
            Self::MuAndG729 => "mu-and-g729",
            Self::CmToPlain => "cm-to-plain",
            Self::PlainToCm => "plain-to-cm",
            Self::GcmToPlain => "gcm-to-plain",
            Self::PlainToGcm => "plain-to-gcm",
            Self::Flood => "flood",
        }
    }

    /// What the legs that the source plays speak: the callers', and the callees' where they send as well.
    pub(crate) fn spoken(self) -> &'static [Codec] {
        match self {
            Self::G729ToMu => &[Codec::G729],
            Self::MuAndG729 => &[Codec::Pcmu, Codec::G729],
            _ => &[Codec::Pcmu],
        }
    }

    /// Of the rings, two to the power of this many frames: the usual depth, and the greatest one against a flood, which has to fit in while
    /// the machine stops a core.
    pub(crate) fn ring_log2(self) -> u32 {
        if self == Self::Flood { 14 } else { 10 }
    }

    /// The suite with which the source seals what it sends.
    fn sealed_with(self) -> Option<CryptoSuite> {
        match self {
            Self::CmToPlain => Some(CryptoSuite::AesCm128HmacSha1_80),
            Self::GcmToPlain => Some(CryptoSuite::AeadAes128Gcm),
            _ => None,
        }
    }
}

/// The one key of all legs of a suite.
pub(crate) fn master_key(suite: CryptoSuite) -> MasterKey {
    let octets: Vec<u8> = (0..suite.key_and_salt_len()).map(|octet| (octet * 7) as u8).collect();
    MasterKey::new(suite, &octets).expect("the length is right")
}

/// The RTP port of a leg: A of flow 0, B of flow 0, A of flow 1, ...
pub(crate) fn leg_port(leg: u32) -> u16 {
    FIRST_PORT + 2 * leg as u16
}

/// What the source sends: every leg's stream in turn, and junk between.
pub(crate) struct Traffic {
    /// Of the first flow for each voice, then of the second, ...
    streams: Vec<Stream>,
    voices: Vec<Voice>,
    /// What is only passed on may hold anything, and a source that copies it measures itself.
    speaks: bool,
    tag_len: usize,
    junk: Option<[u8; HEADERS]>,
    junk_due: u32,
    next: usize,
}

/// What all legs of one side say.
struct Voice {
    payload_type: u8,
    payloads: Vec<Vec<u8>>,
}

struct Stream {
    headers: [u8; HEADERS],
    sequence: u32,
    sender: Option<Box<Sender>>,
}

impl Traffic {
    pub(crate) fn new(path: Path, flows: u16, gateway: MacAddress) -> Self {
        let voices: Vec<Voice> = path.spoken().iter().map(|codec| Voice::new(*codec)).collect();
        let suite = path.sealed_with();
        let tag_len = suite.map_or(0, CryptoSuite::tag_len);
        let datagram_len = |voice: &Voice| UDP + RTP + voice.payloads[0].len() + tag_len;
        let stream = |flow: u16, side: usize, voice: &Voice| Stream {
            headers: headers(gateway, leg_port(2 * u32::from(flow) + side as u32), datagram_len(voice)),
            sequence: 0,
            sender: suite.map(|suite| Box::new(Sender::new(&master_key(suite), flow.into()))),
        };
        let of_flow = |flow| voices.iter().enumerate().map(move |(side, voice)| stream(flow, side, voice));
        Self {
            streams: (0..flows).flat_map(of_flow).collect(),
            speaks: matches!(path, Path::MuToG722 | Path::MuToG729 | Path::G729ToMu | Path::MuAndG729),
            tag_len,
            junk: (path == Path::Flood).then(|| headers(gateway, NOBODYS_PORT, datagram_len(&voices[0]))),
            junk_due: 0,
            next: 0,
            voices,
        }
    }

    /// Octets of the next frame.
    pub(crate) fn next_len(&self) -> usize {
        HEADERS + RTP + self.voices[self.next % self.voices.len()].payloads[0].len() + self.tag_len
    }

    /// Writes the next frame; whether it is of a call.
    pub(crate) fn fill(&mut self, frame: &mut [u8]) -> bool {
        if let Some(junk) = &self.junk
            && self.junk_due > 0
        {
            self.junk_due -= 1;
            frame[..HEADERS].copy_from_slice(junk);
            return false;
        }
        self.junk_due = JUNK_PER_PACKET;
        let voice = &self.voices[self.next % self.voices.len()];
        let stream = &mut self.streams[self.next];
        let (headers, rest) = frame.split_at_mut(HEADERS);
        headers.copy_from_slice(&stream.headers);
        let sequence = stream.sequence;
        stream.sequence += 1;
        let fields = RtpFields {
            marker: false,
            payload_type: voice.payload_type,
            sequence: sequence as u16,
            timestamp: sequence.wrapping_mul(160),
            ssrc: self.next as u32,
        };
        let (rtp, room) = rest.split_first_chunk_mut().expect("room");
        fields.write(rtp);
        let payload = &voice.payloads[(sequence as usize + self.next) % speech::PACKETS];
        if self.speaks {
            room[..payload.len()].copy_from_slice(payload);
        }
        if let Some(sender) = &mut stream.sender {
            sender.protect(rest, RTP + payload.len()).expect("numbers go up");
        }
        self.next = if self.next + 1 == self.streams.len() { 0 } else { self.next + 1 };
        true
    }
}

impl Voice {
    fn new(codec: Codec) -> Self {
        Self { payload_type: if codec == Codec::G729 { 18 } else { 0 }, payloads: speech::payloads(codec) }
    }
}

/// Ethernet, IPv4 and UDP up to one of the gateway's ports.
fn headers(gateway: MacAddress, port: u16, len: usize) -> [u8; HEADERS] {
    let mut headers = [0; HEADERS];
    let (ethernet, rest) = headers.split_first_chunk_mut::<ETHERNET>().expect("room");
    let (ip, datagram) = rest.split_first_chunk_mut::<IPV4>().expect("room");
    EthernetFields { destination: gateway, source: PEER_MAC, ethertype: ETHERTYPE_IPV4 }.write(ethernet);
    let total_length = (IPV4 + len) as u16;
    let (source, destination) = (PEER, GATEWAY);
    Ipv4Fields { traffic_class: 0xb8, total_length, time_to_live: 64, protocol: udp::PROTOCOL, source, destination }
        .write(ip);
    // Without a checksum (RFC 768): the kernel of a real peer would make one, which is not what is measured.
    UdpFields { source_port: PEER_PORT, destination_port: port, length: len as u16 }
        .write(datagram.first_chunk_mut().expect("room"));
    headers
}

/// Whether a frame that the source has written is junk.
pub(crate) fn is_junk(frame: &[u8]) -> bool {
    frame.get(HEADERS - UDP + 2..HEADERS - UDP + 4) == Some(&NOBODYS_PORT.to_be_bytes())
}

/// The question for the gateway's hardware address.
pub(crate) fn arp_question() -> [u8; ARP_FRAME] {
    arp_frame(Operation::Request, MacAddress::BROADCAST, GATEWAY)
}

/// The gateway's hardware address from its answer; the echo sends the question itself, and then it does not matter.
pub(crate) fn mac_from(frame: &[u8]) -> Option<MacAddress> {
    let arp = Arp::parse(Ethernet::parse(frame).ok()?.payload()).ok()?;
    (arp.operation == Operation::Reply || arp.sender_ip == PEER).then_some(arp.sender_mac)
}

/// The answer to a question for ours.
pub(crate) fn arp_answer(frame: &[u8]) -> Option<[u8; ARP_FRAME]> {
    let ethernet = Ethernet::parse(frame).ok().filter(|ethernet| ethernet.ethertype() == ETHERTYPE_ARP)?;
    let request = Arp::parse(ethernet.payload()).ok()?;
    let is_for_us = request.operation == Operation::Request && request.target_ip == PEER;
    is_for_us.then(|| arp_frame(Operation::Reply, request.sender_mac, request.sender_ip))
}

fn arp_frame(operation: Operation, target_mac: MacAddress, target_ip: Ipv4Addr) -> [u8; ARP_FRAME] {
    let mut frame = [0; ARP_FRAME];
    let (header, packet) = frame.split_first_chunk_mut::<ETHERNET>().expect("room");
    EthernetFields { destination: target_mac, source: PEER_MAC, ethertype: ETHERTYPE_ARP }.write(header);
    Arp { operation, sender_mac: PEER_MAC, sender_ip: PEER, target_mac, target_ip }
        .write(packet.first_chunk_mut().expect("room"));
    frame
}
