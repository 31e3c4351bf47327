//! Session keys from a master key (RFC 3711 §4.3), with a key derivation rate of 0.

use tandem_contract::{CryptoSuite, MasterKey};
use zeroize::Zeroizing;

use crate::cipher::Aes;
use crate::gcm::Gcm;
use crate::mac::{self, Mac};

/// The labels of RFC 3711 §4.3.1 and §4.3.2.
#[derive(Clone, Copy)]
enum Label {
    Encryption = 0,
    Authentication = 1,
    Salt = 2,
}

/// Whether keys are for RTP or for RTCP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Rtp,
    Rtcp,
}

/// How one direction's packets of one protocol are protected.
pub(crate) enum Session {
    /// Counter mode and a truncated HMAC behind it.
    CounterMode { aes: Aes, salt: u128, mac: Mac, tag_len: usize },
    /// Both in one.
    Aead { gcm: Gcm, salt: [u8; 12] },
}

impl Session {
    pub(crate) fn derive(master: &MasterKey, protocol: Protocol) -> Self {
        let suite = master.suite();
        let mut key = Zeroizing::new([0; 32]);
        let key = &mut key[..suite.key_len()];
        derive(master, protocol, Label::Encryption, key);
        let mut salt = [0; 14];
        derive(master, protocol, Label::Salt, &mut salt[..suite.salt_len()]);
        if suite.is_aead() {
            let mut nonce_salt = [0; 12];
            nonce_salt.copy_from_slice(&salt[..12]);
            return Self::Aead { gcm: Gcm::new(key), salt: nonce_salt };
        }
        let mut mac_key = Zeroizing::new([0; mac::KEY_LEN]);
        derive(master, protocol, Label::Authentication, mac_key.as_mut_slice());
        // The salt's 112 bits stand above the 16 bits of the block counter (RFC 3711 §4.1.1).
        let salt = salt.iter().fold(0_u128, |salt, &octet| salt << 8 | u128::from(octet)) << 16;
        let tag_len = tag_len(suite, protocol);
        Self::CounterMode { aes: Aes::new(key), salt, mac: Mac::new(&mac_key), tag_len }
    }

    /// Octets of the tag.
    pub(crate) const fn tag_len(&self) -> usize {
        match self {
            Self::CounterMode { tag_len, .. } => *tag_len,
            Self::Aead { .. } => 16,
        }
    }
}

/// The first counter block of a packet (RFC 3711 §4.1.1).
#[inline]
pub(crate) const fn counter_iv(salt: u128, ssrc: u32, index: u64) -> u128 {
    salt ^ ((ssrc as u128) << 64) ^ ((index as u128) << 16)
}

/// The nonce of a packet (RFC 7714 §8.1, §9.1): two zero octets, the SSRC and the 48-bit index, with the salt added.
#[inline]
pub(crate) fn aead_nonce(salt: [u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    for (octet, salt) in nonce.iter_mut().zip(salt) {
        *octet ^= salt;
    }
    nonce
}

const fn tag_len(suite: CryptoSuite, protocol: Protocol) -> usize {
    match protocol {
        Protocol::Rtp => suite.tag_len(),
        Protocol::Rtcp => suite.rtcp_tag_len(),
    }
}

fn derive(master: &MasterKey, protocol: Protocol, label: Label, out: &mut [u8]) {
    let label = label as u8 + if protocol == Protocol::Rtcp { 3 } else { 0 };
    // x = salt XOR (label * 2^48), and the keystream begins at x * 2^16 (§4.3.3).
    let mut block = [0; 16];
    block[..14].copy_from_slice(master.padded_salt());
    block[7] ^= label;
    out.fill(0);
    Aes::new(master.key()).apply_keystream(u128::from_be_bytes(block), out);
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    // RFC 3711 appendix B.3.
    #[test]
    fn session_keys_are_those_of_rfc_3711_b_3() {
        let master = MasterKey::new(
            CryptoSuite::AesCm128HmacSha1_80,
            &hex!("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6"),
        )
        .unwrap();
        let (mut key, mut salt, mut auth) = ([0; 16], [0; 14], [0; 20]);
        derive(&master, Protocol::Rtp, Label::Encryption, &mut key);
        derive(&master, Protocol::Rtp, Label::Salt, &mut salt);
        derive(&master, Protocol::Rtp, Label::Authentication, &mut auth);
        assert_eq!(key, hex!("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(salt, hex!("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(auth, hex!("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    // RFC 3711 appendix B.2.
    #[test]
    fn the_keystream_is_that_of_rfc_3711_b_2() {
        let aes = Aes::new(&hex!("2B7E151628AED2A6ABF7158809CF4F3C"));
        let mut data = [0; 16 * 0xff02];
        aes.apply_keystream(u128::from_be_bytes(hex!("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000")), &mut data);
        assert_eq!(
            data[..48],
            hex!("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0")
        );
        assert_eq!(
            data[16 * 0xfeff..16 * 0xff02],
            hex!("EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44")
        );
    }
}
