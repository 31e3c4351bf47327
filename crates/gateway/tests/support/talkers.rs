//! Callers and callees that send a packet every 20 ms, and note when each of the other side's came: the parties of the calls
//! that a failover must not lose. One thread in their network namespace does it all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const PTIME: Duration = Duration::from_millis(20);
/// A sequence number that is so much further than the last is another node's: those of one node follow each other.
const JUMP: u16 = 200;

/// What one party heard of the other.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub packets: u64,
    /// The longest time between two packets, and when it ended.
    pub gap: Duration,
    pub gap_ended: Option<Instant>,
    /// Packets of a node that came after another node had begun to send.
    pub from_two: u64,
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
            } else if self.since.is_some_and(|since| sequence.wrapping_sub(since) >= 0x8000) {
                self.from_two += 1;
                return;
            }
        }
        self.last = Some((now, sequence));
    }
}

struct Party {
    rtp: UdpSocket,
    to: Option<SocketAddr>,
    payload_type: u8,
    octets: usize,
    sequence: u16,
    timestamp: u32,
    heard: Heard,
}

impl Party {
    fn new(address: &str, (payload_type, octets): (u8, usize)) -> Self {
        let rtp = UdpSocket::bind((address, 0)).expect("a port for RTP");
        rtp.set_nonblocking(true).expect("it does not block");
        Self { rtp, to: None, payload_type, octets, sequence: 0, timestamp: 0, heard: Heard::default() }
    }

    fn send(&mut self, ssrc: u32) {
        let Some(to) = self.to else { return };
        let mut packet = vec![0x80, self.payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.resize(12 + self.octets, 0xd5);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        // Nobody may be there right now.
        let _ = self.rtp.send_to(&packet, to);
    }

    fn hear(&mut self) {
        let mut packet = [0; 2048];
        while let Ok(len) = self.rtp.recv(&mut packet) {
            if len >= 12 && packet[1] & 0x7f == self.payload_type {
                self.heard.on_packet(Instant::now(), u16::from_be_bytes([packet[2], packet[3]]));
            }
        }
    }

    fn sdp(&self, name: &str) -> String {
        let local = self.rtp.local_addr().expect("an address");
        let (ip, port, number) = (local.ip(), local.port(), self.payload_type);
        format!(
            "v=0\r\no={name} 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {number}\r\na=rtpmap:{number} {}/8000\r\n",
            match number {
                0 => "PCMU",
                8 => "PCMA",
                9 => "G722",
                _ => "G729",
            }
        )
    }
}

/// Where a call stands, from its parties' side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Calling,
    Up,
    Ending,
    /// BYE was answered with 200.
    Ended,
    /// It was refused, or its BYE was not known.
    Lost(u16),
}

struct TalkersCall {
    parties: [Party; 2],
    standing: Standing,
    to_tag: String,
    target: String,
    cseq: u32,
    /// The request that waits for its answer, to be sent again.
    pending: Option<(String, Instant)>,
    next_packet: Instant,
    /// The callee had a BYE.
    callee_told: bool,
}

/// The parties of all calls.
pub struct Talkers {
    gateway: SocketAddr,
    sip: [UdpSocket; 2],
    calls: Vec<TalkersCall>,
    started: Instant,
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

impl Talkers {
    /// Enters the namespace with the calling thread, which stays there. `codecs` are what the callees speak in turn.
    pub fn new(namespace: &str, gateway: &str, addresses: [&str; 2], calls: usize, codecs: &[&str]) -> Self {
        let file = File::open(format!("/run/netns/{namespace}")).expect("the namespace");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("entering the namespace");
        let sip = addresses.map(|address| {
            let socket = UdpSocket::bind((address, 5060)).expect("SIP's port");
            socket.set_nonblocking(true).expect("it does not block");
            socket
        });
        let started = Instant::now();
        let calls = (0..calls).map(|index| TalkersCall {
            parties: [
                Party::new(addresses[0], format("PCMU")),
                Party::new(addresses[1], format(codecs[index % codecs.len()])),
            ],
            standing: Standing::Calling,
            to_tag: String::new(),
            target: format!("sip:call{index}@{gateway}"),
            cseq: 0,
            pending: None,
            next_packet: started,
            callee_told: false,
        });
        Self { gateway: gateway.parse().expect("an address"), sip, calls: calls.collect(), started }
    }

    /// Sets every call up; fails the test where one does not come up within `patience`.
    pub fn call(&mut self, patience: Duration) {
        for index in 0..self.calls.len() {
            let body = self.calls[index].parties[0].sdp("caller");
            self.request(index, "INVITE", &body);
            // A gateway that is busy with the last ones would refuse more.
            self.run(Duration::from_millis(5));
        }
        let until = Instant::now() + patience;
        while self.count(Standing::Up) < self.calls.len() {
            assert!(Instant::now() < until, "{} of {} calls are up", self.count(Standing::Up), self.calls.len());
            self.run(Duration::from_millis(20));
        }
    }

    /// Speaks and listens for so long.
    pub fn run(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.turn();
            sleep(Duration::from_micros(500));
        }
    }

    /// What was heard so far is void: gaps from here on count.
    pub fn listen_anew(&mut self) {
        for party in self.calls.iter_mut().flat_map(|call| &mut call.parties) {
            party.heard = Heard { last: party.heard.last, ..Heard::default() };
        }
    }

    /// What each caller, or each callee, has heard.
    pub fn heard(&self, party: usize) -> Vec<Heard> {
        self.calls.iter().map(|call| call.parties[party].heard.clone()).collect()
    }

    /// Every caller hangs up; how every call stands when all is answered, or `patience` has run out.
    pub fn hang_up(&mut self, patience: Duration) -> Vec<Standing> {
        for index in 0..self.calls.len() {
            if self.calls[index].standing == Standing::Up {
                self.calls[index].standing = Standing::Ending;
                self.request(index, "BYE", "");
            }
        }
        let until = Instant::now() + patience;
        let is_waiting = |call: &TalkersCall| {
            call.standing == Standing::Ending || (call.standing == Standing::Ended && !call.callee_told)
        };
        while Instant::now() < until && self.calls.iter().any(is_waiting) {
            self.run(Duration::from_millis(20));
        }
        self.calls.iter().map(|call| if is_waiting(call) { Standing::Lost(0) } else { call.standing }).collect()
    }

    fn count(&self, standing: Standing) -> usize {
        self.calls.iter().filter(|call| call.standing == standing).count()
    }

    fn turn(&mut self) {
        for party in 0..2 {
            let mut message = [0; 4096];
            loop {
                match self.sip[party].recv_from(&mut message) {
                    Ok((len, from)) => {
                        let text = String::from_utf8_lossy(&message[..len]).into_owned();
                        self.on_message(party, from, &text);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // An earlier message met nobody.
                    Err(_) => {}
                }
            }
        }
        let now = Instant::now();
        for (index, call) in self.calls.iter_mut().enumerate() {
            if let Some((request, at)) = &mut call.pending
                && now >= *at
            {
                *at = now + Duration::from_millis(500);
                let _ = self.sip[0].send_to(request.as_bytes(), self.gateway);
            }
            while now >= call.next_packet {
                call.next_packet += PTIME;
                call.parties[0].send(2 * index as u32 + 1);
                call.parties[1].send(2 * index as u32 + 2);
            }
            call.parties.iter_mut().for_each(Party::hear);
        }
    }

    fn request(&mut self, index: usize, method: &str, body: &str) {
        let local = self.sip[0].local_addr().expect("an address");
        let call = &mut self.calls[index];
        call.cseq += 1;
        let text = request(local, index, call, method, body);
        let _ = self.sip[0].send_to(text.as_bytes(), self.gateway);
        call.pending = Some((text, Instant::now() + Duration::from_millis(500)));
    }

    fn on_message(&mut self, party: usize, from: SocketAddr, text: &str) {
        if party == 0 && text.starts_with("SIP/2.0 ") {
            self.on_response(text);
        } else if party == 1 && !text.starts_with("SIP/2.0 ") {
            self.on_request(from, text);
        }
    }

    fn on_response(&mut self, text: &str) {
        let status: u16 = text.get(8..11).and_then(|status| status.parse().ok()).unwrap_or(0);
        let Some(index) = header(text, "Call-ID").and_then(|id| id.strip_prefix("talk-")?.parse::<usize>().ok()) else {
            return;
        };
        if status < 200 {
            return;
        }
        let is_invite = header(text, "CSeq").is_some_and(|cseq| cseq.ends_with("INVITE"));
        let local = self.sip[0].local_addr().expect("an address");
        let call = &mut self.calls[index];
        call.pending = None;
        match (is_invite, status) {
            (true, 200) => {
                call.to_tag = header(text, "To").and_then(|to| to.split(";tag=").nth(1)).unwrap_or("").to_owned();
                let contact = header(text, "Contact").unwrap_or_default();
                call.target = contact.trim_matches(['<', '>']).to_owned();
                let ack = request(local, index, call, "ACK", "");
                let _ = self.sip[0].send_to(ack.as_bytes(), self.gateway);
                if call.standing == Standing::Calling {
                    call.standing = Standing::Up;
                    call.parties[0].to = media(text);
                }
            }
            (false, 200) => call.standing = Standing::Ended,
            (_, status) => call.standing = Standing::Lost(status),
        }
    }

    fn on_request(&mut self, from: SocketAddr, text: &str) {
        let method = text.split(' ').next().unwrap_or_default();
        let uri = text.split(' ').nth(1).unwrap_or_default();
        // The Request-URI of the INVITE, and our own Contact after it, name the call.
        let index = uri.strip_prefix("sip:call").and_then(|rest| rest.split('@').next()?.parse::<usize>().ok());
        let Some(index) = index.filter(|index| *index < self.calls.len() && method != "ACK") else { return };
        let call = &mut self.calls[index];
        let mut body = String::new();
        match method {
            "INVITE" => {
                call.parties[1].to = media(text);
                body = call.parties[1].sdp("callee");
            }
            "BYE" => call.callee_told = true,
            _ => {}
        }
        let of = |name| header(text, name).unwrap_or_default();
        let to = of("To");
        let to = if to.contains(";tag=") { to.to_owned() } else { format!("{to};tag=callee{index}") };
        let local = self.sip[1].local_addr().expect("an address");
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let response = format!(
            "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <sip:call{index}@{local}>\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            of("Via"),
            of("From"),
            of("Call-ID"),
            of("CSeq"),
            body.len(),
        );
        let _ = self.sip[1].send_to(response.as_bytes(), from);
    }

    /// Milliseconds since the talkers began, for a chart.
    pub fn since_start_ms(&self, at: Instant) -> u128 {
        (at - self.started).as_millis()
    }
}

fn request(local: SocketAddr, index: usize, call: &TalkersCall, method: &str, body: &str) -> String {
    let TalkersCall { target, to_tag, cseq, .. } = call;
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKtalk{index}x{cseq}{method}\r\nMax-Forwards: 70\r\n\
         From: <sip:caller@{local}>;tag=caller{index}\r\nTo: <sip:call{index}@gateway>{tag}\r\nCall-ID: talk-{index}\r\n\
         CSeq: {cseq} {method}\r\nContact: <sip:caller@{local}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn header<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let head = text.split("\r\n\r\n").next()?;
    head.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Where a session description wants its audio.
fn media(text: &str) -> Option<SocketAddr> {
    let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let address = line("c=IN IP4 ")?.trim().parse().ok()?;
    let port = line("m=audio ")?.split(' ').next()?.parse().ok()?;
    Some(SocketAddr::new(address, port))
}

/// The smallest value that `share` of all are not above.
pub fn quantile(values: &[Duration], share: f64) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let place = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(place).copied().unwrap_or_default()
}

/// How many of each kind there are.
pub fn tally(standings: &[Standing]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for standing in standings {
        *counts.entry(format!("{standing:?}")).or_default() += 1;
    }
    counts
}
