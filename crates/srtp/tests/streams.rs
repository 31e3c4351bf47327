//! Whole packets through both ends, and against published ones.
#![allow(missing_docs, clippy::unwrap_used)]

mod any_octets;

use hex_literal::hex;
use proptest::prelude::*;
use tandem_srtp::{CryptoSuite, MasterKey, Position, ProtectError, Receiver, Sender, UnprotectError};

const SSRC: u32 = 0xcafe_babe;

fn master(suite: CryptoSuite) -> MasterKey {
    let octets: Vec<u8> = (0..suite.key_len() + suite.salt_len()).map(|octet| (octet * 5 + 3) as u8).collect();
    MasterKey::new(suite, &octets).unwrap()
}

fn ends(suite: CryptoSuite) -> (Sender, Receiver) {
    (Sender::new(&master(suite), SSRC), Receiver::new(&master(suite)))
}

fn rtp(sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = hex!("800f 0000 decafbad cafebabe").to_vec();
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

fn protected(sender: &mut Sender, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + sender.suite().tag_len(), 0);
    let len = sender.protect(&mut buffer, packet.len()).unwrap();
    assert_eq!(len, buffer.len());
    buffer
}

fn protected_rtcp(sender: &mut Sender, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + sender.suite().rtcp_tag_len() + 4, 0);
    let len = sender.protect_rtcp(&mut buffer, packet.len()).unwrap();
    assert_eq!(len, buffer.len());
    buffer
}

fn opened(receiver: &mut Receiver, packet: &[u8]) -> Result<Vec<u8>, UnprotectError> {
    let mut packet = packet.to_vec();
    let len = receiver.unprotect(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

/// A receiver report without report blocks.
fn rtcp() -> Vec<u8> {
    hex!("80c90001 cafebabe 81ca0002 cafebabe 01026162").to_vec()
}

#[test]
fn counter_mode_gives_the_packet_that_other_implementations_give() {
    let key = hex!("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
    let master = MasterKey::new(CryptoSuite::AesCm128HmacSha1_80, &key).unwrap();
    let packet = protected(&mut Sender::new(&master, SSRC), &rtp(0x1234, &[0xab; 16]));
    assert_eq!(packet, hex!("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb"));
}

#[test]
fn gcm_gives_the_packet_that_other_implementations_give() {
    let key = hex!("000102030405060708090a0b0c0d0e0f a0a1a2a3a4a5a6a7a8a9aaab");
    let master = MasterKey::new(CryptoSuite::AeadAes128Gcm, &key).unwrap();
    let packet = protected(&mut Sender::new(&master, SSRC), &rtp(0x1234, &[0xab; 16]));
    let published = hex!("800f1234decafbadcafebabe c5002ede04cfdd2eb91159e0880aa06e d2976826f796b201df3131a127e8a392");
    assert_eq!(packet, published);
}

#[test]
fn every_suite_opens_what_it_protected_and_protected_is_not_plain() {
    for suite in CryptoSuite::ALL {
        let (mut sender, mut receiver) = ends(suite);
        for len in [0, 1, 15, 16, 17, 20, 127, 128, 129, 160, 1_200] {
            let packet = rtp(len as u16, &vec![0x55; len]);
            let wire = protected(&mut sender, &packet);
            assert!(len < 15 || wire[12..12 + len] != packet[12..], "{suite:?}");
            assert_eq!(opened(&mut receiver, &wire).as_deref(), Ok(packet.as_slice()), "{suite:?} {len}");
        }
        let wire = protected_rtcp(&mut sender, &rtcp());
        assert_eq!(wire[..8], rtcp()[..8]);
        let mut packet = wire;
        let len = receiver.unprotect_rtcp(&mut packet).unwrap();
        assert_eq!(packet[..len], rtcp());
    }
}

#[test]
fn one_changed_bit_anywhere_is_forged_and_changes_nothing() {
    for suite in CryptoSuite::ALL {
        let (mut sender, mut receiver) = ends(suite);
        let wire = protected(&mut sender, &rtp(9, b"speech"));
        for octet in 0..wire.len() {
            let mut forged = wire.clone();
            forged[octet] ^= 1;
            let before = forged.clone();
            let refused = receiver.unprotect(&mut forged);
            assert!(matches!(refused, Err(UnprotectError::Forged | UnprotectError::Malformed)), "{suite:?} {octet}");
            assert_eq!(forged, before, "a refused packet is as it was");
        }
        assert_eq!(opened(&mut receiver, &wire).unwrap(), rtp(9, b"speech"));
    }
}

#[test]
fn one_changed_bit_of_rtcp_is_refused() {
    for suite in CryptoSuite::ALL {
        let (mut sender, mut receiver) = ends(suite);
        let wire = protected_rtcp(&mut sender, &rtcp());
        for octet in 0..wire.len() {
            let mut forged = wire.clone();
            forged[octet] ^= 1;
            assert!(receiver.unprotect_rtcp(&mut forged).is_err(), "{suite:?} {octet}");
        }
        assert!(receiver.unprotect_rtcp(&mut wire.clone()).is_ok());
        assert_eq!(receiver.unprotect_rtcp(&mut wire.clone()), Err(UnprotectError::Replayed));
    }
}

#[test]
fn a_replayed_packet_is_refused() {
    let (mut sender, mut receiver) = ends(CryptoSuite::AesCm128HmacSha1_80);
    let wire = protected(&mut sender, &rtp(1, b"once"));
    assert!(opened(&mut receiver, &wire).is_ok());
    assert_eq!(opened(&mut receiver, &wire), Err(UnprotectError::Replayed));
}

#[test]
fn the_roll_over_counter_follows_the_wrap_on_both_ends_also_out_of_order() {
    for suite in CryptoSuite::ALL {
        let (mut sender, mut receiver) = ends(suite);
        let wires: Vec<_> = (65_530_u32..65_545).map(|n| protected(&mut sender, &rtp(n as u16, b"x"))).collect();
        for pair in wires.chunks(2) {
            for wire in pair.iter().rev() {
                assert!(opened(&mut receiver, wire).is_ok(), "{suite:?}");
            }
        }
        assert_eq!(sender.position().index, Some(65_544));
        assert_eq!(receiver.newest_index(SSRC), Some(65_544));
    }
}

#[test]
fn a_sender_never_uses_an_index_twice() {
    let (mut sender, _) = ends(CryptoSuite::AeadAes128Gcm);
    let mut buffer = rtp(5, &[0; 32]);
    sender.protect(&mut buffer, 28).unwrap();
    assert_eq!(sender.protect(&mut rtp(5, &[1; 32]), 28), Err(ProtectError::IndexUsed));
    let mut resumed = Sender::resume(&master(CryptoSuite::AeadAes128Gcm), SSRC, sender.position());
    assert_eq!(resumed.protect(&mut rtp(5, &[1; 32]), 28), Err(ProtectError::IndexUsed));
    assert_eq!(resumed.protect(&mut rtp(4, &[1; 32]), 28), Err(ProtectError::IndexUsed));
    assert!(resumed.protect(&mut rtp(6, &[1; 32]), 28).is_ok());
}

#[test]
fn a_node_that_takes_over_goes_on_where_the_other_stopped() {
    let key = master(CryptoSuite::AesCm128HmacSha1_80);
    let (mut sender, mut receiver) = ends(CryptoSuite::AesCm128HmacSha1_80);
    for n in 65_530_u32..65_540 {
        let wire = protected(&mut sender, &rtp(n as u16, b"before"));
        opened(&mut receiver, &wire).unwrap();
    }
    let mut successor = Receiver::new(&key);
    successor.resume(SSRC, receiver.newest_index(SSRC).unwrap());
    let wire = protected(&mut sender, &rtp(4, b"after"));
    assert_eq!(opened(&mut successor, &wire).unwrap(), rtp(4, b"after"));
    // Without the index the roll-over counter would be wrong.
    assert_eq!(opened(&mut Receiver::new(&key), &wire), Err(UnprotectError::Forged));
}

#[test]
fn a_second_source_under_the_same_key_has_its_own_sequence() {
    let key = master(CryptoSuite::AesCm128HmacSha1_80);
    let (mut sender, mut receiver) = ends(CryptoSuite::AesCm128HmacSha1_80);
    opened(&mut receiver, &protected(&mut sender, &rtp(60_000, b"first"))).unwrap();
    let mut other = Sender::new(&key, 7);
    let mut packet = rtp(3, b"second");
    packet[8..12].copy_from_slice(&7_u32.to_be_bytes());
    let wire = protected(&mut other, &packet);
    assert_eq!(opened(&mut receiver, &wire).unwrap(), packet);
    opened(&mut receiver, &protected(&mut sender, &rtp(60_001, b"first again"))).unwrap();
}

#[test]
fn the_sender_refuses_what_it_cannot_protect() {
    let (mut sender, _) = ends(CryptoSuite::AesCm128HmacSha1_80);
    assert_eq!(sender.protect(&mut [0; 40], 20), Err(ProtectError::Malformed));
    assert_eq!(sender.protect(&mut rtp(1, b"full"), 16), Err(ProtectError::NoRoom));
    let mut foreign = rtp(1, &[0; 40]);
    foreign[11] ^= 1;
    assert_eq!(sender.protect(&mut foreign, 20), Err(ProtectError::WrongSsrc));
    let spent = Position { index: Some((1 << 48) - 1), rtcp_index: 1 << 31 };
    let mut spent = Sender::resume(&master(CryptoSuite::AesCm128HmacSha1_80), SSRC, spent);
    assert_eq!(spent.protect(&mut rtp(0, &[0; 40]), 20), Err(ProtectError::KeyExhausted));
    assert_eq!(spent.protect_rtcp(&mut [rtcp(), vec![0; 20]].concat(), 20), Err(ProtectError::KeyExhausted));
}

#[test]
fn a_key_protects_and_opens_no_more_packets_than_its_lifetime() {
    let key = master(CryptoSuite::AeadAes128Gcm).with_lifetime(3);
    let (mut sender, mut receiver) = (Sender::new(&key, SSRC), Receiver::new(&key));
    for sequence in 0..3 {
        let wire = protected(&mut sender, &rtp(sequence, b"speech"));
        assert!(opened(&mut receiver, &wire).is_ok());
    }
    assert_eq!(sender.protect(&mut rtp(3, &[0; 40]), 30), Err(ProtectError::KeyExhausted));
    let more = protected(&mut Sender::new(&master(CryptoSuite::AeadAes128Gcm), SSRC), &rtp(3, b"speech"));
    assert_eq!(opened(&mut receiver, &more), Err(UnprotectError::KeyExhausted));
}

#[test]
fn another_key_keeps_the_roll_over_counter_or_learns_that_the_peer_did_not() {
    let other_key = MasterKey::new(CryptoSuite::AeadAes256Gcm, &[9; 44]).unwrap();
    let rolled_over = || {
        let (mut sender, mut receiver) = ends(CryptoSuite::AesCm128HmacSha1_80);
        for n in 65_500_u32..65_600 {
            opened(&mut receiver, &protected(&mut sender, &rtp(n as u16, b"before"))).unwrap();
        }
        (sender, receiver)
    };
    let (mut sender, mut receiver) = rolled_over();
    let late = protected(&mut sender, &rtp(64, b"under the old key"));
    sender.rekey(&other_key);
    receiver.rekey(&other_key);
    assert_eq!(opened(&mut receiver, &late), Err(UnprotectError::Forged));
    let wire = protected(&mut sender, &rtp(65, b"after"));
    assert_eq!(opened(&mut receiver, &wire).unwrap(), rtp(65, b"after"));
    assert_eq!(receiver.newest_index(SSRC), Some(65_601));
    assert_eq!(opened(&mut receiver, &wire), Err(UnprotectError::Replayed));

    let (_, mut receiver) = rolled_over();
    let mut restarted = Sender::new(&other_key, SSRC);
    receiver.rekey(&other_key);
    for sequence in [65, 66] {
        let wire = protected(&mut restarted, &rtp(sequence, b"after"));
        assert_eq!(opened(&mut receiver, &wire).unwrap(), rtp(sequence, b"after"));
    }
    assert_eq!(receiver.newest_index(SSRC), Some(66));
}

proptest! {
    #[test]
    fn any_octets_are_refused_without_a_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        any_octets::are_refused(&octets);
    }

    #[test]
    fn whatever_arrives_of_a_stream_is_opened_once(order in prop::collection::vec(0_u32..200, 1..300), first in any::<u16>(), suite in 0..6_usize) {
        let (mut sender, mut receiver) = ends(CryptoSuite::ALL[suite]);
        let packets: Vec<_> = (0..200_u32).map(|n| rtp(first.wrapping_add(n as u16), &n.to_be_bytes())).collect();
        let wires: Vec<_> = packets.iter().map(|packet| protected(&mut sender, packet)).collect();
        // The receiver must hear one packet of the first cycle, or it cannot know the roll-over counter.
        opened(&mut receiver, &wires[0]).unwrap();
        let mut newest = 0;
        let mut seen = std::collections::BTreeSet::from([0]);
        for n in order {
            let result = opened(&mut receiver, &wires[n as usize]);
            if n + 128 <= newest { prop_assert_eq!(result, Err(UnprotectError::TooOld)); }
            else if !seen.insert(n) { prop_assert_eq!(result, Err(UnprotectError::Replayed)); }
            else { prop_assert_eq!(result.as_deref(), Ok(packets[n as usize].as_slice())); newest = newest.max(n); }
        }
    }
}
