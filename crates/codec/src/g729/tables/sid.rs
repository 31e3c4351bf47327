//! Silence insertion descriptors and comfort noise (ITU-T G.729 Annex B clauses B.4.1 to B.4.4).

/// Averaging factor of the SID energy by the number of averaged energies; 0 is the single energy kept for erasures
/// (clause B.4.2.1).
pub(crate) static SID_GAIN_FACTOR: [i16; 3] = [410, 26, 13];

/// Head-room in bits belonging to [`SID_GAIN_FACTOR`] (clause B.4.2.1).
pub(crate) static SID_GAIN_MARGIN: [i16; 3] = [0, 0, 1];

/// Comfort-noise gain by 5-bit index, Q3 (clause B.4.2.1).
pub(crate) static SID_GAIN_TAB: [i16; 32] = [
    2, 5, 8, 13, 20, 32, 50, 64, 80, 101, 127, 160, 201, 253, 318, 401, 505, 635, 800, 1007, 1268, 1596, 2010, 2530,
    3185, 4009, 5048, 6355, 8000, 10071, 12679, 15962,
];

/// Moving-average predictor of the SID LSF `[mode][lag - 1][coefficient]`, Q15: mode 1 mixes both speech modes 0.6 to
/// 0.4 (clause B.4.2.2).
pub(crate) static SID_MA: [[[i16; 10]; 4]; 2] = [
    [
        [8421, 9109, 9175, 8965, 9034, 9057, 8765, 8775, 9106, 8673],
        [7018, 7189, 7638, 7307, 7444, 7379, 7038, 6956, 6930, 6868],
        [5472, 4990, 5134, 5177, 5246, 5141, 5206, 5095, 4830, 5147],
        [4056, 3031, 2614, 3024, 2916, 2713, 3309, 3237, 2857, 3473],
    ],
    [
        [8145, 8617, 8779, 8648, 8718, 8829, 8713, 8705, 8806, 8231],
        [5894, 5525, 5603, 5773, 6016, 5968, 5896, 5835, 5721, 5707],
        [4568, 3765, 3605, 3963, 4144, 4038, 4225, 4139, 3914, 4255],
        [3643, 2455, 1944, 2466, 2438, 2259, 2798, 2775, 2479, 3124],
    ],
];

/// One minus the sum over the four lags of [`SID_MA`], Q15 (clause B.4.2.2).
pub(crate) static SID_MA_SUM: [[i16; 10]; 2] = [
    [7798, 8447, 8205, 8293, 8126, 8477, 8447, 8703, 9043, 8604],
    [10514, 12402, 12833, 11914, 11447, 11670, 11132, 11311, 11844, 11447],
];

/// Reciprocal of [`SID_MA_SUM`], Q12 (clause B.4.2.2).
pub(crate) static SID_MA_SUM_INV: [[i16; 10]; 2] = [
    [17210, 15888, 16357, 16183, 16516, 15833, 15888, 15421, 14840, 15597],
    [12764, 10821, 10458, 11264, 11724, 11500, 12056, 11865, 11331, 11724],
];

/// SID LSF first-stage index to row of `LSP_CB1` (clause B.4.2.2).
pub(crate) static SID_LSF_CB1_ROWS: [u8; 32] = [
    96, 52, 20, 54, 86, 114, 82, 68, 36, 121, 48, 92, 18, 120, 94, 124, 50, 125, 4, 100, 28, 76, 12, 117, 81, 22, 90,
    116, 127, 21, 108, 66,
];

/// SID LSF second-stage index to row of `LSP_CB2`: `[0]` for coefficients 0..4, `[1]` for 5..9 (clause B.4.2.2).
pub(crate) static SID_LSF_CB2_ROWS: [[u8; 16]; 2] = [
    [31, 21, 9, 3, 10, 2, 19, 26, 4, 3, 11, 29, 15, 27, 21, 12],
    [16, 1, 0, 0, 8, 25, 22, 20, 19, 23, 20, 31, 4, 31, 20, 31],
];

/// Weight of the two predictor modes in the SID LSF first-stage search, Q15 (clause B.4.2.2).
pub(crate) static SID_LSF_MODE_WEIGHT: [i16; 2] = [8644, 16572];

/// SID LSP of the comfort-noise decoder before the first SID, Q15 (clause B.4.4).
pub(crate) static CNG_LSP_INIT: [i16; 10] = [31441, 27566, 21458, 13612, 4663, -4663, -13612, -21458, -27566, -31441];
