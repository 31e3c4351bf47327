//! A heartbeat's octets: version 1.
//!
//! ```text
//! 0  "TDHB"            28 sent_at, sender's clock, ns       60 claims, 12 octets each:
//! 4  version           36 echo: receiver's incarnation         service, kind, member, 0, epoch (8)
//! 5  sender            44 echo: sent_at of its newest beat     grants, 20 octets each:
//! 6  receiver          52 echo: ns since that came in          service, 0, 0, 0, epoch (8), sent_at (8)
//! 7  flags             56 load, per mille                      HMAC-SHA-256 of all before, first 16 octets
//! 8  fingerprint (4)   58 number of claims
//! 12 incarnation (8)   59 number of grants
//! 20 sequence (8)
//! ```
//!
//! Numbers are big-endian. The echo proves that a beat is an answer to what its receiver has just sent, so that nothing
//! recorded earlier counts, whoever was restarted in between; the sequence does the same within one incarnation.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::{MAX_SERVICES, MemberId, Secret, ServiceId};

const MAGIC: &[u8; 4] = b"TDHB";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 60;
const CLAIM_BYTES: usize = 12;
const GRANT_BYTES: usize = 20;
const TAG_BYTES: usize = 16;

/// Octets of the longest beat: it fits into one frame.
pub const MAX_BEAT_BYTES: usize = HEADER_BYTES + MAX_SERVICES * (CLAIM_BYTES + GRANT_BYTES) + TAG_BYTES;

/// Why a datagram was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BeatError {
    /// Not a beat, or its lengths do not agree.
    #[error("no heartbeat")]
    Malformed,
    /// A beat of another version.
    #[error("a heartbeat of version {0}; this node speaks version {VERSION}")]
    Version(u8),
    /// The tag is another: another secret, or a forgery.
    #[error("authentication failed: are the secrets equal?")]
    Authentication,
    /// Sent to or by somebody who is not a member.
    #[error("from or to nobody that this node knows")]
    Stranger,
    /// Seen before, or of an earlier life of its sender.
    #[error("seen before")]
    Replay,
}

/// What a member says about a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) service: ServiceId,
    pub(crate) kind: ClaimKind,
    pub(crate) epoch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimKind {
    /// The sender holds it.
    Holding,
    /// The sender holds it, and this member may have it for the asking.
    Offering(MemberId),
    /// The sender wants votes for this epoch.
    Asking,
    /// The sender held it and does no more.
    Released,
    /// The sender's operator wants it here.
    Wanting,
    /// The sender is nothing to it and has heard of this epoch.
    Heard,
}

/// The sender's vote for the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) service: ServiceId,
    pub(crate) epoch: u64,
    /// When the receiver sent the request that this answers, on the receiver's clock.
    pub(crate) sent_at: u64,
}

/// The receiver's newest beat, as the sender saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Echo {
    /// 0 where nothing was heard.
    pub(crate) incarnation: u64,
    pub(crate) sent_at: u64,
    /// Nanoseconds from its arrival to this beat, saturated.
    pub(crate) held_ns: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) sender: MemberId,
    pub(crate) receiver: MemberId,
    /// Whether the sender could take a service.
    pub(crate) fit: bool,
    /// Whether the sender's operator wants it left alone.
    pub(crate) maintenance: bool,
    pub(crate) fingerprint: u32,
    pub(crate) incarnation: u64,
    pub(crate) sequence: u64,
    pub(crate) sent_at: u64,
    pub(crate) echo: Echo,
    pub(crate) load: u16,
    pub(crate) claims: Vec<Claim>,
    pub(crate) grants: Vec<Grant>,
}

const FIT: u8 = 1;
const MAINTENANCE: u8 = 2;

impl Beat {
    /// The octets without the tag.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(MAX_BEAT_BYTES);
        octets.extend_from_slice(MAGIC);
        let flags = if self.fit { FIT } else { 0 } | if self.maintenance { MAINTENANCE } else { 0 };
        octets.extend_from_slice(&[VERSION, self.sender.0, self.receiver.0, flags]);
        octets.extend_from_slice(&self.fingerprint.to_be_bytes());
        for number in [self.incarnation, self.sequence, self.sent_at, self.echo.incarnation, self.echo.sent_at] {
            octets.extend_from_slice(&number.to_be_bytes());
        }
        octets.extend_from_slice(&self.echo.held_ns.to_be_bytes());
        octets.extend_from_slice(&self.load.to_be_bytes());
        // There are no more services than a beat has room for.
        octets.extend_from_slice(&[self.claims.len() as u8, self.grants.len() as u8]);
        for claim in &self.claims {
            let (kind, member) = match claim.kind {
                ClaimKind::Holding => (0, 0),
                ClaimKind::Offering(to) => (1, to.0),
                ClaimKind::Asking => (2, 0),
                ClaimKind::Released => (3, 0),
                ClaimKind::Wanting => (4, 0),
                ClaimKind::Heard => (5, 0),
            };
            octets.extend_from_slice(&[claim.service.0, kind, member, 0]);
            octets.extend_from_slice(&claim.epoch.to_be_bytes());
        }
        for grant in &self.grants {
            octets.extend_from_slice(&[grant.service.0, 0, 0, 0]);
            octets.extend_from_slice(&grant.epoch.to_be_bytes());
            octets.extend_from_slice(&grant.sent_at.to_be_bytes());
        }
        octets
    }

    /// Reads what [`Beat::encode`] wrote.
    ///
    /// # Errors
    /// It is something else.
    pub(crate) fn decode(octets: &[u8]) -> Result<Self, BeatError> {
        let (header, rest) = octets.split_first_chunk::<HEADER_BYTES>().ok_or(BeatError::Malformed)?;
        if &header[..4] != MAGIC {
            return Err(BeatError::Malformed);
        }
        if header[4] != VERSION {
            return Err(BeatError::Version(header[4]));
        }
        let (claims, grants) = (usize::from(header[58]), usize::from(header[59]));
        if claims > MAX_SERVICES || grants > MAX_SERVICES || rest.len() != claims * CLAIM_BYTES + grants * GRANT_BYTES {
            return Err(BeatError::Malformed);
        }
        let (claims, grants) = rest.split_at(claims * CLAIM_BYTES);
        Ok(Self {
            sender: MemberId(header[5]),
            receiver: MemberId(header[6]),
            fit: header[7] & FIT != 0,
            maintenance: header[7] & MAINTENANCE != 0,
            fingerprint: u32_at(header, 8),
            incarnation: u64_at(header, 12),
            sequence: u64_at(header, 20),
            sent_at: u64_at(header, 28),
            echo: Echo { incarnation: u64_at(header, 36), sent_at: u64_at(header, 44), held_ns: u32_at(header, 52) },
            load: u16::from_be_bytes([header[56], header[57]]),
            claims: claims.chunks_exact(CLAIM_BYTES).map(claim).collect::<Result<_, _>>()?,
            grants: grants.chunks_exact(GRANT_BYTES).map(grant).collect(),
        })
    }

    /// The octets with their tag.
    pub(crate) fn seal(&self, key: &Key) -> Vec<u8> {
        let mut octets = self.encode();
        let tag = key.tag(&octets);
        octets.extend_from_slice(&tag);
        octets
    }

    /// Reads octets whose tag is right. Nothing is looked at before it but the length and the version, which tells an operator
    /// more than a failed authentication would.
    pub(crate) fn open(key: &Key, octets: &[u8]) -> Result<Self, BeatError> {
        if octets.len() > MAX_BEAT_BYTES {
            return Err(BeatError::Malformed);
        }
        let (body, tag) = octets.split_last_chunk::<TAG_BYTES>().ok_or(BeatError::Malformed)?;
        match body {
            [b'T', b'D', b'H', b'B', VERSION, ..] => {}
            [b'T', b'D', b'H', b'B', version, ..] => return Err(BeatError::Version(*version)),
            _ => return Err(BeatError::Malformed),
        }
        if !key.verify(body, tag) {
            return Err(BeatError::Authentication);
        }
        Self::decode(body)
    }
}

fn claim(octets: &[u8]) -> Result<Claim, BeatError> {
    let kind = match octets[1] {
        0 => ClaimKind::Holding,
        1 => ClaimKind::Offering(MemberId(octets[2])),
        2 => ClaimKind::Asking,
        3 => ClaimKind::Released,
        4 => ClaimKind::Wanting,
        5 => ClaimKind::Heard,
        _ => return Err(BeatError::Malformed),
    };
    Ok(Claim { service: ServiceId(octets[0]), kind, epoch: u64_at(octets, 4) })
}

fn grant(octets: &[u8]) -> Grant {
    Grant { service: ServiceId(octets[0]), epoch: u64_at(octets, 4), sent_at: u64_at(octets, 12) }
}

/// The big-endian number at `at`, which is inside.
fn u64_at(octets: &[u8], at: usize) -> u64 {
    octets[at..at + 8].iter().fold(0, |number, octet| number << 8 | u64::from(*octet))
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    octets[at..at + 4].iter().fold(0, |number, octet| number << 8 | u32::from(*octet))
}

/// The secret, made ready once.
#[derive(Clone)]
pub(crate) struct Key(Hmac<Sha256>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    pub(crate) fn new(secret: &Secret) -> Self {
        #[expect(clippy::unwrap_used, reason = "HMAC takes keys of any length")]
        Self(Hmac::new_from_slice(&secret.0).unwrap())
    }

    fn tag(&self, octets: &[u8]) -> [u8; TAG_BYTES] {
        let full = self.0.clone().chain_update(octets).finalize().into_bytes();
        std::array::from_fn(|at| full[at])
    }

    fn verify(&self, octets: &[u8], tag: &[u8; TAG_BYTES]) -> bool {
        self.0.clone().chain_update(octets).verify_truncated_left(tag).is_ok()
    }
}

/// Which sequence numbers were seen: the highest and 63 before it (RFC 4303 §3.4.3 does the same).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    highest: u64,
    seen: u64,
}

impl Window {
    /// Whether `sequence` is new; then it is marked.
    pub(crate) fn take(&mut self, sequence: u64) -> bool {
        if sequence > self.highest {
            let ahead = sequence - self.highest;
            self.seen = if ahead < 64 { self.seen << ahead } else { 0 } | 1;
            self.highest = sequence;
            return true;
        }
        let behind = self.highest - sequence;
        if sequence == 0 || behind >= 64 || self.seen >> behind & 1 == 1 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

/// Panics where what is read from a beat without a tag reads otherwise when it is written again.
#[doc(hidden)]
pub fn reads_what_it_writes(octets: &[u8]) {
    if let Ok(beat) = Beat::decode(octets) {
        assert_eq!(Beat::decode(&beat.encode()), Ok(beat));
    }
}

/// Any octets with a tag that is right.
#[doc(hidden)]
pub fn seal(secret: &Secret, mut octets: Vec<u8>) -> Vec<u8> {
    let tag = Key::new(secret).tag(&octets);
    octets.extend_from_slice(&tag);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(octet: u8) -> Key {
        Key::new(&Secret::new(vec![octet; 32]))
    }

    fn beat() -> Beat {
        Beat {
            sender: MemberId(1),
            receiver: MemberId(0),
            fit: true,
            maintenance: false,
            fingerprint: 7,
            incarnation: 11,
            sequence: 3,
            sent_at: 99,
            echo: Echo { incarnation: 5, sent_at: 6, held_ns: 7 },
            load: 500,
            claims: vec![Claim { service: ServiceId(0), kind: ClaimKind::Offering(MemberId(2)), epoch: 4 }],
            grants: vec![Grant { service: ServiceId(1), epoch: 9, sent_at: 98 }],
        }
    }

    #[test]
    fn a_beat_says_the_same_on_the_other_side() {
        let octets = beat().seal(&key(1));
        assert_eq!(octets.len(), HEADER_BYTES + CLAIM_BYTES + GRANT_BYTES + TAG_BYTES);
        assert_eq!(Beat::open(&key(1), &octets), Ok(beat()));
    }

    #[test]
    fn any_octet_that_changed_is_seen_and_so_is_another_secret() {
        let octets = beat().seal(&key(1));
        for at in 0..octets.len() {
            let mut changed = octets.clone();
            changed[at] ^= 0x10;
            assert!(Beat::open(&key(1), &changed).is_err(), "octet {at}");
        }
        assert_eq!(Beat::open(&key(2), &octets), Err(BeatError::Authentication));
    }

    #[test]
    fn a_later_version_is_named_before_its_tag_is_looked_at() {
        let mut octets = beat().seal(&key(1));
        octets[4] = 2;
        let error = Beat::open(&key(1), &octets).unwrap_err();
        assert_eq!(error.to_string(), "a heartbeat of version 2; this node speaks version 1");
    }

    #[test]
    fn lengths_that_do_not_agree_are_no_beat() {
        let octets = beat().encode();
        for len in 0..octets.len() {
            assert_eq!(Beat::decode(&octets[..len]), Err(BeatError::Malformed), "{len}");
        }
        let mut many = octets.clone();
        many[58] = 200;
        assert_eq!(Beat::decode(&many), Err(BeatError::Malformed));
        let mut unknown = octets;
        unknown[HEADER_BYTES + 1] = 6;
        assert_eq!(Beat::decode(&unknown), Err(BeatError::Malformed));
    }

    #[test]
    fn a_sequence_number_is_taken_once_and_in_any_order_within_64() {
        let mut window = Window::default();
        assert!(!window.take(0));
        assert!(window.take(1) && !window.take(1));
        assert!(window.take(64) && window.take(2) && !window.take(2) && !window.take(1));
        assert!(window.take(65) && window.take(3));
        assert!(window.take(1000) && !window.take(3) && !window.take(936) && window.take(937));
    }
}
