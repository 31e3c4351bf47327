//! Identities as signatures and checks compare them (RFC 8224 §8).

/// A caller or a callee.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// A telephone number: digits, `*` and `#` alone, a country's code first where it is known (RFC 8224 §8.3).
    Number(String),
    /// Anything else, as `sip:user@host` (RFC 8224 §8.5).
    Uri(String),
}

/// The longest number that is one (E.164 has 15 digits; short codes and prefixes need some room).
const MAX_DIGITS: usize = 32;

impl Identity {
    /// Of the user and host of a SIP URI, the user without escapes. `country_code` is put before numbers in national form, which
    /// begin with neither `+` nor an international prefix; without it such numbers stay as they are.
    pub fn of(user: &str, host: &str, country_code: Option<&str>) -> Self {
        // Parameters of a telephone number stand in the user part (RFC 3261 §19.1.6).
        let subscriber = user.split(';').next().unwrap_or_default();
        match canonical(subscriber, country_code) {
            Some(number) => Self::Number(number),
            None => Self::Uri(format!("sip:{user}@{}", host.to_ascii_lowercase())),
        }
    }
}

/// A telephone number in its one form; `None` where the text is none.
fn canonical(text: &str, country_code: Option<&str>) -> Option<String> {
    let is_separator = |c: char| matches!(c, '-' | '.' | '(' | ')' | ' ');
    let (is_global, rest) = text.strip_prefix('+').map_or((false, text), |rest| (true, rest));
    let digits: String = rest.chars().filter(|c| !is_separator(*c)).collect();
    let is_number = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#'))
        && digits.bytes().any(|b| b.is_ascii_digit())
        && digits.len() <= MAX_DIGITS;
    if !is_number {
        return None;
    }
    let Some(code) = country_code.filter(|_| !is_global) else { return Some(digits) };
    if let Some(international) = digits.strip_prefix("00") {
        return Some(international.to_owned());
    }
    // A number that has its country's code already: national ones are shorter.
    if digits.starts_with(code) && digits.len() > 10 {
        return Some(digits);
    }
    Some(format!("{code}{}", digits.strip_prefix('0').unwrap_or(&digits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(user: &str, code: Option<&str>) -> String {
        match Identity::of(user, "example.com", code) {
            Identity::Number(number) => number,
            Identity::Uri(uri) => panic!("{uri} is no number"),
        }
    }

    #[test]
    fn a_number_has_one_form_however_it_is_written() {
        for written in ["+12155551212", "+1-215-555-1212", "+1(215)555.1212", "12155551212", "+12155551212;npdi"] {
            assert_eq!(number(written, None), "12155551212", "{written}");
        }
    }

    #[test]
    fn a_national_number_gets_its_countrys_code() {
        assert_eq!(number("2155551212", Some("1")), "12155551212");
        assert_eq!(number("12155551212", Some("1")), "12155551212");
        assert_eq!(number("+493012345", Some("1")), "493012345");
        assert_eq!(number("03012345", Some("49")), "493012345");
        assert_eq!(number("0049301234567", Some("49")), "49301234567");
        assert_eq!(number("2155551212", None), "2155551212");
    }

    #[test]
    fn who_is_no_number_is_a_uri() {
        let alice = Identity::Uri("sip:alice@example.com".to_owned());
        assert_eq!(Identity::of("alice", "Example.COM", Some("1")), alice);
        assert!(matches!(Identity::of("", "h", None), Identity::Uri(_)));
        assert!(matches!(Identity::of("+", "h", None), Identity::Uri(_)));
        assert!(matches!(Identity::of(&"1".repeat(33), "h", None), Identity::Uri(_)));
    }
}
