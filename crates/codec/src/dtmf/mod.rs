//! DTMF: tones found in speech (ITU-T Q.23, Q.24), and made; and the telephone events of RFC 4733 that stand for them.

mod detector;
mod event;
mod tone;

pub use detector::{Detection, Detector};
pub use event::{Event, EventError, EventSender, Packet};
pub use tone::ToneGenerator;

/// A key of the telephone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u8);

/// Low and high frequencies in Hz (Q.23).
const LOW_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const HIGH_HZ: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// Keys by row (low frequency) and column (high frequency).
const KEYS: [[u8; 4]; 4] = [*b"123A", *b"456B", *b"789C", *b"*0#D"];

/// Keys by event code (RFC 4733 section 3.2, Table 3).
const BY_EVENT: [u8; 16] = *b"0123456789*#ABCD";

impl Key {
    /// The key of a character: `0` to `9`, `*`, `#`, `A` to `D` in either case.
    #[must_use]
    pub fn from_char(character: char) -> Option<Self> {
        let octet = u8::try_from(character.to_ascii_uppercase()).ok()?;
        BY_EVENT.contains(&octet).then_some(Self(octet))
    }

    /// The key of an event code, which is at most 15.
    #[must_use]
    pub fn from_event(code: u8) -> Option<Self> {
        BY_EVENT.get(usize::from(code)).copied().map(Self)
    }

    /// Its character.
    #[must_use]
    pub const fn as_char(self) -> char {
        self.0 as char
    }

    /// Its event code.
    #[must_use]
    pub fn event(self) -> u8 {
        BY_EVENT.iter().position(|key| *key == self.0).unwrap_or(0) as u8
    }

    const fn at(row: usize, column: usize) -> Self {
        Self(KEYS[row][column])
    }

    /// Its two frequencies in Hz, low and high.
    #[must_use]
    pub fn frequencies_hz(self) -> (f32, f32) {
        let place = KEYS.iter().flatten().position(|key| *key == self.0).unwrap_or(0);
        (LOW_HZ[place / 4], HIGH_HZ[place % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_events_of_rfc_4733_and_the_tones_of_q_23() {
        for (character, event, tones) in [
            ('0', 0, (941.0, 1336.0)),
            ('9', 9, (852.0, 1477.0)),
            ('*', 10, (941.0, 1209.0)),
            ('d', 15, (941.0, 1633.0)),
        ] {
            let key = Key::from_char(character).unwrap();
            assert_eq!((key.event(), key.frequencies_hz()), (event, tones));
            assert_eq!(Key::from_event(event), Some(key));
            assert_eq!(key.as_char(), character.to_ascii_uppercase());
        }
        assert_eq!((Key::from_char('E'), Key::from_char('é'), Key::from_event(16)), (None, None, None));
    }
}
