use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::Codec;

/// A place in each worker's table of clips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClipId(pub u8);

impl ClipId {
    /// How many places there are.
    pub const COUNT: usize = 32;
    /// What a leg hears that the other party has put on hold.
    pub const HOLD: Self = Self(0);
}

/// Speech or music, encoded once for each codec that can play it. Workers share it and only read it.
#[derive(Debug)]
pub struct Clip {
    duration_ms: u32,
    octets: [Option<Box<[u8]>>; Codec::ALL.len()],
}

/// Octets that are no clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipError {
    /// It is empty, or no whole number of 10 ms.
    Duration,
    /// The codec's packets cannot be cut from a row of octets.
    Codec(Codec),
    /// Fewer or more octets than the duration and [`Clip::TAIL_MS`] take.
    Length(Codec),
}

impl Clip {
    /// Milliseconds of silence that follow the clip's own sound in each encoding: what the last packet of a clip that is
    /// played once is filled up with. As long as the longest packet.
    pub const TAIL_MS: u32 = 60;

    /// Octets for 10 ms of a codec whose packets can be cut anywhere between such frames; `None` for others.
    pub const fn octets_per_10_ms(codec: Codec) -> Option<usize> {
        match codec {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => Some(80),
            Codec::G729 => Some(10),
            Codec::Opus => None,
        }
    }

    /// A clip of `duration_ms`, in the given encodings, each of which goes on for [`Clip::TAIL_MS`] beyond it.
    ///
    /// # Errors
    /// [`ClipError`] says what does not fit.
    pub fn new(duration_ms: u32, encodings: impl IntoIterator<Item = (Codec, Box<[u8]>)>) -> Result<Self, ClipError> {
        if duration_ms == 0 || !duration_ms.is_multiple_of(10) {
            return Err(ClipError::Duration);
        }
        let mut octets = [const { None }; Codec::ALL.len()];
        for (codec, encoded) in encodings {
            let per_frame = Self::octets_per_10_ms(codec).ok_or(ClipError::Codec(codec))?;
            let frames = (duration_ms as usize + Self::TAIL_MS as usize) / 10;
            if encoded.len() != frames * per_frame {
                return Err(ClipError::Length(codec));
            }
            octets[codec as usize] = Some(encoded);
        }
        Ok(Self { duration_ms, octets })
    }

    /// Milliseconds of the clip's own sound, a multiple of 10.
    pub const fn duration_ms(&self) -> u32 {
        self.duration_ms
    }

    /// Whether the clip can be played on a leg of this codec.
    pub fn has(&self, codec: Codec) -> bool {
        self.octets[codec as usize].is_some()
    }

    /// The `ms` milliseconds from `from_ms` on, both multiples of 10; `None` where the codec does not have them.
    pub fn frames(&self, codec: Codec, from_ms: u32, ms: u32) -> Option<&[u8]> {
        let per_frame = Self::octets_per_10_ms(codec)?;
        let from = from_ms as usize / 10 * per_frame;
        self.octets[codec as usize].as_ref()?.get(from..from + ms as usize / 10 * per_frame)
    }
}

/// Puts a clip into a worker's table, or takes it out. What is being played goes on with the old one.
///
/// Whoever sends this keeps a handle of its own to the clip for as long as any worker may have one: a worker that drops
/// its handle must not be the one that gives the memory back.
#[derive(Clone, Debug)]
pub struct ClipLoad {
    /// Where.
    pub id: ClipId,
    /// What.
    pub clip: Option<Arc<Clip>>,
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn frames_are_cut_by_time_whatever_the_codec() {
        let octets = |count: usize| (0..count).map(|n| (n % 251) as u8).collect::<Box<[u8]>>();
        let clip = Clip::new(30, [(Codec::Pcmu, octets(720)), (Codec::G729, octets(90))]).unwrap();
        assert_eq!(clip.frames(Codec::Pcmu, 10, 20), Some(&octets(720)[80..240]));
        assert_eq!(clip.frames(Codec::G729, 20, 30), Some(&octets(90)[20..50]));
        assert_eq!(clip.frames(Codec::G729, 20, 80), None);
        assert_eq!(clip.frames(Codec::G722, 0, 10), None);
        assert!(clip.has(Codec::G729) && !clip.has(Codec::G722));
    }

    #[test]
    fn what_does_not_fit_is_no_clip() {
        let one = |ms, codec, count: usize| Clip::new(ms, [(codec, vec![0; count].into_boxed_slice())]).err();
        assert_eq!(one(0, Codec::Pcmu, 480), Some(ClipError::Duration));
        assert_eq!(one(15, Codec::Pcmu, 600), Some(ClipError::Duration));
        assert_eq!(one(10, Codec::Pcmu, 559), Some(ClipError::Length(Codec::Pcmu)));
        assert_eq!(one(10, Codec::Pcmu, 560), None);
        assert_eq!(one(10, Codec::Opus, 70), Some(ClipError::Codec(Codec::Opus)));
    }
}
