//! Adaptive codebook: interpolation and taming (ITU-T G.729 clauses 3.7 and 3.7.3, Annex A clause A.3.7).

/// One side of the 1/3-sample interpolation filter, Q15, three phases interleaved (clause 3.7.1).
pub(crate) static FRAC_INTERP: [i16; 31] = [
    29443, 25207, 14701, 3143, -4402, -5850, -2783, 1211, 3130, 2259, 0, -1652, -1666, -464, 756, 1099, 550, -245,
    -634, -451, 0, 308, 296, 78, -120, -165, -79, 34, 91, 70, 0,
];
