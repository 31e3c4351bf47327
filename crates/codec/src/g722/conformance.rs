//! The codec with its filter bank by-passed, as the digital test sequences of Appendix II/G.722 drive it.

use super::Mode;
use super::decoder::{Modes, decode_high, decode_low};
use super::encoder::{encode_high, encode_low};
use super::sub_band::{Band, SubBand};
use crate::isa::i16::{Kernel16, Lanes16, Row};
use crate::level::Level;

/// Two sub-bands without a filter bank.
#[derive(Clone, Copy, Debug)]
struct SubBands {
    low: SubBand<i16>,
    high: SubBand<i16>,
}

const RESET: SubBands = SubBands { low: SubBand::reset(Band::Low), high: SubBand::reset(Band::High) };

/// Encodes a sequence of input words (sample in bits 15..1, reset in bit 0) into code words (high band in bits 15..14, low band in bits 13..8,
/// reset in bit 0), in every lane of the level; a lane that disagrees with the first gives a code word of −1, which no coder gives.
pub fn encode_sub_bands(level: Level, input: &[i16], codes: &mut [i16]) {
    crate::isa::i16::run_kernel(level, EncodeWords { input, codes });
}

/// Decodes a sequence of code words into the low band's and the high band's samples, times 2 with the reset in bit 0, in every lane of the
/// level; a lane that disagrees with the first gives −1.
pub fn decode_sub_bands(level: Level, mode: Mode, codes: &[i16], low: &mut [i16], high: &mut [i16]) {
    crate::isa::i16::run_kernel(level, DecodeWords { mode, codes, low, high });
}

struct EncodeWords<'a> {
    input: &'a [i16],
    codes: &'a mut [i16],
}

impl Kernel16 for EncodeWords<'_> {
    #[inline(always)]
    fn run<V: Lanes16>(self) {
        let (mut low, mut high) = (lanes::<V>(RESET.low), lanes::<V>(RESET.high));
        for (word, code) in self.input.iter().zip(self.codes) {
            if word & 1 != 0 {
                (low, high) = (lanes(RESET.low), lanes(RESET.high));
                *code = 1;
                continue;
            }
            let sample = V::splat(word >> 1);
            let high_code = encode_high(&mut high, sample);
            *code = agreed(high_code.shl::<14>().or(encode_low(&mut low, sample).shl::<8>()));
        }
    }
}

struct DecodeWords<'a> {
    mode: Mode,
    codes: &'a [i16],
    low: &'a mut [i16],
    high: &'a mut [i16],
}

impl Kernel16 for DecodeWords<'_> {
    #[inline(always)]
    fn run<V: Lanes16>(self) {
        let modes = Modes::<V>::of(core::iter::repeat_n(self.mode, V::LANES));
        let (mut low, mut high) = (lanes::<V>(RESET.low), lanes::<V>(RESET.high));
        for ((word, low_sample), high_sample) in self.codes.iter().zip(self.low).zip(self.high) {
            if word & 1 != 0 {
                (low, high) = (lanes(RESET.low), lanes(RESET.high));
                (*low_sample, *high_sample) = (1, 1);
                continue;
            }
            let code = V::splat(*word);
            *low_sample = agreed(decode_low(&mut low, code.shr::<8>().and(V::splat(63)), &modes).shl::<1>());
            *high_sample = agreed(decode_high(&mut high, code.shr::<14>()).shl::<1>());
        }
    }
}

fn lanes<V: Lanes16>(band: SubBand<i16>) -> SubBand<V> {
    let words = band.to_words();
    SubBand::from_words(|i| V::splat(words[i]))
}

#[inline(always)]
fn agreed<V: Lanes16>(value: V) -> i16 {
    let mut row = Row::ZERO;
    value.store(&mut row);
    let first = row.0[0];
    if row.0[..V::LANES].iter().all(|word| *word == first) { first } else { -1 }
}
