//! High-pass filters at the encoder's input and the decoder's output (ITU-T G.729 clauses 3.1 and 4.2.5).

/// Numerator of the 140 Hz input high-pass, Q12, already halved (clause 3.1).
pub(crate) static HP_PRE_B: [i16; 3] = [1899, -3798, 1899];

/// Denominator of the 140 Hz input high-pass, Q12, signed such that `y = b x + a1 y1 + a2 y2`; entry 0 is unity
/// (clause 3.1).
pub(crate) static HP_PRE_A: [i16; 3] = [4096, 7807, -3733];

/// Numerator of the 100 Hz output high-pass, Q13 (clause 4.2.5).
pub(crate) static HP_POST_B: [i16; 3] = [7699, -15398, 7699];

/// Denominator of the 100 Hz output high-pass, Q13, signed like [`HP_PRE_A`] (clause 4.2.5).
pub(crate) static HP_POST_A: [i16; 3] = [8192, 15836, -7667];
