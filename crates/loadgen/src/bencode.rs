//! Bencode, the notation of rtpengine's ng protocol: octet strings, whole numbers, lists and dictionaries.

use std::collections::BTreeMap;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// `4:spam`
    Text(Vec<u8>),
    /// `i-3e`
    Number(i64),
    /// `l…e`
    List(Vec<Value>),
    /// `d…e`, keys in rising order.
    Dictionary(BTreeMap<Vec<u8>, Value>),
}

/// Lists and dictionaries inside each other, at most.
const DEEPEST: u32 = 16;

impl Value {
    pub(crate) fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Text(text.as_ref().to_vec())
    }

    pub(crate) fn list<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    pub(crate) fn dictionary<const N: usize>(entries: [(&str, Self); N]) -> Self {
        Self::Dictionary(entries.into_iter().map(|(key, value)| (key.as_bytes().to_vec(), value)).collect())
    }

    /// An entry of a dictionary that is text.
    pub(crate) fn text_of(&self, key: &str) -> Option<&str> {
        match self {
            Self::Dictionary(entries) => match entries.get(key.as_bytes())? {
                Self::Text(text) => std::str::from_utf8(text).ok(),
                _ => None,
            },
            _ => None,
        }
    }

    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                into.extend_from_slice(format!("{}:", text.len()).as_bytes());
                into.extend_from_slice(text);
            }
            Self::Number(number) => into.extend_from_slice(format!("i{number}e").as_bytes()),
            Self::List(values) => {
                into.push(b'l');
                values.iter().for_each(|value| value.write(into));
                into.push(b'e');
            }
            Self::Dictionary(entries) => {
                into.push(b'd');
                for (key, value) in entries {
                    into.extend_from_slice(format!("{}:", key.len()).as_bytes());
                    into.extend_from_slice(key);
                    value.write(into);
                }
                into.push(b'e');
            }
        }
    }

    /// Reads one value that is the whole of `octets`.
    pub(crate) fn read(octets: &[u8]) -> Option<Self> {
        let (value, rest) = Self::read_from(octets, 0)?;
        rest.is_empty().then_some(value)
    }

    fn read_from(octets: &[u8], depth: u32) -> Option<(Self, &[u8])> {
        if depth > DEEPEST {
            return None;
        }
        match octets.first()? {
            b'i' => {
                let end = octets.iter().position(|octet| *octet == b'e')?;
                let number = std::str::from_utf8(&octets[1..end]).ok()?.parse().ok()?;
                Some((Self::Number(number), &octets[end + 1..]))
            }
            b'l' => {
                let (mut values, mut rest) = (Vec::new(), &octets[1..]);
                while *rest.first()? != b'e' {
                    let (value, behind) = Self::read_from(rest, depth + 1)?;
                    values.push(value);
                    rest = behind;
                }
                Some((Self::List(values), &rest[1..]))
            }
            b'd' => {
                let (mut entries, mut rest) = (BTreeMap::new(), &octets[1..]);
                while *rest.first()? != b'e' {
                    let (key, behind) = read_text(rest)?;
                    let (value, behind) = Self::read_from(behind, depth + 1)?;
                    entries.insert(key.to_vec(), value);
                    rest = behind;
                }
                Some((Self::Dictionary(entries), &rest[1..]))
            }
            b'0'..=b'9' => read_text(octets).map(|(text, rest)| (Self::Text(text.to_vec()), rest)),
            _ => None,
        }
    }
}

fn read_text(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = octets.iter().position(|octet| *octet == b':')?;
    let length: usize = std::str::from_utf8(&octets[..colon]).ok()?.parse().ok()?;
    octets[colon + 1..].split_at_checked(length)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn written(value: &Value) -> Vec<u8> {
        let mut octets = Vec::new();
        value.write(&mut octets);
        octets
    }

    #[test]
    fn what_is_written_is_read_again() {
        let value = Value::dictionary([
            ("sdp", Value::text("v=0\r\n")),
            ("flags", Value::list(["trust address", "symmetric"])),
            ("n", Value::Number(-3)),
            ("nested", Value::dictionary([("empty", Value::List(Vec::new()))])),
        ]);
        let octets = written(&value);
        assert_eq!(
            String::from_utf8_lossy(&octets),
            "d5:flagsl13:trust address9:symmetrice1:ni-3e6:nestedd5:emptylee3:sdp5:v=0\r\ne"
        );
        assert_eq!(Value::read(&octets), Some(value.clone()));
        assert_eq!((value.text_of("sdp"), value.text_of("n"), value.text_of("x")), (Some("v=0\r\n"), None, None));
    }

    #[test]
    fn what_is_cut_off_changed_or_bottomless_is_refused() {
        let octets = written(&Value::dictionary([("a", Value::list(["b", "c"])), ("d", Value::Number(7))]));
        for end in 0..octets.len() {
            assert_eq!(Value::read(&octets[..end]), None, "{end}");
        }
        assert_eq!(Value::read(&[&octets[..], b"x"].concat()), None);
        assert_eq!(Value::read(&b"l".repeat(100_000)), None);
        for text in ["i3", "ixe", "-1:a", "99999999999999999999:a", "9:a", "x", ":"] {
            assert_eq!(Value::read(text.as_bytes()), None, "{text}");
        }
    }
}
