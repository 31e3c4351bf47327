//! Opus towards browsers, through libopus.
