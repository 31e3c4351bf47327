//! Character classes of RFC 3261 section 25.1 and the few scanners built on them.

/// `token` characters.
pub(crate) const TOKEN: u8 = 1;
/// `unreserved` characters of URIs.
pub(crate) const UNRESERVED: u8 = 2;
/// `user-unreserved` beyond `unreserved`.
const USER_EXTRA: u8 = 4;
/// `param-unreserved` beyond `unreserved`.
const PARAM_EXTRA: u8 = 8;
/// `hnv-unreserved` beyond `unreserved`.
const HEADER_EXTRA: u8 = 16;
/// What `word` (Call-ID) adds to `token`.
const WORD_EXTRA: u8 = 32;
/// Letters, digits, hyphen and dot of host names, and the underscore that real networks use.
const HOST: u8 = 64;
/// `password` beyond `unreserved`.
const PASSWORD_EXTRA: u8 = 128;

pub(crate) const USER: u8 = UNRESERVED | USER_EXTRA;
pub(crate) const PASSWORD: u8 = UNRESERVED | PASSWORD_EXTRA;
pub(crate) const PARAM: u8 = UNRESERVED | PARAM_EXTRA;
pub(crate) const URI_HEADER: u8 = UNRESERVED | HEADER_EXTRA;
pub(crate) const WORD: u8 = TOKEN | WORD_EXTRA;

const CLASSES: [u8; 256] = {
    let mut classes = [0u8; 256];
    let mut c = 0usize;
    while c < 128 {
        if (c as u8).is_ascii_alphanumeric() {
            classes[c] = TOKEN | UNRESERVED | HOST;
        }
        c += 1;
    }
    classes = mark(classes, b"-.!%*_+`'~", TOKEN);
    classes = mark(classes, b"-_.!~*'()", UNRESERVED);
    classes = mark(classes, b"&=+$,;?/", USER_EXTRA);
    classes = mark(classes, b"&=+$,", PASSWORD_EXTRA);
    classes = mark(classes, b"[]/:&+$", PARAM_EXTRA);
    classes = mark(classes, b"[]/?:+$", HEADER_EXTRA);
    classes = mark(classes, b"()<>:\\\"/[]?{}", WORD_EXTRA);
    mark(classes, b"-._", HOST)
};

const fn mark(mut classes: [u8; 256], characters: &[u8], class: u8) -> [u8; 256] {
    let mut i = 0;
    while i < characters.len() {
        classes[characters[i] as usize] |= class;
        i += 1;
    }
    classes
}

pub(crate) fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

pub(crate) fn all(text: &str, class: u8) -> bool {
    text.bytes().all(|byte| is(byte, class))
}

pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && all(text, TOKEN)
}

/// Whether `text` holds only characters of `class` and `%HH` escapes.
pub(crate) fn all_or_escaped(text: &str, class: u8) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if is(bytes[at], class) && bytes[at] != b'%' {
            at += 1;
        } else if bytes[at] == b'%'
            && bytes.len() - at > 2
            && bytes[at + 1].is_ascii_hexdigit()
            && bytes[at + 2].is_ascii_hexdigit()
        {
            at += 3;
        } else {
            return false;
        }
    }
    true
}

pub(crate) fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Linear white space off both ends; folding is undone before anything is scanned.
pub(crate) fn trim(text: &str) -> &str {
    trim_end(trim_start(text))
}

pub(crate) fn trim_start(text: &str) -> &str {
    let start = text.bytes().position(|byte| !is_space(byte)).unwrap_or(text.len());
    &text[start..]
}

pub(crate) fn trim_end(text: &str) -> &str {
    let end = text.bytes().rposition(|byte| !is_space(byte)).map_or(0, |last| last + 1);
    &text[..end]
}

/// Splits `text` behind the longest run of characters of `class` at its start.
pub(crate) fn take(text: &str, class: u8) -> (&str, &str) {
    let end = text.bytes().position(|byte| !is(byte, class)).unwrap_or(text.len());
    text.split_at(end)
}

/// Splits `text`, which starts with a double quote, behind the closing one. `None` when it is never closed.
pub(crate) fn take_quoted(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    debug_assert_eq!(bytes.first(), Some(&b'"'));
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Some(text.split_at(at + 1)),
            // A quoted pair hides one ASCII character (section 25.1); what follows a backslash is skipped whole.
            b'\\' if bytes.get(at + 1).is_some_and(u8::is_ascii) => at += 2,
            b'\\' => return None,
            _ => at += 1,
        }
    }
    None
}

/// The decimal number that `text` is, all of it digits and no greater than `max`.
pub(crate) fn number(text: &str, max: u64) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for byte in text.bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        if value > max {
            return None;
        }
    }
    Some(value)
}

/// Splits a `host [":" port]` off the front; the host keeps the brackets of an IPv6 reference.
pub(crate) fn take_host(text: &str) -> Option<(&str, &str)> {
    if text.starts_with('[') {
        let end = text.find(']')?;
        let inside = &text[1..end];
        let is_ipv6 = !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.');
        return is_ipv6.then(|| text.split_at(end + 1));
    }
    let (host, rest) = take(text, HOST);
    (!host.is_empty()).then_some((host, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_an_upper_end() {
        assert_eq!(number("0009", 10), Some(9));
        assert_eq!(number("4294967295", u64::from(u32::MAX)), Some(4_294_967_295));
        assert_eq!(number("4294967296", u64::from(u32::MAX)), None);
        assert_eq!(number("99999999999999999999999999", u64::MAX), None);
        assert_eq!(number("-1", 10), None);
        assert_eq!(number("", 10), None);
    }

    #[test]
    fn a_quoted_pair_does_not_close_the_string() {
        assert_eq!(take_quoted(r#""a\"b" rest"#), Some((r#""a\"b""#, " rest")));
        assert_eq!(take_quoted(r#""a\\" rest"#), Some((r#""a\\""#, " rest")));
        assert_eq!(take_quoted(r#""a\""#), None);
        assert_eq!(take_quoted("\"a\\é\""), None);
    }

    #[test]
    fn escapes_need_two_hexadecimal_digits() {
        assert!(all_or_escaped("a%20b", USER));
        for bad in ["%", "%2", "%2g", "a b"] {
            assert!(!all_or_escaped(bad, USER), "{bad}");
        }
    }

    #[test]
    fn ipv6_hosts_keep_their_brackets() {
        assert_eq!(take_host("[2001:db8::1]:5060"), Some(("[2001:db8::1]", ":5060")));
        assert_eq!(take_host("a.example.com;x"), Some(("a.example.com", ";x")));
        assert_eq!(take_host("[]"), None);
        assert_eq!(take_host("[2001"), None);
        assert_eq!(take_host(":5060"), None);
    }
}
