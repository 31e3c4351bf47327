//! What must hold for any bytes whatever. Driven by proptest in this folder and by the fuzz targets.

use core::time::Duration;
use std::collections::HashSet;
use std::net::SocketAddr;

use tandem_sip::uas::{self, Capabilities};
use tandem_sip::*;

/// Bytes are refused with a place that lies in them, or read into a message whose every view can be asked for, that
/// survives being written and read, and that can be answered if it is a request.
pub(crate) fn message(bytes: &[u8]) {
    let source = SocketAddr::from(([192, 0, 2, 1], 5060));
    match Message::parse(bytes, &Limits::default()) {
        Ok(message) => {
            look_at(message.fields());
            let again = Message::parse(&message.to_bytes(), &Limits::default());
            assert_eq!(again.as_ref(), Ok(&message));
            if let Message::Request(mut request) = message {
                request.set_source(source);
                for status in [StatusCode::TRYING, StatusCode::OK, StatusCode::BUSY_HERE] {
                    let response = ResponseBuilder::new(&request, status).to_tag("t").build().expect("an answer");
                    assert_eq!(response.call_id(), request.call_id());
                    assert_eq!(response.cseq_method(), request.method());
                    assert_eq!(response.from_tag(), request.from_tag());
                    assert_eq!(response.top_via().branch(), request.top_via().branch());
                    assert!(response.to_tag().is_some());
                }
                let capabilities = Capabilities { methods: &[Method::Invite], option_tags: &[], content_types: &[] };
                if let Err(refusal) = uas::check(&request, &capabilities) {
                    refusal.response(&request, "t").expect("an answer");
                }
                if let Ok(mut dialog) = Dialog::uas(&request, "t", DialogState::Early) {
                    let _ = dialog.request(Method::Bye).via("SIP/2.0/UDP h;branch=z9hG4bKx").build();
                    let _ = dialog.next_hop();
                }
            }
        }
        Err(error) => {
            assert!(error.offset <= bytes.len(), "{error}");
            if let Some(answer) = respond_to_malformed(bytes, &error, source, "t") {
                assert!(answer.len() <= bytes.len() + 256, "no amplification");
                assert!(answer.starts_with(b"SIP/2.0 ") && answer.ends_with(b"Content-Length: 0\r\n\r\n"));
                let text = String::from_utf8(answer).expect("UTF-8");
                assert!(text.trim_end().split("\r\n").all(|line| !line.is_empty() && !line.contains(['\r', '\n'])));
            }
        }
    }
}

fn look_at(fields: &Fields) {
    for header in fields.headers() {
        assert!(!header.value.contains(['\r', '\n']));
        let _ = fields.extension(header.name_text);
        let _ = fields.elements(header.name).count();
    }
    for address in fields.routes().chain(fields.record_routes()).flatten().chain([fields.from(), fields.to()]) {
        if let Ok(uri) = address.uri() {
            assert!(uri.is_equivalent(&uri) || uri.params().iter().count() > 1, "{uri}");
            assert_eq!(UriBuf::parse(uri.as_str()).expect("a URI").view().user(), uri.user());
            let _ = (uri.transport(), uri.is_loose_router(), uri.user().map(|user| escape_user(user).len()));
        }
        let _ = (address.display_text(), address.params.iter().count());
    }
    let _ = fields.contacts().count() + fields.vias().count() + fields.reasons().count() + fields.require().count();
    let _ = (fields.content_type().is_some(), fields.expires().is_some(), fields.retry_after().is_some());
    let _ = (fields.supports("timer"), fields.allows(&Method::Invite), fields.max_forwards());
}

/// A stream gives the same frames and the same error however it is cut into reads.
pub(crate) fn stream(bytes: &[u8], cuts: &[u8]) {
    let limits = Limits { max_bytes: 600, max_head_bytes: 400, ..Limits::default() };
    let whole = frames(&limits, [bytes].into_iter());
    let single = frames(&limits, bytes.chunks(1));
    assert_eq!(whole, single);
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, behind) = rest.split_at(usize::from(*cut).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    assert_eq!(whole, frames(&limits, pieces.into_iter()));
}

type Frames = (Vec<Option<Vec<u8>>>, Option<FramingError>);

fn frames<'a>(limits: &Limits, pieces: impl Iterator<Item = &'a [u8]>) -> Frames {
    let mut framer = StreamFramer::new(*limits);
    let mut all = Vec::new();
    let mut error = None;
    for piece in pieces {
        framer.on_bytes(piece);
        loop {
            match framer.poll_frame() {
                Ok(Some(Frame::Message(message))) => all.push(Some(message.to_vec())),
                Ok(Some(Frame::Ping)) => all.push(None),
                Ok(None) => break,
                Err(found) => {
                    assert_eq!(error, None, "one error ends a stream");
                    error = Some(found);
                }
            }
        }
        assert!(framer.pending() <= 2 * limits.max_bytes + piece.len());
    }
    (all, error)
}

/// Any sequence of messages, user actions and time leaves a transaction layer that comes to an end: every transaction
/// terminates once, nothing is said about it afterwards, and no timer is left.
pub(crate) fn transactions(commands: &[u8]) {
    let mut run = Run::new(commands.first().copied().unwrap_or_default());
    for command in commands.chunks_exact(3) {
        run.command(command[0], command[1], command[2]);
        run.settle();
    }
    // The user answers what it left open; then time does the rest.
    for (id, request) in core::mem::take(&mut run.servers) {
        run.respond(id, &request, 500);
    }
    run.settle();
    run.pass(Duration::from_secs(1_000));
    assert_eq!(run.layer.live(), 0);
    assert_eq!(run.layer.next_deadline(), None);
    assert_eq!(run.layer.deadlines(), 0);
    assert!(run.alive.is_empty(), "{:?}", run.alive);
}

const MAX_TRANSACTIONS: usize = 12;

struct Run {
    now: Instant,
    peer: Peer,
    layer: Transactions,
    clients: Vec<ClientTx>,
    servers: Vec<(ServerTx, Request)>,
    sent: Vec<(Method, String)>,
    alive: HashSet<Tx>,
    dead: HashSet<Tx>,
}

impl Run {
    fn new(seed: u8) -> Self {
        let address = |last| SocketAddr::from(([192, 0, 2, last], 5060));
        let transport = if seed & 1 == 0 { Transport::Udp } else { Transport::Tcp };
        let config = TransactionConfig { max_transactions: MAX_TRANSACTIONS, ..TransactionConfig::default() };
        Self {
            now: Instant::ZERO,
            peer: Peer::new(transport, address(1), address(2)),
            layer: Transactions::new(config, Identifiers::new(SeededRandom::new(u64::from(seed)))),
            clients: Vec::new(),
            servers: Vec::new(),
            sent: Vec::new(),
            alive: HashSet::new(),
            dead: HashSet::new(),
        }
    }

    fn command(&mut self, what: u8, x: u8, y: u8) {
        let methods = ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "NEW"];
        let statuses = [100, 180, 183, 200, 202, 302, 404, 486, 503, 603];
        let method = methods[usize::from(x) % methods.len()];
        let status = statuses[usize::from(y) % statuses.len()];
        match what % 8 {
            0 => {
                let branch = ["", ";branch=z9hG4bKa", ";branch=z9hG4bKb", ";branch=old"][usize::from(y) % 4];
                let tag = ["", ";tag=t"][usize::from(y >> 2) % 2];
                self.receive(&format!(
                    "{method} sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2{branch}\r\nFrom: <sip:b@h>;tag=f\r\n\
                     To: <sip:a@h>{tag}\r\nCall-ID: c\r\nCSeq: {} {method}\r\n\r\n",
                    y >> 4
                ));
            }
            1 | 2 if !self.sent.is_empty() => {
                let (method, via) = &self.sent[usize::from(x) % self.sent.len()];
                let message = format!(
                    "SIP/2.0 {status} X\r\nVia: {via}\r\nFrom: <sip:a@h>;tag=f\r\nTo: <sip:b@h>;tag=t\r\n\
                     Call-ID: c\r\nCSeq: 1 {method}\r\n\r\n"
                );
                self.receive(&message);
            }
            3 => {
                let Some(method) = Method::parse(method) else { return };
                let request =
                    RequestBuilder::new(method, "sip:b@h").from("<sip:a@h>;tag=f").to("<sip:b@h>").call_id("c").cseq(1);
                if let Ok(id) = self.layer.send_request(self.now, self.peer, request) {
                    assert!(self.alive.insert(Tx::Client(id)));
                    self.clients.push(id);
                }
            }
            4 if !self.servers.is_empty() => {
                let (id, request) = self.servers[usize::from(x) % self.servers.len()].clone();
                self.respond(id, &request, status);
            }
            5 if !self.clients.is_empty() => {
                let _ = self.layer.cancel(self.now, self.clients[usize::from(x) % self.clients.len()], None);
            }
            6 => self.pass(Duration::from_millis(u64::from(x) * u64::from(y) * 2)),
            7 if x < 32 => self.layer.on_transport_error(self.now, self.peer),
            _ => {
                // Awake for no reason.
                self.layer.on_timeout(self.now);
            }
        }
    }

    fn receive(&mut self, text: &str) {
        self.layer.on_bytes(self.now, self.peer, text.as_bytes()).expect("a message");
    }

    fn respond(&mut self, id: ServerTx, request: &Request, status: u16) {
        let status = StatusCode::new(status).expect("a status");
        let response = ResponseBuilder::new(request, status).to_tag("t").build().expect("a response");
        let _ = self.layer.respond(self.now, id, &response);
    }

    fn pass(&mut self, length: Duration) {
        let end = self.now + length;
        let mut steps = 0;
        while let Some(deadline) = self.layer.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = deadline.max(self.now);
            self.layer.on_timeout(self.now);
            assert!(self.layer.deadlines() <= 64 + 4 * self.layer.live());
            self.settle();
            assert!(self.layer.next_deadline().is_none_or(|next| next > self.now), "a timer that is due was left");
            steps += 1;
            assert!(steps < 10_000, "timers without end");
        }
        self.now = end;
    }

    fn settle(&mut self) {
        while let Some(output) = self.layer.poll_output() {
            match output {
                Output::Send { to, bytes } => {
                    assert_eq!(to.transport, self.peer.transport);
                    if let Ok(Message::Request(request)) = Message::parse(&bytes, &Limits::default()) {
                        let via = request.value(HeaderName::Via).expect("a Via").to_owned();
                        self.sent.push((request.method().clone(), via));
                    }
                }
                Output::Request { id, request, .. } => {
                    assert!(self.alive.insert(Tx::Server(id)), "a name came back");
                    self.servers.push((id, request));
                }
                Output::Response { id, .. } | Output::MovedOn { id, .. } => self.must_live(Tx::Client(id)),
                Output::Cancel { invite, .. } => self.must_live(Tx::Server(invite)),
                Output::Timeout { id } | Output::TransportFailed { id } => self.must_live(id),
                Output::Terminated { id } => {
                    assert!(self.alive.remove(&id), "terminated without having begun, or twice");
                    assert!(self.dead.insert(id));
                }
                Output::Ack { request, .. } => assert_eq!(request.method(), &Method::Ack),
            }
        }
        // A CANCEL of our own is let through beyond the limit, once for each INVITE.
        assert!(self.layer.live() <= 2 * MAX_TRANSACTIONS);
    }

    fn must_live(&self, id: Tx) {
        assert!(self.alive.contains(&id), "{id:?} is gone, or never was");
    }
}

/// Any text as challenge or credentials is refused or read, and what is read is written and read again; a server lets nobody
/// in for it.
pub(crate) fn digest(bytes: &[u8]) {
    use tandem_sip::digest::{Algorithm, Authenticator, Challenge, Checked, Credentials, DigestClient, Ha1, Settings};
    let text = String::from_utf8_lossy(bytes);
    if let Ok(Some(challenge)) = Challenge::parse(&text) {
        let again = challenge.to_value();
        if challenge.algorithm.is_some() && !again.contains(['\r', '\n']) {
            assert_eq!(Challenge::parse(&again), Ok(Some(challenge)));
        }
    }
    if let Ok(Some(credentials)) = Credentials::parse(&text) {
        let _ = (credentials.user(), credentials.nonce_count());
        if credentials.algorithm.is_some() {
            assert_eq!(Credentials::parse(&credentials.to_value()), Ok(Some(credentials)));
        }
    }
    let mut identifiers = Identifiers::new(SeededRandom::new(1));
    let request = |name| {
        let request = RequestBuilder::new(Method::Register, "sip:h").from("<sip:b@h>;tag=f").to("<sip:b@h>");
        request.via("SIP/2.0/UDP h;branch=z9hG4bKx").call_id("c").cseq(1).header(name, &text)
    };
    let Ok(refused) = request(HeaderName::Authorization).build() else { return };
    let settings = Settings {
        realm: "r".to_owned(),
        algorithms: Algorithm::ALL.to_vec(),
        nonce_lifetime: Duration::from_secs(300),
        max_nonces: 4,
    };
    let mut server = Authenticator::new(settings, [9; 32]);
    let known = |user: &str, algorithm| Some(Ha1::new(algorithm, user, "r", "secret"));
    let verdict = server.check(Instant::ZERO, &refused, HeaderName::Authorization, known);
    assert!(!matches!(verdict, Checked::Authentic(_)), "{verdict:?}");
    assert_eq!(server.nonces(), 0);
    let challenged = ResponseBuilder::new(&refused, StatusCode::UNAUTHORIZED).to_tag("t");
    let Ok(challenged) = challenged.header(HeaderName::WwwAuthenticate, &text).build() else { return };
    let mut client = DigestClient::new("b\"\\", "secret");
    if client.on_challenge(&challenged).is_ok() {
        let answer = client.authorize(request(HeaderName::Subject), &mut identifiers).build().expect("a request");
        let value = answer.value(HeaderName::Authorization).expect("credentials");
        let credentials = Credentials::parse(value).expect("well-formed").expect("Digest");
        assert_eq!(credentials.user(), "b\"\\");
    }
}

/// A client with the password is let in, one with another is not, whatever stands in user name and password.
pub(crate) fn digest_round(user: &str, password: &str, other: &str) {
    use tandem_sip::digest::{Algorithm, Authenticator, Checked, DigestClient, Ha1, Settings};
    let settings = Settings {
        realm: "r\"".to_owned(),
        algorithms: vec![Algorithm::Sha256],
        nonce_lifetime: Duration::from_secs(1),
        max_nonces: 4,
    };
    let mut server = Authenticator::new(settings, [9; 32]);
    let mut identifiers = Identifiers::new(SeededRandom::new(1));
    let request = RequestBuilder::new(Method::Register, "sip:h").from("<sip:b@h>;tag=f").to("<sip:b@h>");
    let request = request.via("SIP/2.0/UDP h;branch=z9hG4bKx").call_id("c").cseq(1);
    let plain = request.clone().build().expect("a request");
    for tried in [password, other] {
        let challenges = server.challenges(Instant::ZERO, &mut identifiers, false);
        let challenged = ResponseBuilder::new(&plain, StatusCode::UNAUTHORIZED).to_tag("t");
        let challenged = challenged.header(HeaderName::WwwAuthenticate, &challenges[0]).build().expect("a response");
        let mut client = DigestClient::new(user, tried);
        client.on_challenge(&challenged).expect("answerable");
        let answer = client.authorize(request.clone(), &mut identifiers).build().expect("a request");
        let verdict = server.check(Instant::ZERO, &answer, HeaderName::Authorization, |given, algorithm| {
            (given == user).then(|| Ha1::new(algorithm, user, "r\\\"", password))
        });
        let wanted = if tried == password { Checked::Authentic(user.into()) } else { Checked::Wrong };
        assert_eq!(verdict, wanted);
    }
}
