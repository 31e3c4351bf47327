//! Which keys an offer brings, which an answer takes (RFC 4568 §5.1, §7.1).

use std::net::SocketAddr;

use tandem_contract::{CryptoSuite, LegCrypto};

use crate::crypto::{CryptoLine, SrtpPolicy};
use crate::description::MediaDescription;
use crate::negotiation::{Agreement, AnswerError, Negotiation, OfferError};
use crate::write::AudioLine;

impl Negotiation {
    /// The keys of our next offer. Once something was agreed it is offered again and nothing beside it: plain RTP, or the
    /// suite with the key that we protect our packets with (RFC 4568 §7.1.4).
    pub(crate) fn offered_keys(&mut self) -> Vec<CryptoLine> {
        if self.security.policy == SrtpPolicy::Off {
            return Vec::new();
        }
        let said = self.said_audio();
        if let Some(agreement) = self.agreement() {
            let agreed = |line: &&CryptoLine| agreement.crypto.is_some_and(|crypto| crypto.send == line.key);
            return said.and_then(|audio| audio.crypto.iter().find(agreed)).cloned().into_iter().collect();
        }
        if let Some(audio) = said {
            return audio.crypto.clone();
        }
        let suites = self.security.suites.clone();
        (1..).zip(suites).map(|(tag, suite)| self.new_key(tag, suite)).collect()
    }

    /// The peer's line that an answer to `media` takes: the first that is of use, as the offerer prefers (RFC 4568 §7.1.2).
    /// `None` for plain RTP.
    pub(crate) fn answered_keys<'m>(&self, media: &'m MediaDescription) -> Result<Option<&'m CryptoLine>, OfferError> {
        let is_demanded = media.is_secure_rtp();
        match self.security.policy {
            SrtpPolicy::Off if is_demanded => return Err(OfferError::SrtpRefused),
            SrtpPolicy::Off => return Ok(None),
            SrtpPolicy::Optional | SrtpPolicy::Required => {}
        }
        let is_ours = |line: &&CryptoLine| self.security.suites.contains(&line.key.suite());
        let usable = media.crypto.iter().flatten().find(is_ours);
        if usable.is_some() || (self.security.policy == SrtpPolicy::Optional && !is_demanded) {
            return Ok(usable);
        }
        Err(match media.crypto.iter().find_map(|line| line.as_ref().err()) {
            _ if media.crypto.iter().any(Result::is_ok) => OfferError::NoCommonSuite,
            Some(error) => OfferError::KeysUnusable(*error),
            None => OfferError::NoKeys,
        })
    }

    /// Our line of the answer to the peer's `line`. Our key stays as long as the peer's key and address do; whoever came in
    /// the peer's place knows nothing of what our key protected before.
    pub(crate) fn own_key(
        &mut self,
        line: &CryptoLine,
        remote: Option<SocketAddr>,
        before: Option<&Agreement>,
    ) -> CryptoLine {
        let moved = |before: &Agreement| before.remote.is_some() && remote.is_some() && before.remote != remote;
        let kept = before.filter(|before| !moved(before)).and_then(|before| before.crypto);
        match kept.filter(|kept| kept.receive == line.key) {
            Some(kept) => CryptoLine { tag: line.tag, key: kept.send },
            None => self.new_key(line.tag, line.key.suite()),
        }
    }

    /// The keys that the peer's answer took from `ours`; `None` for plain RTP.
    pub(crate) fn agreed_keys(
        &self,
        ours: &AudioLine,
        media: &MediaDescription,
    ) -> Result<Option<LegCrypto>, AnswerError> {
        let lines = media.crypto.iter().flatten();
        let chosen = lines.filter_map(|theirs| {
            let fits = |own: &&CryptoLine| own.tag == theirs.tag && own.key.suite() == theirs.key.suite();
            Some(LegCrypto { send: ours.crypto.iter().find(fits)?.key, receive: theirs.key })
        });
        // Exactly one line is allowed; of several the first counts.
        let chosen = chosen.into_iter().next();
        let is_demanded = self.security.policy == SrtpPolicy::Required || media.is_secure_rtp();
        // A line that took a key we offered, and brings none we can use, means that the peer encrypts.
        let is_unclear = !ours.crypto.is_empty() && !media.crypto.is_empty();
        match chosen {
            None if is_demanded || is_unclear => Err(AnswerError::KeysDiffer),
            chosen => Ok(chosen),
        }
    }

    fn new_key(&mut self, tag: u32, suite: CryptoSuite) -> CryptoLine {
        let key = self.security.keys.key(self.keys_made, suite);
        self.keys_made += 1;
        CryptoLine { tag, key }
    }
}
