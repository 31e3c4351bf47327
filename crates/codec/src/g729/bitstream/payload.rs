//! The RTP payload of RFC 3551 section 4.5.6: speech frames, optionally ended by a descriptor.

use super::{Frame, SID_OCTETS, SPEECH_OCTETS};

/// Why a payload is not G.729.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// The length in octets is neither a multiple of ten nor two more than one.
    Length(usize),
}

impl core::fmt::Display for PayloadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length(octets) => write!(
                f,
                "a G.729 payload of {octets} octets is not a number of 10-octet frames optionally ended by a 2-octet SID"
            ),
        }
    }
}

impl core::error::Error for PayloadError {}

/// The frames of an RTP payload: any number of speech frames, then at most one descriptor (RFC 3551 section 4.5.6).
///
/// An empty payload has no frames. Frames follow each other in time, 80 timestamp units apart; what lies *between*
/// payloads (not sent, or lost) is for sequence numbers and timestamps to tell.
///
/// # Errors
/// [`PayloadError::Length`] when the length fits no such sequence.
pub fn split_payload(payload: &[u8]) -> Result<PayloadFrames<'_>, PayloadError> {
    match payload.len() % SPEECH_OCTETS {
        0 | SID_OCTETS => Ok(PayloadFrames { rest: payload }),
        _ => Err(PayloadError::Length(payload.len())),
    }
}

/// Iterator over the frames of a payload, made by [`split_payload`].
#[derive(Clone, Debug)]
pub struct PayloadFrames<'a> {
    rest: &'a [u8],
}

impl Iterator for PayloadFrames<'_> {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        if let Some((speech, rest)) = self.rest.split_first_chunk() {
            self.rest = rest;
            return Some(Frame::Speech(*speech));
        }
        let (sid, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(Frame::Sid(*sid))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let frames = self.rest.len().div_ceil(SPEECH_OCTETS);
        (frames, Some(frames))
    }
}

impl ExactSizeIterator for PayloadFrames<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_frames_and_a_closing_descriptor_come_out_in_order() {
        let payload: [u8; 22] = core::array::from_fn(|i| i as u8);
        let mut frames = split_payload(&payload).expect("two frames and a SID");
        assert_eq!(frames.len(), 3);
        assert_eq!(frames.next(), Some(Frame::Speech([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])));
        assert_eq!(frames.next(), Some(Frame::Speech([10, 11, 12, 13, 14, 15, 16, 17, 18, 19])));
        assert_eq!(frames.next(), Some(Frame::Sid([20, 21])));
        assert_eq!(frames.next(), None);
    }

    #[test]
    fn only_lengths_of_whole_frames_are_accepted() {
        let octets = [0; 64];
        for length in 0..=64 {
            let accepted = split_payload(&octets[..length]).map(|frames| (frames.len(), frames.count()));
            match length % 10 {
                0 => assert_eq!(accepted, Ok((length / 10, length / 10))),
                2 => assert_eq!(accepted, Ok((length / 10 + 1, length / 10 + 1))),
                _ => assert_eq!(accepted, Err(PayloadError::Length(length))),
            }
        }
    }
}
