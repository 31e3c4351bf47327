//! Callers and callees that send a packet every 20 ms, and note when each of the other side's came: the parties of the calls
//! that a failover must not lose. One thread in their network namespace does it all.

mod party;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub use party::Heard;
use party::{PTIME, Party};

/// Between two turns of the talkers' thread: whoever is away for longer hears late, and makes others hear late.
const STALL: Duration = Duration::from_millis(3);
/// After a codec's name: the caller insists on SRTP.
const OVER_SRTP: &str = "+SRTP";
/// How often calls were met: a gateway answers for half a minute what has the names of an earlier one (RFC 3261 §17.2.2).
static MEETINGS: AtomicU32 = AtomicU32::new(0);

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
    /// What its Call-ID ends with.
    id: String,
    parties: [Party; 2],
    standing: Standing,
    to_tag: String,
    target: String,
    cseq: u32,
    /// The request that waits for its answer, to be sent again.
    pending: Option<(String, Instant)>,
    /// How often the last request was sent, and how often it was answered for good.
    exchanged: [u32; 2],
    next_packet: Instant,
    /// The callee had a BYE.
    callee_told: bool,
}

/// The parties of all calls.
pub struct Talkers {
    gateway: SocketAddr,
    sip: [UdpSocket; 2],
    calls: Vec<TalkersCall>,
    /// When the last turn was, and the times that this thread was away since it began to listen anew.
    turned: Instant,
    stalls: Vec<(Instant, Instant)>,
    /// Answers for good beyond one for each time that the request was sent.
    duplicates: u64,
    /// INVITEs that callees ring for, and from where; `None` where they answer at once.
    ringing: Option<Vec<(SocketAddr, String)>>,
}

impl Talkers {
    /// Enters the namespace with the calling thread, which stays there. `codecs` are what the callees speak in turn, the caller
    /// over SRTP where `+SRTP` follows the name.
    pub fn new(namespace: &str, gateway: &str, addresses: [&str; 2], calls: usize, codecs: &[&str]) -> Self {
        let file = File::open(format!("/run/netns/{namespace}")).expect("the namespace");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("entering the namespace");
        let sip = addresses.map(|address| {
            let socket = UdpSocket::bind((address, 5060)).expect("SIP's port");
            socket.set_nonblocking(true).expect("it does not block");
            socket
        });
        let gateway: SocketAddr = gateway.parse().expect("an address");
        let turned = Instant::now();
        let mut talkers =
            Self { gateway, sip, calls: Vec::new(), turned, stalls: Vec::new(), duplicates: 0, ringing: None };
        talkers.meet(calls, codecs);
        talkers
    }

    /// Other calls in place of those there were, none of which is up yet.
    pub fn meet(&mut self, calls: usize, codecs: &[&str]) {
        let addresses = self.sip.each_ref().map(|socket| socket.local_addr().expect("an address").ip());
        let (now, gateway) = (Instant::now(), self.gateway);
        let meeting = MEETINGS.fetch_add(1, Relaxed);
        let call = |index: usize| {
            let codec = codecs[index % codecs.len()];
            let bare = codec.strip_suffix(OVER_SRTP);
            let parties = [
                Party::new(addresses[0], "PCMU", bare.is_some()),
                Party::new(addresses[1], bare.unwrap_or(codec), false),
            ];
            TalkersCall {
                // The port tells it from other talkers' calls, the meeting from earlier ones, which may have had the port.
                id: format!("{}x{index}x{meeting}", parties[0].port()),
                parties,
                standing: Standing::Calling,
                to_tag: String::new(),
                target: format!("sip:call{index}@{gateway}"),
                cseq: 0,
                pending: None,
                exchanged: [0; 2],
                // Not all at once.
                next_packet: now + PTIME.mul_f64(index as f64 / calls as f64),
                callee_told: false,
            }
        };
        self.calls = (0..calls).map(call).collect();
    }

    /// Sets every call up; fails the test where one does not come up within `patience`.
    pub fn call(&mut self, patience: Duration) {
        self.invite();
        self.await_up(patience);
    }

    fn invite(&mut self) {
        for index in 0..self.calls.len() {
            let body = self.calls[index].parties[0].sdp("caller");
            self.request(index, "INVITE", &body);
            // A gateway that is busy with the last ones would refuse more.
            self.run(Duration::from_millis(5));
        }
    }

    fn await_up(&mut self, patience: Duration) {
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

    /// Runs until every party has heard so many packets since it began to listen anew.
    pub fn hear(&mut self, packets: u64, patience: Duration) {
        let until = Instant::now() + patience;
        while (0..2).any(|party| self.heard(party).iter().any(|heard| heard.packets < packets)) {
            let heard = [0, 1].map(|party| self.heard(party));
            assert!(Instant::now() < until, "not heard: {heard:?}");
            self.run(Duration::from_millis(50));
        }
    }

    /// Callees ring from now on, until [`Talkers::answer`] lets them take the call; or take it at once.
    pub fn ring(&mut self, wanted: bool) {
        self.ringing = wanted.then(Vec::new);
    }

    /// Sends the INVITE of every call, and waits until every callee has rung.
    pub fn call_until_it_rings(&mut self, patience: Duration) {
        self.ring(true);
        self.invite();
        let until = Instant::now() + patience;
        while self.ringing.as_ref().is_some_and(|ringing| ringing.len() < self.calls.len()) {
            assert!(Instant::now() < until, "the callees do not ring");
            self.run(Duration::from_millis(20));
        }
    }

    /// Callees that ring take their calls; done when every call is up.
    pub fn answer(&mut self, patience: Duration) {
        for (from, request) in self.ringing.take().unwrap_or_default() {
            self.on_request(from, &request);
        }
        self.await_up(patience);
    }

    /// Every caller describes itself anew within its dialog (RFC 3261 §14), and waits for the answer.
    pub fn change(&mut self, patience: Duration) {
        self.invite();
        let until = Instant::now() + patience;
        while self.calls.iter().any(|call| call.pending.is_some()) {
            assert!(Instant::now() < until, "a re-INVITE is not answered");
            self.run(Duration::from_millis(20));
        }
    }

    /// What was heard so far is void: gaps from here on count.
    pub fn listen_anew(&mut self) {
        for party in self.calls.iter_mut().flat_map(|call| &mut call.parties) {
            party.heard = party.heard.anew();
        }
        self.stalls.clear();
        self.duplicates = 0;
    }

    /// How much of a time this thread was away in: nobody spoke, and nobody heard.
    pub fn stalled(&self, from: Instant, to: Instant) -> Duration {
        let within = |(start, end): &(Instant, Instant)| (*end).min(to).saturating_duration_since((*start).max(from));
        self.stalls.iter().map(within).sum()
    }

    /// Answers for good that nobody waited for.
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Every caller of a call that is up asks for something within its dialog, again and again until it is answered.
    pub fn ask(&mut self) {
        for index in 0..self.calls.len() {
            if self.calls[index].standing == Standing::Up {
                self.request(index, "OPTIONS", "");
            }
        }
    }

    /// What each caller, or each callee, has heard.
    pub fn heard(&self, party: usize) -> Vec<Heard> {
        self.calls.iter().map(|call| call.parties[party].heard.clone()).collect()
    }

    /// Packets of a node that came after another node had begun to send, to whichever party.
    pub fn of_two_nodes(&self) -> u64 {
        (0..2).flat_map(|party| self.heard(party)).map(|heard| heard.from_two).sum()
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
        let now = Instant::now();
        if now - self.turned > STALL {
            self.stalls.push((self.turned, now));
        }
        self.turned = now;
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
                call.exchanged[0] += 1;
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
        call.exchanged = [1, 0];
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
        let id = header(text, "Call-ID").and_then(|id| id.strip_prefix("talk-"));
        let index = id.and_then(|id| id.split('x').nth(1)?.parse::<usize>().ok());
        let Some(index) = index.filter(|index| id == self.calls.get(*index).map(|call| call.id.as_str())) else {
            return;
        };
        let Some((number, method)) = header(text, "CSeq").and_then(|cseq| cseq.split_once(' ')) else { return };
        if status < 200 {
            return;
        }
        let local = self.sip[0].local_addr().expect("an address");
        let call = &mut self.calls[index];
        if number.parse() == Ok(call.cseq) {
            call.pending = None;
            call.exchanged[1] += 1;
            // A 200 to an INVITE is repeated until it is acknowledged.
            if method != "INVITE" && call.exchanged[1] > call.exchanged[0] {
                self.duplicates += 1;
            }
        }
        match (method, status) {
            ("INVITE", 200) => {
                call.to_tag = header(text, "To").and_then(|to| to.split(";tag=").nth(1)).unwrap_or("").to_owned();
                let contact = header(text, "Contact").unwrap_or_default();
                call.target = contact.trim_matches(['<', '>']).to_owned();
                let ack = request(local, index, call, "ACK", "");
                let _ = self.sip[0].send_to(ack.as_bytes(), self.gateway);
                if call.standing == Standing::Calling {
                    call.standing = Standing::Up;
                    call.parties[0].take(text);
                }
            }
            ("BYE", 200) => call.standing = Standing::Ended,
            (_, 200) => {}
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
        let rings = method == "INVITE" && self.ringing.is_some();
        match method {
            "INVITE" if rings => {}
            "INVITE" => {
                call.parties[1].take(text);
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
            "SIP/2.0 {}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <sip:call{index}@{local}>\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            if rings { "180 Ringing" } else { "200 OK" },
            of("Via"),
            of("From"),
            of("Call-ID"),
            of("CSeq"),
            body.len(),
        );
        let _ = self.sip[1].send_to(response.as_bytes(), from);
        if let Some(ringing) = self.ringing.as_mut().filter(|_| rings) {
            let is_known = ringing.iter().any(|(_, known)| {
                header(known, "CSeq") == header(text, "CSeq") && header(known, "Call-ID") == header(text, "Call-ID")
            });
            if !is_known {
                ringing.push((from, text.to_owned()));
            }
        }
    }
}

fn request(local: SocketAddr, index: usize, call: &TalkersCall, method: &str, body: &str) -> String {
    let TalkersCall { id, target, to_tag, cseq, .. } = call;
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKtalk{id}x{cseq}{method}\r\nMax-Forwards: 70\r\n\
         From: <sip:caller@{local}>;tag=caller{id}\r\nTo: <sip:call{index}@gateway>{tag}\r\nCall-ID: talk-{id}\r\n\
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
