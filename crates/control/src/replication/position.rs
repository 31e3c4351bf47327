//! How far a call's media had come, as it is stored.

use serde::{Deserialize, Serialize};
use tandem_contract::LegPosition;

/// Leg A, leg B, and when that was so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredPosition {
    /// Milliseconds since 1970, on the clock of the node that wrote it.
    pub(super) unix_ms: u64,
    pub(super) legs: [LegPosition; 2],
}

pub(super) fn encode(unix_ms: u64, legs: [LegPosition; 2]) -> Vec<u8> {
    // Numbers and addresses, which JSON can hold.
    serde_json::to_vec(&StoredPosition { unix_ms, legs }).unwrap_or_default()
}

pub(super) fn decode(octets: &[u8]) -> Option<StoredPosition> {
    serde_json::from_slice(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let legs = [LegPosition::default(); 2];
        assert_eq!(decode(&encode(17, legs)), Some(StoredPosition { unix_ms: 17, legs }));
        assert_eq!(decode(b"{}"), None);
    }
}
