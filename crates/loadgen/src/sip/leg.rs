//! What one leg offers or answers: its own codec, packet time and keys, and nothing else.

use std::net::SocketAddr;

use tandem_contract::{Codec, Direction};
use tandem_sdp::{Agreement, Capabilities, KeySeed, Negotiation, RtcpMux, Security, SessionDescription, SrtpPolicy};

use crate::{PlannedCall, RemoteLeg};

/// One leg's side of offer and answer.
pub(super) struct LegTalk {
    negotiation: Negotiation,
    codec: Codec,
    wants_keys: bool,
}

impl LegTalk {
    /// Leg `side` of a call.
    pub(super) fn new(planned: &PlannedCall, side: usize, random: &mut fastrand::Rng) -> Self {
        let speech = planned.kind.legs[side];
        let codec = speech.codec.contract();
        let capabilities = Capabilities {
            codecs: vec![codec],
            ptime_ms: speech.ptime_ms,
            annexb: false,
            comfort_noise: false,
            telephone_event: false,
            rtcp_mux: RtcpMux::Off,
        };
        let suites: Vec<_> = speech.protection.map(|protection| protection.suite()).into_iter().collect();
        let wants_keys = !suites.is_empty();
        let mut seed = [0; 32];
        random.fill(&mut seed);
        let policy = if wants_keys { SrtpPolicy::Required } else { SrtpPolicy::Off };
        let security = Security { policy, suites, keys: KeySeed::new(seed) };
        let local = SocketAddr::V4(planned.local[side]);
        let negotiation = Negotiation::new(random.u64(..) >> 11, local, capabilities).with_security(security);
        Self { negotiation, codec, wants_keys }
    }

    /// The offer of a caller.
    pub(super) fn offer(&mut self) -> String {
        self.negotiation.offer(&[self.codec], Direction::SendRecv)
    }

    /// What the answer to it says.
    pub(super) fn on_answer(&mut self, body: &[u8]) -> Result<RemoteLeg, String> {
        let answer = SessionDescription::parse(body).map_err(|error| format!("its answer to an offer: {error}"))?;
        let agreement =
            self.negotiation.on_answer(&answer).map_err(|error| format!("its answer to an offer: {error}"))?;
        self.remote(&agreement).map_err(|why| format!("its answer to an offer: {why}"))
    }

    /// The answer of a callee, and what it agrees to.
    pub(super) fn answer(&mut self, body: &[u8]) -> Result<(String, RemoteLeg), String> {
        let mut offer = SessionDescription::parse(body).map_err(|error| format!("its offer: {error}"))?;
        // The packet time is this leg's, not what the gateway would like.
        offer.media.iter_mut().for_each(|media| media.ptime_ms = None);
        let answer = self.negotiation.answer(&offer, &[self.codec], Direction::SendRecv);
        let (text, agreement) = answer
            .map_err(|error| format!("its offer to a callee that speaks {}: {error}", self.codec.encoding_name()))?;
        let remote = self.remote(&agreement).map_err(|why| format!("its offer: {why}"))?;
        Ok((text, remote))
    }

    fn remote(&self, agreement: &Agreement) -> Result<RemoteLeg, String> {
        let Some(SocketAddr::V4(address)) = agreement.remote else {
            return Err("no IPv4 address to send media to".to_owned());
        };
        if agreement.direction != Direction::SendRecv {
            return Err("media is not to go both ways".to_owned());
        }
        if agreement.crypto.is_some() != self.wants_keys {
            return Err("no keys for SRTP".to_owned());
        }
        Ok(RemoteLeg { address, crypto: agreement.crypto })
    }
}
