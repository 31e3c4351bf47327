//! ICMPv6 echo (RFC 4443), neighbour discovery (RFC 4861) and the questions of listener discovery (RFC 3810), whose answers are in
//! [`mld`](crate::mld).

use core::net::Ipv6Addr;

use crate::checksum::{Sum, updated};
use crate::ethernet::MacAddress;
use crate::field::{octets, put};

/// ICMPv6's protocol number in IPv6.
pub const PROTOCOL: u8 = 58;
/// Octets that every message handled here has: type, code, checksum and four more.
pub const HEADER_LEN: usize = 8;
/// Octets of a solicitation or advertisement with its one option, the sender's hardware address.
pub const NEIGHBOUR_LEN: usize = 32;
/// What neighbour discovery must arrive with: nobody off the link can send it (RFC 4861 §7.1).
pub const NEIGHBOUR_HOP_LIMIT: u8 = 255;

const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const LISTENER_QUERY: u8 = 130;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

/// Octets of a question for listeners.
const QUERY_LEN: usize = 24;

const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
/// Octets before the options of a solicitation or advertisement.
const TARGET_END: usize = 24;
const FLAG_SOLICITED: u8 = 0x40;
const FLAG_OVERRIDE: u8 = 0x20;

/// Why bytes are not an ICMPv6 message that is handled here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Icmpv6Error {
    /// Shorter than the message's type needs.
    #[error("the ICMPv6 message is shorter than its type says")]
    TooShort,
    /// The checksum is wrong, which ICMPv6 always has (RFC 4443 §2.3).
    #[error("the ICMPv6 checksum is wrong")]
    Checksum,
    /// A type that is not handled here.
    #[error("neither an echo request nor neighbour or listener discovery")]
    Type,
    /// Neighbour discovery that breaks a rule of RFC 4861 §7.1.
    #[error("neighbour discovery with a wrong hop limit, code, target or option")]
    Neighbour,
    /// A question for listeners from beyond the link, or cut short (RFC 3810 §5.1).
    #[error("listener discovery with a wrong hop limit or source, or cut short")]
    Listener,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmpv6 {
    /// Asks for an echo.
    EchoRequest,
    /// Asks who listens to a group, or to any.
    ListenerQuery {
        /// The group asked for; `None` asks for all of them.
        group: Option<Ipv6Addr>,
    },
    /// Asks who has an address.
    Solicitation {
        /// The address asked for.
        target: Ipv6Addr,
        /// The sender's hardware address, where it says so.
        link_layer: Option<MacAddress>,
    },
    /// Says who has an address.
    Advertisement {
        /// The address spoken of.
        target: Ipv6Addr,
        /// Its hardware address, where it says so.
        link_layer: Option<MacAddress>,
        /// A known hardware address is to be replaced.
        overrides: bool,
        /// It answers a question.
        solicited: bool,
    },
}

impl Icmpv6 {
    /// Reads what IPv6 carried from `source` to `destination`.
    ///
    /// # Errors
    /// [`Icmpv6Error`] says which rule it breaks.
    pub fn parse(message: &[u8], source: Ipv6Addr, destination: Ipv6Addr, hop_limit: u8) -> Result<Self, Icmpv6Error> {
        let header = message.first_chunk::<HEADER_LEN>().ok_or(Icmpv6Error::TooShort)?;
        if !sum_of(message, source, destination).is_valid() {
            return Err(Icmpv6Error::Checksum);
        }
        match header[0] {
            ECHO_REQUEST => Ok(Self::EchoRequest),
            LISTENER_QUERY => {
                // As in the first version (RFC 2710), beyond which the second has what is of no use here.
                let query = message.first_chunk::<QUERY_LEN>().ok_or(Icmpv6Error::Listener)?;
                if hop_limit != 1 || !source.is_unicast_link_local() {
                    return Err(Icmpv6Error::Listener);
                }
                let group = Ipv6Addr::from(octets::<8, 16, QUERY_LEN>(query));
                Ok(Self::ListenerQuery { group: Some(group).filter(|group| !group.is_unspecified()) })
            }
            NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT => {
                Self::neighbour(message, header, source, destination, hop_limit)
            }
            _ => Err(Icmpv6Error::Type),
        }
    }

    fn neighbour(
        message: &[u8],
        header: &[u8; HEADER_LEN],
        source: Ipv6Addr,
        destination: Ipv6Addr,
        hop_limit: u8,
    ) -> Result<Self, Icmpv6Error> {
        let fixed = message.first_chunk::<TARGET_END>().ok_or(Icmpv6Error::TooShort)?;
        let target = Ipv6Addr::from(octets::<8, 16, TARGET_END>(fixed));
        if hop_limit != NEIGHBOUR_HOP_LIMIT || header[1] != 0 || target.is_multicast() {
            return Err(Icmpv6Error::Neighbour);
        }
        if header[0] == NEIGHBOUR_ADVERTISEMENT {
            let (overrides, solicited) = (header[4] & FLAG_OVERRIDE != 0, header[4] & FLAG_SOLICITED != 0);
            if solicited && destination.is_multicast() {
                return Err(Icmpv6Error::Neighbour);
            }
            let link_layer = link_layer_option(&message[TARGET_END..], TARGET_LINK_LAYER_ADDRESS)?;
            return Ok(Self::Advertisement { target, link_layer, overrides, solicited });
        }
        let link_layer = link_layer_option(&message[TARGET_END..], SOURCE_LINK_LAYER_ADDRESS)?;
        // Who asks whether an address is free has none yet (RFC 4862 §5.4.2), and nobody to answer to.
        let is_probe = source.is_unspecified();
        if is_probe && (link_layer.is_some() || !destination.is_multicast()) {
            return Err(Icmpv6Error::Neighbour);
        }
        Ok(Self::Solicitation { target, link_layer })
    }
}

/// The hardware address in the options, which are all walked, since one of length 0 spoils the message (RFC 4861 §4.6).
fn link_layer_option(mut options: &[u8], kind: u8) -> Result<Option<MacAddress>, Icmpv6Error> {
    let mut found = None;
    while let [option, words, ..] = *options {
        let len = usize::from(words) * 8;
        let (this, rest) = options.split_at_checked(len).filter(|_| len > 0).ok_or(Icmpv6Error::Neighbour)?;
        if option == kind
            && let Some(whole) = this.first_chunk::<8>()
        {
            found = Some(MacAddress(octets::<2, 6, 8>(whole)));
        }
        options = rest;
    }
    if options.is_empty() { Ok(found) } else { Err(Icmpv6Error::Neighbour) }
}

/// Whether a message is a question for listeners, by its type alone.
#[must_use]
pub fn asks_for_listeners(message: &[u8]) -> bool {
    message.first() == Some(&LISTENER_QUERY)
}

/// Turns an echo request that was parsed into its reply. Exchanging the addresses leaves the checksum as it is.
pub fn make_echo_reply(message: &mut [u8]) {
    if let Some(header) = message.first_chunk_mut::<HEADER_LEN>() {
        let old = Sum::of(&header[..2]);
        header[0] = ECHO_REPLY;
        let checksum = updated([header[2], header[3]], old, Sum::of(&header[..2]));
        put::<2, 2, HEADER_LEN>(header, checksum);
    }
}

/// A solicitation or advertisement to be written, with the sender's hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourFields {
    /// From whom it goes, as in the IPv6 header.
    pub source: Ipv6Addr,
    /// To whom it goes, as in the IPv6 header.
    pub destination: Ipv6Addr,
    /// The address asked for, or spoken of.
    pub target: Ipv6Addr,
    /// The hardware address of who sends this.
    pub link_layer: MacAddress,
}

impl NeighbourFields {
    /// Asks who has the target.
    pub fn write_solicitation(&self, message: &mut [u8; NEIGHBOUR_LEN]) {
        self.write(message, NEIGHBOUR_SOLICITATION, 0, SOURCE_LINK_LAYER_ADDRESS);
    }

    /// Says that the sender has the target. `solicited`: as an answer to somebody.
    pub fn write_advertisement(&self, message: &mut [u8; NEIGHBOUR_LEN], solicited: bool) {
        let flags = if solicited { FLAG_OVERRIDE | FLAG_SOLICITED } else { FLAG_OVERRIDE };
        self.write(message, NEIGHBOUR_ADVERTISEMENT, flags, TARGET_LINK_LAYER_ADDRESS);
    }

    fn write(&self, message: &mut [u8; NEIGHBOUR_LEN], kind: u8, flags: u8, option: u8) {
        put::<0, 8, NEIGHBOUR_LEN>(message, [kind, 0, 0, 0, flags, 0, 0, 0]);
        put::<8, 16, NEIGHBOUR_LEN>(message, self.target.octets());
        put::<24, 2, NEIGHBOUR_LEN>(message, [option, 1]);
        put::<26, 6, NEIGHBOUR_LEN>(message, self.link_layer.0);
        let checksum = sum_of(message, self.source, self.destination).checksum();
        put::<2, 2, NEIGHBOUR_LEN>(message, checksum);
    }
}

/// The sum over a message and its pseudo-header (RFC 8200 §8.1).
pub(crate) fn sum_of(message: &[u8], source: Ipv6Addr, destination: Ipv6Addr) -> Sum {
    Sum::of_pseudo_header(source.into(), destination.into(), PROTOCOL)
        .and_u16(message.len() as u16)
        .and(Sum::of(message))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::ipv6::ALL_NODES;

    const OURS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const THEIRS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 7]);

    fn signed(mut message: Vec<u8>, source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
        message[2..4].fill(0);
        let checksum = sum_of(&message, source, destination).checksum();
        message[2..4].copy_from_slice(&checksum);
        message
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(target in any::<[u8; 16]>(), mac in any::<[u8; 6]>(), solicited in any::<bool>()) {
            let mut target = target;
            target[0] = 0x20;
            let fields = NeighbourFields {
                source: OURS, destination: THEIRS, target: target.into(), link_layer: MacAddress(mac),
            };
            let mut message = [0xee; NEIGHBOUR_LEN];
            fields.write_solicitation(&mut message);
            let asked = Icmpv6::Solicitation { target: fields.target, link_layer: Some(fields.link_layer) };
            prop_assert_eq!(Icmpv6::parse(&message, OURS, THEIRS, 255), Ok(asked));
            fields.write_advertisement(&mut message, solicited);
            let said = Icmpv6::Advertisement {
                target: fields.target, link_layer: Some(fields.link_layer), overrides: true, solicited,
            };
            prop_assert_eq!(Icmpv6::parse(&message, OURS, THEIRS, 255), Ok(said));
            prop_assert_eq!(Icmpv6::parse(&message, OURS, THEIRS, 254), Err(Icmpv6Error::Neighbour), "off the link");
        }

        #[test]
        fn an_echo_reply_is_the_request_with_another_type_and_a_right_checksum(
            mut bytes in proptest::collection::vec(any::<u8>(), 8..100)
        ) {
            bytes[..2].copy_from_slice(&[ECHO_REQUEST, 0]);
            let request = signed(bytes, OURS, THEIRS);
            prop_assert_eq!(Icmpv6::parse(&request, OURS, THEIRS, 1), Ok(Icmpv6::EchoRequest));
            let mut reply = request.clone();
            make_echo_reply(&mut reply);
            prop_assert_eq!(reply[0], ECHO_REPLY);
            prop_assert!(sum_of(&reply, THEIRS, OURS).is_valid());
            prop_assert_eq!(&reply[4..], &request[4..]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..80), kind in 126_u8..140, right in any::<bool>()
        ) {
            if right && bytes.len() >= 4 {
                bytes[..2].copy_from_slice(&[kind, 0]);
                bytes = signed(bytes, OURS, THEIRS);
            }
            let _ = Icmpv6::parse(&bytes, OURS, THEIRS, 255);
            make_echo_reply(&mut bytes);
        }
    }

    #[test]
    fn each_refusal_has_its_name() {
        let mut solicitation = [0; NEIGHBOUR_LEN];
        let fields = NeighbourFields { source: OURS, destination: THEIRS, target: THEIRS, link_layer: MAC };
        fields.write_solicitation(&mut solicitation);
        let changed = |at: usize, to: u8| {
            let mut message = solicitation.to_vec();
            message[at] = to;
            Icmpv6::parse(&signed(message, OURS, THEIRS), OURS, THEIRS, 255)
        };
        assert_eq!(changed(25, 0), Err(Icmpv6Error::Neighbour), "an option of length 0");
        assert_eq!(changed(25, 2), Err(Icmpv6Error::Neighbour), "an option beyond the end");
        assert_eq!(changed(1, 1), Err(Icmpv6Error::Neighbour), "a code");
        assert_eq!(changed(8, 0xff), Err(Icmpv6Error::Neighbour), "a group as target");
        assert_eq!(changed(0, 133), Err(Icmpv6Error::Type));
        assert_eq!(changed(24, 14), Ok(Icmpv6::Solicitation { target: THEIRS, link_layer: None }), "another option");
        let cut = signed(solicitation[..23].to_vec(), OURS, THEIRS);
        assert_eq!(Icmpv6::parse(&cut, OURS, THEIRS, 255), Err(Icmpv6Error::TooShort));
        assert_eq!(Icmpv6::parse(&solicitation[..7], OURS, THEIRS, 255), Err(Icmpv6Error::TooShort));
        solicitation[30] ^= 1;
        assert_eq!(Icmpv6::parse(&solicitation, OURS, THEIRS, 255), Err(Icmpv6Error::Checksum));
    }

    #[test]
    fn a_question_for_listeners_comes_from_the_link_and_is_for_one_group_or_all() {
        let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        let asked = |group: Ipv6Addr, source, hop_limit, len| {
            let mut message = [0; QUERY_LEN];
            message[0] = LISTENER_QUERY;
            message[8..].copy_from_slice(&group.octets());
            Icmpv6::parse(&signed(message[..len].to_vec(), source, ALL_NODES), source, ALL_NODES, hop_limit)
        };
        assert_eq!(asked(Ipv6Addr::UNSPECIFIED, router, 1, 24), Ok(Icmpv6::ListenerQuery { group: None }));
        assert_eq!(asked(ALL_NODES, router, 1, 24), Ok(Icmpv6::ListenerQuery { group: Some(ALL_NODES) }));
        for (source, hop_limit, len) in [(THEIRS, 1, 24), (router, 2, 24), (router, 1, 23)] {
            assert_eq!(asked(ALL_NODES, source, hop_limit, len), Err(Icmpv6Error::Listener));
        }
    }

    #[test]
    fn a_probe_has_no_hardware_address_and_goes_to_a_group() {
        let probe = |destination, option: bool| {
            let mut message = [0; NEIGHBOUR_LEN];
            let source = Ipv6Addr::UNSPECIFIED;
            NeighbourFields { source, destination, target: OURS, link_layer: MAC }.write_solicitation(&mut message);
            let message = signed(message[..if option { 32 } else { 24 }].to_vec(), source, destination);
            Icmpv6::parse(&message, source, destination, 255)
        };
        assert_eq!(probe(ALL_NODES, false), Ok(Icmpv6::Solicitation { target: OURS, link_layer: None }));
        assert_eq!(probe(ALL_NODES, true), Err(Icmpv6Error::Neighbour));
        assert_eq!(probe(OURS, false), Err(Icmpv6Error::Neighbour));
    }
}
