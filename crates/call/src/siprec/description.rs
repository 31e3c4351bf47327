//! What a recording server is told: two streams and how they are protected (RFC 7866 §7.1.1), and of whose voice (RFC 7865).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use tandem_contract::{Codec, LegSide, MasterKey};
use tandem_sdp::{CryptoLine, KeySeed, MediaDescription, SrtpPolicy};
use tandem_sip::header::NameAddr;

use super::metadata::Metadata;
use crate::call::Call;
use crate::config::Peer;
use crate::output::CallNumber;
use crate::record::UnixMillis;

/// Between the parts of the INVITE's body; it occurs in none of them.
pub(super) const BOUNDARY: &str = "tandem-recording-session";

/// A call, as far as its recording is concerned: what differs from what the server knows has it told anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// The caller's voice and the callee's.
    pub(super) streams: [Stream; 2],
    /// The caller and the callee.
    pub(super) parties: [Party; 2],
}

/// The copies of what one side says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stream {
    local: SocketAddr,
    format: Option<StreamFormat>,
    /// The side is not on hold, nor holds without a word.
    pub(super) speaks: bool,
    /// The side hears the other one.
    pub(super) hears: bool,
}

/// The payload types that the side's peer uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StreamFormat {
    codec: Codec,
    payload_type: u8,
    telephone_event: Option<u8>,
}

/// Who is on one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Party {
    /// Our tag of the dialog, which is another one for everybody who comes.
    dialog: String,
    pub(super) aor: String,
}

impl Told {
    pub(super) fn of(call: &Call) -> Self {
        Self {
            streams: LegSide::BOTH.map(|side| Stream::of(call, side)),
            parties: LegSide::BOTH.map(|side| Party::of(call, side)),
        }
    }
}

impl Stream {
    fn of(call: &Call, side: LegSide) -> Self {
        let agreement = call.leg(side).negotiation.agreement();
        let format = agreement.map(|agreed| StreamFormat {
            codec: agreed.format.codec,
            payload_type: agreed.format.receive_payload_type.into(),
            telephone_event: agreed.format.receive_telephone_event.or(agreed.format.telephone_event).map(u8::from),
        });
        Self {
            local: call.media.reservation.local(side),
            format,
            speaks: agreement.is_some_and(|agreed| agreed.direction.receives()),
            hears: agreement.is_some_and(|agreed| agreed.direction.sends()),
        }
    }

    /// Ticks per second of its timestamps.
    pub(super) fn clock_hz(&self) -> u32 {
        self.format.map_or(0, |format| format.codec.clock_rate_hz())
    }

    fn write(&self, sdp: &mut String, label: u8, protection: &Protection) {
        let host = host(self.local.ip());
        // Writing to a string does not fail.
        let Some(StreamFormat { codec, payload_type: number, telephone_event }) = self.format else {
            let profile = protection.profile();
            let _ = write!(sdp, "m=audio 0 {profile} 0\r\nc={host}\r\na=label:{label}\r\n");
            return;
        };
        let clock = codec.clock_rate_hz();
        let mut formats = number.to_string();
        // Opus is always said to have two channels (RFC 7587 §7).
        let channels = if codec == Codec::Opus { "/2" } else { "" };
        let mut lines = format!("a=rtpmap:{number} {}/{clock}{channels}\r\n", codec.encoding_name());
        if let Some(events) = telephone_event {
            let _ = write!(formats, " {events}");
            let _ = write!(lines, "a=rtpmap:{events} telephone-event/{clock}\r\n");
        }
        for line in &protection.lines[usize::from(label) - 1] {
            let _ = write!(lines, "a=crypto:{}\r\n", line.value());
        }
        let direction = if self.speaks { "sendonly" } else { "inactive" };
        let (port, profile) = (self.local.port(), protection.profile());
        let _ = write!(
            sdp,
            "m=audio {port} {profile} {formats}\r\nc={host}\r\n{lines}a={direction}\r\na=label:{label}\r\n"
        );
    }
}

impl Party {
    fn of(call: &Call, side: LegSide) -> Self {
        let leg = call.leg(side);
        let first = match side {
            LegSide::A => &call.record.from,
            LegSide::B => &call.record.to,
        };
        let address = NameAddr::parse(&leg.dialog.remote_address).ok();
        let uri = address.and_then(|address| address.uri().ok().map(|uri| uri.to_string()));
        let aor = uri.filter(|_| leg.stands_in).unwrap_or_else(|| first.clone());
        Self { dialog: leg.tag().to_owned(), aor }
    }
}

/// How the copies are protected (SDES, RFC 4568).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Protection {
    policy: SrtpPolicy,
    /// What each stream's copies may be protected with; once the server has chosen, that alone.
    lines: [Vec<CryptoLine>; 2],
}

/// An answer that leaves open how a stream is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeysDiffer;

impl Protection {
    /// As the server's peer has it.
    pub(super) fn new(peer: &Peer, mut seed: impl FnMut() -> KeySeed) -> Self {
        let policy = peer.srtp;
        if policy == SrtpPolicy::Off {
            return Self::default();
        }
        let seeds = [(); 2].map(|()| seed());
        Self { policy, lines: seeds.map(|seed| seed.lines(&peer.srtp_suites)) }
    }

    fn profile(&self) -> &'static str {
        if self.policy == SrtpPolicy::Required { "RTP/SAVP" } else { "RTP/AVP" }
    }

    /// The key that the answer chose for a stream's copies; `None` for copies in the clear.
    pub(super) fn agreed(&mut self, stream: usize, answer: &MediaDescription) -> Result<Option<MasterKey>, KeysDiffer> {
        let lines = &mut self.lines[stream];
        let chosen =
            answer.crypto.iter().flatten().find_map(|theirs| {
                lines.iter().find(|own| own.tag == theirs.tag && own.key.suite() == theirs.key.suite())
            });
        if let Some(line) = chosen.cloned() {
            let key = line.key;
            *lines = vec![line];
            return Ok(Some(key));
        }
        let is_demanded = self.policy == SrtpPolicy::Required || answer.is_secure_rtp();
        // A line that took a key, and names none of ours, means that the server decrypts.
        if is_demanded || !lines.is_empty() && !answer.crypto.is_empty() {
            return Err(KeysDiffer);
        }
        lines.clear();
        Ok(None)
    }
}

/// All that a server is told of one call, and has been.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) told: Told,
    pub(super) protection: Protection,
    metadata: Metadata,
    /// `<sess-version>` of the offer that was made last.
    version: u64,
}

impl Description {
    pub(super) fn new(told: Told, protection: Protection, id: impl FnMut() -> String, now: UnixMillis) -> Self {
        let metadata = Metadata::new(&told, id, now);
        Self { told, protection, metadata, version: 0 }
    }

    /// The call is like that now.
    pub(super) fn change(&mut self, told: Told, id: impl FnMut() -> String, now: UnixMillis) {
        self.metadata.change(&told, id, now);
        self.told = told;
    }

    /// The body of the next INVITE: an offer, and the metadata in full.
    pub(super) fn body(&mut self, call: CallNumber) -> String {
        self.version += 1;
        let parts = [
            ("application/sdp", "", self.offer(call)),
            (
                "application/rs-metadata+xml",
                "Content-Disposition: recording-session\r\n",
                self.metadata.document(&self.told),
            ),
        ];
        let mut body = String::new();
        for (kind, more, content) in parts {
            let _ = write!(body, "--{BOUNDARY}\r\nContent-Type: {kind}\r\n{more}\r\n{content}\r\n");
        }
        body + "--" + BOUNDARY + "--\r\n"
    }

    /// Two streams that are only sent, labelled 1 and 2: the caller's voice and the callee's.
    fn offer(&self, call: CallNumber) -> String {
        let [a, _] = &self.told.streams;
        let mut sdp = format!("v=0\r\no=- {} {} {}\r\ns=-\r\nt=0 0\r\n", call.0, self.version, host(a.local.ip()));
        for (stream, label) in self.told.streams.iter().zip(1..) {
            stream.write(&mut sdp, label, &self.protection);
        }
        sdp
    }
}

fn host(address: IpAddr) -> String {
    format!("IN IP{} {address}", if address.is_ipv4() { 4 } else { 6 })
}
