//! Bytes to an indexed message.

use super::index::{AddressIndex, Core, Entry, Span, ViaIndex};
use super::{Fields, Message, Request, Response};
use crate::error::{Part, Problem};
use crate::header::{CSeq, Elements, NameAddr, Via};
use crate::{HeaderName, Limits, Method, ParseError, StatusCode, Uri, ValueError, scan};

pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Message, ParseError> {
    let skipped = bytes.iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count();
    let message = &bytes[skipped..];
    if message.is_empty() {
        return Err(ParseError::new(Part::Framing, Problem::Empty, 0));
    }
    read(message, limits).map_err(|error| ParseError { offset: error.offset + skipped, ..error })
}

fn read(bytes: &[u8], limits: &Limits) -> Result<Message, ParseError> {
    let framing = |problem, offset| ParseError::new(Part::Framing, problem, offset);
    if bytes.len() > limits.max_bytes.min(u32::MAX as usize) {
        return Err(framing(Problem::TooLong, limits.max_bytes));
    }
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").ok_or(framing(Problem::Truncated, bytes.len()))?;
    if end + 4 > limits.max_head_bytes {
        return Err(framing(Problem::TooLong, limits.max_head_bytes));
    }
    let (head, body) = bytes.split_at(end + 4);
    let head = to_text(unfold(head)?)?;
    let start_end = memchr::memchr(b'\r', head.as_bytes()).unwrap_or(head.len());
    let start = StartLine::read(&head[..start_end], limits)?;
    let (entries, lines) = split_lines(&head, start_end + 2, limits)?;
    let core = lines.read_core(&head)?;
    let body = match lines.content_length {
        None => body,
        Some(text) => cut_body(body, text, &head)?,
    };
    if let StartLine::Request { method, .. } = &start
        && *method != core.cseq_method
    {
        let offset = lines.cseq.map_or(0, |text| Span::offset_of(&head, text));
        return Err(ParseError::new(Part::Header(HeaderName::CSeq), Problem::MethodMismatch, offset));
    }
    let fields = Fields { head: head.into_boxed_str(), entries, core, body: body.into() };
    Ok(match start {
        StartLine::Request { method, uri } => Message::Request(Request { method, uri, source: None, fields }),
        StartLine::Response { status, reason } => Message::Response(Response { status, reason, fields }),
    })
}

/// Copies the head and puts folded lines on one (RFC 3261 section 7.3.1): CRLF before white space becomes white space,
/// so that every offset stays. A line end that is not CRLF is refused: peers disagree on what it means.
fn unfold(head: &[u8]) -> Result<Vec<u8>, ParseError> {
    let mut text = head.to_vec();
    let mut at = 0;
    let mut in_start_line = true;
    while let Some(found) = memchr::memchr2(b'\r', b'\n', &head[at..]) {
        at += found;
        if head[at] == b'\n' || head.get(at + 1) != Some(&b'\n') {
            let part = if in_start_line { Part::StartLine } else { Part::Framing };
            return Err(ParseError::new(part, Problem::Syntax, at));
        }
        if !in_start_line && head.get(at + 2).is_some_and(|&next| scan::is_space(next)) {
            text[at] = b' ';
            text[at + 1] = b' ';
        }
        in_start_line = false;
        at += 2;
    }
    Ok(text)
}

/// Headers are UTF-8 (RFC 3261 section 7.3.1). Some telephones send display names in Latin-1; a call is not refused for
/// that, each such byte becomes a question mark. The start line gets no such mercy.
fn to_text(bytes: Vec<u8>) -> Result<String, ParseError> {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let good = error.utf8_error().valid_up_to();
    if !error.as_bytes()[..good].contains(&b'\n') {
        return Err(ParseError::new(Part::StartLine, Problem::Syntax, good));
    }
    Ok(mend(error.as_bytes()))
}

/// Text of the same length, with a question mark for each byte that is not UTF-8.
pub(crate) fn mend(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text
}

enum StartLine {
    Request { method: Method, uri: Span },
    Response { status: StatusCode, reason: Span },
}

impl StartLine {
    /// Exactly one space between the elements, none around them (RFC 3261 sections 7.1, 7.2; RFC 4475 section
    /// 3.1.2.9).
    fn read(line: &str, limits: &Limits) -> Result<Self, ParseError> {
        let error = |problem| ParseError::new(Part::StartLine, problem, 0);
        let (first, rest) = line.split_once(' ').ok_or(error(Problem::Syntax))?;
        if let Some(version) = is_version(first) {
            return if version { Self::read_response(line, rest) } else { Err(error(Problem::Version)) };
        }
        let method = Method::parse(first).ok_or(error(Problem::Syntax))?;
        let (uri, version) = rest.rsplit_once(' ').ok_or(error(Problem::Syntax))?;
        match is_version(version) {
            Some(true) => {}
            Some(false) => return Err(error(Problem::Version)),
            None => return Err(error(Problem::Syntax)),
        }
        if uri.starts_with(' ') || uri.ends_with(' ') {
            return Err(error(Problem::Syntax));
        }
        let offset = Span::offset_of(line, uri);
        if uri.len() > limits.max_uri_bytes {
            return Err(ParseError::new(Part::RequestUri, Problem::TooLong, offset));
        }
        // Header components may not stand in a Request-URI (RFC 3261 section 19.1.1, table 1).
        match Uri::parse(uri) {
            Ok(parsed) if parsed.headers().is_none() => Ok(Self::Request { method, uri: Span::of(line, uri) }),
            Ok(_) => Err(ParseError::new(Part::RequestUri, Problem::Syntax, offset)),
            Err(problem) => Err(ParseError::new(Part::RequestUri, problem.into(), offset)),
        }
    }

    fn read_response(line: &str, rest: &str) -> Result<Self, ParseError> {
        // The space before an empty reason is often left out, and nothing is lost by it.
        let (code, reason) = rest.split_once(' ').unwrap_or((rest, &rest[rest.len()..]));
        let offset = Span::offset_of(line, code);
        let is_number = !code.is_empty() && code.bytes().all(|b| b.is_ascii_digit());
        let status =
            scan::number(code, 999).filter(|_| code.len() == 3).and_then(|code| StatusCode::new(code as u16)).ok_or(
                ParseError::new(Part::StartLine, if is_number { Problem::Range } else { Problem::Syntax }, offset),
            )?;
        Ok(Self::Response { status, reason: Span::of(line, reason) })
    }
}

/// Whether `text` is the version understood here; `None` when it is no SIP version at all.
fn is_version(text: &str) -> Option<bool> {
    let number = text.get(..4).filter(|name| name.eq_ignore_ascii_case("SIP/")).map(|_| &text[4..])?;
    let (major, minor) = number.split_once('.')?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    (digits(major) && digits(minor)).then_some(number == "2.0")
}

/// Values of the lines that every message needs, as they are come across.
#[derive(Default)]
struct Lines<'a> {
    via: Option<&'a str>,
    from: Option<&'a str>,
    to: Option<&'a str>,
    call_id: Option<&'a str>,
    cseq: Option<&'a str>,
    max_forwards: Option<&'a str>,
    content_type: Option<&'a str>,
    content_length: Option<&'a str>,
}

fn split_lines<'a>(head: &'a str, start: usize, limits: &Limits) -> Result<(Vec<Entry>, Lines<'a>), ParseError> {
    let mut entries = Vec::with_capacity(16);
    let mut lines = Lines::default();
    let mut at = start;
    loop {
        let length = memchr::memchr(b'\r', &head.as_bytes()[at..]).unwrap_or(0);
        if length == 0 {
            return Ok((entries, lines));
        }
        let line = &head[at..at + length];
        if entries.len() >= limits.max_headers {
            return Err(ParseError::new(Part::Framing, Problem::TooMany, at));
        }
        let error = |name, problem| ParseError::new(Part::Header(name), problem, at);
        let colon = memchr::memchr(b':', line.as_bytes()).ok_or(error(HeaderName::Other, Problem::Syntax))?;
        let (name_text, value) = (scan::trim_end(&line[..colon]), &line[colon + 1..]);
        let name = HeaderName::lookup(name_text);
        if name == HeaderName::Other && !scan::is_token(name_text) {
            return Err(error(name, Problem::Syntax));
        }
        let value = scan::trim(value);
        if let Some(slot) = lines.slot(name) {
            if slot.is_none() {
                *slot = Some(value);
            } else if name.is_single() {
                return Err(error(name, Problem::Duplicate));
            }
        }
        entries.push(Entry { name, name_text: Span::of(head, name_text), value: Span::of(head, value) });
        at += length + 2;
    }
}

impl<'a> Lines<'a> {
    const fn slot(&mut self, name: HeaderName) -> Option<&mut Option<&'a str>> {
        Some(match name {
            HeaderName::Via => &mut self.via,
            HeaderName::From => &mut self.from,
            HeaderName::To => &mut self.to,
            HeaderName::CallId => &mut self.call_id,
            HeaderName::CSeq => &mut self.cseq,
            HeaderName::MaxForwards => &mut self.max_forwards,
            HeaderName::ContentType => &mut self.content_type,
            HeaderName::ContentLength => &mut self.content_length,
            _ => return None,
        })
    }

    fn read_core(&self, head: &str) -> Result<Core, ParseError> {
        let via = required(head, HeaderName::Via, self.via, |value| {
            Elements::new(value).next().ok_or(ValueError::Syntax).and_then(Via::parse)
        })?;
        let from = required(head, HeaderName::From, self.from, NameAddr::parse)?;
        let to = required(head, HeaderName::To, self.to, NameAddr::parse)?;
        let call_id = required(head, HeaderName::CallId, self.call_id, call_id)?;
        let cseq = required(head, HeaderName::CSeq, self.cseq, CSeq::parse)?;
        let max_forwards = match self.max_forwards {
            Some(_) => Some(required(head, HeaderName::MaxForwards, self.max_forwards, max_forwards)?),
            None => None,
        };
        Ok(Core {
            via: ViaIndex::of(head, &via),
            from: AddressIndex::of(head, &from),
            to: AddressIndex::of(head, &to),
            call_id: Span::of(head, call_id),
            cseq_number: cseq.number,
            cseq_method: cseq.method,
            max_forwards,
        })
    }
}

/// Reads a header that must be there, or says at which byte it is not what it should be.
fn required<'a, T>(
    head: &str,
    name: HeaderName,
    value: Option<&'a str>,
    read: impl FnOnce(&'a str) -> Result<T, ValueError>,
) -> Result<T, ParseError> {
    let value = value.ok_or(ParseError::new(Part::Header(name), Problem::Missing, head.len()))?;
    read(value).map_err(|error| ParseError::new(Part::Header(name), error.into(), Span::offset_of(head, value)))
}

/// `word [ "@" word ]`.
fn call_id(value: &str) -> Result<&str, ValueError> {
    let ok = !value.is_empty() && value.bytes().all(|b| scan::is(b, scan::WORD) || b == b'@');
    if ok { Ok(value) } else { Err(ValueError::Syntax) }
}

/// 0 to 255 (RFC 3261 section 20.22).
fn max_forwards(value: &str) -> Result<u8, ValueError> {
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ValueError::Syntax);
    }
    scan::number(value, u64::from(u8::MAX)).and_then(|n| u8::try_from(n).ok()).ok_or(ValueError::Range)
}

/// As much of `body` as Content-Length says (RFC 3261 section 18.3).
fn cut_body<'b>(body: &'b [u8], text: &str, head: &str) -> Result<&'b [u8], ParseError> {
    let error =
        |problem| ParseError::new(Part::Header(HeaderName::ContentLength), problem, Span::offset_of(head, text));
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(error(Problem::Syntax));
    }
    let length = scan::number(text, u64::from(u32::MAX)).ok_or(error(Problem::Range))?;
    body.get(..length as usize).ok_or(error(Problem::Truncated))
}
