//! Responses (RFC 3261 section 8.2.6).

use core::borrow::Borrow;
use core::fmt::Write as _;
use core::net::{IpAddr, SocketAddr};

use super::{BuildError, OWN_LIMITS, finish, push_header, push_line};
use crate::header::Via;
use crate::{HeaderName, Message, Method, Request, Response, StatusCode};

/// Puts a response together from the request that it answers.
#[derive(Clone, Debug)]
pub struct ResponseBuilder {
    status: StatusCode,
    reason: Option<String>,
    lines: String,
    to: String,
    to_has_tag: bool,
    content_type: Option<String>,
    body: Vec<u8>,
}

impl ResponseBuilder {
    /// A response to `request`: Via, From, To, Call-ID and CSeq are copied, Timestamp into a 100, and Record-Route into
    /// what can create a dialog (section 12.1.1). The topmost Via gets `received` and `rport` from
    /// [`Request::source`].
    pub fn new(request: &Request, status: StatusCode) -> Self {
        let mut lines = String::with_capacity(512);
        let makes_dialog = request.to_tag().is_none()
            && matches!(request.method(), Method::Invite | Method::Subscribe | Method::Refer | Method::Notify)
            && status > StatusCode::TRYING
            && status.as_u16() < 300;
        let mut is_top = true;
        for header in request.headers() {
            match header.name {
                HeaderName::Via if is_top => {
                    is_top = false;
                    push_top_via(&mut lines, request, header.value);
                }
                HeaderName::Via | HeaderName::From | HeaderName::CallId | HeaderName::CSeq => {
                    push_header(&mut lines, header.name, header.value);
                }
                HeaderName::RecordRoute if makes_dialog => push_header(&mut lines, header.name, header.value),
                HeaderName::Timestamp if status == StatusCode::TRYING => {
                    push_header(&mut lines, header.name, header.value);
                }
                _ => {}
            }
        }
        Self {
            status,
            reason: None,
            lines,
            to: request.value(HeaderName::To).unwrap_or_default().to_owned(),
            to_has_tag: request.to_tag().is_some(),
            content_type: None,
            body: Vec::new(),
        }
    }

    /// The status.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// A reason phrase other than the registered one.
    #[must_use]
    pub fn reason(mut self, reason: &str) -> Self {
        self.reason = Some(reason.replace(['\r', '\n'], " "));
        self
    }

    /// The To tag, unless the request had one. Every response but 100 needs it (section 8.2.6.2).
    #[must_use]
    pub fn to_tag(mut self, tag: &str) -> Self {
        if !self.to_has_tag {
            self.to.push_str(";tag=");
            self.to.push_str(tag);
            self.to_has_tag = true;
        }
        self
    }

    /// Appends a header line.
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

    /// Contact: a URI, to be put in angle brackets.
    #[must_use]
    pub fn contact(mut self, uri: impl Borrow<str>) -> Self {
        let _ = write!(self.lines, "Contact: <{}>\r\n", uri.borrow().replace(['\r', '\n'], " "));
        self
    }

    /// Retry-After, in seconds.
    #[must_use]
    pub fn retry_after(mut self, delay_s: u32) -> Self {
        let _ = write!(self.lines, "Retry-After: {delay_s}\r\n");
        self
    }

    /// The body and its type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.content_type = Some(content_type.to_owned());
        self.body = body.into();
        self
    }

    /// The finished response.
    ///
    /// # Errors
    ///
    /// When a value that was given is malformed.
    pub fn build(self) -> Result<Response, BuildError> {
        let mut head = String::with_capacity(self.lines.len() + self.to.len() + 128);
        let reason = self.reason.as_deref().unwrap_or(self.status.reason());
        let _ = write!(head, "SIP/2.0 {} {reason}\r\n", self.status);
        head.push_str(&self.lines);
        push_header(&mut head, HeaderName::To, &self.to);
        let bytes = finish(head, self.content_type.as_deref(), &self.body);
        match Message::parse(&bytes, &OWN_LIMITS)? {
            Message::Response(response) => Ok(response),
            Message::Request(_) => unreachable!("starts with SIP/2.0"),
        }
    }
}

/// Notes the source of the request in its topmost Via: `received` when sent-by is not that address or `rport` was asked
/// for (RFC 3261 section 18.2.1, RFC 3581 section 4).
fn push_top_via(lines: &mut String, request: &Request, line: &str) {
    let Some(source) = request.source() else {
        push_header(lines, HeaderName::Via, line);
        return;
    };
    lines.push_str("Via: ");
    let top_end = crate::header::Elements::new(line).next().map_or(line.len(), |top| {
        // The first element begins where the line does: both are trimmed.
        top.len()
    });
    push_marked_via(lines, &request.top_via(), &line[..top_end], source);
    lines.push_str(&line[top_end..]);
    lines.push_str("\r\n");
}

pub(crate) fn push_marked_via(lines: &mut String, via: &Via<'_>, text: &str, source: SocketAddr) {
    // What a peer wrote into these itself is not to be believed.
    let params = via.params.as_str();
    let before = text.len() - params.len();
    lines.push_str(text.get(..before).unwrap_or(text).trim_end());
    for param in via.params.iter() {
        let is_mark = param.name.eq_ignore_ascii_case("received") || param.name.eq_ignore_ascii_case("rport");
        if !is_mark {
            lines.push(';');
            lines.push_str(param.name);
            if let Some(value) = param.value {
                lines.push('=');
                lines.push_str(value);
            }
        }
    }
    let sent_by_source = via.host.trim_matches(['[', ']']).parse::<IpAddr>() == Ok(source.ip());
    if via.has_rport() {
        let _ = write!(lines, ";received={};rport={}", source.ip(), source.port());
    } else if !sent_by_source {
        let _ = write!(lines, ";received={}", source.ip());
    }
}
