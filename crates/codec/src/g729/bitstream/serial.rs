//! The serial words of the ITU-T test files: sync, bit count, one 16-bit word per bit, little-endian.

use super::{Frame, SID_OCTETS, SPEECH_OCTETS};

/// Sync word of a frame that arrived.
const SYNC: u16 = 0x6b21;
/// Sync word of a frame that did not.
const SYNC_LOST: u16 = 0x6b20;
/// Word of a zero bit.
const ZERO: u16 = 0x007f;
/// Word of a one bit.
const ONE: u16 = 0x0081;
/// Word of a lost bit.
const LOST: u16 = 0x0000;

/// Octets of the longest frame in a serial file: sync, count and 80 words.
pub const SERIAL_FRAME_OCTETS: usize = 2 * (2 + 8 * SPEECH_OCTETS);

/// Why a serial file cannot be read further. `offset` is in octets from the start of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SerialError {
    /// No sync word where a frame begins.
    Sync {
        /// Where the frame begins.
        offset: usize,
        /// What stands there.
        word: u16,
    },
    /// The bit count is that of no frame: it is neither 80, nor 16 or 15, nor 0.
    Count {
        /// Where the count stands.
        offset: usize,
        /// The count.
        count: u16,
    },
    /// A word is neither a zero, a one, nor a lost bit.
    Bit {
        /// Where the word stands.
        offset: usize,
        /// The word.
        word: u16,
    },
    /// The file ends inside a frame.
    Truncated {
        /// Where the frame begins.
        offset: usize,
    },
}

impl core::fmt::Display for SerialError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Sync { offset, word } => {
                write!(f, "octet {offset}: a frame should begin with the sync word 0x6b21, but here is {word:#06x}")
            }
            Self::Count { offset, count } => {
                write!(f, "octet {offset}: a frame has 80 bits (speech), 16 or 15 (SID) or 0 (not sent), not {count}")
            }
            Self::Bit { offset, word } => {
                write!(f, "octet {offset}: a bit is 0x007f, 0x0081 or, when lost, 0x0000, not {word:#06x}")
            }
            Self::Truncated { offset } => write!(f, "the file ends inside the frame that begins at octet {offset}"),
        }
    }
}

impl core::error::Error for SerialError {}

/// Iterator over the frames of a serial file. After an error it ends.
///
/// A frame is erased when any of its bits is lost, or when it has no bits and the sync word of a lost frame.
#[derive(Clone, Debug)]
pub struct SerialFrames<'a> {
    octets: &'a [u8],
    offset: usize,
}

impl<'a> SerialFrames<'a> {
    /// Reads the frames of `octets`, the content of a whole file.
    pub fn new(octets: &'a [u8]) -> Self {
        Self { octets, offset: 0 }
    }

    fn word(&self, offset: usize) -> Option<u16> {
        let octets = self.octets.get(offset..offset + 2)?;
        Some(u16::from_le_bytes([octets[0], octets[1]]))
    }

    fn frame(&mut self) -> Result<Frame, SerialError> {
        let offset = self.offset;
        let truncated = SerialError::Truncated { offset };
        let sync = self.word(offset).ok_or(truncated)?;
        if sync != SYNC && sync != SYNC_LOST {
            return Err(SerialError::Sync { offset, word: sync });
        }
        let count = self.word(offset + 2).ok_or(truncated)?;
        let mut bits = [0; SPEECH_OCTETS];
        if usize::from(count) > 8 * bits.len() {
            return Err(SerialError::Count { offset: offset + 2, count });
        }
        let mut lost = false;
        for bit in 0..usize::from(count) {
            let offset = offset + 4 + 2 * bit;
            match self.word(offset).ok_or(truncated)? {
                ZERO => {}
                ONE => bits[bit / 8] |= 0x80 >> (bit % 8),
                LOST => lost = true,
                word => return Err(SerialError::Bit { offset, word }),
            }
        }
        self.offset = offset + 4 + 2 * usize::from(count);
        match count {
            0 if sync == SYNC_LOST => Ok(Frame::Erased),
            0 => Ok(Frame::NotSent),
            15 | 16 | 80 if lost => Ok(Frame::Erased),
            15 | 16 => Ok(Frame::Sid([bits[0], bits[1]])),
            80 => Ok(Frame::Speech(bits)),
            _ => Err(SerialError::Count { offset: offset + 2, count }),
        }
    }
}

impl Iterator for SerialFrames<'_> {
    type Item = Result<Frame, SerialError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.octets.len() {
            return None;
        }
        let frame = self.frame();
        if frame.is_err() {
            self.offset = self.octets.len();
        }
        Some(frame)
    }
}

/// Writes a frame as serial words into `out` and returns how many octets it took.
///
/// An erased frame is written as the ITU-T files have it: 80 lost bits.
pub fn write_serial(frame: &Frame, out: &mut [u8; SERIAL_FRAME_OCTETS]) -> usize {
    const LOST_FRAME: [u8; SPEECH_OCTETS] = [0; SPEECH_OCTETS];
    let (bits, zero): (&[u8], _) = match frame {
        Frame::Speech(octets) => (octets, ZERO),
        Frame::Sid(octets) => (octets, ZERO),
        Frame::NotSent => (&[], ZERO),
        Frame::Erased => (&LOST_FRAME, LOST),
    };
    const { assert!(SID_OCTETS < SPEECH_OCTETS) };
    let words = [SYNC, 8 * bits.len() as u16].into_iter().chain(
        bits.iter().flat_map(|octet| (0..8).map(move |bit| if octet & (0x80 >> bit) != 0 { ONE } else { zero })),
    );
    let mut octets = 0;
    for (word, slot) in words.zip(out.as_chunks_mut().0) {
        *slot = word.to_le_bytes();
        octets += 2;
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_frame_reads_back_as_written() {
        let frames = [
            Frame::Speech([0, 1, 2, 3, 4, 5, 0x80, 0xff, 0x55, 9]),
            Frame::NotSent,
            Frame::Sid([0xa5, 0x5a]),
            Frame::Erased,
            Frame::Speech([0xff; 10]),
        ];
        let mut file = [0; 5 * SERIAL_FRAME_OCTETS];
        let mut length = 0;
        for frame in &frames {
            let mut words = [0; SERIAL_FRAME_OCTETS];
            let octets = write_serial(frame, &mut words);
            file[length..length + octets].copy_from_slice(&words[..octets]);
            length += octets;
        }
        assert_eq!(length, 3 * 164 + 36 + 4);
        assert!(SerialFrames::new(&file[..length]).eq(frames.into_iter().map(Ok)));
    }

    #[test]
    fn a_lost_bit_or_a_lost_empty_frame_is_an_erasure() {
        let mut words = [0; SERIAL_FRAME_OCTETS];
        write_serial(&Frame::Speech([0xff; 10]), &mut words);
        words[162..164].copy_from_slice(&LOST.to_le_bytes());
        assert!(SerialFrames::new(&words).eq([Ok(Frame::Erased)]));
        assert!(SerialFrames::new(&[0x20, 0x6b, 0, 0]).eq([Ok(Frame::Erased)]));
        assert!(SerialFrames::new(&[0x21, 0x6b, 0, 0]).eq([Ok(Frame::NotSent)]));
    }

    #[test]
    fn damage_is_named_with_its_place_and_ends_the_file() {
        let mut words = [0; SERIAL_FRAME_OCTETS];
        write_serial(&Frame::Speech([0; 10]), &mut words);
        let first = |octets: &[u8]| {
            let mut frames = SerialFrames::new(octets);
            let error = frames.next().expect("one item").expect_err("an error");
            assert_eq!(frames.next(), None);
            error
        };
        assert_eq!(first(&words[..163]), SerialError::Truncated { offset: 0 });
        assert_eq!(first(&words[..1]), SerialError::Truncated { offset: 0 });
        assert_eq!(first(&[1, 2, 3, 4]), SerialError::Sync { offset: 0, word: 0x0201 });
        assert_eq!(first(&[0x21, 0x6b, 81, 0]), SerialError::Count { offset: 2, count: 81 });
        let mut odd = words;
        odd[2] = 79;
        assert_eq!(first(&odd), SerialError::Count { offset: 2, count: 79 });
        words[4] = 0x80;
        assert_eq!(first(&words), SerialError::Bit { offset: 4, word: 0x0080 });
    }
}
