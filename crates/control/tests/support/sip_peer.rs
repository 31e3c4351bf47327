//! One end of a call, written out by hand: the test reads and writes the text that goes over the wire.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Instant;

use super::PATIENCE;

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.20\r\ns=-\r\nc=IN IP4 10.0.0.20\r\nt=0 0\r\n";

/// A socket that speaks SIP with the gateway.
pub struct SipPeer {
    socket: UdpSocket,
    gateway: SocketAddr,
    count: AtomicU32,
}

impl SipPeer {
    pub fn new(ip: &str, gateway: SocketAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, gateway, count: AtomicU32::new(1) }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub fn send(&self, message: &str) {
        self.socket.send_to(message.as_bytes(), self.gateway).unwrap();
    }

    /// Sends an INVITE that offers PCMU; its Call-ID.
    pub fn invite(&self, user: &str) -> String {
        let (number, us, gateway) = (self.count.fetch_add(1, Relaxed), self.address(), self.gateway);
        let call_id = format!("call-{number}-{}", us.port());
        let body = format!("{SDP}m=audio 20000 RTP/AVP 0\r\n");
        self.send(&format!(
            "INVITE sip:{user}@{gateway} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK{call_id}\r\n\
             From: <sip:test@{us}>;tag=t{number}\r\nTo: <sip:{user}@{gateway}>\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:test@{us}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        call_id
    }

    /// The next message that starts so; others (provisional responses, retransmissions) are passed over.
    pub fn expect(&self, start: &str) -> String {
        self.expect_where(start, |message| message.starts_with(start))
    }

    /// The final response to the INVITE of a call.
    pub fn expect_final(&self, call_id: &str) -> String {
        self.expect_where(call_id, |message| {
            message.starts_with("SIP/2.0 ")
                && !message.starts_with("SIP/2.0 1")
                && message.contains(call_id)
                && header(message, "CSeq").is_some_and(|cseq| cseq.ends_with("INVITE"))
        })
    }

    /// The first response of any kind to the INVITE of a call.
    pub fn expect_response(&self, call_id: &str) -> String {
        self.expect_where(call_id, |message| message.starts_with("SIP/2.0 ") && message.contains(call_id))
    }

    fn expect_where(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        let mut buffer = [0; 65_535];
        while Instant::now() < until {
            let (len, _) = self.socket.recv_from(&mut buffer).unwrap_or_else(|error| panic!("no {what}: {error}"));
            let message = String::from_utf8_lossy(&buffer[..len]).into_owned();
            if wanted(&message) {
                return message;
            }
        }
        panic!("no {what}");
    }

    /// Answers a request, with a description of PCMA where one is wanted.
    pub fn answer(&self, request: &str, status: &str, describe: bool) {
        let us = self.address();
        let body = if describe { format!("{SDP}m=audio 30000 RTP/AVP 8\r\n") } else { String::new() };
        let copy = |name: &str| header(request, name).unwrap_or_default().to_owned();
        let to = copy("To");
        let to = if to.contains("tag=") { to } else { format!("{to};tag=callee") };
        let kind = if describe { "Content-Type: application/sdp\r\n" } else { "" };
        self.send(&format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <sip:callee@{us}>\r\n\
             {kind}Content-Length: {}\r\n\r\n{body}",
            copy("Via"),
            copy("From"),
            copy("Call-ID"),
            copy("CSeq"),
            body.len()
        ));
    }

    pub fn ack(&self, ok: &str) {
        self.in_dialog(ok, "ACK", 1);
    }

    pub fn bye(&self, ok: &str) {
        self.in_dialog(ok, "BYE", 2);
    }

    /// A request within the dialog that a 200 to our INVITE made.
    fn in_dialog(&self, ok: &str, method: &str, cseq: u32) {
        let us = self.address();
        let copy = |name: &str| header(ok, name).unwrap_or_default();
        let contact = copy("Contact");
        let target = contact.split(['<', '>']).nth(1).unwrap_or(contact);
        self.send(&format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK{method}{cseq}{}\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            copy("Call-ID"),
            copy("From"),
            copy("To"),
            copy("Call-ID"),
        ));
    }
}

/// The first header of that name.
pub fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().take_while(|line| !line.is_empty()).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}
