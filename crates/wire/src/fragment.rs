//! What IPv4 (RFC 791 §3.1) and IPv6 (RFC 8200 §4.5) say alike about a part of a larger packet.

/// Which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Octets of the larger packet's data before this part: a multiple of 8.
    pub offset: u16,
    /// Others follow.
    pub more: bool,
    /// Which larger packet, of those between the same two addresses.
    pub identification: u32,
}
