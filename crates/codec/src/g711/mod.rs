//! ITU-T G.711: µ-law and A-law, and the concealment of lost frames after its Appendix I.

pub mod concealment;
mod law;

pub use concealment::Concealment;
pub use law::Law;

use crate::isa::octets::{OctetMap, compiled_for, map_octets};
use crate::level::Level;

/// Encodes 8 kHz samples, one octet each, as far as both slices reach.
pub fn encode(level: Level, law: Law, pcm: &[i16], octets: &mut [u8]) {
    compiled_for(
        level,
        #[inline(always)]
        || match law {
            Law::Mu => each(pcm, octets, |sample| Law::Mu.encode(sample)),
            Law::A => each(pcm, octets, |sample| Law::A.encode(sample)),
        },
    );
}

/// Decodes octets to 8 kHz samples, as far as both slices reach.
pub fn decode(level: Level, law: Law, octets: &[u8], pcm: &mut [i16]) {
    if level == Level::Scalar {
        let samples = match law {
            Law::Mu => &SAMPLES_OF_MU,
            Law::A => &SAMPLES_OF_A,
        };
        return each(octets, pcm, |octet| samples[octet as usize]);
    }
    compiled_for(
        level,
        #[inline(always)]
        || match law {
            Law::Mu => each(octets, pcm, |octet| Law::Mu.decode(octet)),
            Law::A => each(octets, pcm, |octet| Law::A.decode(octet)),
        },
    );
}

/// Turns a payload of the law `from` into one of the other law where it lies. Each octet becomes what decoding and encoding would make of it.
pub fn transcode_in_place(level: Level, from: Law, octets: &mut [u8]) {
    map_octets(level, image_of(from), octets);
}

/// What [`transcode_in_place`] makes of one octet.
#[must_use]
pub fn transcode_octet(from: Law, octet: u8) -> u8 {
    image_of(from).get(octet)
}

#[inline(always)]
fn each<T: Copy, U>(from: &[T], to: &mut [U], convert: impl Fn(T) -> U) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = convert(*from);
    }
}

fn image_of(from: Law) -> &'static OctetMap {
    match from {
        Law::Mu => &MU_TO_A,
        Law::A => &A_TO_MU,
    }
}

// The lowest segment of µ-law has decision levels of A-law exactly on its samples, where the sign matters; and its negative zero is A-law's
// positive one.
static MU_TO_A: OctetMap = OctetMap::new(other_law(Law::Mu), 0x70);
// No sample of A-law lies on a decision level of µ-law: its exceptional block is an ordinary one.
static A_TO_MU: OctetMap = OctetMap::new(other_law(Law::A), 0x70);

static SAMPLES_OF_MU: [i16; 256] = samples(Law::Mu);
static SAMPLES_OF_A: [i16; 256] = samples(Law::A);

const fn other_law(from: Law) -> [u8; 256] {
    let mut octets = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        octets[octet] = from.other().encode(from.decode(octet as u8));
        octet += 1;
    }
    octets
}

const fn samples(law: Law) -> [i16; 256] {
    let mut samples = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        samples[octet] = law.decode(octet as u8);
        octet += 1;
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_maps_every_octet_at_every_place_as_decoding_and_encoding_do() {
        for level in Level::available() {
            for law in [Law::Mu, Law::A] {
                // 293 octets: whole vectors and a rest, and over the repetitions each octet falls into both.
                let mut payload: [u8; 293] = core::array::from_fn(|i| i as u8);
                for turn in 0..=255 {
                    payload.iter_mut().enumerate().for_each(|(i, octet)| *octet = i as u8 ^ turn);
                    transcode_in_place(level, law, &mut payload);
                    for (i, octet) in payload.iter().enumerate() {
                        let from = i as u8 ^ turn;
                        assert_eq!(*octet, law.other().encode(law.decode(from)), "{law:?} {from:#x} at {i}, {level}");
                    }
                }
            }
        }
    }

    #[test]
    fn slices_are_converted_as_far_as_both_reach() {
        let mut octets = [1; 4];
        encode(Level::detect(), Law::A, &[0, 0], &mut octets);
        assert_eq!(octets, [0xd5, 0xd5, 1, 1]);
        let mut pcm = [7; 1];
        decode(Level::detect(), Law::Mu, &[0xff, 0xff], &mut pcm);
        assert_eq!(pcm, [0]);
    }
}
