//! Bit-exact speech codecs, one call per lane.
