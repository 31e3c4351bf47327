//! One call's decoder with the sub-bands in the open, between which and the filter bank the concealment works.

use super::Mode;
use super::channel::Channel;
use super::decoder::{Modes, decode_high, decode_low};
use super::filter_bank::{CHUNK, DelayLine};
use super::sub_band::SubBand;
use crate::isa::i16::{Lanes16, One};

/// Decodes octets to the samples of both bands.
pub(super) fn decode_bands(channel: &mut Channel, mode: Mode, octets: &[u8], low: &mut [i16], high: &mut [i16]) {
    let modes = Modes::<One>::of(core::iter::once(mode));
    let (mut low_band, mut high_band) = (to_lane(channel.low), to_lane(channel.high));
    for ((octet, low), high) in octets.iter().zip(low).zip(high) {
        *low = decode_low(&mut low_band, One(i16::from(octet & 63)), &modes).0;
        *high = decode_high(&mut high_band, One(i16::from(octet >> 6))).0;
    }
    (channel.low, channel.high) = (from_lane(low_band), from_lane(high_band));
}

/// Joins the bands to twice as many samples.
pub(super) fn synthesise(channel: &mut Channel, low: &[i16], high: &[i16], pcm: &mut [i16]) {
    let mut delay = DelayLine::from_words(&channel.delay.map(One));
    for ((low, high), pcm) in low.chunks(CHUNK).zip(high.chunks(CHUNK)).zip(pcm.chunks_mut(2 * CHUNK)) {
        for (t, (low, high)) in low.iter().zip(high).enumerate() {
            delay.put(t, One(low.saturating_sub(*high)), One(low.saturating_add(*high)));
        }
        delay.filter(low.len(), |t, even, odd| {
            pcm[2 * t] = One::narrow::<12>(even).0;
            pcm[2 * t + 1] = One::narrow::<12>(odd).0;
        });
        delay.advance(low.len());
    }
    channel.delay = delay.to_words().map(|word| word.0);
}

fn to_lane(band: SubBand<i16>) -> SubBand<One> {
    let words = band.to_words();
    SubBand::from_words(|i| One(words[i]))
}

fn from_lane(band: SubBand<One>) -> SubBand<i16> {
    let words = band.to_words();
    SubBand::from_words(|i| words[i].0)
}
