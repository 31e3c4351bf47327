use std::net::SocketAddr;

use tandem_contract::{Codec, Direction, Format, LegCrypto, PayloadType, RtcpTransport};
use thiserror::Error;

use crate::attributes::{RtcpMux, rtcp_transport};
use crate::crypto::{CryptoError, Security, SrtpPolicy};
use crate::description::{MediaDescription, SessionDescription};
use crate::encoding::Encoding;
use crate::write::{AudioLine, MediaLine, write};

/// What we are able and willing to speak on a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Capabilities {
    /// Codecs, preferred first.
    pub codecs: Vec<Codec>,
    /// Milliseconds of speech per packet, where the peer has no wish.
    pub ptime_ms: u8,
    /// Whether Annex B of G.729 may be used.
    pub annexb: bool,
    /// Whether comfort noise (RFC 3389) may be used in place of silence, beside codecs that do not describe it themselves.
    pub comfort_noise: bool,
    /// Whether RFC 4733 telephone events are spoken.
    pub telephone_event: bool,
    /// Whether RTP and RTCP may share a port.
    pub rtcp_mux: RtcpMux,
}

/// What an offer and its answer agreed on, from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Agreement {
    /// Where RTP goes; `None` while the peer wants none.
    pub remote: Option<SocketAddr>,
    /// Where RTCP goes.
    pub rtcp: RtcpTransport,
    /// What is spoken.
    pub format: Format,
    /// Which way media goes.
    pub direction: Direction,
    /// The keys, where SRTP is spoken.
    pub crypto: Option<LegCrypto>,
}

/// What an offer has for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferReview {
    /// The codecs both sides speak, in the order of the offer; never empty.
    pub codecs: Vec<Codec>,
    /// The widest direction our answer may have.
    pub direction: Direction,
}

/// Why an offer cannot be accepted (488, RFC 3261 §21.4.26).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OfferError {
    /// No audio over RTP, or over SRTP where that is spoken.
    #[error("no audio stream over RTP is offered")]
    NoAudio,
    /// SRTP is offered and not spoken with this peer.
    #[error("SRTP is not spoken here")]
    SrtpRefused,
    /// SRTP is demanded, by us or by the offer, and there are no keys (RFC 4568 §7.1.2).
    #[error("SRTP needs an a=crypto line")]
    NoKeys,
    /// Keys are there, and none can be used; why the first cannot.
    #[error("no a=crypto line can be used: {0}")]
    KeysUnusable(CryptoError),
    /// The suites of the offer are not among those that are spoken with this peer.
    #[error("no crypto suite in common")]
    NoCommonSuite,
    /// No codec in common.
    #[error("no codec in common")]
    NoCommonCodec,
    /// No IP address to send to: none at all, a host name, or a multicast group.
    #[error("the audio stream has no unicast IP address")]
    NoAddress,
    /// An IPv6 address where we have an IPv4 address for this peer, or the other way round.
    #[error("the audio stream's address is not of the family, IPv4 or IPv6, that is spoken here")]
    AddressFamily,
    /// A re-offer with fewer media lines than before (RFC 3264 §8).
    #[error("media lines are missing that were there before")]
    MediaLinesMissing,
}

/// Why an answer does not fit its offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// There is no offer that it could answer.
    #[error("no offer was made")]
    NoOffer,
    /// Another number of media lines, or other kinds, than were offered (RFC 3264 §6).
    #[error("the media lines are not those of the offer")]
    MediaLinesDiffer,
    /// The audio stream was refused with port 0.
    #[error("the audio stream was refused")]
    AudioRefused,
    /// None of the offered codecs is left.
    #[error("no offered codec is in the answer")]
    NoCommonCodec,
    /// No IP address to send to.
    #[error("the audio stream has no unicast IP address")]
    NoAddress,
    /// An IPv6 address to an offer of an IPv4 address, or the other way round.
    #[error("the audio stream's address is not of the offer's family, IPv4 or IPv6")]
    AddressFamily,
    /// SRTP was agreed on without keys, or with a key that fits none we offered (RFC 4568 §7.1.3).
    #[error("the answer has no a=crypto line that fits the offer")]
    KeysDiffer,
}

/// One leg's side of the offer/answer exchange (RFC 3264).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Negotiation {
    session_id: u64,
    local: SocketAddr,
    capabilities: Capabilities,
    pub(crate) security: Security,
    /// How many keys were made.
    pub(crate) keys_made: u64,
    /// What we said last; empty before the first time.
    said: Vec<MediaLine>,
    /// `<sess-version>` of that.
    version: u64,
    /// Our payload type of each codec that was ever mentioned: it never changes meaning (RFC 3264 §8.3.2).
    numbers: Vec<(Codec, PayloadType)>,
    /// The same for telephone events, by clock rate.
    event_numbers: Vec<(u32, PayloadType)>,
    /// The same for comfort noise.
    noise_number: Option<PayloadType>,
    /// Payload types the peer gave a meaning to, one bit each.
    taken: u128,
    offered: bool,
    agreement: Option<Agreement>,
}

impl Negotiation {
    /// A leg that receives RTP at `local`. `session_id` goes into `o=` and must say nothing to the peer.
    pub fn new(session_id: u64, local: SocketAddr, capabilities: Capabilities) -> Self {
        Self {
            session_id,
            local,
            capabilities,
            security: Security::default(),
            keys_made: 0,
            said: Vec::new(),
            version: 0,
            numbers: Vec::new(),
            event_numbers: Vec::new(),
            noise_number: None,
            taken: 0,
            offered: false,
            agreement: None,
        }
    }

    /// The same leg, with SRTP as `security` says.
    #[must_use]
    pub fn with_security(self, security: Security) -> Self {
        Self { security, ..self }
    }

    /// We receive RTP at `local` from now on. The peer learns that from our next offer or answer.
    pub const fn move_to(&mut self, local: SocketAddr) {
        self.local = local;
    }

    /// What was agreed last.
    pub const fn agreement(&self) -> Option<&Agreement> {
        self.agreement.as_ref()
    }

    /// Where we receive RTP.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// What we are able to speak here.
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// An offer of `codecs`, preferred first. Those beyond our capabilities are left out; where none is left, all of
    /// ours are offered. An offer equal to what we said last repeats its version (RFC 3264 §8).
    pub fn offer(&mut self, codecs: &[Codec], direction: Direction) -> String {
        let own = &self.capabilities.codecs;
        let mut offered: Vec<Codec> = Vec::with_capacity(own.len());
        for codec in codecs.iter().filter(|codec| own.contains(codec)) {
            if !offered.contains(codec) {
                offered.push(*codec);
            }
        }
        if offered.is_empty() {
            offered.clone_from(own);
        }
        let codecs: Vec<_> = offered.into_iter().map(|codec| (codec, self.number_of(codec))).collect();
        let mut telephone_events = Vec::new();
        if self.capabilities.telephone_event {
            let mut rates: Vec<u32> = codecs.iter().map(|(codec, _)| codec.clock_rate_hz()).collect();
            rates.sort_unstable();
            rates.dedup();
            telephone_events = rates.into_iter().map(|rate| (self.event_number_of(rate), rate)).collect();
        }
        let crypto = self.offered_keys();
        let is_multiplexed = self.agreement.is_some_and(|agreed| agreed.rtcp == RtcpTransport::Multiplexed);
        let takes_noise = codecs.iter().any(|(codec, _)| codec.takes_comfort_noise());
        let audio = AudioLine {
            protocol: if self.security.policy == SrtpPolicy::Required { "RTP/SAVP" } else { "RTP/AVP" }.to_owned(),
            local: self.local,
            comfort_noise: (self.capabilities.comfort_noise && takes_noise).then(|| self.noise_number()),
            codecs,
            telephone_events,
            annexb: self.capabilities.annexb,
            ptime_ms: self.capabilities.ptime_ms,
            direction,
            rtcp_mux: self.capabilities.rtcp_mux.is_offered(is_multiplexed),
            // We have nothing to send in parts, and take what comes: it is said again where it was agreed on.
            rtcp_reduced_size: self.said_audio().is_some_and(|audio| audio.rtcp_reduced_size),
            crypto,
        };
        let mut lines = self.said.clone();
        match lines.iter_mut().find_map(|line| match line {
            MediaLine::Audio(audio) => Some(audio),
            MediaLine::Rejected { .. } => None,
        }) {
            Some(known) => *known = AudioLine { protocol: known.protocol.clone(), ..audio },
            None => lines.push(MediaLine::Audio(audio)),
        }
        self.offered = true;
        self.say(lines)
    }

    /// The peer's answer to our last offer. May come more than once for one offer (in a 183 and in the 200, RFC 6337
    /// §3.1.1); the last one counts.
    ///
    /// A direction that the offer does not allow is narrowed to what both sides said, because peers that forget the
    /// attribute are common.
    pub fn on_answer(&mut self, answer: &SessionDescription) -> Result<Agreement, AnswerError> {
        if !self.offered {
            return Err(AnswerError::NoOffer);
        }
        let same_kind = |(line, media): (&MediaLine, &MediaDescription)| match line {
            MediaLine::Audio(_) => media.kind.eq_ignore_ascii_case("audio"),
            MediaLine::Rejected { kind, .. } => media.kind.eq_ignore_ascii_case(kind),
        };
        if self.said.len() != answer.media.len() || !self.said.iter().zip(&answer.media).all(same_kind) {
            return Err(AnswerError::MediaLinesDiffer);
        }
        let (ours, media) = self
            .said
            .iter()
            .zip(&answer.media)
            .find_map(|(line, media)| match line {
                MediaLine::Audio(ours) => Some((ours, media)),
                MediaLine::Rejected { .. } => None,
            })
            .ok_or(AnswerError::NoOffer)?;
        if media.port == 0 {
            return Err(AnswerError::AudioRefused);
        }
        if !media.is_usable_audio() {
            return Err(AnswerError::MediaLinesDiffer);
        }
        if !has_unicast_address(media) {
            return Err(AnswerError::NoAddress);
        }
        if !self.is_of_our_family(media) {
            return Err(AnswerError::AddressFamily);
        }
        let crypto = self.agreed_keys(ours, media)?;
        let offered = |encoding: &Encoding| {
            let codec = encoding.codec()?;
            let (_, number) = ours.codecs.iter().find(|(offered, _)| *offered == codec)?;
            Some((codec, *number))
        };
        let (encoding, (codec, receive_payload_type)) = media
            .encodings
            .iter()
            .find_map(|encoding| Some((encoding, offered(encoding)?)))
            .ok_or(AnswerError::NoCommonCodec)?;
        let event_offered = ours.telephone_events.iter().find(|(_, rate)| *rate == codec.clock_rate_hz());
        let agreement = Agreement {
            remote: media.remote(),
            rtcp: rtcp_transport(ours.rtcp_mux, media),
            format: Format {
                receive_payload_type,
                ptime_ms: self.ptime_for(codec, media),
                annexb: codec == Codec::G729 && ours.annexb && encoding.fmtp.annexb(),
                // Payload type 13 means the same in both directions; who numbers it otherwise is sent nothing of it.
                comfort_noise: ours
                    .comfort_noise
                    .filter(|number| codec.takes_comfort_noise() && comfort_noise(media) == Some(*number)),
                telephone_event: event_offered.and(telephone_event(media, codec)),
                receive_telephone_event: event_offered.map(|(number, _)| *number),
                ..Format::new(codec, encoding.payload_type)
            },
            direction: narrowed(ours.direction, media),
            crypto,
        };
        self.agreement = Some(agreement);
        Ok(agreement)
    }

    /// Our last offer was refused: what was agreed before still holds (RFC 3261 §14.1).
    pub const fn withdraw_offer(&mut self) {
        self.offered = false;
    }

    /// What an offer has for us, before we decide on the answer.
    pub fn review(&self, offer: &SessionDescription) -> Result<OfferReview, OfferError> {
        let media = &offer.media[self.audio_position(offer)?];
        let mut codecs: Vec<Codec> = Vec::new();
        for codec in media.encodings.iter().filter_map(Encoding::codec) {
            if self.capabilities.codecs.contains(&codec) && !codecs.contains(&codec) {
                codecs.push(codec);
            }
        }
        if codecs.is_empty() {
            return Err(OfferError::NoCommonCodec);
        }
        if !has_unicast_address(media) {
            return Err(OfferError::NoAddress);
        }
        if !self.is_of_our_family(media) {
            return Err(OfferError::AddressFamily);
        }
        Ok(OfferReview { codecs, direction: narrowed(Direction::SendRecv, media) })
    }

    /// Answers an offer with one codec: the first of `preferred` that both sides speak, else the first in the offer's
    /// order. `direction` is what we want; the answer says no more than the offer allows. Streams we do not take are
    /// rejected in their place.
    pub fn answer(
        &mut self,
        offer: &SessionDescription,
        preferred: &[Codec],
        direction: Direction,
    ) -> Result<(String, Agreement), OfferError> {
        let review = self.review(offer)?;
        let before = self.agreement;
        let codec = preferred.iter().find(|codec| review.codecs.contains(codec)).unwrap_or(&review.codecs[0]);
        let position = self.audio_position(offer)?;
        let media = &offer.media[position];
        let encoding = media
            .encodings
            .iter()
            .find(|encoding| encoding.codec() == Some(*codec))
            .ok_or(OfferError::NoCommonCodec)?;
        let event = if self.capabilities.telephone_event { telephone_event(media, *codec) } else { None };
        let takes_noise = self.capabilities.comfort_noise && codec.takes_comfort_noise();
        let noise = comfort_noise(media).filter(|_| takes_noise);
        let format = Format {
            ptime_ms: self.ptime_for(*codec, media),
            annexb: *codec == Codec::G729 && self.capabilities.annexb && encoding.fmtp.annexb(),
            comfort_noise: noise,
            telephone_event: event,
            ..Format::new(*codec, encoding.payload_type)
        };
        let line = self.answered_keys(media)?;
        let rtcp_mux = media.rtcp_mux && self.capabilities.rtcp_mux != RtcpMux::Off;
        let mut agreement = Agreement {
            remote: media.remote(),
            rtcp: rtcp_transport(rtcp_mux, media),
            format,
            direction: narrowed(direction, media),
            crypto: None,
        };
        let own = line.map(|line| self.own_key(line, agreement.remote, before.as_ref()));
        agreement.crypto = line.zip(own.as_ref()).map(|(peer, own)| LegCrypto { send: own.key, receive: peer.key });
        let lines = offer.media.iter().enumerate().map(|(index, media)| {
            if index != position {
                return MediaLine::Rejected {
                    kind: media.kind.clone(),
                    protocol: media.protocol.clone(),
                    formats: media.formats.clone(),
                };
            }
            MediaLine::Audio(AudioLine {
                protocol: media.protocol.clone(),
                local: self.local,
                codecs: vec![(format.codec, format.payload_type)],
                comfort_noise: noise,
                telephone_events: event.map(|number| (number, codec.clock_rate_hz())).into_iter().collect(),
                annexb: format.annexb,
                ptime_ms: format.ptime_ms,
                direction: agreement.direction,
                rtcp_mux,
                rtcp_reduced_size: media.rtcp_reduced_size,
                crypto: own.iter().cloned().collect(),
            })
        });
        let lines = lines.collect();
        for encoding in &media.encodings {
            self.taken |= 1 << encoding.payload_type.get();
        }
        self.numbers.retain(|(known, number)| known != codec && *number != format.payload_type);
        self.numbers.push((*codec, format.payload_type));
        self.noise_number = comfort_noise(media).or(self.noise_number).filter(|number| *number != format.payload_type);
        self.numbers.retain(|(_, number)| Some(*number) != self.noise_number);
        self.event_numbers.retain(|(_, number)| Some(*number) != self.noise_number);
        if let Some(number) = event {
            self.event_numbers.retain(|(rate, _)| *rate != codec.clock_rate_hz());
            self.event_numbers.push((codec.clock_rate_hz(), number));
        }
        self.offered = false;
        self.agreement = Some(agreement);
        Ok((self.say(lines), agreement))
    }

    pub(crate) fn said_audio(&self) -> Option<&AudioLine> {
        self.said.iter().find_map(|line| match line {
            MediaLine::Audio(audio) => Some(audio),
            MediaLine::Rejected { .. } => None,
        })
    }

    /// Which media line carries our audio: the one that did before, else the first usable one.
    fn audio_position(&self, offer: &SessionDescription) -> Result<usize, OfferError> {
        if offer.media.len() < self.said.len() {
            return Err(OfferError::MediaLinesMissing);
        }
        let audio = |position: &usize| offer.media[*position].is_usable_audio();
        let usable = |position: &usize| audio(position) && self.answered_keys(&offer.media[*position]).is_ok();
        let before = self.said.iter().position(|line| matches!(line, MediaLine::Audio(_)));
        before.filter(usable).or_else(|| (0..offer.media.len()).find(usable)).ok_or_else(|| {
            let first = (0..offer.media.len()).find(audio).map(|position| self.answered_keys(&offer.media[position]));
            first.and_then(Result::err).unwrap_or(OfferError::NoAudio)
        })
    }

    /// Whether the peer can be sent to from our address; who holds with no address at all (RFC 2543 §B.5) says nothing of it.
    fn is_of_our_family(&self, media: &MediaDescription) -> bool {
        media.remote().is_none_or(|remote| remote.is_ipv4() == self.local.is_ipv4())
    }

    fn say(&mut self, lines: Vec<MediaLine>) -> String {
        if self.said != lines {
            self.version += 1;
            self.said = lines;
        }
        write(self.session_id, self.version, self.local.ip(), &self.said)
    }

    /// How long our packets are: what the peer wants as far as its maximum and the codec's frames allow.
    fn ptime_for(&self, codec: Codec, media: &MediaDescription) -> u8 {
        let wish = media.ptime_ms.filter(|&ptime| ptime > 0).unwrap_or(self.capabilities.ptime_ms.into());
        let most = media.maxptime_ms.filter(|&maxptime| maxptime > 0).unwrap_or(u16::MAX);
        let tens = (wish.min(most).clamp(10, 60) / 10) as u8;
        match (codec, tens) {
            // RFC 7587 §4.2: frames of 10, 20, 40 or 60 ms.
            (Codec::Opus, 3) => 20,
            (Codec::Opus, 5) => 40,
            _ => tens * 10,
        }
    }

    fn number_of(&mut self, codec: Codec) -> PayloadType {
        if let Some((_, number)) = self.numbers.iter().find(|(known, _)| *known == codec) {
            return *number;
        }
        let number = codec.static_payload_type().filter(|number| self.is_free(*number));
        let number = number.unwrap_or_else(|| self.free_number(96));
        self.numbers.push((codec, number));
        number
    }

    fn event_number_of(&mut self, clock_rate_hz: u32) -> PayloadType {
        if let Some((_, number)) = self.event_numbers.iter().find(|(rate, _)| *rate == clock_rate_hz) {
            return *number;
        }
        let number = self.free_number(101);
        self.event_numbers.push((clock_rate_hz, number));
        number
    }

    /// 13, unless the peer has given another number to comfort noise, or another meaning to 13.
    fn noise_number(&mut self) -> PayloadType {
        let usual = PayloadType::COMFORT_NOISE;
        let number =
            self.noise_number.unwrap_or_else(|| if self.is_free(usual) { usual } else { self.free_number(96) });
        self.noise_number = Some(number);
        number
    }

    fn is_free(&self, number: PayloadType) -> bool {
        self.taken & (1 << number.get()) == 0
            && self.numbers.iter().all(|(_, known)| *known != number)
            && self.event_numbers.iter().all(|(_, known)| *known != number)
            && self.noise_number != Some(number)
    }

    /// A dynamic payload type that means nothing yet, `from` where possible. There are 32, and fewer than ten of ours;
    /// to a peer that gave a meaning to all of them we repeat one.
    fn free_number(&self, from: u8) -> PayloadType {
        const LAST: PayloadType = PayloadType::new(127).expect("below 128");
        (from..=127).chain(96..from).filter_map(PayloadType::new).find(|number| self.is_free(*number)).unwrap_or(LAST)
    }
}

/// The part of our wish that the peer's direction and address allow.
fn narrowed(wish: Direction, media: &MediaDescription) -> Direction {
    Direction::new(wish.sends() && media.peer_receives(), wish.receives() && media.peer_sends())
}

/// The peer's payload type for telephone events on the clock of `codec` (RFC 4733 §2.1).
fn telephone_event(media: &MediaDescription, codec: Codec) -> Option<PayloadType> {
    let fits = |encoding: &&Encoding| encoding.is_telephone_event() && encoding.clock_rate_hz == codec.clock_rate_hz();
    media.encodings.iter().find(fits).map(|encoding| encoding.payload_type)
}

/// The peer's payload type for comfort noise on the clock of the codecs that take it (RFC 3389 §5).
fn comfort_noise(media: &MediaDescription) -> Option<PayloadType> {
    let fits = |encoding: &&Encoding| encoding.is_comfort_noise() && encoding.clock_rate_hz == 8000;
    media.encodings.iter().find(fits).map(|encoding| encoding.payload_type)
}

/// An unspecified address is one: it means hold.
fn has_unicast_address(media: &MediaDescription) -> bool {
    media.address.is_some_and(|address| !address.is_multicast())
}
