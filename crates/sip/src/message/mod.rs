//! Messages: text that has been read and indexed once, handed out as typed views.

mod fields;
mod index;
mod parse;

use core::net::SocketAddr;
use core::ops::Deref;
use std::sync::Arc;

pub use fields::{Fields, Header};
use index::Span;
pub(crate) use parse::mend;

use crate::{Limits, Method, ParseError, StatusCode, Uri, UriBuf};

/// A request or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request; [`Fields`] gives its headers and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    method: Method,
    uri: Span,
    source: Option<SocketAddr>,
    fields: Fields,
}

/// A response; [`Fields`] gives its headers and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: StatusCode,
    reason: Span,
    fields: Fields,
}

impl Message {
    /// Reads the message in one datagram, or the one that a [`crate::StreamFramer`] has cut out.
    ///
    /// Line ends before the message are skipped (RFC 3261 section 7.5). Bytes beyond Content-Length are ignored, and
    /// without Content-Length the body reaches to the end (section 18.3). What is accepted has a well-formed start
    /// line, one well-formed Call-ID, CSeq, From and To each and a well-formed topmost Via, so that their accessors
    /// cannot fail; other headers are judged when they are asked for.
    ///
    /// # Errors
    ///
    /// Says which part of the message is wrong. [`crate::respond_to_malformed`] makes an answer of it.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        parse::parse(bytes, limits)
    }

    /// What requests and responses have in common.
    pub const fn fields(&self) -> &Fields {
        match self {
            Self::Request(request) => &request.fields,
            Self::Response(response) => &response.fields,
        }
    }

    /// The message as it goes on the wire.
    pub fn to_bytes(&self) -> Arc<[u8]> {
        self.fields().to_bytes()
    }
}

impl Request {
    /// The method.
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The Request-URI as written.
    pub fn uri_text(&self) -> &str {
        self.fields.text(self.uri)
    }

    /// The Request-URI.
    pub fn uri(&self) -> Uri<'_> {
        match Uri::parse(self.uri_text()) {
            Ok(uri) => uri,
            Err(_) => unreachable!("checked when the message was read"),
        }
    }

    /// The Request-URI, to keep.
    pub fn uri_buf(&self) -> UriBuf {
        self.uri().into()
    }

    /// Where the request came from, if it came over a network. Responses copy it into the topmost Via, as RFC 3261
    /// section 18.2.1 and RFC 3581 section 4 ask.
    pub const fn source(&self) -> Option<SocketAddr> {
        self.source
    }

    /// Notes where the request came from.
    pub const fn set_source(&mut self, source: SocketAddr) {
        self.source = Some(source);
    }
}

impl Response {
    /// The status code.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason phrase; may be empty.
    pub fn reason(&self) -> &str {
        self.fields.text(self.reason)
    }
}

impl Deref for Request {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.fields
    }
}

impl Deref for Response {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.fields
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Self {
        Self::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}
