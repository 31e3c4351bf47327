//! Telling apart what shares one UDP port (RFC 7983 §7, RFC 5761 §4).

/// What a datagram's first two octets say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// STUN: first octet 0 to 3.
    Stun,
    /// ZRTP: 16 to 19.
    Zrtp,
    /// DTLS: 20 to 63.
    Dtls,
    /// TURN channel data: 64 to 79.
    TurnChannel,
    /// RTP: 128 to 191, second octet not in RTCP's range.
    Rtp,
    /// RTCP: 128 to 191, packet type 192 to 223.
    Rtcp,
    /// Nothing of these, or empty.
    Unknown,
}

/// Looks at the first two octets of a datagram's payload.
#[inline]
pub const fn classify(payload: &[u8]) -> Kind {
    match payload {
        [128..=191, 192..=223, ..] => Kind::Rtcp,
        [128..=191, ..] => Kind::Rtp,
        [0..=3, ..] => Kind::Stun,
        [16..=19, ..] => Kind::Zrtp,
        [20..=63, ..] => Kind::Dtls,
        [64..=79, ..] => Kind::TurnChannel,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_octet_decides_as_in_the_rfcs_table() {
        for first in 0..=255_u8 {
            let expected = match first {
                0..=3 => Kind::Stun,
                16..=19 => Kind::Zrtp,
                20..=63 => Kind::Dtls,
                64..=79 => Kind::TurnChannel,
                128..=191 => Kind::Rtp,
                _ => Kind::Unknown,
            };
            assert_eq!(classify(&[first, 0]), expected, "{first}");
            assert_eq!(classify(&[first]), expected, "{first}");
        }
        assert_eq!(classify(&[]), Kind::Unknown);
    }

    #[test]
    fn rtcp_packet_types_are_not_payload_types() {
        for second in 0..=255_u8 {
            let expected = if (192..=223).contains(&second) { Kind::Rtcp } else { Kind::Rtp };
            assert_eq!(classify(&[0x80, second]), expected, "{second}");
        }
    }
}
