//! Which numbers a certificate is for: the telephone number authorization list (TNAuthList, RFC 8226 §9).

use crate::number::Identity;

/// 1.3.6.1.5.5.7.1.26, id-pe-TNAuthList.
const TN_AUTH_LIST: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1a];

/// Tags of DER.
mod tag {
    pub(super) const INTEGER: u8 = 0x02;
    pub(super) const OCTET_STRING: u8 = 0x04;
    pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(super) const IA5_STRING: u8 = 0x16;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const EXTENSIONS: u8 = 0xa3;
    pub(super) const SERVICE_PROVIDER: u8 = 0xa0;
    pub(super) const RANGE: u8 = 0xa1;
    pub(super) const ONE: u8 = 0xa2;
}

/// What one certificate's list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// All numbers of a service provider, by its code; which those are, the certificate does not say.
    ServiceProvider(String),
    /// So many numbers from the first on.
    Range(String, u64),
    One(String),
}

/// There is a list, and it is none of RFC 8226.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its list of telephone numbers (TNAuthList) is malformed")]
pub struct MalformedAuthority;

impl Authority {
    /// The list of a certificate in DER; `None` where it has none, and so no limits.
    ///
    /// # Errors
    /// It has one that cannot be read.
    pub fn of_certificate(der: &[u8]) -> Result<Option<Self>, MalformedAuthority> {
        let Some(value) = extension(der) else { return Ok(None) };
        Self::parse(value).map(Some).ok_or(MalformedAuthority)
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let (list, rest) = element(value, tag::SEQUENCE)?;
        let mut entries = Vec::new();
        let mut left = list;
        while let Some((&kind, _)) = left.split_first() {
            let (content, after) = element(left, kind)?;
            left = after;
            entries.push(match kind {
                tag::SERVICE_PROVIDER => Entry::ServiceProvider(text(whole(content, tag::IA5_STRING)?)?),
                tag::ONE => Entry::One(number(whole(content, tag::IA5_STRING)?)?),
                tag::RANGE => {
                    let (first, count) = element(whole(content, tag::SEQUENCE)?, tag::IA5_STRING)?;
                    Entry::Range(number(first)?, unsigned(whole(count, tag::INTEGER)?)?)
                }
                _ => return None,
            });
        }
        (rest.is_empty() && !entries.is_empty()).then_some(Self(entries))
    }

    /// Whether calls of `caller` may be signed under it, as far as the certificate alone tells: a provider's code covers whatever it
    /// signs.
    pub fn covers(&self, caller: &Identity) -> bool {
        self.0.iter().any(|entry| match (entry, caller) {
            (Entry::ServiceProvider(_), _) => true,
            (Entry::One(one), Identity::Number(number)) => one == number,
            (Entry::Range(first, count), Identity::Number(number)) => {
                let value = |digits: &str| digits.parse::<u64>().ok();
                let distance = value(number).zip(value(first)).and_then(|(number, first)| number.checked_sub(first));
                number.len() == first.len() && distance.is_some_and(|distance| distance < *count)
            }
            (_, Identity::Uri(_)) => false,
        })
    }

    /// The service provider's code, where there is one.
    pub fn service_provider(&self) -> Option<&str> {
        self.0.iter().find_map(|entry| match entry {
            Entry::ServiceProvider(code) => Some(code.as_str()),
            _ => None,
        })
    }
}

/// The value of the list's extension in a certificate (RFC 5280 §4.1).
fn extension(der: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(der, tag::SEQUENCE)?;
    let (mut fields, _) = element(certificate, tag::SEQUENCE)?;
    while let Some((&kind, _)) = fields.split_first() {
        let (content, after) = element(fields, kind)?;
        fields = after;
        if kind != tag::EXTENSIONS {
            continue;
        }
        let (mut extensions, _) = element(content, tag::SEQUENCE)?;
        while !extensions.is_empty() {
            let (one, after) = element(extensions, tag::SEQUENCE)?;
            extensions = after;
            let (name, mut rest) = element(one, tag::OBJECT_IDENTIFIER)?;
            if name != TN_AUTH_LIST {
                continue;
            }
            while let Some((&kind, _)) = rest.split_first() {
                let (content, after) = element(rest, kind)?;
                if kind == tag::OCTET_STRING {
                    return Some(content);
                }
                rest = after;
            }
        }
    }
    None
}

/// The content of the first element, which has this tag, and what follows it. Lengths are definite, as DER has them.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (_, rest) = input.split_first().filter(|(first, _)| **first == tag)?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(short & 0x0f))?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// The same, where nothing follows.
fn whole(input: &[u8], tag: u8) -> Option<&[u8]> {
    element(input, tag).filter(|(_, rest)| rest.is_empty()).map(|(content, _)| content)
}

fn text(octets: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(octets).ok().filter(|text| text.is_ascii() && !text.is_empty())?;
    Some(text.to_owned())
}

/// 1 to 15 of digits, `*` and `#`.
fn number(octets: &[u8]) -> Option<String> {
    let is_digit = |octet: &u8| octet.is_ascii_digit() || matches!(octet, b'*' | b'#');
    text(octets).filter(|_| octets.len() <= 15 && octets.iter().all(is_digit))
}

fn unsigned(octets: &[u8]) -> Option<u64> {
    let is_negative = octets.first().is_none_or(|first| first & 0x80 != 0);
    let octets = octets.strip_prefix(&[0]).unwrap_or(octets);
    (!is_negative && octets.len() <= 8).then(|| octets.iter().fold(0, |value, octet| value << 8 | u64::from(*octet)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(octets: &[&[u8]]) -> Option<Authority> {
        Authority::parse(&octets.concat())
    }

    fn may(authority: &Authority, number: &str) -> bool {
        authority.covers(&Identity::Number(number.to_owned()))
    }

    #[test]
    fn one_number_and_a_range_cover_themselves_and_nothing_beside() {
        let authority =
            list(&[b"\x30\x20", b"\xa2\x0d\x16\x0b12155551212", b"\xa1\x0f\x30\x0d\x16\x0812155500\x02\x01\x64"])
                .expect("a list");
        for (number, is_covered) in [
            ("12155551212", true),
            ("12155551213", false),
            ("12155500", true),
            ("12155599", true),
            ("12155600", false),
            ("12155499", false),
            ("012155500", false),
        ] {
            assert_eq!(may(&authority, number), is_covered, "{number}");
        }
        assert!(!authority.covers(&Identity::Uri("sip:alice@example.com".to_owned())));
        assert_eq!(authority.service_provider(), None);
    }

    #[test]
    fn a_service_provider_covers_whatever_it_signs_and_is_named() {
        let authority = list(&[b"\x30\x08\xa0\x06\x16\x04", b"709J"]).expect("a list");
        assert!(may(&authority, "1") && authority.covers(&Identity::Uri("sip:a@b".to_owned())));
        assert_eq!(authority.service_provider(), Some("709J"));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for wrong in [
            &b""[..],
            b"\x30\x00",
            b"\x30\x05\xa0\x03\x16\x04x",
            b"\x30\x04\xa0\x02\x16\x00",
            b"\x30\x05\xa2\x03\x16\x01+",
            b"\x30\x05\xa3\x03\x16\x011",
            b"\x30\x80\x00\x00",
            b"\x30\x0a\xa1\x08\x30\x06\x16\x011\x02\x01\x80",
        ] {
            assert_eq!(Authority::parse(wrong), None, "{wrong:02x?}");
        }
    }
}
