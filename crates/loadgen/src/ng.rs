//! Calls set up on an rtpengine, by its ng protocol: a dictionary to a datagram, with a cookie before it.
//!
//! One request is outstanding at a time, as a proxy would have it for one call; an answer that does not come is asked for
//! again under the same cookie, which rtpengine answers from memory.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::bencode::Value;
use crate::{LegSpeech, LoadError, SpeechCodec};

/// How long an answer may take before it is asked for again, and how often.
const PATIENCE: Duration = Duration::from_millis(500);
const ATTEMPTS: u32 = 6;

/// An rtpengine.
#[derive(Debug)]
pub struct Rtpengine {
    socket: UdpSocket,
    address: SocketAddr,
    /// Tells this run's calls from those of others.
    prefix: String,
    requests: u64,
}

impl Rtpengine {
    /// At the address that it has as `listen-ng`.
    ///
    /// # Errors
    /// It does not answer a ping.
    pub fn connect(address: SocketAddr) -> Result<Self, LoadError> {
        let failed = |error: std::io::Error| LoadError::SetUp(format!("rtpengine at {address}: {error}"));
        let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).map_err(failed)?;
        socket.connect(address).map_err(failed)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let port = socket.local_addr().map_err(failed)?.port();
        let prefix = format!("tandem-{}-{port}", std::process::id());
        let mut engine = Self { socket, address, prefix, requests: 0 };
        engine.ask(Value::dictionary([("command", Value::text("ping"))]))?;
        Ok(engine)
    }

    /// Sets call `number` up between two legs that receive at `own` and speak `legs`. The addresses that each leg sends to.
    ///
    /// # Errors
    /// It refuses, or does not answer.
    pub fn set_up(
        &mut self,
        number: u32,
        legs: [LegSpeech; 2],
        own: [SocketAddr; 2],
    ) -> Result<[SocketAddr; 2], LoadError> {
        if legs.iter().any(|leg| leg.protection.is_some()) {
            return Err(self.refused("mixes with SRTP are set up over SIP or a gateway of ours alone"));
        }
        let call = format!("{}-{number}", self.prefix);
        let [a, b] = [0, 1].map(|leg| sdp(own[leg], legs[leg]));
        let transcoded = legs[0].codec != legs[1].codec;
        let codec = match transcoded {
            // The callee is offered its own codec alone; the caller's is kept to transcode from.
            true => Value::dictionary([
                ("mask", Value::list([encoding(legs[0].codec)])),
                ("transcode", Value::list([encoding(legs[1].codec)])),
            ]),
            false => Value::dictionary([]),
        };
        let offered = self.ask(Value::dictionary([
            ("ICE", Value::text("remove")),
            ("call-id", Value::text(&call)),
            ("codec", codec),
            ("command", Value::text("offer")),
            ("flags", Value::list(["trust address"])),
            ("from-tag", Value::text("a")),
            ("replace", Value::list(["origin"])),
            ("rtcp-mux", Value::list(["demux"])),
            ("sdp", Value::text(a)),
            ("transport-protocol", Value::text("RTP/AVP")),
        ]))?;
        let answered = self.ask(Value::dictionary([
            ("ICE", Value::text("remove")),
            ("call-id", Value::text(&call)),
            ("command", Value::text("answer")),
            ("flags", Value::list(["trust address"])),
            ("from-tag", Value::text("a")),
            ("replace", Value::list(["origin"])),
            ("sdp", Value::text(b)),
            ("to-tag", Value::text("b")),
            ("transport-protocol", Value::text("RTP/AVP")),
        ]))?;
        // What the caller is answered is where it sends to; what the callee was offered is where that one does.
        Ok([self.media(&answered)?, self.media(&offered)?])
    }

    /// Ends call `number`.
    ///
    /// # Errors
    /// It does not answer, or knows of no such call.
    pub fn take_down(&mut self, number: u32) -> Result<(), LoadError> {
        let call = format!("{}-{number}", self.prefix);
        self.ask(Value::dictionary([
            ("call-id", Value::text(call)),
            ("command", Value::text("delete")),
            ("delete-delay", Value::Number(0)),
            ("from-tag", Value::text("a")),
        ]))?;
        Ok(())
    }

    fn media(&self, answer: &Value) -> Result<SocketAddr, LoadError> {
        let media = answer.text_of("sdp").and_then(media_address);
        media.ok_or_else(|| self.refused("its answer has no SDP with an address"))
    }

    fn refused(&self, why: &str) -> LoadError {
        LoadError::SetUp(format!("rtpengine at {}: {why}", self.address))
    }

    fn ask(&mut self, request: Value) -> Result<Value, LoadError> {
        self.requests += 1;
        let cookie = format!("{}_{} ", self.prefix, self.requests);
        let mut datagram = cookie.clone().into_bytes();
        request.write(&mut datagram);
        let mut answer = vec![0; 65_536];
        for _ in 0..ATTEMPTS {
            self.socket.send(&datagram).map_err(|error| self.refused(&error.to_string()))?;
            // Answers to earlier attempts and requests are passed over.
            while let Ok(length) = self.socket.recv(&mut answer) {
                let Some(body) = answer[..length].strip_prefix(cookie.as_bytes()) else { continue };
                let value = Value::read(body).ok_or_else(|| self.refused("its answer cannot be read"))?;
                return match value.text_of("result") {
                    Some("ok" | "pong") => Ok(value),
                    _ => Err(self.refused(value.text_of("error-reason").unwrap_or("it refuses and does not say why"))),
                };
            }
        }
        Err(self.refused("no answer to a request that was sent six times"))
    }
}

/// A leg's description: one stream, one codec.
fn sdp(own: SocketAddr, leg: LegSpeech) -> String {
    let family = if own.is_ipv4() { "IP4" } else { "IP6" };
    let (ip, port, pt) = (own.ip(), own.port(), leg.codec.payload_type());
    // G.722's clock is told as 8000 (RFC 3551 §4.5.2); Annex B is off, or silence would not be sent.
    let annex_b = if leg.codec == SpeechCodec::G729 { "a=fmtp:18 annexb=no\r\n" } else { "" };
    format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {pt}\r\n\
         a=rtpmap:{pt} {}/8000\r\n{annex_b}a=ptime:{}\r\na=sendrecv\r\n",
        encoding(leg.codec),
        leg.ptime_ms
    )
}

/// The encoding name (RFC 3551 §6).
const fn encoding(codec: SpeechCodec) -> &'static str {
    match codec {
        SpeechCodec::Pcmu => "PCMU",
        SpeechCodec::Pcma => "PCMA",
        SpeechCodec::G722 => "G722",
        SpeechCodec::G729 => "G729",
    }
}

/// Where the first stream of a description is received.
fn media_address(sdp: &str) -> Option<SocketAddr> {
    let after = |start: &str| sdp.lines().find_map(|line| line.strip_prefix(start)).map(str::trim);
    let ip: IpAddr = after("c=IN IP4 ").or_else(|| after("c=IN IP6 "))?.parse().ok()?;
    let port = after("m=audio ")?.split_whitespace().next()?.parse().ok()?;
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LEGS: [LegSpeech; 2] = [plain(SpeechCodec::Pcmu), plain(SpeechCodec::G729)];

    const fn plain(codec: SpeechCodec) -> LegSpeech {
        LegSpeech { codec, ptime_ms: 20, protection: None }
    }

    /// Answers as rtpengine does; the first of each command is lost on the way.
    fn engine() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut datagram, mut heard) = (vec![0; 65_536], Vec::new());
            while let Ok((length, from)) = socket.recv_from(&mut datagram) {
                let space = datagram[..length].iter().position(|octet| *octet == b' ').unwrap();
                let request = Value::read(&datagram[space + 1..length]).unwrap();
                let command = request.text_of("command").unwrap().to_owned();
                if !heard.contains(&command) {
                    heard.push(command);
                    continue;
                }
                let answer = match (command.as_str(), request.text_of("call-id").is_some_and(|id| id.ends_with("-9"))) {
                    ("ping", _) => Value::dictionary([("result", Value::text("pong"))]),
                    (_, true) => Value::dictionary([
                        ("error-reason", Value::text("no ports left")),
                        ("result", Value::text("error")),
                    ]),
                    ("delete", _) => Value::dictionary([("result", Value::text("ok"))]),
                    (kind, _) => {
                        let port = if kind == "offer" { 30_000 } else { 30_002 };
                        let sdp = format!("v=0\r\nc=IN IP4 10.1.2.3\r\nm=audio {port} RTP/AVP 18\r\n");
                        Value::dictionary([("result", Value::text("ok")), ("sdp", Value::text(sdp))])
                    }
                };
                let mut told = datagram[..=space].to_vec();
                answer.write(&mut told);
                socket.send_to(&told, from).unwrap();
            }
        });
        address
    }

    #[test]
    fn a_call_is_offered_answered_and_ended_though_requests_are_lost() {
        let mut engine = Rtpengine::connect(engine()).unwrap();
        let own = ["10.0.0.1:4000", "10.0.0.1:4002"].map(|text| text.parse().unwrap());
        let sends_to = engine.set_up(1, LEGS, own).unwrap();
        assert_eq!(sends_to, ["10.1.2.3:30002", "10.1.2.3:30000"].map(|text| text.parse().unwrap()));
        engine.take_down(1).unwrap();
        let refused = engine.set_up(9, LEGS, own).unwrap_err().to_string();
        assert!(refused.ends_with("no ports left"), "{refused}");
    }

    #[test]
    fn a_leg_is_described_with_its_one_codec() {
        let text = sdp("10.0.0.1:4000".parse().unwrap(), LEGS[1]);
        assert!(
            text.contains("m=audio 4000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=ptime:20\r\n")
        );
        assert_eq!(media_address(&text), Some("10.0.0.1:4000".parse().unwrap()));
        assert_eq!(media_address("v=0\r\nm=audio x RTP/AVP 0\r\n"), None);
    }
}
