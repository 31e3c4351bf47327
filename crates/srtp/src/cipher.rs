//! AES in counter mode over a packet's octets, and AES-GCM.

use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use aes::{Aes128Enc, Aes256Enc, Block};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, Aes256Gcm, Nonce, Tag};

/// Keystream blocks computed at once: a 20 ms packet of G.711 in one call, enough in flight for the processor's AES.
const BLOCKS_AT_ONCE: usize = 16;
const BLOCK_LEN: usize = 16;

/// AES with a 128- or 256-bit key.
pub(crate) enum Aes {
    Key128(Aes128Enc),
    Key256(Aes256Enc),
}

impl Aes {
    /// `key` is 16 or 32 octets, as [`crate::Profile::key_len`] says.
    pub(crate) fn new(key: &[u8]) -> Self {
        match <[u8; 16]>::try_from(key) {
            Ok(key) => Self::Key128(Aes128Enc::new(&key.into())),
            Err(_) => {
                let mut long = [0; 32];
                long.copy_from_slice(key);
                Self::Key256(Aes256Enc::new(&long.into()))
            }
        }
    }

    fn encrypt_blocks(&self, blocks: &mut [Block]) {
        match self {
            Self::Key128(aes) => aes.encrypt_blocks(blocks),
            Self::Key256(aes) => aes.encrypt_blocks(blocks),
        }
    }

    /// Adds the keystream that begins at counter block `iv` to `data` (RFC 3711 §4.1.1).
    #[inline]
    pub(crate) fn apply_keystream(&self, iv: u128, data: &mut [u8]) {
        let mut counter = iv;
        for chunk in data.chunks_mut(BLOCKS_AT_ONCE * BLOCK_LEN) {
            let mut keystream = [Block::default(); BLOCKS_AT_ONCE];
            let blocks = &mut keystream[..chunk.len().div_ceil(BLOCK_LEN)];
            for block in blocks.iter_mut() {
                *block = Array(counter.to_be_bytes());
                counter = counter.wrapping_add(1);
            }
            self.encrypt_blocks(blocks);
            let (whole, rest) = chunk.as_chunks_mut::<BLOCK_LEN>();
            for (octets, key) in whole.iter_mut().zip(&*blocks) {
                *octets = (u128::from_ne_bytes(*octets) ^ u128::from_ne_bytes(key.0)).to_ne_bytes();
            }
            let last = blocks.last().map_or(&[][..], |block| block.as_slice());
            for (octet, key) in rest.iter_mut().zip(last) {
                *octet ^= key;
            }
        }
    }
}

/// AES-GCM with a 128- or 256-bit key, 12-octet nonce and 16-octet tag.
pub(crate) enum Gcm {
    Key128(Aes128Gcm),
    Key256(Aes256Gcm),
}

/// The tag did not fit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Forged;

impl Gcm {
    /// `key` is 16 or 32 octets, as [`crate::Profile::key_len`] says.
    pub(crate) fn new(key: &[u8]) -> Self {
        match <[u8; 16]>::try_from(key) {
            Ok(key) => Self::Key128(Aes128Gcm::new(&key.into())),
            Err(_) => {
                let mut long = [0; 32];
                long.copy_from_slice(key);
                Self::Key256(Aes256Gcm::new(&long.into()))
            }
        }
    }

    /// Encrypts `data` and gives its tag.
    pub(crate) fn seal(&self, nonce: [u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; 16] {
        let nonce: Nonce<_> = nonce.into();
        let tag = match self {
            Self::Key128(gcm) => gcm.encrypt_inout_detached(&nonce, aad, data.into()),
            Self::Key256(gcm) => gcm.encrypt_inout_detached(&nonce, aad, data.into()),
        };
        // GCM refuses only data beyond 64 GiB, which no packet is.
        tag.map(Into::into).unwrap_or_default()
    }

    /// Checks the tag, then decrypts `data`; forged data stays as it is.
    pub(crate) fn open(&self, nonce: [u8; 12], aad: &[u8], data: &mut [u8], tag: [u8; 16]) -> Result<(), Forged> {
        let (nonce, tag): (Nonce<_>, Tag) = (nonce.into(), tag.into());
        match self {
            Self::Key128(gcm) => gcm.decrypt_inout_detached(&nonce, aad, data.into(), &tag),
            Self::Key256(gcm) => gcm.decrypt_inout_detached(&nonce, aad, data.into(), &tag),
        }
        .map_err(|_| Forged)
    }
}
