/// Declares every reason once: the enum, its metric label and the sentence the manual prints come from this list.
macro_rules! drop_reasons {
    ($($variant:ident, $label:literal, $meaning:literal;)+) => {
        /// Why a packet was not forwarded. Every dropped packet is counted under exactly one of these.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $(#[doc = $meaning] $variant,)+
        }

        impl DropReason {
            /// Every reason, in table order.
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$variant),+];

            /// The value of the `reason` label in the metrics.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            /// One sentence for the manual.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

drop_reasons! {
    FrameTruncated, "frame_truncated", "The frame is shorter than its headers say.";
    EtherTypeUnknown, "ethertype_unknown", "An Ethernet type the gateway does not speak.";
    VlanUnknown, "vlan_unknown", "The frame belongs to another VLAN than the port's.";
    NotOurAddress, "not_our_address", "The destination address is not one of the port's.";
    ArpMalformed, "arp_malformed", "An ARP packet that is not IPv4 over Ethernet, or is damaged.";
    IpHeaderBad, "ip_header_bad", "The IP version, header length or header checksum is wrong.";
    IpExtensionHeader, "ip_extension_header", "IPv6 extension headers that are too many, too long or in a wrong place, or a source route.";
    IpFragment, "ip_fragment", "A fragment of a larger IP packet: none is put together (RFC 8900), as media fits into one packet.";
    IpProtocolUnknown, "ip_protocol_unknown", "Neither UDP nor ICMP nor ICMPv6.";
    IcmpUnhandled, "icmp_unhandled", "An ICMP message other than an echo request or, over IPv6, neighbour or listener discovery; or a damaged one.";
    IcmpRateLimited, "icmp_rate_limited", "More echo requests in this second than are answered.";
    UdpLengthBad, "udp_length_bad", "The UDP length disagrees with the datagram.";
    UdpChecksumBad, "udp_checksum_bad", "The UDP checksum is wrong, or missing over IPv6.";
    NoFlow, "no_flow", "No flow listens on the destination port.";
    RtpHeaderBad, "rtp_header_bad", "Not RTP version 2, or its CSRC list, extension or padding runs past the end.";
    RtcpUnhandled, "rtcp_unhandled", "RTCP that this leg does not take.";
    RtcpMalformed, "rtcp_malformed", "RTCP whose lengths contradict each other.";
    StunUnhandled, "stun_unhandled", "STUN or DTLS on a leg that has neither.";
    NotNegotiated, "not_negotiated", "The leg's format is not negotiated yet.";
    SrtpForged, "srtp_forged", "The leg speaks SRTP and the packet's authentication tag is not that of its key.";
    SrtpReplayed, "srtp_replayed", "An authentic SRTP packet that was received before, or is older than the replay window.";
    SrtpKeyExhausted, "srtp_key_exhausted", "The SRTP master key has reached its lifetime, or its sequence number was used already.";
    PayloadTypeUnknown, "payload_type_unknown", "A payload type that was not negotiated.";
    SourceDenied, "source_denied", "The packet comes from an address that the lists of sources do not allow.";
    SourceBudget, "source_budget", "The source address sends more packets a second than one may.";
    FlowBudget, "flow_budget", "The leg's peer sends more packets a second than a leg accepts.";
    SourceNotAllowed, "source_not_allowed", "The packet comes from another address than the leg accepts.";
    OwnSsrc, "own_ssrc", "The packet carries an SSRC of ours: a loop or a collision (RFC 3550 §8.2), or a peer that echoes.";
    DirectionInactive, "direction_inactive", "The leg is on hold in this direction.";
    Replaced, "replaced", "The other leg hears a clip instead.";
    Duplicate, "duplicate", "The sequence number was seen already.";
    TooLate, "too_late", "The packet is older than what was already sent on.";
    PayloadLengthBad, "payload_length_bad", "The payload is not a whole number of the codec's frames, or too long.";
    AddressLost, "address_lost", "The local address that the packet would leave from was taken from the port.";
    PeerNotReady, "peer_not_ready", "The other leg has no remote address or format yet.";
    NeighbourUnresolved, "neighbour_unresolved", "The next hop's hardware address is not known yet.";
    NoRoute, "no_route", "The remote is off the subnet and no gateway is configured.";
    FrameTooLong, "frame_too_long", "The packet to send is longer than the port's MTU.";
    BufferExhausted, "buffer_exhausted", "The packet pool is empty.";
    NotPermitted, "not_permitted", "This node lacks the votes for its floating addresses: another may answer for them.";
    TransmitQueueFull, "transmit_queue_full", "The port did not take the frame.";
    HandoverFull, "handover_full", "The ring towards the core that owns the flow is full.";
}

#[cfg(test)]
mod tests {
    use super::DropReason;

    #[test]
    fn a_reason_is_its_own_index() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }

    #[test]
    fn labels_are_distinct_and_fit_prometheus() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert!(reason.label().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(DropReason::ALL[..index].iter().all(|other| other.label() != reason.label()));
        }
    }
}
