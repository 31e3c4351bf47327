//! Loss masks: which packets of a stream are to be taken for lost.

use std::path::Path;

use super::error::CodecError;

const RECEIVED: u16 = 0x6b21;
const LOST: u16 = 0x6b20;

/// One entry per packet, repeated as often as need be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LossMask(Vec<bool>);

impl LossMask {
    /// Reads ITU-T G.192 frame words, or text of 0 and 1.
    pub(super) fn read(path: &Path) -> Result<Self, CodecError> {
        let octets = std::fs::read(path).map_err(CodecError::io(path))?;
        Self::parse(&octets).map_err(|reason| CodecError::Mask { path: path.to_owned(), reason })
    }

    fn parse(octets: &[u8]) -> Result<Self, String> {
        if octets.is_empty() {
            return Err("it is empty".to_owned());
        }
        let (words, rest) = octets.as_chunks::<2>();
        if octets.iter().all(|octet| octet.is_ascii_whitespace() || matches!(octet, b'0' | b'1')) {
            let entries = octets.iter().filter(|octet| !octet.is_ascii_whitespace());
            return Ok(Self(entries.map(|octet| *octet == b'1').collect()));
        }
        let mut mask = Vec::new();
        for (i, word) in words.iter().enumerate() {
            match u16::from_le_bytes(*word) {
                RECEIVED => mask.push(false),
                LOST => mask.push(true),
                other => return Err(format!("octet {} begins the word {other:#06x}", 2 * i)),
            }
        }
        if rest.is_empty() { Ok(Self(mask)) } else { Err("it ends inside a word".to_owned()) }
    }

    /// Whether a packet, counted from 0, is lost. None is without entries.
    pub(super) fn is_lost(&self, packet: usize) -> bool {
        !self.0.is_empty() && self.0[packet % self.0.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::LossMask;

    #[test]
    fn both_forms_are_read_and_repeated() {
        let words = LossMask::parse(&[0x21, 0x6b, 0x20, 0x6b]).unwrap();
        assert_eq!(words, LossMask::parse(b"0 1\n").unwrap());
        assert_eq!((0..4).map(|packet| words.is_lost(packet)).collect::<Vec<_>>(), [false, true, false, true]);
        assert!(!LossMask::default().is_lost(7));
    }

    #[test]
    fn what_is_no_mask_is_told_with_its_place() {
        assert_eq!(LossMask::parse(&[]).unwrap_err(), "it is empty");
        assert_eq!(LossMask::parse(&[0x21, 0x6b, 0x00, 0x6b]).unwrap_err(), "octet 2 begins the word 0x6b00");
        assert_eq!(LossMask::parse(&[0x21, 0x6b, 0x20]).unwrap_err(), "it ends inside a word");
        assert!(LossMask::parse(b"0 1 2 ").is_err());
    }
}
