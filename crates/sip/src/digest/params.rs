//! `auth-scheme 1*SP #auth-param` (RFC 7235 section 2.1).

use crate::{ValueError, scan};

/// The parameters of a header value whose scheme is Digest.
pub(super) struct AuthParams<'a> {
    rest: &'a str,
}

impl<'a> AuthParams<'a> {
    /// `None` when the scheme is another.
    pub(super) fn of_digest(value: &'a str) -> Option<Self> {
        let (scheme, rest) = scan::take(scan::trim(value), scan::TOKEN);
        let is_digest = scheme.eq_ignore_ascii_case("Digest") && rest.bytes().next().is_some_and(scan::is_space);
        is_digest.then_some(Self { rest })
    }
}

impl<'a> Iterator for AuthParams<'a> {
    /// Name, and value without the quotes that it may have; quoted pairs stand as they are (RFC 7616 section 3.3, `unq`).
    type Item = Result<(&'a str, &'a str), ValueError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Empty elements of a list are allowed (RFC 7230 section 7).
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
        if self.rest.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.rest = "";
        }
        Some(read)
    }
}

impl<'a> AuthParams<'a> {
    fn read(&mut self) -> Result<(&'a str, &'a str), ValueError> {
        let (name, rest) = scan::take(self.rest, scan::TOKEN);
        let rest = scan::trim_start(rest).strip_prefix('=').ok_or(ValueError::Syntax)?;
        let rest = scan::trim_start(rest);
        let (value, rest) = if rest.starts_with('"') {
            let (quoted, rest) = scan::take_quoted(rest).ok_or(ValueError::Syntax)?;
            (&quoted[1..quoted.len() - 1], rest)
        } else {
            // Some write the URI and Base64 without quotes; what ends a value is a comma or space.
            let end = rest.bytes().position(|b| b == b',' || b == b'"' || scan::is_space(b)).unwrap_or(rest.len());
            if end == 0 {
                return Err(ValueError::Syntax);
            }
            rest.split_at(end)
        };
        let rest = scan::trim_start(rest);
        if name.is_empty() || !(rest.is_empty() || rest.starts_with(',')) {
            return Err(ValueError::Syntax);
        }
        self.rest = rest;
        Ok((name, value))
    }
}

/// Sets a parameter that may be given once.
pub(super) fn set<'a>(slot: &mut Option<&'a str>, value: &'a str) -> Result<(), ValueError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(ValueError::Syntax),
    }
}

/// Appends `name="value"`. `value` is what stood between quotes already, or [`escape`]d.
pub(super) fn push_quoted(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str("=\"");
    text.push_str(value);
    text.push('"');
}

/// Quoted pairs for what may not stand in a quoted string.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            '\r' | '\n' => escaped.push(' '),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// Undoes quoted pairs.
pub(super) fn unescape_pairs(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        plain.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(value: &str) -> Option<Result<Vec<(&str, &str)>, ValueError>> {
        AuthParams::of_digest(value).map(Iterator::collect)
    }

    #[test]
    fn values_come_with_and_without_quotes() {
        let params = all("dIGEST  realm = \"a, \\\"b\" ,, nc=00000001,uri=sip:a@b;x=y ,qop=\"auth\"");
        assert_eq!(
            params,
            Some(Ok(vec![("realm", "a, \\\"b"), ("nc", "00000001"), ("uri", "sip:a@b;x=y"), ("qop", "auth")]))
        );
        assert_eq!(all("Digest ,"), Some(Ok(vec![])));
    }

    #[test]
    fn other_schemes_are_told_apart_and_bad_lists_refused() {
        for other in ["", "Basic abc", "Digest", "DigestX a=b", "\"Digest\" a=b"] {
            assert_eq!(all(other), None, "{other}");
        }
        for bad in [
            "Digest a",
            "Digest a=",
            "Digest a=\"",
            "Digest =b",
            "Digest a=b c=d",
            "Digest a=\"b\"c",
            "Digest a=b\"c\"",
        ] {
            assert_eq!(all(bad), Some(Err(ValueError::Syntax)), "{bad}");
        }
    }

    #[test]
    fn quoted_pairs_come_and_go() {
        assert_eq!(escape("a\"\\\r"), "a\\\"\\\\ ");
        assert_eq!(unescape_pairs("a\\\"\\\\"), "a\"\\");
        assert_eq!(unescape_pairs("a\\"), "a");
    }
}
