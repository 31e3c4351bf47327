use std::net::{IpAddr, SocketAddr};

use sdp_types::ParserError;
use tandem_contract::Direction;
use thiserror::Error;

use crate::attributes::{Rtcp, parse_direction, parse_number};
use crate::crypto::{CryptoError, CryptoLine};
use crate::encoding::Encoding;

/// The longest description that is looked at.
pub const MAX_OCTETS: usize = 16 * 1024;
/// The most lines that are looked at.
pub const MAX_LINES: usize = 512;
/// The most `m=` lines that are looked at.
pub const MAX_MEDIA: usize = 16;
/// The most formats of one `m=` line that are looked at.
pub(crate) const MAX_FORMATS: usize = 64;

/// Why a session description cannot be read.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Longer than [`MAX_OCTETS`].
    #[error("{octets} octets are more than the {MAX_OCTETS} allowed")]
    TooLong {
        /// How long it is.
        octets: usize,
    },
    /// More lines than [`MAX_LINES`].
    #[error("more than {MAX_LINES} lines")]
    TooManyLines,
    /// More `m=` lines than [`MAX_MEDIA`].
    #[error("more than {MAX_MEDIA} media lines")]
    TooManyMedia,
    /// More formats in one `m=` line than 64.
    #[error("media line {media}: more than {MAX_FORMATS} formats")]
    TooManyFormats {
        /// Which `m=` line, counted from 1.
        media: usize,
    },
    /// Not a session description (RFC 8866 §5).
    #[error("{source}")]
    Syntax {
        /// The offending line, counted from 1; 0 where the description as a whole lacks something.
        line: usize,
        /// What is wrong with it.
        source: ParserError,
    },
}

/// The `o=` line (RFC 8866 §5.2), as far as offer/answer needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `<sess-id>`.
    pub session_id: String,
    /// `<sess-version>`: grows when the description changes.
    pub version: u64,
}

/// What a peer described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDescription {
    /// Whose, and which version.
    pub origin: Origin,
    /// One per `m=` line, in order.
    pub media: Vec<MediaDescription>,
}

/// One `m=` line with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaDescription {
    /// `audio`, `video`, `image`...
    pub kind: String,
    /// Where the peer wants to receive; 0 for a rejected or disabled stream.
    pub port: u16,
    /// `RTP/AVP`, `RTP/SAVP`, `udptl`...
    pub protocol: String,
    /// The format list as it was written.
    pub formats: String,
    /// The address that goes with `port`; `None` where it is missing, or a host name and no IP address.
    pub address: Option<IpAddr>,
    /// Which way media goes, from the peer's side.
    pub direction: Direction,
    /// Milliseconds of speech per packet the peer wants to receive.
    pub ptime_ms: Option<u16>,
    /// The most milliseconds per packet the peer can receive.
    pub maxptime_ms: Option<u16>,
    /// The formats as RTP encodings, preferred first; empty where the protocol is not RTP.
    pub encodings: Vec<Encoding>,
    /// Where RTCP goes, if not to the port above (RFC 3605).
    pub rtcp: Option<Rtcp>,
    /// RTP and RTCP may share the port (RFC 5761).
    pub rtcp_mux: bool,
    /// RTCP may come in parts, without a report before them (RFC 5506).
    pub rtcp_reduced_size: bool,
    /// The `a=crypto` lines (RFC 4568), preferred first, with the reason where one is of no use.
    pub crypto: Vec<Result<CryptoLine, CryptoError>>,
    /// The values of `a=candidate` (RFC 8839), not interpreted.
    pub candidates: Vec<String>,
}

impl SessionDescription {
    /// Reads a description. Unknown lines and attributes are passed over; an attribute we know but cannot read counts
    /// as absent.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.len() > MAX_OCTETS {
            return Err(ParseError::TooLong { octets: bytes.len() });
        }
        let line_ends = bytes.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count();
        // CR LF counts twice, which the factor allows for.
        if line_ends > 2 * MAX_LINES {
            return Err(ParseError::TooManyLines);
        }
        let session =
            sdp_types::Session::parse(bytes).map_err(|source| ParseError::Syntax { line: line_of(&source), source })?;
        if session.medias.len() > MAX_MEDIA {
            return Err(ParseError::TooManyMedia);
        }
        let origin = Origin { session_id: session.origin.sess_id, version: session.origin.sess_version };
        let defaults = SessionDefaults {
            address: session.connection.as_ref().and_then(address_of),
            direction: session.attributes.iter().find_map(|a| parse_direction(&a.attribute)),
            ptime_ms: number_of(&session.attributes, "ptime"),
            maxptime_ms: number_of(&session.attributes, "maxptime"),
        };
        let media = session
            .medias
            .iter()
            .enumerate()
            .map(|(index, media)| MediaDescription::read(media, index + 1, &defaults))
            .collect::<Result<_, _>>()?;
        Ok(Self { origin, media })
    }
}

/// What holds for every `m=` line that does not say otherwise.
struct SessionDefaults {
    address: Option<IpAddr>,
    direction: Option<Direction>,
    ptime_ms: Option<u16>,
    maxptime_ms: Option<u16>,
}

impl MediaDescription {
    /// Whether this is audio over RTP or SRTP that is not switched off.
    pub fn is_usable_audio(&self) -> bool {
        self.port != 0 && self.kind.eq_ignore_ascii_case("audio") && (self.is_plain_rtp() || self.is_secure_rtp())
    }

    /// Whether the peer means to send (its port may be anything, its address unspecified: RFC 2543 §B.5 hold).
    pub fn peer_sends(&self) -> bool {
        self.direction.sends()
    }

    /// Whether the peer can be sent to: it said so, and named an address.
    pub fn peer_receives(&self) -> bool {
        self.direction.receives() && self.remote().is_some()
    }

    /// Where to send RTP; `None` for a rejected stream, a missing, unspecified or multicast address, or a host name.
    pub fn remote(&self) -> Option<SocketAddr> {
        let address = self.address.filter(|a| !a.is_unspecified() && !a.is_multicast())?;
        (self.port != 0).then(|| SocketAddr::new(address, self.port))
    }

    /// Plain RTP with or without early feedback (RFC 3551, RFC 4585).
    pub(crate) fn is_plain_rtp(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("RTP/AVP") || self.protocol.eq_ignore_ascii_case("RTP/AVPF")
    }

    /// SRTP with or without early feedback (RFC 3711 §12, RFC 5124), its keys beside it.
    pub fn is_secure_rtp(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("RTP/SAVP") || self.protocol.eq_ignore_ascii_case("RTP/SAVPF")
    }

    fn read(media: &sdp_types::Media, position: usize, defaults: &SessionDefaults) -> Result<Self, ParseError> {
        if media.fmt.split_ascii_whitespace().count() > MAX_FORMATS {
            return Err(ParseError::TooManyFormats { media: position });
        }
        let attributes = &media.attributes;
        let values = |name: &str| {
            attributes.iter().filter(|a| a.attribute == name).filter_map(|a| a.value.clone()).collect::<Vec<_>>()
        };
        let is_rtp = media.proto.to_ascii_uppercase().contains("RTP/");
        Ok(Self {
            kind: media.media.clone(),
            port: media.port,
            protocol: media.proto.clone(),
            formats: media.fmt.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
            address: match media.connections.first() {
                Some(connection) => address_of(connection),
                None => defaults.address,
            },
            direction: attributes
                .iter()
                .find_map(|a| parse_direction(&a.attribute))
                .or(defaults.direction)
                .unwrap_or(Direction::SendRecv),
            ptime_ms: number_of(attributes, "ptime").or(defaults.ptime_ms),
            maxptime_ms: number_of(attributes, "maxptime").or(defaults.maxptime_ms),
            encodings: if is_rtp { Encoding::read_all(&media.fmt, attributes) } else { Vec::new() },
            rtcp: attributes.iter().find(|a| a.attribute == "rtcp").and_then(|a| Rtcp::parse(a.value.as_deref()?)),
            rtcp_mux: attributes.iter().any(|a| a.attribute == "rtcp-mux"),
            rtcp_reduced_size: attributes.iter().any(|a| a.attribute == "rtcp-rsize"),
            crypto: attributes
                .iter()
                .filter(|a| a.attribute == "crypto")
                .map(|a| CryptoLine::parse(a.value.as_deref().unwrap_or_default()))
                .collect(),
            candidates: values("candidate"),
        })
    }
}

fn address_of(connection: &sdp_types::Connection) -> Option<IpAddr> {
    connection.try_address().ok().map(|address| address.ip)
}

fn number_of(attributes: &[sdp_types::Attribute], name: &str) -> Option<u16> {
    attributes.iter().find(|a| a.attribute == name).and_then(|a| parse_number(a.value.as_deref()?))
}

#[expect(deprecated, reason = "the deprecated variants are still part of the enum")]
fn line_of(error: &ParserError) -> usize {
    match *error {
        ParserError::UnexpectedLine(line, _)
        | ParserError::InvalidLineFormat(line, _)
        | ParserError::InvalidFieldEncoding(line, _)
        | ParserError::InvalidFieldFormat(line, _)
        | ParserError::MissingField(line, _)
        | ParserError::FieldTrailingData(line, _)
        | ParserError::InvalidVersion(line, _)
        | ParserError::MultipleVersions(line)
        | ParserError::MultipleOrigins(line)
        | ParserError::MultipleSessionNames(line)
        | ParserError::MultipleSessionDescription(line)
        | ParserError::MultipleUris(line)
        | ParserError::MultipleConnections(line)
        | ParserError::MultipleTimeZones(line)
        | ParserError::MultipleMediaTitles(line)
        | ParserError::MultipleKeys(line)
        | ParserError::RepeatWithoutTime(line) => line,
        ParserError::NoVersion | ParserError::NoOrigin | ParserError::NoSessionName => 0,
    }
}
