use tandem_contract::{CryptoSuite, MasterKey};
use thiserror::Error;

use crate::derivation::{Protocol, Session, aead_nonce, counter_iv};
use crate::header::{Header, RTCP_CLEAR_LEN, rtcp_ssrc};
use crate::replay::{IndexRefused, ReplayWindow};

/// Sources remembered under one key; the longest silent makes room for a new one that proves the key.
const SOURCES: usize = 4;
/// Set in an SRTCP packet's index word: the packet is encrypted.
const RTCP_ENCRYPTED: u32 = 1 << 31;

/// Opens what one leg receives.
pub struct Receiver {
    suite: CryptoSuite,
    rtp: Session,
    rtcp: Session,
    sources: [Source; SOURCES],
    /// Grows with every accepted packet; tells which source was silent longest.
    accepted: u64,
    /// RTP packets that the key may still open.
    left: u64,
}

/// What is remembered of one SSRC.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    ssrc: u32,
    rtp: ReplayWindow,
    rtcp: ReplayWindow,
    /// [`Receiver::accepted`] at its last packet; 0 where the place is free.
    last: u64,
}

/// Why a packet was not opened. It is as it was and must be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UnprotectError {
    /// Not SRTP or SRTCP, or cut short.
    #[error("not an SRTP or SRTCP packet")]
    Malformed,
    /// The tag is not that of the packet.
    #[error("the authentication tag is wrong")]
    Forged,
    /// The packet was here before.
    #[error("the packet was received before")]
    Replayed,
    /// The packet is older than the replay window reaches.
    #[error("the packet is older than the replay window")]
    TooOld,
    /// The key has opened as many packets as it may (RFC 3711 §9.2).
    #[error("the master key has reached its lifetime")]
    KeyExhausted,
}

impl From<IndexRefused> for UnprotectError {
    fn from(refused: IndexRefused) -> Self {
        match refused {
            IndexRefused::Replayed => Self::Replayed,
            IndexRefused::TooOld => Self::TooOld,
        }
    }
}

impl Receiver {
    /// A receiver that has seen nothing yet.
    pub fn new(master: &MasterKey) -> Self {
        Self {
            suite: master.suite(),
            rtp: Session::derive(master, Protocol::Rtp),
            rtcp: Session::derive(master, Protocol::Rtcp),
            sources: [Source::default(); SOURCES],
            accepted: 0,
            left: master.lifetime(),
        }
    }

    /// Goes on under another key. A source's roll-over counter is kept, as RFC 3711 §3.3.1 has it; that of a peer which
    /// starts again at 0 is learned from its first authentic packet.
    pub fn rekey(&mut self, master: &MasterKey) {
        let mut sources = self.sources;
        for source in &mut sources {
            source.rtp.forget();
            source.rtcp = ReplayWindow::default();
        }
        *self = Self { sources, accepted: self.accepted, ..Self::new(master) };
    }

    /// The suite.
    pub const fn suite(&self) -> CryptoSuite {
        self.suite
    }

    /// The 48-bit index of the newest packet accepted from `ssrc`: what a node that takes over must know (its
    /// roll-over counter cannot be learned from the packets).
    pub fn newest_index(&self, ssrc: u32) -> Option<u64> {
        self.sources.iter().find(|source| source.last != 0 && source.ssrc == ssrc)?.rtp.newest()
    }

    /// Takes over from another node: nothing at or before `index` of `ssrc` is accepted again.
    pub fn resume(&mut self, ssrc: u32, index: u64) {
        let mut source = self.source(ssrc);
        source.rtp.accept_all_up_to(index);
        self.remember(source);
    }

    /// Opens the SRTP packet in `packet`; gives the length of the RTP packet that is in its place then.
    pub fn unprotect(&mut self, packet: &mut [u8]) -> Result<usize, UnprotectError> {
        let tag_len = self.rtp.tag_len();
        let len = packet.len().checked_sub(tag_len).ok_or(UnprotectError::Malformed)?;
        let (packet, tag) = packet.split_at_mut(len);
        let header = Header::parse(packet).ok_or(UnprotectError::Malformed)?;
        if self.left == 0 {
            return Err(UnprotectError::KeyExhausted);
        }
        let mut source = self.source(header.ssrc);
        let mut index = source.rtp.guess(header.sequence);
        source.rtp.check(index)?;
        let mut opened = self.open(header, index, packet, tag);
        if opened.is_err() && !source.rtp.has_accepted() && index > u16::MAX.into() {
            index = header.sequence.into();
            opened = self.open(header, index, packet, tag);
        }
        opened?;
        source.rtp.accept(index);
        self.remember(source);
        self.left -= 1;
        Ok(len)
    }

    /// Opens `packet` as the one of `index`. A forged one stays as it is.
    #[inline]
    fn open(&self, header: Header, index: u64, packet: &mut [u8], tag: &[u8]) -> Result<(), UnprotectError> {
        match &self.rtp {
            Session::CounterMode { aes, salt, mac, .. } => {
                let roll_over_counter = (index >> 16) as u32;
                if !mac.is_authentic(packet, roll_over_counter.to_be_bytes(), tag) {
                    return Err(UnprotectError::Forged);
                }
                aes.apply_keystream(counter_iv(*salt, header.ssrc, index), &mut packet[header.len..]);
                Ok(())
            }
            Session::Aead { gcm, salt } => {
                let (clear, payload) = packet.split_at_mut(header.len);
                let tag = <[u8; 16]>::try_from(tag).map_err(|_| UnprotectError::Malformed)?;
                let nonce = aead_nonce(*salt, header.ssrc, index);
                gcm.open(nonce, clear, payload, tag).map_err(|_| UnprotectError::Forged)
            }
        }
    }

    /// Opens the SRTCP packet in `packet`; gives the length of the RTCP compound that is in its place then.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, UnprotectError> {
        let tag_len = self.rtcp.tag_len();
        let len = packet.len().checked_sub(tag_len + 4).ok_or(UnprotectError::Malformed)?;
        let (packet, trailer) = packet.split_at_mut(len);
        let ssrc = rtcp_ssrc(packet).ok_or(UnprotectError::Malformed)?;
        let (tag, index_word) = match &self.rtcp {
            Session::CounterMode { .. } => {
                let (index_word, tag) = trailer.split_at(4);
                (tag, index_word)
            }
            Session::Aead { .. } => trailer.split_at(tag_len),
        };
        let index_word = <[u8; 4]>::try_from(index_word).map_err(|_| UnprotectError::Malformed)?;
        let word = u32::from_be_bytes(index_word);
        let (is_encrypted, index) = (word & RTCP_ENCRYPTED != 0, u64::from(word & !RTCP_ENCRYPTED));
        let mut source = self.source(ssrc);
        source.rtcp.check(index)?;
        match &self.rtcp {
            Session::CounterMode { aes, salt, mac, .. } => {
                if !mac.is_authentic(packet, index_word, tag) {
                    return Err(UnprotectError::Forged);
                }
                if is_encrypted {
                    aes.apply_keystream(counter_iv(*salt, ssrc, index), &mut packet[RTCP_CLEAR_LEN..]);
                }
            }
            Session::Aead { gcm, salt } => {
                // A packet in the clear is all associated data (RFC 7714 §9.3); nobody we speak with sends one, and a
                // compound of unknown length has no place for it on the stack.
                if !is_encrypted {
                    return Err(UnprotectError::Malformed);
                }
                let (clear, rest) = packet.split_at_mut(RTCP_CLEAR_LEN);
                let mut aad = [0; RTCP_CLEAR_LEN + 4];
                aad[..RTCP_CLEAR_LEN].copy_from_slice(clear);
                aad[RTCP_CLEAR_LEN..].copy_from_slice(&index_word);
                let tag = <[u8; 16]>::try_from(tag).map_err(|_| UnprotectError::Malformed)?;
                gcm.open(aead_nonce(*salt, ssrc, index), &aad, rest, tag).map_err(|_| UnprotectError::Forged)?;
            }
        }
        source.rtcp.accept(index);
        self.remember(source);
        Ok(len)
    }

    /// A copy of what is known of `ssrc`, fresh where nothing is.
    fn source(&self, ssrc: u32) -> Source {
        let known = self.sources.iter().find(|source| source.last != 0 && source.ssrc == ssrc);
        known.copied().unwrap_or(Source { ssrc, ..Source::default() })
    }

    /// Keeps `source`, which has just proved the key.
    fn remember(&mut self, mut source: Source) {
        self.accepted += 1;
        source.last = self.accepted;
        let same = |other: &&mut Source| other.last != 0 && other.ssrc == source.ssrc;
        let place = match self.sources.iter_mut().find(same) {
            Some(place) => Some(place),
            None => self.sources.iter_mut().min_by_key(|other| other.last),
        };
        if let Some(place) = place {
            *place = source;
        }
    }
}
