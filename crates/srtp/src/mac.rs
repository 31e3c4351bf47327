//! HMAC-SHA1 (RFC 2104) over a packet and its roll-over counter or index word, cut to the tag's length.

use sha1::block_api::compress;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

pub(crate) const KEY_LEN: usize = 20;
const BLOCK_LEN: usize = 64;
/// The mark behind the message and its length in bits (RFC 3174 section 4).
const PADDING_LEN: usize = 9;
/// Octets hashed behind the packet: a roll-over counter or an index word.
const SUFFIX_LEN: usize = 4;
const INITIAL: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// SHA-1 after the key's inner and its outer block: a packet costs what its own octets cost, and one block more.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Mac {
    inner: [u32; 5],
    outer: [u32; 5],
}

/// A whole HMAC, of which a tag is the beginning.
pub(crate) type Digest = [u8; 20];

impl Mac {
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        let state_after = |pad: u8| {
            let mut block = Zeroizing::new([pad; BLOCK_LEN]);
            for (octet, key) in block.iter_mut().zip(key) {
                *octet ^= key;
            }
            let mut state = INITIAL;
            compress(&mut state, core::slice::from_ref(&*block));
            state
        };
        Self { inner: state_after(0x36), outer: state_after(0x5c) }
    }

    /// The HMAC of `packet` and `suffix` behind it.
    #[inline]
    pub(crate) fn authenticate(&self, packet: &[u8], suffix: [u8; SUFFIX_LEN]) -> Digest {
        let mut state = self.inner;
        let (whole, rest) = packet.as_chunks::<BLOCK_LEN>();
        // What is left, the suffix and the padding: one block, or two.
        let mut last = [[0; BLOCK_LEN]; 2];
        let end = last.as_flattened_mut();
        end[..rest.len()].copy_from_slice(rest);
        end[rest.len()..rest.len() + SUFFIX_LEN].copy_from_slice(&suffix);
        end[rest.len() + SUFFIX_LEN] = 0x80;
        let blocks = (rest.len() + SUFFIX_LEN + PADDING_LEN).div_ceil(BLOCK_LEN);
        let bits = 8 * (BLOCK_LEN + packet.len() + SUFFIX_LEN) as u64;
        end[blocks * BLOCK_LEN - 8..blocks * BLOCK_LEN].copy_from_slice(&bits.to_be_bytes());
        compress(&mut state, whole);
        compress(&mut state, &last[..blocks]);

        let mut block = [0; BLOCK_LEN];
        block[..20].copy_from_slice(&octets_of(state));
        block[20] = 0x80;
        block[BLOCK_LEN - 8..].copy_from_slice(&(8 * (BLOCK_LEN + 20) as u64).to_be_bytes());
        let mut state = self.outer;
        compress(&mut state, core::slice::from_ref(&block));
        octets_of(state)
    }

    /// Whether `tag` is the beginning of that HMAC, compared in constant time.
    #[inline]
    pub(crate) fn is_authentic(&self, packet: &[u8], suffix: [u8; SUFFIX_LEN], tag: &[u8]) -> bool {
        let digest = self.authenticate(packet, suffix);
        let Some(expected) = digest.get(..tag.len()).filter(|expected| !expected.is_empty()) else {
            return false;
        };
        // Every octet is looked at, whatever the ones before it said, and the compiler is not told what for.
        let different = expected.iter().zip(tag).fold(0, |different, (a, b)| different | (a ^ b));
        core::hint::black_box(different) == 0
    }
}

fn octets_of(state: [u32; 5]) -> Digest {
    let mut octets = [0; 20];
    for (four, word) in octets.as_chunks_mut().0.iter_mut().zip(state) {
        *four = word.to_be_bytes();
    }
    octets
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac as _};
    use proptest::prelude::*;
    use sha1::Sha1;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_hmac_of_the_library_at_every_length(
            key in any::<[u8; KEY_LEN]>(),
            packet in prop::collection::vec(any::<u8>(), 0..400),
            suffix in any::<[u8; 4]>(),
        ) {
            let mut reference = <Hmac<Sha1> as KeyInit>::new_from_slice(&key).expect("any length is a key");
            reference.update(&packet);
            reference.update(&suffix);
            let digest: Digest = reference.finalize().into_bytes().into();
            let mac = Mac::new(&key);
            prop_assert_eq!(mac.authenticate(&packet, suffix), digest);
            prop_assert!(mac.is_authentic(&packet, suffix, &digest[..10]));
            for octet in 0..10 {
                let mut tag = digest;
                tag[octet] ^= 0x80;
                prop_assert!(!mac.is_authentic(&packet, suffix, &tag[..10]));
            }
        }
    }

    #[test]
    fn a_tag_of_no_octets_proves_nothing() {
        assert!(!Mac::new(&[0; KEY_LEN]).is_authentic(b"packet", [0; 4], &[]));
    }
}
