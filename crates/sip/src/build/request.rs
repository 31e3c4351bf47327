//! Requests (RFC 3261 section 8.1.1).

use core::borrow::Borrow;
use core::fmt::Write as _;

use super::{BuildError, OWN_LIMITS, finish, push_header, push_line};
use crate::{HeaderName, Message, Method, Request};

/// Puts a request together.
///
/// Via is left to [`crate::Transactions::send_request`]. From, To, Call-ID and CSeq must be given;
/// [`crate::Dialog::request`] gives them. Max-Forwards is 70 unless said otherwise.
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    method: Method,
    uri: String,
    via: String,
    max_forwards: u8,
    lines: String,
    content_type: Option<String>,
    body: Vec<u8>,
}

impl RequestBuilder {
    /// A request of `method` to `uri`.
    pub fn new(method: Method, uri: impl Borrow<str>) -> Self {
        Self {
            method,
            uri: uri.borrow().to_owned(),
            via: String::new(),
            max_forwards: 70,
            lines: String::with_capacity(512),
            content_type: None,
            body: Vec::new(),
        }
    }

    /// The method.
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The Request-URI.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// About how many bytes it makes, Via included: not fewer, and at most some fifty more.
    pub fn estimated_bytes(&self) -> usize {
        // The start line's version and line end, Via, Max-Forwards, Content-Type, Content-Length, empty line.
        const REST: usize = 240;
        self.method.as_str().len() + self.uri.len() + self.via.len() + self.lines.len() + self.body.len() + REST
    }

    /// Appends a header line. For the headers that have a method of their own here, use that.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        push_header(&mut self.lines, name, value);
        self
    }

    /// Appends a header line whose name has no [`HeaderName`].
    #[must_use]
    pub fn extension(mut self, name: &str, value: &str) -> Self {
        push_line(&mut self.lines, name, value);
        self
    }

    /// From, as [`crate::header::write_name_addr`] writes it.
    #[must_use]
    pub fn from(self, value: &str) -> Self {
        self.header(HeaderName::From, value)
    }

    /// To, as [`crate::header::write_name_addr`] writes it.
    #[must_use]
    pub fn to(self, value: &str) -> Self {
        self.header(HeaderName::To, value)
    }

    /// Call-ID.
    #[must_use]
    pub fn call_id(self, value: &str) -> Self {
        self.header(HeaderName::CallId, value)
    }

    /// CSeq, with the method of the request.
    #[must_use]
    pub fn cseq(mut self, number: u32) -> Self {
        let _ = write!(self.lines, "CSeq: {number} {}\r\n", self.method);
        self
    }

    /// Contact: a URI, to be put in angle brackets.
    #[must_use]
    pub fn contact(mut self, uri: impl Borrow<str>) -> Self {
        let _ = write!(self.lines, "Contact: <{}>\r\n", uri.borrow().replace(['\r', '\n'], " "));
        self
    }

    /// Appends a Route value: a `name-addr`, brackets included.
    #[must_use]
    pub fn route(self, value: &str) -> Self {
        self.header(HeaderName::Route, value)
    }

    /// Max-Forwards.
    #[must_use]
    pub const fn max_forwards(mut self, hops: u8) -> Self {
        self.max_forwards = hops;
        self
    }

    /// A Via line above those given before: a whole value.
    #[must_use]
    pub fn via(mut self, value: &str) -> Self {
        let mut via = String::with_capacity(value.len() + self.via.len() + 8);
        push_header(&mut via, HeaderName::Via, value);
        via.push_str(&self.via);
        self.via = via;
        self
    }

    /// The body and its type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.content_type = Some(content_type.to_owned());
        self.body = body.into();
        self
    }

    /// The finished request.
    ///
    /// # Errors
    ///
    /// When a header that every request needs is missing, or one of its values is malformed.
    pub fn build(self) -> Result<Request, BuildError> {
        let mut head = String::with_capacity(self.uri.len() + self.via.len() + self.lines.len() + 128);
        let _ =
            write!(head, "{} {} SIP/2.0\r\n{}Max-Forwards: {}\r\n", self.method, self.uri, self.via, self.max_forwards);
        head.push_str(&self.lines);
        let bytes = finish(head, self.content_type.as_deref(), &self.body);
        match Message::parse(&bytes, &OWN_LIMITS)? {
            Message::Request(request) => Ok(request),
            Message::Response(_) => unreachable!("a method is never SIP/2.0"),
        }
    }
}
