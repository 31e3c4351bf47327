//! Messages to send.

mod hop;
mod request;
mod response;

pub(crate) use hop::{ack_for_failure, cancel_for};
pub use request::RequestBuilder;
pub use response::ResponseBuilder;
pub(crate) use response::push_marked_via;

use crate::{HeaderName, ParseError};

/// A message was put together from values that do not make one.
///
/// What is built is read back with the same parser that strangers' messages go through, so what leaves is well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot build the message: {0}")]
pub struct BuildError(#[from] pub ParseError);

/// Appends `name: value`, with line ends in the value made harmless.
fn push_line(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str(": ");
    if value.contains(['\r', '\n']) {
        text.extend(value.chars().map(|c| if matches!(c, '\r' | '\n') { ' ' } else { c }));
    } else {
        text.push_str(value);
    }
    text.push_str("\r\n");
}

fn push_header(text: &mut String, name: HeaderName, value: &str) {
    debug_assert!(name != HeaderName::Other, "an extension header needs its name");
    push_line(text, name.as_str(), value);
}

/// Appends what comes last: Content-Type with a body, Content-Length always, the empty line, the body.
fn finish(head: String, content_type: Option<&str>, body: &[u8]) -> Vec<u8> {
    let mut head = head;
    if let Some(content_type) = content_type {
        push_header(&mut head, HeaderName::ContentType, content_type);
    }
    head.push_str("Content-Length: ");
    head.push_str(&body.len().to_string());
    head.push_str("\r\n\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Bounds for what is built here: whatever fits the largest datagram.
pub(crate) const OWN_LIMITS: crate::Limits =
    crate::Limits { max_bytes: 65_535, max_head_bytes: 65_535, max_headers: 1_024, max_uri_bytes: 8_192 };
