//! What is published: a number, what is put and what is gone, and at the end that this was all.

use std::sync::Arc;

use crate::follower::Subject;

/// Grows with every format that the one before cannot read.
const FORMAT: u8 = 1;
const HEADER_LEN: usize = 9;
const ENTRY_LEN: usize = 13;

/// One entry of a batch: a call or a position; `None` where it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) subject: Subject,
    pub(crate) call: u64,
    pub(crate) value: Option<Arc<[u8]>>,
}

/// What a node publishes at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Grows by one with each.
    pub(crate) number: u64,
    pub(crate) entries: Vec<Entry>,
    /// Nothing follows: the node has let go of its calls. A reader that does not know of it reads everything once more.
    pub(crate) is_last: bool,
}

/// Format, number, and for each entry what it is, the call, the length of its value, the value.
pub(crate) fn encode(number: u64, entries: &[Entry], is_last: bool) -> Vec<u8> {
    let values = entries.iter().filter_map(|entry| entry.value.as_ref()).map(|value| value.len()).sum::<usize>();
    let mut octets = Vec::with_capacity(HEADER_LEN + entries.len() * ENTRY_LEN + values);
    octets.push(FORMAT);
    octets.extend(number.to_be_bytes());
    for Entry { subject, call, value } in entries {
        let what = match (subject, value) {
            (Subject::Call, Some(_)) => b'C',
            (Subject::Call, None) => b'c',
            (Subject::Position, Some(_)) => b'P',
            (Subject::Position, None) => b'p',
        };
        let value = value.as_deref().unwrap_or_default();
        octets.push(what);
        octets.extend(call.to_be_bytes());
        octets.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        octets.extend(value);
    }
    if is_last {
        octets.push(b'E');
    }
    octets
}

/// Reads it back; `None` where it is damaged, or of a format that is not known.
pub(crate) fn decode(octets: &[u8]) -> Option<Batch> {
    let (&[format], rest) = octets.split_first_chunk()?;
    let (number, mut rest) = rest.split_first_chunk()?;
    let mut entries = Vec::new();
    let mut is_last = false;
    while !rest.is_empty() {
        let (&[what], after) = rest.split_first_chunk()?;
        if what == b'E' && after.is_empty() {
            is_last = true;
            break;
        }
        let (call, after) = after.split_first_chunk()?;
        let (len, after) = after.split_first_chunk()?;
        let (value, after) = after.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        let (subject, is_there) = match what {
            b'C' => (Subject::Call, true),
            b'c' => (Subject::Call, false),
            b'P' => (Subject::Position, true),
            b'p' => (Subject::Position, false),
            _ => return None,
        };
        entries.push(Entry { subject, call: u64::from_be_bytes(*call), value: is_there.then(|| value.into()) });
        rest = after;
    }
    (format == FORMAT).then_some(Batch { number: u64::from_be_bytes(*number), entries, is_last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_nothing_else() {
        let entry = |subject, call, value: Option<&[u8]>| Entry { subject, call, value: value.map(Arc::from) };
        let entries = vec![
            entry(Subject::Call, 1, Some(b"{}")),
            entry(Subject::Call, u64::MAX, None),
            entry(Subject::Position, 1, Some(&[])),
            entry(Subject::Position, 2, None),
        ];
        let octets = encode(7, &entries, false);
        assert_eq!(decode(&octets), Some(Batch { number: 7, entries: entries.clone(), is_last: false }));
        assert_eq!(decode(&encode(8, &entries, true)), Some(Batch { number: 8, entries, is_last: true }));
        assert_eq!(decode(&encode(9, &[], true)), Some(Batch { number: 9, entries: Vec::new(), is_last: true }));
        for len in (0..octets.len()).filter(|len| ![9, 24, 37, 50].contains(len)) {
            assert_eq!(decode(&octets[..len]), None, "{len}");
        }
        let mut newer = octets;
        newer[0] = 2;
        assert_eq!(decode(&newer), None);
    }
}
