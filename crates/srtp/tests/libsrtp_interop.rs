//! Packets exchanged with libsrtp2, both ways.
#![allow(missing_docs, clippy::unwrap_used)]

mod libsrtp;

use std::sync::LazyLock;

use libsrtp::Libsrtp;
use tandem_srtp::{CryptoSuite, MasterKey, Receiver, Sender};

const SSRC: u32 = 0x1234_5678;
/// Past two wraps of the sequence number, so that the roll-over counter is part of it.
const PACKETS: u32 = 140_000;
const FIRST: u32 = 65_000;
const ROOM: usize = 148;

/// Loaded once: `srtp_init` is not for several threads.
static LIBRARY: LazyLock<Option<Libsrtp>> = LazyLock::new(Libsrtp::load);

fn library() -> Option<&'static Libsrtp> {
    let library = LIBRARY.as_ref();
    if library.is_none() {
        eprintln!("not run: libsrtp2 is not installed (scripts/setup.sh bench)");
    }
    library
}

fn keys(suite: CryptoSuite) -> (Vec<u8>, MasterKey) {
    let octets: Vec<u8> = (0..suite.key_len() + suite.salt_len()).map(|octet| (octet * 11 + 5) as u8).collect();
    let key = MasterKey::new(suite, &octets).unwrap();
    (octets, key)
}

fn rtp(number: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend_from_slice(&(number as u16).to_be_bytes());
    packet.extend_from_slice(&number.to_be_bytes());
    packet.extend_from_slice(&SSRC.to_be_bytes());
    packet.extend((0..number % 230).map(|octet| octet as u8));
    packet
}

fn rtcp(number: u32) -> Vec<u8> {
    let mut compound = vec![0x80, 201, 0, 1];
    compound.extend_from_slice(&SSRC.to_be_bytes());
    compound.extend_from_slice(&[0x81, 202, 0, 2]);
    compound.extend_from_slice(&SSRC.to_be_bytes());
    compound.extend_from_slice(&number.to_be_bytes());
    compound
}

/// A step that hides most packets, as a full exchange of all would take minutes: every 37th, and all around a wrap.
fn numbers() -> impl Iterator<Item = u32> {
    (FIRST..FIRST + PACKETS).filter(|number| number % 37 == 0 || (number + 40) % 65_536 < 80)
}

#[test]
fn libsrtp_opens_what_we_protect_in_every_suite_and_over_roll_over() {
    let Some(library) = library() else { return };
    for suite in CryptoSuite::ALL {
        let (octets, key) = keys(suite);
        let (mut sender, mut receiver) = (Sender::new(&key, SSRC), library.receiver(suite, &octets));
        for number in numbers() {
            let packet = rtp(number);
            let mut buffer = [packet.clone(), vec![0; ROOM]].concat();
            let len = sender.protect(&mut buffer, packet.len()).unwrap();
            let opened = receiver.rtp(&mut buffer, len);
            assert_eq!(opened.map(|len| &buffer[..len]), Ok(packet.as_slice()), "{suite:?} {number}");
            if number % 7 == 0 {
                let compound = rtcp(number);
                let mut buffer = [compound.clone(), vec![0; ROOM]].concat();
                let len = sender.protect_rtcp(&mut buffer, compound.len()).unwrap();
                let opened = receiver.rtcp(&mut buffer, len);
                assert_eq!(opened.map(|len| &buffer[..len]), Ok(compound.as_slice()), "{suite:?} {number}");
            }
        }
    }
}

#[test]
fn we_open_what_libsrtp_protects_in_every_suite_and_over_roll_over() {
    let Some(library) = library() else { return };
    for suite in CryptoSuite::ALL {
        let (octets, key) = keys(suite);
        let (mut sender, mut receiver) = (library.sender(suite, &octets), Receiver::new(&key));
        for number in numbers() {
            let packet = rtp(number);
            let mut buffer = [packet.clone(), vec![0; ROOM]].concat();
            let len = sender.rtp(&mut buffer, packet.len()).unwrap();
            let opened = receiver.unprotect(&mut buffer[..len]);
            assert_eq!(opened.map(|len| &buffer[..len]), Ok(packet.as_slice()), "{suite:?} {number}");
            if number % 7 == 0 {
                let compound = rtcp(number);
                let mut buffer = [compound.clone(), vec![0; ROOM]].concat();
                let len = sender.rtcp(&mut buffer, compound.len()).unwrap();
                let opened = receiver.unprotect_rtcp(&mut buffer[..len]);
                assert_eq!(opened.map(|len| &buffer[..len]), Ok(compound.as_slice()), "{suite:?} {number}");
            }
        }
    }
}

#[test]
fn libsrtp_and_we_refuse_the_same_forged_and_replayed_packets() {
    let Some(library) = library() else { return };
    for suite in CryptoSuite::ALL {
        let (octets, key) = keys(suite);
        let (mut sender, mut theirs, mut ours) =
            (Sender::new(&key, SSRC), library.receiver(suite, &octets), Receiver::new(&key));
        let packet = rtp(41);
        let mut wire = [packet.clone(), vec![0; ROOM]].concat();
        let len = sender.protect(&mut wire, packet.len()).unwrap();
        for octet in 0..len {
            let mut forged = wire.clone();
            forged[octet] ^= 0x10;
            assert!(theirs.rtp(&mut forged.clone(), len).is_err(), "{suite:?} {octet}");
            assert!(ours.unprotect(&mut forged[..len]).is_err(), "{suite:?} {octet}");
        }
        assert!(theirs.rtp(&mut wire.clone(), len).is_ok());
        assert!(ours.unprotect(&mut wire.clone()[..len]).is_ok());
        assert!(theirs.rtp(&mut wire.clone(), len).is_err());
        assert!(ours.unprotect(&mut wire[..len]).is_err());
    }
}
