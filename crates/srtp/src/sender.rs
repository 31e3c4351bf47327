use tandem_contract::{CryptoSuite, MasterKey};
use thiserror::Error;

use crate::derivation::{Protocol, Session, aead_nonce, counter_iv};
use crate::header::{Header, RTCP_CLEAR_LEN, rtcp_ssrc};
use crate::replay::{ReplayWindow, nearest};

/// Packet indices there are.
const INDICES: u64 = 1 << 48;
/// RTCP packets one key may protect.
const RTCP_LIFETIME: u32 = 1 << 31;
/// Set in an SRTCP packet's index word: the packet is encrypted.
const RTCP_ENCRYPTED: u32 = 1 << 31;

/// Protects what one leg sends under one SSRC.
pub struct Sender {
    suite: CryptoSuite,
    ssrc: u32,
    rtp: Session,
    rtcp: Session,
    sent: ReplayWindow,
    rtcp_index: u32,
    /// RTP packets that the key may still protect.
    left: u64,
}

/// How far a sender has come: what another node needs, beside the key, to go on after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The highest packet index used: roll-over counter and sequence number (RFC 3711 §3.3.1); `None` before the first.
    pub index: Option<u64>,
    /// The next SRTCP index.
    pub rtcp_index: u32,
}

/// Why a packet was not protected. It is as it was and must not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProtectError {
    /// Not RTP or RTCP, or cut short.
    #[error("not an RTP or RTCP packet")]
    Malformed,
    /// The buffer has no room for the tag.
    #[error("no room for the tag behind the packet")]
    NoRoom,
    /// The packet has another SSRC than the sender.
    #[error("the packet has another SSRC than its sender")]
    WrongSsrc,
    /// The sequence number was used already, or is so old that it may have been: the same keystream must never protect
    /// two packets (RFC 3711 §9.1).
    #[error("the sequence number was used already")]
    IndexUsed,
    /// The key has protected as much as it may; a new one must be agreed on (RFC 3711 §9.2).
    #[error("the master key has reached its lifetime")]
    KeyExhausted,
}

impl Sender {
    /// A sender whose first packet has roll-over counter 0.
    pub fn new(master: &MasterKey, ssrc: u32) -> Self {
        Self::resume(master, ssrc, Position::default())
    }

    /// A sender that goes on after `position`: nothing at or before it is used again.
    pub fn resume(master: &MasterKey, ssrc: u32, position: Position) -> Self {
        let mut sent = ReplayWindow::default();
        if let Some(index) = position.index {
            sent.accept_all_up_to(index);
        }
        Self {
            suite: master.suite(),
            ssrc,
            rtp: Session::derive(master, Protocol::Rtp),
            rtcp: Session::derive(master, Protocol::Rtcp),
            sent,
            rtcp_index: position.rtcp_index,
            left: master.lifetime(),
        }
    }

    /// Goes on under another key. The roll-over counter is kept (RFC 3711 §3.3.1).
    pub fn rekey(&mut self, master: &MasterKey) {
        let index = self.sent.newest();
        *self = Self::resume(master, self.ssrc, Position { index, rtcp_index: 0 });
    }

    /// The source it sends as.
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The suite.
    pub const fn suite(&self) -> CryptoSuite {
        self.suite
    }

    /// How far it has come.
    pub fn position(&self) -> Position {
        Position { index: self.sent.newest(), rtcp_index: self.rtcp_index }
    }

    /// Protects the RTP packet in `buffer[..len]`; gives the new length, [`CryptoSuite::tag_len`] more.
    pub fn protect(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, ProtectError> {
        let header = buffer.get(..len).and_then(Header::parse).ok_or(ProtectError::Malformed)?;
        if header.ssrc != self.ssrc {
            return Err(ProtectError::WrongSsrc);
        }
        let index = self.sent.newest().map_or(header.sequence.into(), |newest| nearest(newest, header.sequence));
        if index >= INDICES || self.left == 0 {
            return Err(ProtectError::KeyExhausted);
        }
        self.sent.check(index).map_err(|_| ProtectError::IndexUsed)?;
        let protected_len = len + self.rtp.tag_len();
        let packet = buffer.get_mut(..protected_len).ok_or(ProtectError::NoRoom)?;
        let (packet, tag_place) = packet.split_at_mut(len);
        match &self.rtp {
            Session::CounterMode { aes, salt, mac, tag_len } => {
                aes.apply_keystream(counter_iv(*salt, self.ssrc, index), &mut packet[header.len..]);
                let roll_over_counter = (index >> 16) as u32;
                let tag = mac.authenticate(packet, roll_over_counter.to_be_bytes());
                tag_place.copy_from_slice(&tag[..*tag_len]);
            }
            Session::Aead { gcm, salt } => {
                let (clear, payload) = packet.split_at_mut(header.len);
                tag_place.copy_from_slice(&gcm.seal(aead_nonce(*salt, self.ssrc, index), clear, payload));
            }
        }
        self.sent.accept(index);
        self.left -= 1;
        Ok(protected_len)
    }

    /// Protects the RTCP compound in `buffer[..len]`; gives the new length, [`CryptoSuite::rtcp_tag_len`] and 4 more.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, ProtectError> {
        let ssrc = buffer.get(..len).and_then(rtcp_ssrc).ok_or(ProtectError::Malformed)?;
        if self.rtcp_index >= RTCP_LIFETIME {
            return Err(ProtectError::KeyExhausted);
        }
        let tag_len = self.rtcp.tag_len();
        let packet = buffer.get_mut(..len + 4 + tag_len).ok_or(ProtectError::NoRoom)?;
        let (packet, trailer) = packet.split_at_mut(len);
        let index_word = (self.rtcp_index | RTCP_ENCRYPTED).to_be_bytes();
        match &self.rtcp {
            Session::CounterMode { aes, salt, mac, tag_len } => {
                let iv = counter_iv(*salt, ssrc, self.rtcp_index.into());
                aes.apply_keystream(iv, &mut packet[RTCP_CLEAR_LEN..]);
                let tag = mac.authenticate(packet, index_word);
                trailer[..4].copy_from_slice(&index_word);
                trailer[4..].copy_from_slice(&tag[..*tag_len]);
            }
            Session::Aead { gcm, salt } => {
                let (clear, rest) = packet.split_at_mut(RTCP_CLEAR_LEN);
                let mut aad = [0; RTCP_CLEAR_LEN + 4];
                aad[..RTCP_CLEAR_LEN].copy_from_slice(clear);
                aad[RTCP_CLEAR_LEN..].copy_from_slice(&index_word);
                let tag = gcm.seal(aead_nonce(*salt, ssrc, self.rtcp_index.into()), &aad, rest);
                // RFC 7714 §9.2: the tag ends the ciphertext, the index word comes last.
                trailer[..tag_len].copy_from_slice(&tag);
                trailer[tag_len..].copy_from_slice(&index_word);
            }
        }
        self.rtcp_index += 1;
        Ok(len + 4 + tag_len)
    }
}
