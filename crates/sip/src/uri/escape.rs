//! `%HH` escapes (RFC 3261 section 19.1.2).

use std::borrow::Cow;

use crate::scan;

/// Undoes escapes. The result is bytes: an escape can stand for anything, NUL included (RFC 4475 section 3.1.1.4).
/// A percent sign without two hexadecimal digits stays as it is.
pub fn unescape(text: &str) -> Cow<'_, [u8]> {
    if text.contains('%') { Cow::Owned(bytes(text).collect()) } else { Cow::Borrowed(text.as_bytes()) }
}

/// Escapes whatever may not stand in the user part of a URI as it is.
pub fn escape_user(text: &str) -> Cow<'_, str> {
    if scan::all(text, scan::USER) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if scan::is(byte, scan::USER) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            for digit in [byte >> 4, byte & 0xf] {
                escaped.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    Cow::Owned(escaped)
}

/// The bytes that `text` stands for.
pub(super) fn bytes(text: &str) -> impl Iterator<Item = u8> + '_ {
    let source = text.as_bytes();
    let mut at = 0;
    core::iter::from_fn(move || {
        let byte = *source.get(at)?;
        if byte == b'%'
            && let (Some(high), Some(low)) = (hex(source.get(at + 1)), hex(source.get(at + 2)))
        {
            at += 3;
            return Some(high << 4 | low);
        }
        at += 1;
        Some(byte)
    })
}

fn hex(digit: Option<&u8>) -> Option<u8> {
    char::from(*digit?).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

pub(super) fn eq(a: &str, b: &str) -> bool {
    a == b || bytes(a).eq(bytes(b))
}

pub(super) fn eq_ignore_case(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || bytes(a).map(|c| c.to_ascii_lowercase()).eq(bytes(b).map(|c| c.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_once() {
        assert_eq!(&*unescape("v%61lue%25%34%31"), b"value%41");
        assert_eq!(&*unescape("null-%00-null"), b"null-\0-null");
        assert_eq!(&*unescape("100%"), b"100%");
    }

    #[test]
    fn what_is_escaped_reads_back() {
        for text in ["plain", "a b", "%", "ü#@:", "\u{22}", "\0\u{1f}"] {
            assert_eq!(&*unescape(&escape_user(text)), text.as_bytes(), "{text:?}");
        }
    }
}
