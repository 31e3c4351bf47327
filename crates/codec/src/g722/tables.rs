//! Constants of G.722: quantiser decision and output levels, step-size control, filter bank.

use crate::isa::i16::Table;

/// Taps of the transmit and receive quadrature mirror filters (clause 3.1 and 4.4, Table 11), in the doubled form used with 16-bit products.
pub(super) const QMF: [i16; 24] = [
    6, -22, -22, 106, 24, -312, 64, 724, -420, -1610, 1902, 7752, 7752, 1902, -1610, -420, 724, 64, -312, 24, 106, -22,
    -22, 6,
];

/// Decision levels of the 60-level quantiser of the low band (Table 14), times 8. The last is repeated so that a search may step past it.
pub(super) static LOW_DECISIONS: Table<32> = Table::new({
    let levels = [
        0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219,
        1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919, 2919, 2919,
    ];
    times(levels, 8)
});

/// Decision level of the 4-level quantiser of the high band, times 8.
pub(super) const HIGH_DECISION: i16 = 8 * 564;

/// Output levels of the 60-, 30- and 15-level quantisers of the low band.
const Q6: [i16; 31] = [
    0, 17, 54, 91, 130, 170, 211, 254, 300, 347, 396, 447, 501, 558, 618, 682, 750, 822, 899, 982, 1072, 1170, 1279,
    1399, 1535, 1689, 1873, 2088, 2376, 2738, 3101,
];
const Q5: [i16; 16] = [0, 35, 110, 190, 276, 370, 473, 587, 714, 858, 1023, 1219, 1458, 1765, 2195, 2919];
const Q4: [i16; 8] = [0, 150, 323, 530, 786, 1121, 1612, 2557];
/// Output levels of the 4-level quantiser of the high band.
const Q2: [i16; 3] = [0, 202, 926];
/// Logarithmic step multipliers of the low band, by magnitude of the 4-bit code.
const WL: [i16; 8] = [-60, -30, 58, 172, 334, 538, 1198, 3042];
/// Logarithmic step multipliers of the high band, by magnitude of the 2-bit code.
const WH: [i16; 3] = [0, -214, 798];

/// Sign and magnitude index of a low-band code of `bits` bits.
const fn low_code(code: i16, bits: u32) -> (i16, usize) {
    let (sign, magnitude) = match bits {
        6 => match code {
            0..=3 | 63 => (-1, 1),
            4..=31 => (-1, 34 - code),
            62 => (-1, 2),
            _ => (1, 62 - code),
        },
        5 => match code {
            0 | 1 | 31 => (-1, 1),
            2..=15 => (-1, 17 - code),
            _ => (1, 31 - code),
        },
        _ => match code {
            0 => (-1, 0),
            1..=7 => (-1, 8 - code),
            _ => (1, 15 - code),
        },
    };
    (sign, magnitude as usize)
}

const fn times<const N: usize>(mut values: [i16; N], factor: i16) -> [i16; N] {
    let mut i = 0;
    while i < N {
        values[i] *= factor;
        i += 1;
    }
    values
}

/// What the decoder's output quantiser gives for each 6-bit code when `6 - bits` of its low bits are not speech, times 8.
const fn output_levels(bits: u32) -> Table<64> {
    let mut levels = [0; 64];
    let mut code = 0;
    while code < 64 {
        let (sign, magnitude) = low_code(code as i16 >> (6 - bits), bits);
        let level = match bits {
            6 => Q6[magnitude],
            5 => Q5[magnitude],
            _ => Q4[magnitude],
        };
        levels[code] = 8 * sign * level;
        code += 1;
    }
    Table::new(levels)
}

/// Output levels of the low band by 6-bit code in modes 1, 2 and 3, times 8.
pub(super) static LOW_OUTPUT: [Table<64>; 3] = [output_levels(6), output_levels(5), output_levels(4)];

/// Difference by the four top bits of the low band's code, which drives the adaptation in every mode, times 8.
pub(super) static LOW_DIFFERENCE: Table<16> = Table::new({
    let mut levels = [0; 16];
    let mut code = 0;
    while code < 16 {
        let (sign, magnitude) = low_code(code as i16, 4);
        levels[code] = 8 * sign * Q4[magnitude];
        code += 1;
    }
    levels
});

/// Change of the low band's logarithmic step by the four top bits of its code.
pub(super) static LOW_STEP: Table<16> = Table::new({
    let mut steps = [0; 16];
    let mut code = 0;
    while code < 16 {
        steps[code] = WL[low_code(code as i16, 4).1];
        code += 1;
    }
    steps
});

/// Difference by the high band's code, times 8; only the first four entries are used.
pub(super) static HIGH_DIFFERENCE: Table<16> =
    Table::new([-8 * Q2[2], -8 * Q2[1], 8 * Q2[2], 8 * Q2[1], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

/// Change of the high band's logarithmic step by its code; only the first four entries are used.
pub(super) static HIGH_STEP: Table<16> = Table::new([WH[2], WH[1], WH[2], WH[1], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

/// 2048 · 2^(k/32), as the Recommendation tabulates it, times 16 (as an unsigned word).
pub(super) static EXPONENTIAL: Table<32> = Table::new({
    let values: [u16; 32] = [
        2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960,
        3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
    ];
    let mut words = [0; 32];
    let mut i = 0;
    while i < 32 {
        words[i] = (values[i] * 16) as i16;
        i += 1;
    }
    words
});

/// 4 · 2^e for the whole part of a logarithmic step, 0..=11: the factor that, in a high-half product with [`EXPONENTIAL`], shifts by `10 - e`.
pub(super) static POWER: Table<16> = Table::new([4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 0, 0, 0, 0]);
