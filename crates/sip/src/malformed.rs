//! Answers to requests that could not be read (RFC 3261 section 21.4.1; RFC 4475).

use core::fmt::Write as _;
use core::net::SocketAddr;

use crate::header::{Elements, Via};
use crate::message::mend;
use crate::{HeaderName, ParseError, scan};

/// The response to bytes that [`crate::Message::parse`] refused with `error`, if they were a request that wants one.
///
/// It is sent to where the bytes came from. There is none for responses, for ACK, for keep-alives, and where Via or CSeq
/// are not there to tell the peer which request is meant. The response copies the headers that RFC 3261 section 8.2.6.2
/// names as far as they are there, names the fault in its reason phrase, and is never longer than the request plus a
/// fixed part.
pub fn respond_to_malformed(bytes: &[u8], error: &ParseError, source: SocketAddr, to_tag: &str) -> Option<Vec<u8>> {
    if error.is_keep_alive() {
        return None;
    }
    let skipped = bytes.iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count();
    let bytes = &bytes[skipped..];
    // Most junk is no request at all, and is told apart by its first word, before anything is copied.
    let method = &bytes[..memchr::memchr3(b' ', b'\r', b'\n', bytes)?];
    if method.is_empty() || method == b"ACK" || !method.iter().all(|&byte| scan::is(byte, scan::TOKEN)) {
        return None;
    }
    let head = mend(&bytes[..memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |end| end + 2)]);
    let mut lines = head.split("\r\n");
    if !lines.next()?.contains(' ') {
        return None;
    }
    let mut response = String::with_capacity(512);
    let _ = write!(response, "SIP/2.0 {} ", error.status());
    if error.status() == crate::StatusCode::BAD_REQUEST {
        let _ = write!(response, "Bad Request - {}: {}", error.part, error.problem);
    } else {
        response.push_str(error.status().reason());
    }
    response.push_str("\r\n");
    let mut seen = [false; 5];
    let mut previous: Option<HeaderName> = None;
    for line in lines {
        if line.starts_with([' ', '\t']) {
            // A folded line belongs to what stands before it.
            if previous.is_some() && !line.contains(['\r', '\n']) {
                response.truncate(response.len() - 2);
                let _ = write!(response, " {}\r\n", scan::trim(line));
            }
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let (name, value) = (HeaderName::lookup(name.trim_end()), scan::trim(value));
        let slot = match name {
            HeaderName::Via => 0,
            HeaderName::From => 1,
            HeaderName::To => 2,
            HeaderName::CallId => 3,
            HeaderName::CSeq => 4,
            _ => {
                previous = None;
                continue;
            }
        };
        previous = None;
        if value.contains(['\r', '\n']) || (seen[slot] && name != HeaderName::Via) {
            continue;
        }
        let is_top_via = name == HeaderName::Via && !seen[slot];
        seen[slot] = true;
        let _ = write!(response, "{name}: ");
        match Elements::new(value).next().map(|top| (top, Via::parse(top))) {
            Some((top, Ok(via))) if is_top_via => {
                crate::build::push_marked_via(&mut response, &via, top, source);
                response.push_str(&value[top.len()..]);
            }
            _ => response.push_str(value),
        }
        if name == HeaderName::To && !value.to_ascii_lowercase().contains("tag=") {
            let _ = write!(response, ";tag={to_tag}");
        }
        response.push_str("\r\n");
        previous = Some(name);
    }
    let [via, _, _, _, cseq] = seen;
    if !via || !cseq {
        return None;
    }
    response.push_str("Content-Length: 0\r\n\r\n");
    Some(response.into_bytes())
}
