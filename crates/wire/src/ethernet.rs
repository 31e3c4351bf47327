//! Ethernet II frames, with or without one IEEE 802.1Q tag.

use core::fmt;

use crate::field::{be16, octets, put};

/// Octets of an untagged header.
pub const HEADER_LEN: usize = 14;
/// Octets an IEEE 802.1Q tag adds.
pub const VLAN_TAG_LEN: usize = 4;

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// EtherType of an IEEE 802.1Q tag.
pub const ETHERTYPE_VLAN: u16 = 0x8100;

/// A 48-bit hardware address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether the address names a group (broadcast included) rather than one station.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The 12-bit identifier of a virtual LAN, 1 to 4094.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VlanId(u16);

impl VlanId {
    /// `None` for the reserved values 0 and 4095 and above.
    pub const fn new(value: u16) -> Option<Self> {
        if value == 0 || value >= 4095 { None } else { Some(Self(value)) }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Why bytes are not an Ethernet frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EthernetError {
    /// Shorter than the header.
    #[error("the frame is shorter than its Ethernet header")]
    TooShort,
}

/// A frame, split.
#[derive(Clone, Copy, Debug)]
pub struct Ethernet<'a> {
    addresses: &'a [u8; 12],
    vlan: Option<VlanId>,
    ethertype: u16,
    payload: &'a [u8],
}

impl<'a> Ethernet<'a> {
    /// Splits `frame` into header and payload.
    ///
    /// # Errors
    /// [`EthernetError`] when the header is not all there.
    #[inline]
    pub fn parse(frame: &'a [u8]) -> Result<Self, EthernetError> {
        let (header, payload) = frame.split_first_chunk::<HEADER_LEN>().ok_or(EthernetError::TooShort)?;
        let (addresses, _) = header.split_first_chunk::<12>().ok_or(EthernetError::TooShort)?;
        let ethertype = be16::<12, HEADER_LEN>(header);
        if ethertype != ETHERTYPE_VLAN {
            return Ok(Self { addresses, vlan: None, ethertype, payload });
        }
        let (tag, payload) = payload.split_first_chunk::<VLAN_TAG_LEN>().ok_or(EthernetError::TooShort)?;
        // A priority tag carries identifier 0 and means the untagged network.
        let vlan = VlanId::new(be16::<0, VLAN_TAG_LEN>(tag) & 0x0fff);
        Ok(Self { addresses, vlan, ethertype: be16::<2, VLAN_TAG_LEN>(tag), payload })
    }

    /// To whom the frame goes.
    #[inline]
    pub fn destination(&self) -> MacAddress {
        MacAddress(octets::<0, 6, 12>(self.addresses))
    }

    /// From whom it comes.
    #[inline]
    pub fn source(&self) -> MacAddress {
        MacAddress(octets::<6, 6, 12>(self.addresses))
    }

    /// The virtual LAN, `None` when untagged or only priority-tagged.
    #[inline]
    pub const fn vlan(&self) -> Option<VlanId> {
        self.vlan
    }

    /// What the payload is.
    #[inline]
    pub const fn ethertype(&self) -> u16 {
        self.ethertype
    }

    /// What follows the header, padding of short frames included.
    #[inline]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// The fields of a header to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetFields {
    /// To whom.
    pub destination: MacAddress,
    /// From whom.
    pub source: MacAddress,
    /// What the payload is.
    pub ethertype: u16,
}

impl EthernetFields {
    /// Fills in an untagged header.
    #[inline]
    pub fn write(&self, header: &mut [u8; HEADER_LEN]) {
        put::<0, 6, HEADER_LEN>(header, self.destination.0);
        put::<6, 6, HEADER_LEN>(header, self.source.0);
        put::<12, 2, HEADER_LEN>(header, self.ethertype.to_be_bytes());
    }

    /// Fills in a header with an IEEE 802.1Q tag of priority 0.
    #[inline]
    pub fn write_tagged(&self, vlan: VlanId, header: &mut [u8; HEADER_LEN + VLAN_TAG_LEN]) {
        put::<0, 6, { HEADER_LEN + VLAN_TAG_LEN }>(header, self.destination.0);
        put::<6, 6, { HEADER_LEN + VLAN_TAG_LEN }>(header, self.source.0);
        put::<12, 2, { HEADER_LEN + VLAN_TAG_LEN }>(header, ETHERTYPE_VLAN.to_be_bytes());
        put::<14, 2, { HEADER_LEN + VLAN_TAG_LEN }>(header, vlan.get().to_be_bytes());
        put::<16, 2, { HEADER_LEN + VLAN_TAG_LEN }>(header, self.ethertype.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields() -> impl Strategy<Value = EthernetFields> {
        (any::<[u8; 6]>(), any::<[u8; 6]>(), any::<u16>().prop_filter("a tag", |t| *t != ETHERTYPE_VLAN)).prop_map(
            |(destination, source, ethertype)| EthernetFields {
                destination: MacAddress(destination),
                source: MacAddress(source),
                ethertype,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in fields(), vlan in 1_u16..4095) {
            let mut plain = [0; HEADER_LEN];
            fields.write(&mut plain);
            let frame = Ethernet::parse(&plain).unwrap();
            prop_assert_eq!((frame.destination(), frame.source()), (fields.destination, fields.source));
            prop_assert_eq!((frame.vlan(), frame.ethertype()), (None, fields.ethertype));
            prop_assert!(frame.payload().is_empty());

            let mut tagged = [0; HEADER_LEN + VLAN_TAG_LEN];
            let vlan = VlanId::new(vlan).unwrap();
            fields.write_tagged(vlan, &mut tagged);
            let frame = Ethernet::parse(&tagged).unwrap();
            prop_assert_eq!((frame.destination(), frame.source()), (fields.destination, fields.source));
            prop_assert_eq!((frame.vlan(), frame.ethertype()), (Some(vlan), fields.ethertype));
        }
    }

    #[test]
    fn a_frame_cut_inside_its_header_or_tag_is_too_short() {
        let mut tagged = [0_u8; 18];
        tagged[12..14].copy_from_slice(&ETHERTYPE_VLAN.to_be_bytes());
        for len in 0..18 {
            assert_eq!(Ethernet::parse(&tagged[..len]).unwrap_err(), EthernetError::TooShort);
        }
        assert!(Ethernet::parse(&tagged).is_ok());
    }

    #[test]
    fn a_priority_tag_is_the_untagged_network() {
        let mut frame = [0_u8; 20];
        frame[12..18].copy_from_slice(&[0x81, 0x00, 0xe0, 0x00, 0x08, 0x00]);
        let frame = Ethernet::parse(&frame).unwrap();
        assert_eq!((frame.vlan(), frame.ethertype()), (None, ETHERTYPE_IPV4));
    }
}
