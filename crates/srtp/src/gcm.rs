//! AES-GCM (NIST SP 800-38D) with a 12-octet nonce and a 16-octet tag, made for packets: the tag's mask is one more block
//! of keystream, and what is hashed is brought together first, so that both primitives see all their blocks at once.

use aes::Block;
use aes::cipher::Array;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;

use crate::cipher::{Aes, BLOCK_LEN, add_keystream};

/// Blocks taken at once: a 20 ms packet of G.711 with its header, its lengths and the tag's mask.
const BLOCKS_AT_ONCE: usize = 16;
/// Octets whose keystream is computed together with the tag's mask.
const FIRST_LEN: usize = (BLOCKS_AT_ONCE - 1) * BLOCK_LEN;

/// A key, expanded for both primitives.
pub(crate) struct Gcm {
    aes: Aes,
    ghash: GHash,
}

/// The tag did not fit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Forged;

pub(crate) type Nonce = [u8; 12];
pub(crate) type Tag = [u8; BLOCK_LEN];

impl Gcm {
    /// `key` is 16 or 32 octets, as [`tandem_contract::CryptoSuite::key_len`] says.
    pub(crate) fn new(key: &[u8]) -> Self {
        let aes = Aes::new(key);
        let mut hash_key = [Block::default()];
        aes.encrypt_blocks(&mut hash_key);
        let ghash = GHash::new(&hash_key[0]);
        Self { aes, ghash }
    }

    /// Encrypts `data` and gives its tag.
    #[inline]
    pub(crate) fn seal(&self, nonce: Nonce, aad: &[u8], data: &mut [u8]) -> Tag {
        let keystream = self.first_keystream(nonce, data.len());
        self.apply(nonce, &keystream, data);
        self.tag(&keystream[0], aad, data)
    }

    /// Checks the tag, then decrypts `data`; forged data stays as it is.
    #[inline]
    pub(crate) fn open(&self, nonce: Nonce, aad: &[u8], data: &mut [u8], tag: Tag) -> Result<(), Forged> {
        let keystream = self.first_keystream(nonce, data.len());
        let expected = self.tag(&keystream[0], aad, data);
        // One comparison of the whole, which takes as long whatever differs.
        let different = u128::from_ne_bytes(expected) ^ u128::from_ne_bytes(tag);
        if core::hint::black_box(different) != 0 {
            return Err(Forged);
        }
        self.apply(nonce, &keystream, data);
        Ok(())
    }

    /// The tag's mask, and the keystream of the data's beginning.
    #[inline]
    fn first_keystream(&self, nonce: Nonce, len: usize) -> [Block; BLOCKS_AT_ONCE] {
        let mut keystream = [Block::default(); BLOCKS_AT_ONCE];
        let blocks = &mut keystream[..=len.min(FIRST_LEN).div_ceil(BLOCK_LEN)];
        for (block, counter) in blocks.iter_mut().zip(first_counter(nonce)..) {
            *block = Array(counter.to_be_bytes());
        }
        self.aes.encrypt_blocks(blocks);
        keystream
    }

    #[inline]
    fn apply(&self, nonce: Nonce, keystream: &[Block; BLOCKS_AT_ONCE], data: &mut [u8]) {
        let (first, rest) = data.split_at_mut(data.len().min(FIRST_LEN));
        add_keystream(first, &keystream[1..=first.len().div_ceil(BLOCK_LEN)]);
        if !rest.is_empty() {
            // No packet is long enough for the 32 bits of the counter to wrap.
            self.aes.apply_keystream(first_counter(nonce) + BLOCKS_AT_ONCE as u128, rest);
        }
    }

    #[inline]
    fn tag(&self, mask: &Block, aad: &[u8], ciphertext: &[u8]) -> Tag {
        let mut hash = PaddedHash { ghash: self.ghash.clone(), waiting: [Block::default(); BLOCKS_AT_ONCE], len: 0 };
        hash.update(aad);
        hash.update(ciphertext);
        let bits = |octets: &[u8]| 8 * octets.len() as u128;
        hash.push(Array((bits(aad) << 64 | bits(ciphertext)).to_be_bytes()));
        let digest = hash.finalize();
        (u128::from_ne_bytes(digest.0) ^ u128::from_ne_bytes(mask.0)).to_ne_bytes()
    }
}

/// The block that makes the tag's mask; data begins with the one after it.
#[inline]
fn first_counter(nonce: Nonce) -> u128 {
    let mut block = [0; BLOCK_LEN];
    block[..nonce.len()].copy_from_slice(&nonce);
    block[BLOCK_LEN - 1] = 1;
    u128::from_be_bytes(block)
}

/// GHASH over parts, each padded to whole blocks; blocks wait until there are many.
struct PaddedHash {
    ghash: GHash,
    waiting: [Block; BLOCKS_AT_ONCE],
    len: usize,
}

impl PaddedHash {
    #[inline]
    fn update(&mut self, part: &[u8]) {
        let (whole, rest) = part.as_chunks::<BLOCK_LEN>();
        for block in whole {
            self.push(Array(*block));
        }
        if !rest.is_empty() {
            let mut block = Block::default();
            block[..rest.len()].copy_from_slice(rest);
            self.push(block);
        }
    }

    #[inline]
    fn push(&mut self, block: Block) {
        if self.len == BLOCKS_AT_ONCE {
            self.ghash.update(&self.waiting);
            self.len = 0;
        }
        self.waiting[self.len] = block;
        self.len += 1;
    }

    #[inline]
    fn finalize(mut self) -> Block {
        self.ghash.update(&self.waiting[..self.len]);
        self.ghash.finalize()
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use aes_gcm::aead::AeadInOut;
    use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit};
    use hex_literal::hex;
    use proptest::prelude::*;

    use super::*;

    fn reference(key: &[u8], nonce: Nonce, aad: &[u8], data: &mut [u8]) -> Tag {
        let nonce = nonce.into();
        let tag = match key.len() {
            16 => Aes128Gcm::new_from_slice(key).unwrap().encrypt_inout_detached(&nonce, aad, data.into()),
            _ => Aes256Gcm::new_from_slice(key).unwrap().encrypt_inout_detached(&nonce, aad, data.into()),
        };
        tag.unwrap().into()
    }

    // RFC 7714 section 16.1.1.
    #[test]
    fn the_packet_of_rfc_7714_16_1_1_is_sealed_as_there() {
        let gcm = Gcm::new(&hex!("000102030405060708090a0b0c0d0e0f"));
        let nonce = hex!("51753c6580c2726f20718414");
        let aad = hex!("8040f17b8041f8d35501a0b2");
        let mut data = hex!("47616c6c696120657374206f6d6e69732064697669736120696e207061727465 732074726573");
        let tag = gcm.seal(nonce, &aad, &mut data);
        assert_eq!(data, hex!("f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b 36de3adf8833"));
        assert_eq!(tag, hex!("899d7f27beb16a9152cf765ee4390cce"));
    }

    proptest! {
        #[test]
        fn it_is_the_gcm_of_the_library_at_every_length(
            key in prop_oneof![prop::collection::vec(any::<u8>(), 16), prop::collection::vec(any::<u8>(), 32)],
            nonce in any::<Nonce>(),
            aad in prop::collection::vec(any::<u8>(), 0..90),
            data in prop::collection::vec(any::<u8>(), 0..700),
            flipped in any::<prop::sample::Index>(),
        ) {
            let (mut ours, mut theirs): (Vec<u8>, Vec<u8>) = (data.clone(), data.clone());
            let gcm = Gcm::new(&key);
            let tag = gcm.seal(nonce, &aad, &mut ours);
            prop_assert_eq!(tag, reference(&key, nonce, &aad, &mut theirs));
            prop_assert_eq!(&ours, &theirs);
            let mut forged = tag;
            forged[flipped.index(tag.len())] ^= 4;
            prop_assert_eq!(gcm.open(nonce, &aad, &mut ours, forged), Err(Forged));
            prop_assert_eq!(&ours, &theirs, "forged data stays as it is");
            prop_assert_eq!(gcm.open(nonce, &aad, &mut ours, tag), Ok(()));
            prop_assert_eq!(ours, data);
        }
    }
}
