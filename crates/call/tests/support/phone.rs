//! A SIP endpoint that does what the test says, one message at a time.

use std::collections::VecDeque;
use std::net::SocketAddr;

/// A SIP message as text, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sip {
    pub start: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Sip {
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("an empty line");
        let mut lines = head.split("\r\n");
        let start = lines.next().expect("a start line").to_owned();
        let headers =
            lines.map(|line| line.split_once(": ").expect("a header")).map(|(n, v)| (n.to_owned(), v.to_owned()));
        Self { start, headers: headers.collect(), body: body.to_owned() }
    }

    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    pub fn method(&self) -> &str {
        self.start.split(' ').next().expect("a method")
    }

    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).expect("a Request-URI")
    }

    pub fn header(&self, name: &str) -> &str {
        self.find(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn find(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn tag(&self, name: &str) -> Option<&str> {
        let rest = self.header(name).split(";tag=").nth(1)?;
        rest.split(';').next()
    }

    pub fn contact_uri(&self) -> &str {
        self.header("Contact").trim_start_matches('<').split('>').next().expect("a URI")
    }

    pub fn text(&self) -> String {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{}\r\n{headers}\r\n{}", self.start, self.body)
    }
}

/// A session description of one audio stream; `more` holds further lines.
pub fn sdp(at: SocketAddr, port: u16, formats: &str, more: &str) -> String {
    let ip = at.ip();
    format!(
        "v=0\r\no=phone 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {formats}\r\n{more}"
    )
}

#[derive(Debug)]
pub struct Phone {
    pub name: &'static str,
    pub address: SocketAddr,
    gateway: SocketAddr,
    pub inbox: VecDeque<Sip>,
    pub call_id: String,
    pub tag: String,
    pub remote_tag: Option<String>,
    /// `From` of our requests in the dialog, and `To`, without tags.
    local: String,
    remote: String,
    /// Where requests in the dialog go.
    target: String,
    pub cseq: u32,
    pub branch: u32,
    /// The INVITE sent last.
    pub invite: Option<Sip>,
}

impl Phone {
    pub fn new(name: &'static str, address: SocketAddr, gateway: SocketAddr) -> Self {
        Self {
            name,
            address,
            gateway,
            inbox: VecDeque::new(),
            call_id: format!("{name}-call-1"),
            tag: format!("{name}tag"),
            remote_tag: None,
            local: format!("<sip:{name}@{address}>"),
            remote: String::new(),
            target: String::new(),
            cseq: 0,
            branch: 0,
            invite: None,
        }
    }

    /// The next call is another one.
    pub fn next_call(&mut self, number: u32) {
        self.call_id = format!("{}-call-{number}", self.name);
        self.tag = format!("{}tag{number}", self.name);
        self.remote_tag = None;
        self.cseq = 0;
    }

    /// An INVITE for a new call.
    pub fn invite(&mut self, user: &str, offer: &str) -> String {
        self.target = format!("sip:{user}@{}", self.gateway);
        self.remote = format!("<sip:{user}@{}>", self.gateway);
        self.request("INVITE", offer)
    }

    /// A request in the dialog.
    pub fn request(&mut self, method: &str, body: &str) -> String {
        self.request_with(method, body, "")
    }

    /// A request in the dialog with further header lines.
    pub fn request_with(&mut self, method: &str, body: &str, more: &str) -> String {
        self.cseq += 1;
        self.branch += 1;
        let text = self.write(method, self.cseq, self.branch, body, more);
        if method == "INVITE" {
            self.invite = Some(Sip::parse(text.as_bytes()));
        }
        text
    }

    fn write(&self, method: &str, cseq: u32, branch: u32, body: &str, more: &str) -> String {
        let Self { name, address, call_id, tag, local, remote, target, .. } = self;
        let remote_tag = self.remote_tag.as_ref().map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let content_type =
            if body.is_empty() || more.contains("Content-Type") { "" } else { "Content-Type: application/sdp\r\n" };
        let length = body.len();
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bK{name}{call_id}{branch}\r\nMax-Forwards: 70\r\n\
             From: {local};tag={tag}\r\nTo: {remote}{remote_tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:{name}@{address}>\r\n{more}{content_type}Content-Length: {length}\r\n\r\n{body}"
        )
    }

    /// The CANCEL of the INVITE sent last.
    pub fn cancel(&self) -> String {
        let invite = self.invite.as_ref().expect("an INVITE was sent");
        let cseq = invite.header("CSeq").split(' ').next().expect("a number").to_owned();
        format!(
            "CANCEL {} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} CANCEL\r\n\
             Content-Length: 0\r\n\r\n",
            invite.uri(),
            invite.header("Via"),
            invite.header("From"),
            invite.header("To"),
            invite.header("Call-ID"),
        )
    }

    /// The ACK of a final response to the INVITE sent last. A 2xx sets the dialog up.
    pub fn ack(&mut self, response: &Sip, body: &str) -> String {
        let cseq: u32 = response.header("CSeq").split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        if response.status().is_some_and(|status| status < 300) {
            self.remote_tag = response.tag("To").map(str::to_owned);
            self.target = response.contact_uri().to_owned();
            self.branch += 1;
            return self.write("ACK", cseq, self.branch, body, "");
        }
        let invite = self.invite.as_ref().expect("an INVITE was sent");
        format!(
            "ACK {} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} ACK\r\n\
             Content-Length: 0\r\n\r\n",
            invite.uri(),
            invite.header("Via"),
            invite.header("From"),
            response.header("To"),
            invite.header("Call-ID"),
        )
    }

    /// A response to a request; to an INVITE it sets the dialog up.
    pub fn answer(&mut self, request: &Sip, status: u16, reason: &str, body: &str) -> String {
        self.answer_with(request, status, reason, body, "")
    }

    pub fn answer_with(&mut self, request: &Sip, status: u16, reason: &str, body: &str, more: &str) -> String {
        if request.method() == "INVITE" && status > 100 {
            self.call_id = request.header("Call-ID").to_owned();
            self.remote_tag = request.tag("From").map(str::to_owned);
            self.remote = request.header("From").split(";tag=").next().expect("an address").to_owned();
            self.local = request.header("To").split(";tag=").next().expect("an address").to_owned();
            self.target = request.contact_uri().to_owned();
        }
        let to = request.header("To");
        let to = if to.contains(";tag=") || status == 100 { to.to_owned() } else { format!("{to};tag={}", self.tag) };
        let content_type = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let contact = if request.method() == "INVITE" {
            format!("Contact: <sip:{}@{}>\r\n", self.name, self.address)
        } else {
            String::new()
        };
        format!(
            "SIP/2.0 {status} {reason}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n{contact}{more}{content_type}\
             Content-Length: {}\r\n\r\n{body}",
            request.header("Via"),
            request.header("From"),
            request.header("Call-ID"),
            request.header("CSeq"),
            body.len(),
        )
    }

    pub fn next(&mut self) -> Sip {
        self.inbox.pop_front().unwrap_or_else(|| panic!("{} hears nothing", self.name))
    }

    /// The next message, which is a response of this status.
    pub fn expect_status(&mut self, status: u16) -> Sip {
        let message = self.next();
        assert_eq!(message.status(), Some(status), "{} got {message:?}", self.name);
        message
    }

    /// The next message, which is a request of this method.
    pub fn expect_request(&mut self, method: &str) -> Sip {
        let message = self.next();
        assert_eq!(message.method(), method, "{} got {message:?}", self.name);
        message
    }

    pub fn expect_silence(&self) {
        assert!(self.inbox.is_empty(), "{} hears {:?}", self.name, self.inbox);
    }

    /// Forgets what came, and says how many messages of this start there were.
    pub fn drain(&mut self, start: &str) -> usize {
        let count = self.inbox.iter().filter(|message| message.start.starts_with(start)).count();
        self.inbox.clear();
        count
    }
}
