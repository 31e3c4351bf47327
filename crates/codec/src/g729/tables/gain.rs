//! Gain quantiser and its energy predictor (ITU-T G.729 clause 3.9).

/// Coefficients of the innovation-energy predictor, Q13, most recent first (clause 3.9.1).
pub(crate) static GAIN_MA: [i16; 4] = [5571, 4751, 2785, 1556];

/// First stage of the gain quantiser (GA) in search order: pitch gain part Q14, code gain factor part Q13 (clause
/// 3.9.2).
pub(crate) static GAIN_CB1: [[i16; 2]; 8] =
    [[1, 1516], [1551, 2425], [1831, 5022], [57, 5404], [1921, 9291], [3242, 9949], [356, 14756], [2678, 27162]];

/// Second stage of the gain quantiser (GB) in search order: pitch gain part Q14, code gain factor part Q13 (clause
/// 3.9.2).
pub(crate) static GAIN_CB2: [[i16; 2]; 16] = [
    [826, 2005],
    [1994, 0],
    [5142, 592],
    [6160, 2395],
    [8091, 4861],
    [9120, 525],
    [10573, 2966],
    [11569, 1196],
    [13260, 3256],
    [14194, 1630],
    [15132, 4914],
    [15161, 14276],
    [15434, 237],
    [16112, 3392],
    [17299, 1861],
    [18973, 5935],
];

/// Search index to transmitted GA (clause 3.9.3).
pub(crate) static GAIN_TX1: [u8; 8] = [5, 1, 4, 7, 3, 0, 6, 2];

/// Search index to transmitted GB (clause 3.9.3).
pub(crate) static GAIN_TX2: [u8; 16] = [4, 6, 0, 2, 12, 14, 8, 10, 15, 11, 9, 13, 7, 3, 1, 5];

/// Transmitted GA to search index, the inverse of [`GAIN_TX1`] (clause 3.9.3).
pub(crate) static GAIN_RX1: [u8; 8] = [5, 1, 7, 4, 2, 0, 6, 3];

/// Transmitted GB to search index, the inverse of [`GAIN_TX2`] (clause 3.9.3).
pub(crate) static GAIN_RX2: [u8; 16] = [2, 14, 3, 13, 0, 15, 1, 12, 6, 10, 7, 9, 4, 11, 5, 8];

/// Lines of the gain codebook pre-selection: `[0][0]` Q10, `[0][1]` Q14, `[1][0]` Q16, `[1][1]` Q19 (clause 3.9.2).
pub(crate) static PRESEL_C: [[i16; 2]; 2] = [[31881, 26416], [31548, 27816]];

/// [`PRESEL_C`] in 32 bits: `[0][0]` Q26, `[0][1]` Q30, `[1][0]` Q32, `[1][1]` Q35 (clause 3.9.2).
pub(crate) static PRESEL_C32: [[i32; 2]; 2] = [[2089405952, 1731217536], [2067549984, 1822990272]];

/// Pre-selection thresholds of the first gain stage, Q14 (clause 3.9.2).
pub(crate) static PRESEL_THR1: [i16; 4] = [10808, 12374, 19778, 32567];

/// Pre-selection thresholds of the second gain stage, Q15 (clause 3.9.2).
pub(crate) static PRESEL_THR2: [i16; 8] = [14087, 16188, 20274, 21321, 23525, 25232, 27873, 30542];
