//! A speech frame as transmitted.

use super::{Group, Parameters};
use crate::g729::bitstream::{Frame, SPEECH_OCTETS};
use crate::isa::{Lanes, always};

/// Writes the frames: the fields of ITU-T G.729 Table 8 in its order, put together in all lanes at once.
#[inline(always)]
pub(super) fn send<L: Lanes>(group: &mut Group<'_>, parameters: &Parameters<L>) {
    let [first, second] = &parameters.subframes;
    let append = always!(|bits: L, field: L, width: i32| bits.sllv(L::splat(width)).or(field));
    // Odd parity over the six upper bits of P1.
    let upper = first.pitch.srl::<2>();
    let folded = upper.xor(upper.srl::<3>());
    let parity = folded.xor(folded.srl::<1>()).xor(folded.srl::<2>()).and(L::splat(1)).xor(L::splat(1));

    let lsf = &parameters.lsf;
    let mut octets_0_to_3 = append(lsf.mode, lsf.stage1, 7);
    octets_0_to_3 = append(octets_0_to_3, lsf.low, 5);
    octets_0_to_3 = append(octets_0_to_3, lsf.high, 5);
    octets_0_to_3 = append(octets_0_to_3, first.pitch, 8);
    octets_0_to_3 = append(octets_0_to_3, parity, 1);
    octets_0_to_3 = append(octets_0_to_3, first.positions.srl::<8>(), 5);
    let mut octets_4_to_7 = append(first.positions.and(L::splat(0xff)), first.signs, 4);
    octets_4_to_7 = append(octets_4_to_7, first.gain_a, 3);
    octets_4_to_7 = append(octets_4_to_7, first.gain_b, 4);
    octets_4_to_7 = append(octets_4_to_7, second.pitch, 5);
    octets_4_to_7 = append(octets_4_to_7, second.positions.srl::<5>(), 8);
    let mut octets_8_to_9 = append(second.positions.and(L::splat(0x1f)), second.signs, 4);
    octets_8_to_9 = append(octets_8_to_9, second.gain_a, 3);
    octets_8_to_9 = append(octets_8_to_9, second.gain_b, 4);

    let (start, middle, end) = (octets_0_to_3.to_array(), octets_4_to_7.to_array(), octets_8_to_9.to_array());
    for (l, slot) in group.iter_mut().enumerate() {
        let mut octets = [0; SPEECH_OCTETS];
        octets[..4].copy_from_slice(&start[l].to_be_bytes());
        octets[4..8].copy_from_slice(&middle[l].to_be_bytes());
        octets[8..].copy_from_slice(&(end[l] as u16).to_be_bytes());
        *slot.frame = Frame::Speech(octets);
    }
}
