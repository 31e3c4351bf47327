//! Messages out of a byte stream (RFC 3261 section 18.3).

use crate::error::{Part, Problem};
use crate::{HeaderName, Limits, ParseError, scan};

/// Cuts the bytes of one connection into messages.
///
/// Push what was read with [`StreamFramer::on_bytes`], then take frames until [`StreamFramer::poll_frame`] gives
/// `Ok(None)`. An error means that the beginning of the next message cannot be known: answer if possible
/// ([`crate::respond_to_malformed`] with the error's bytes), then close the connection (RFC 4475 section 3.3.9).
#[derive(Debug)]
pub struct StreamFramer {
    limits: Limits,
    buffer: Vec<u8>,
    /// Where the next message starts.
    start: usize,
    /// Up to where the end of the head was looked for in vain.
    searched: usize,
    failed: bool,
}

/// What a stream consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The bytes of one message, for [`crate::Message::parse`].
    Message(&'a [u8]),
    /// A double CRLF between messages: the peer wants a single CRLF back (RFC 5626 section 4.4.1).
    Ping,
}

/// A stream that cannot be followed any further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct FramingError {
    /// What is wrong, with the offset counted from the beginning of the message.
    pub error: ParseError,
    /// The start of the message, head included where it is complete.
    pub bytes: Vec<u8>,
}

impl StreamFramer {
    /// A framer for a connection that has just opened.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, buffer: Vec::new(), start: 0, searched: 0, failed: false }
    }

    /// Takes bytes read from the connection. Memory grows by their number; between two calls to it, take every frame,
    /// and it stays below twice [`Limits::max_bytes`] plus one read.
    pub fn on_bytes(&mut self, bytes: &[u8]) {
        if self.failed {
            return;
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched = self.searched.saturating_sub(self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if it is complete.
    ///
    /// # Errors
    ///
    /// When the head grows beyond the limits, or Content-Length, which streams need, is missing or damaged. Once an
    /// error was given, the connection yields nothing more.
    pub fn poll_frame(&mut self) -> Result<Option<Frame<'_>>, FramingError> {
        if self.failed {
            return Ok(None);
        }
        // A line end before a start line is skipped (section 7.5), but a first CRLF may yet become a ping.
        loop {
            let rest = &self.buffer[self.start..];
            if rest.starts_with(b"\r\n\r\n") {
                self.start += 4;
                return Ok(Some(Frame::Ping));
            }
            if b"\r\n\r\n".starts_with(rest) {
                return Ok(None);
            }
            if !rest.starts_with(b"\r\n") {
                break;
            }
            self.start += 2;
        }
        let rest = &self.buffer[self.start..];
        // The end may straddle what was there before: go back by its length less one.
        let from = self.searched.max(self.start + 3) - 3 - self.start;
        let Some(found) = memchr::memmem::find(&rest[from..], b"\r\n\r\n") else {
            if rest.len() > self.limits.max_head_bytes {
                return Err(self.fail(Part::Framing, Problem::TooLong, self.limits.max_head_bytes, usize::MAX));
            }
            self.searched = self.buffer.len();
            return Ok(None);
        };
        let head_end = from + found + 4;
        if head_end > self.limits.max_head_bytes {
            return Err(self.fail(Part::Framing, Problem::TooLong, self.limits.max_head_bytes, usize::MAX));
        }
        let length = match content_length(&rest[..head_end]) {
            Ok(length) => length,
            Err((problem, offset)) => {
                return Err(self.fail(Part::Header(HeaderName::ContentLength), problem, offset, head_end));
            }
        };
        let total = head_end.saturating_add(length);
        if total > self.limits.max_bytes {
            return Err(self.fail(Part::Framing, Problem::TooLong, self.limits.max_bytes, head_end));
        }
        if rest.len() < total {
            self.searched = self.start + from + found;
            return Ok(None);
        }
        let message = self.start..self.start + total;
        self.start = message.end;
        self.searched = message.end;
        Ok(Some(Frame::Message(&self.buffer[message])))
    }

    /// Bytes held that belong to no complete frame yet.
    pub const fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Gives up; of the message, as much is kept as has been seen of its head.
    fn fail(&mut self, part: Part, problem: Problem, offset: usize, keep: usize) -> FramingError {
        self.failed = true;
        let mut bytes = core::mem::take(&mut self.buffer);
        bytes.drain(..self.start);
        bytes.truncate(keep.min(self.limits.max_head_bytes));
        self.start = 0;
        FramingError { error: ParseError::new(part, problem, offset), bytes }
    }
}

/// The one Content-Length in `head`; folded lines are followed.
fn content_length(head: &[u8]) -> Result<usize, (Problem, usize)> {
    let mut length = None;
    let mut at = memchr::memchr(b'\n', head).map_or(head.len(), |end| end + 1);
    while at < head.len() {
        let mut end = at;
        loop {
            end = memchr::memchr(b'\n', &head[end..]).map_or(head.len(), |found| end + found + 1);
            if !head.get(end).is_some_and(|&byte| scan::is_space(byte)) {
                break;
            }
        }
        let line = &head[at..end];
        if let Some(colon) = memchr::memchr(b':', line)
            && let name = line[..colon].trim_ascii_end()
            && (name.eq_ignore_ascii_case(b"Content-Length") || name.eq_ignore_ascii_case(b"l"))
        {
            let value = core::str::from_utf8(line[colon + 1..].trim_ascii()).unwrap_or_default();
            let number = scan::number(value, u64::from(u32::MAX)).ok_or((Problem::Syntax, at))?;
            if length.is_some() {
                return Err((Problem::Duplicate, at));
            }
            length = Some(number as usize);
        }
        at = end;
    }
    length.ok_or((Problem::Missing, head.len()))
}
