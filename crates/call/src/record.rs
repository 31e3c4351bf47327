use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tandem_contract::{Codec, CryptoSuite, LegCounters};

use crate::CallNumber;
use crate::stir::IdentityRecord;

/// A moment of the wall clock, written as RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub u64);

impl Serialize for UnixMillis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The last moment that the format can write is 9999-12-31T23:59:59.999Z.
        const LAST: u64 = 253_402_300_799_999;
        let since_epoch = std::time::Duration::from_millis(self.0.min(LAST));
        serializer.collect_str(&humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + since_epoch))
    }
}

impl<'de> Deserialize<'de> for UnixMillis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = humantime::parse_rfc3339(&text).map_err(D::Error::custom)?;
        let since_epoch = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(Self(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Who or what ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The caller hung up or gave up.
    Caller,
    /// The callee hung up or declined.
    Callee,
    /// The gateway refused the call, or ended it for a reason of its own that `cause` names.
    Gateway,
}

/// One leg's share of a call record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LegRecord {
    /// The peer's name; empty where it never became known.
    pub peer: String,
    /// The SIP Call-ID of this side's dialog; empty where there was none.
    pub call_id: String,
    /// The codec last negotiated.
    #[serde(serialize_with = "serialize_codec", deserialize_with = "deserialize_codec")]
    pub codec: Option<Codec>,
    /// The crypto suite where the leg spoke SRTP.
    #[serde(serialize_with = "serialize_suite", deserialize_with = "deserialize_suite")]
    pub srtp: Option<CryptoSuite>,
    /// Where the peer's RTP went to, last.
    pub local_media: Option<std::net::SocketAddr>,
    /// Where our RTP went to, last.
    pub remote_media: Option<std::net::SocketAddr>,
    /// RTP packets accepted from the peer.
    pub packets_received: u64,
    /// Payload octets accepted from the peer.
    pub octets_received: u64,
    /// RTP packets sent to the peer.
    pub packets_sent: u64,
    /// Payload octets sent to the peer.
    pub octets_sent: u64,
    /// Packets the peer sent that did not arrive (RFC 3550 §A.3).
    pub packets_lost: u64,
    /// Packets of this leg that were dropped.
    pub packets_dropped: u64,
    /// Interarrival jitter at the end (RFC 3550 §A.8) in microseconds.
    pub jitter_us: u32,
    /// Time to the peer and back in microseconds, from its RTCP; 0 where it sent none that tells.
    pub round_trip_us: u32,
    /// Packets of ours that did not arrive at the peer, from its RTCP.
    pub peer_packets_lost: u32,
    /// Mean opinion score (ITU-T G.107) of what came from the peer, in hundredths, written as 1.00 to 4.50; null without a packet.
    #[serde(serialize_with = "serialize_mos", deserialize_with = "deserialize_mos")]
    pub mos_received: u16,
    /// The same of what the peer heard, from its RTCP; null where it sent none.
    #[serde(serialize_with = "serialize_mos", deserialize_with = "deserialize_mos")]
    pub mos_sent: u16,
}

impl LegRecord {
    pub(crate) fn count(&mut self, counters: &LegCounters) {
        self.packets_received = counters.packets_received;
        self.octets_received = counters.octets_received;
        self.packets_sent = counters.packets_sent;
        self.octets_sent = counters.octets_sent;
        self.packets_lost = counters.packets_lost;
        self.packets_dropped = counters.packets_dropped;
        self.jitter_us = counters.jitter_us;
        self.round_trip_us = counters.round_trip_us;
        self.peer_packets_lost = counters.peer_packets_lost;
        self.mos_received = counters.mos_received;
        self.mos_sent = counters.mos_sent;
    }
}

/// A peer that was called and did not take the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriedPeer {
    /// Its name.
    pub peer: String,
    /// The SIP status of its answer; 0 where it gave none.
    pub status: u16,
    /// Why it did not, in words.
    pub reason: String,
}

/// What is kept of a call attempt: exactly one per INVITE that began a call, also where it was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The call; what [`crate::Switch::on_record_written`] wants back.
    pub number: CallNumber,
    /// The `From` URI of the caller's INVITE.
    pub from: String,
    /// The `To` URI of the caller's INVITE.
    pub to: String,
    /// The Request-URI as the caller sent it.
    pub request_uri: String,
    /// The Request-URI as the callee was sent it; empty where the call never got so far.
    pub routed_uri: String,
    /// The route taken; empty where none was.
    pub route: String,
    /// Peers that were called and did not take the call, in the order in which they were given up.
    #[serde(default)]
    pub tried: Vec<TriedPeer>,
    /// When the INVITE came.
    pub started: UnixMillis,
    /// When the callee answered.
    pub answered: Option<UnixMillis>,
    /// When the call was over.
    pub ended: UnixMillis,
    /// Milliseconds from the INVITE to its final answer (RFC 6076 session request delay where it was refused).
    pub setup_ms: u64,
    /// Milliseconds from the answer to the end; 0 where there was no answer.
    pub duration_ms: u64,
    /// The final SIP status of the caller's INVITE.
    pub status: u16,
    /// Why the call ended, in words.
    pub reason: String,
    /// The same as a cause value of Q.850 (RFC 3326, RFC 3398 §8.2.6.1).
    pub q850: u8,
    /// Who ended it.
    pub ended_by: Ended,
    /// What came of checking the caller's identity; null where nobody looked.
    #[serde(default)]
    pub identity: Option<IdentityRecord>,
    /// Files that the call was recorded to.
    pub recordings: Vec<String>,
    /// The caller's side.
    pub caller: LegRecord,
    /// The callee's side.
    pub callee: LegRecord,
}

/// A score in hundredths as a number, where there is one.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn serialize_mos<S: Serializer>(hundredths: &u16, serializer: S) -> Result<S::Ok, S::Error> {
    match hundredths {
        0 => serializer.serialize_none(),
        score => serializer.serialize_f64(f64::from(*score) / 100.0),
    }
}

pub(crate) fn serialize_codec<S: Serializer>(codec: &Option<Codec>, serializer: S) -> Result<S::Ok, S::Error> {
    match codec {
        Some(codec) => serializer.serialize_some(codec.encoding_name()),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn serialize_suite<S: Serializer>(suite: &Option<CryptoSuite>, serializer: S) -> Result<S::Ok, S::Error> {
    match suite {
        Some(suite) => serializer.serialize_some(suite.name()),
        None => serializer.serialize_none(),
    }
}

fn deserialize_mos<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let score = Option::<f64>::deserialize(deserializer)?;
    Ok(score.map_or(0, |score| (score * 100.0).round().clamp(0.0, 500.0) as u16))
}

fn deserialize_codec<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Codec>, D::Error> {
    let Some(name) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let known = Codec::ALL.into_iter().find(|codec| codec.encoding_name() == name);
    known.map(Some).ok_or_else(|| D::Error::custom("no codec of that name"))
}

fn deserialize_suite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<CryptoSuite>, D::Error> {
    let Some(name) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    CryptoSuite::from_name(&name).map(Some).ok_or_else(|| D::Error::custom("no crypto suite of that name"))
}
