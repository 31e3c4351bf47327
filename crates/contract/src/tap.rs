use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::{Codec, FlowId, LegSide, Nanos};

/// What stands before each packet on the ring to the recorder: whose it is, where it came from, and when.
///
/// The ring carries octets: a header, then [`TapHeader::rtp_len`] octets of the RTP packet as it was received, decrypted
/// where it was encrypted. A packet that does not fit is left out as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapHeader {
    /// The flow.
    pub flow: FlowId,
    /// Who sent it.
    pub leg: LegSide,
    /// What the leg speaks.
    pub codec: Codec,
    /// It holds a telephone event (RFC 4733) or another format beside the codec's.
    pub is_beside_speech: bool,
    /// When it was received, on the worker's clock.
    pub received_at: Nanos,
    /// From where.
    pub source: SocketAddr,
    /// At which address of ours.
    pub local: SocketAddr,
    /// Octets of the packet that follow.
    pub rtp_len: u16,
}

impl TapHeader {
    /// Octets of the header.
    pub const LEN: usize = 58;

    /// The header's octets.
    pub fn to_octets(&self) -> [u8; Self::LEN] {
        let mut octets = [0; Self::LEN];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            octets[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&self.rtp_len.to_be_bytes());
        put(&[self.leg.index() as u8, self.codec as u8, self.is_beside_speech.into(), 0]);
        put(&self.flow.slot.to_be_bytes());
        put(&self.flow.generation.to_be_bytes());
        put(&self.received_at.0.to_be_bytes());
        for address in [self.source, self.local] {
            let ip = match address.ip() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            put(&ip.octets());
            put(&address.port().to_be_bytes());
        }
        octets
    }

    /// Reads them back; `None` where they were not written by [`TapHeader::to_octets`].
    pub fn from_octets(octets: &[u8; Self::LEN]) -> Option<Self> {
        fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
            let (field, after) = rest.split_first_chunk::<N>()?;
            *rest = after;
            Some(*field)
        }
        fn address(rest: &mut &[u8]) -> Option<SocketAddr> {
            let ip = Ipv6Addr::from(take::<16>(rest)?);
            let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
            Some(SocketAddr::new(ip, u16::from_be_bytes(take(rest)?)))
        }
        let rest = &mut &octets[..];
        let rtp_len = u16::from_be_bytes(take(rest)?);
        let [leg, codec, beside, _] = take(rest)?;
        Some(Self {
            rtp_len,
            leg: *LegSide::BOTH.get(usize::from(leg))?,
            codec: *Codec::ALL.get(usize::from(codec))?,
            is_beside_speech: beside != 0,
            flow: FlowId { slot: u32::from_be_bytes(take(rest)?), generation: u32::from_be_bytes(take(rest)?) },
            received_at: Nanos(u64::from_be_bytes(take(rest)?)),
            source: address(rest)?,
            local: address(rest)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        for (source, codec, leg) in
            [("10.0.0.1:6000", Codec::Pcmu, LegSide::A), ("[2001:db8::1]:65535", Codec::Opus, LegSide::B)]
        {
            let header = TapHeader {
                flow: FlowId { slot: 7, generation: u32::MAX },
                leg,
                codec,
                is_beside_speech: leg == LegSide::B,
                received_at: Nanos(0x0102_0304_0506_0708),
                source: source.parse().unwrap(),
                local: "192.0.2.1:10000".parse().unwrap(),
                rtp_len: 172,
            };
            assert_eq!(TapHeader::from_octets(&header.to_octets()), Some(header));
        }
        assert_eq!(TapHeader::from_octets(&[9; TapHeader::LEN]), None);
    }

    #[test]
    fn a_codec_is_its_own_index() {
        for (index, codec) in Codec::ALL.iter().enumerate() {
            assert_eq!(*codec as usize, index);
        }
    }
}
