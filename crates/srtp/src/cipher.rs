//! AES, and its counter mode over a packet's octets.

use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use aes::{Aes128Enc, Aes256Enc, Block};

/// Keystream blocks computed at once: a 20 ms packet of G.711 in one call, enough in flight for the processor's AES.
const BLOCKS_AT_ONCE: usize = 16;
pub(crate) const BLOCK_LEN: usize = 16;

/// AES with a 128- or 256-bit key.
pub(crate) enum Aes {
    Key128(Aes128Enc),
    Key256(Aes256Enc),
}

impl Aes {
    /// `key` is 16 or 32 octets, as [`tandem_contract::CryptoSuite::key_len`] says.
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

    #[inline]
    pub(crate) fn encrypt_blocks(&self, blocks: &mut [Block]) {
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
            add_keystream(chunk, blocks);
        }
    }
}

/// Adds `keystream`, which is as long as the whole and begun blocks of `data`, to `data`.
#[inline]
pub(crate) fn add_keystream(data: &mut [u8], keystream: &[Block]) {
    let (whole, rest) = data.as_chunks_mut::<BLOCK_LEN>();
    for (octets, key) in whole.iter_mut().zip(keystream) {
        *octets = (u128::from_ne_bytes(*octets) ^ u128::from_ne_bytes(key.0)).to_ne_bytes();
    }
    let last = keystream.last().map_or(&[][..], |block| block.as_slice());
    for (octet, key) in rest.iter_mut().zip(last) {
        *octet ^= key;
    }
}
