//! One end of a call's media: a packet every 20 ms, over SRTP where it was agreed, and what was heard of the other end.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use tandem_contract::{CryptoSuite, MasterKey};
use tandem_sdp::CryptoLine;
use tandem_srtp::{Receiver, Sender};

pub const PTIME: Duration = Duration::from_millis(20);
/// A sequence number that is so much further than the last is another node's: those of one node follow each other.
const JUMP: u16 = 200;

/// What one party heard of the other.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub packets: u64,
    /// The longest time between two packets, and when it ended.
    pub gap: Duration,
    pub gap_ended: Option<Instant>,
    /// When the first packet of another node came.
    pub resumed: Option<Instant>,
    /// Packets of a node that came after another node had begun to send.
    pub from_two: u64,
    /// Packets that SRTP did not open.
    pub unopened: u64,
    last: Option<(Instant, u16)>,
    /// Sequence number of the first packet after the jump.
    since: Option<u16>,
}

impl Heard {
    fn on_packet(&mut self, now: Instant, sequence: u16) {
        self.packets += 1;
        if let Some((before, last)) = self.last {
            let gap = now - before;
            if gap > self.gap {
                (self.gap, self.gap_ended) = (gap, Some(now));
            }
            let ahead = sequence.wrapping_sub(last);
            if (JUMP..0x8000).contains(&ahead) {
                self.since = Some(sequence);
                self.resumed = self.resumed.or(Some(now));
            } else if self.since.is_some_and(|since| (JUMP / 2..0x8000).contains(&since.wrapping_sub(sequence))) {
                // What is behind by less was overtaken on its way through one node.
                self.from_two += 1;
                return;
            }
        }
        self.last = Some((now, sequence));
    }

    /// What is heard from now on, of whoever sends now.
    pub fn anew(&self) -> Self {
        Self { last: self.last, ..Self::default() }
    }

    /// How long nothing was heard.
    pub fn quiet_for(&self, now: Instant) -> Duration {
        self.last.map_or(Duration::MAX, |(last, _)| now - last)
    }

    /// The longest gap up to `now`, also where it has not ended, and when it ended.
    pub fn longest(&self, now: Instant) -> (Duration, Instant) {
        let open = self.quiet_for(now);
        if open > self.gap { (open, now) } else { (self.gap, self.gap_ended.unwrap_or(now)) }
    }
}

/// SRTP of one party, keyed by its own line and the other side's.
struct Secure {
    own: MasterKey,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
}

pub struct Party {
    rtp: UdpSocket,
    pub to: Option<SocketAddr>,
    payload_type: u8,
    octets: usize,
    sequence: u16,
    timestamp: u32,
    pub heard: Heard,
    secure: Option<Secure>,
}

impl Party {
    /// `codec` is what it speaks, `over_srtp` whether it insists on SRTP.
    pub fn new(address: IpAddr, codec: &str, over_srtp: bool) -> Self {
        let (payload_type, octets) = format(codec);
        let rtp = UdpSocket::bind((address, 0)).expect("a port for RTP");
        rtp.set_nonblocking(true).expect("it does not block");
        let port = rtp.local_addr().expect("an address").port();
        let secure = over_srtp.then(|| {
            let suite = CryptoSuite::AesCm128HmacSha1_80;
            // A key of its own for each party, as its port is.
            let key: Vec<u8> = (0..suite.key_and_salt_len()).map(|at| port.to_be_bytes()[at % 2] ^ at as u8).collect();
            Secure { own: MasterKey::new(suite, &key).expect("as long as it has to be"), sender: None, receiver: None }
        });
        Self { rtp, to: None, payload_type, octets, sequence: 0, timestamp: 0, heard: Heard::default(), secure }
    }

    pub fn port(&self) -> u16 {
        self.rtp.local_addr().expect("an address").port()
    }

    pub fn send(&mut self, ssrc: u32) {
        let Some(to) = self.to else { return };
        let mut packet = [0xd5; 256];
        packet[..2].copy_from_slice(&[0x80, self.payload_type]);
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
        let mut len = 12 + self.octets;
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        if let Some(Secure { own, sender, .. }) = &mut self.secure {
            let sender = sender.get_or_insert_with(|| Sender::new(own, ssrc));
            len = sender.protect(&mut packet, len).expect("a packet of ours is protected");
        }
        // Nobody may be there right now.
        let _ = self.rtp.send_to(&packet[..len], to);
    }

    pub fn hear(&mut self) {
        let mut packet = [0; 2048];
        while let Ok(len) = self.rtp.recv(&mut packet) {
            if len < 12 || packet[1] & 0x7f != self.payload_type {
                continue;
            }
            if let Some(Secure { receiver, .. }) = &mut self.secure {
                let opened = receiver.as_mut().is_some_and(|receiver| receiver.unprotect(&mut packet[..len]).is_ok());
                if !opened {
                    self.heard.unopened += 1;
                    continue;
                }
            }
            self.heard.on_packet(Instant::now(), u16::from_be_bytes([packet[2], packet[3]]));
        }
    }

    /// What it offers, or answers.
    pub fn sdp(&self, name: &str) -> String {
        let local = self.rtp.local_addr().expect("an address");
        let (ip, port, number) = (local.ip(), local.port(), self.payload_type);
        let encoding = match number {
            0 => "PCMU",
            8 => "PCMA",
            9 => "G722",
            _ => "G729",
        };
        let (profile, crypto) = match &self.secure {
            None => ("RTP/AVP", String::new()),
            Some(Secure { own, .. }) => {
                ("RTP/SAVP", format!("a=crypto:{}\r\n", CryptoLine { tag: 1, key: *own }.value()))
            }
        };
        format!(
            "v=0\r\no={name} 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} {profile} {number}\r\n\
             a=rtpmap:{number} {encoding}/8000\r\n{crypto}"
        )
    }

    /// Takes the other side's description: where it wants its audio, and the key of what it sends.
    pub fn take(&mut self, description: &str) {
        let line = |start: &str| description.lines().find_map(|line| line.strip_prefix(start));
        let address = line("c=IN IP4 ").and_then(|address| address.trim().parse().ok());
        let port = line("m=audio ").and_then(|media| media.split(' ').next()?.parse().ok());
        self.to = address.zip(port).map(|(address, port)| SocketAddr::new(address, port));
        if let Some(Secure { receiver, .. }) = &mut self.secure {
            let theirs = line("a=crypto:").and_then(|value| CryptoLine::parse(value).ok());
            *receiver = theirs.map(|line| Receiver::new(&line.key));
        }
    }
}

/// Payload type and octets of a packet of 20 ms.
pub fn format(codec: &str) -> (u8, usize) {
    match codec {
        "PCMU" => (0, 160),
        "PCMA" => (8, 160),
        "G722" => (9, 160),
        "G729" => (18, 20),
        other => panic!("no codec {other}"),
    }
}
