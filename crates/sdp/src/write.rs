use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use tandem_contract::{Codec, Direction, PayloadType};

use crate::attributes::direction_attribute;
use crate::crypto::CryptoLine;

/// What one `m=` line of ours says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum MediaLine {
    /// The audio stream we take part in.
    Audio(AudioLine),
    /// A stream we do not take (RFC 3264 §6): port 0, the rest as the peer wrote it.
    Rejected { kind: String, protocol: String, formats: String },
}

/// Our audio stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct AudioLine {
    pub(crate) protocol: String,
    pub(crate) local: SocketAddr,
    pub(crate) codecs: Vec<(Codec, PayloadType)>,
    /// Beside those codecs that take it, on a clock of 8000 Hz.
    pub(crate) comfort_noise: Option<PayloadType>,
    /// Payload type and clock rate.
    pub(crate) telephone_events: Vec<(PayloadType, u32)>,
    /// Whether Annex B of G.729 may be used.
    pub(crate) annexb: bool,
    pub(crate) ptime_ms: u8,
    pub(crate) direction: Direction,
    /// RTP and RTCP may share the port (RFC 5761).
    pub(crate) rtcp_mux: bool,
    /// RTCP in parts is understood (RFC 5506).
    pub(crate) rtcp_reduced_size: bool,
    /// Keys we offer, or the one we answer with; none for plain RTP.
    pub(crate) crypto: Vec<CryptoLine>,
}

/// Our description: the body of an offer or answer.
pub(crate) fn write(session_id: u64, version: u64, local: IpAddr, lines: &[MediaLine]) -> String {
    let mut text = String::with_capacity(512);
    // Writing to a String cannot fail.
    let _ = write_into(&mut text, session_id, version, local, lines);
    text
}

fn write_into(
    text: &mut String,
    session_id: u64,
    version: u64,
    local: IpAddr,
    lines: &[MediaLine],
) -> std::fmt::Result {
    let family = if local.is_ipv4() { "IP4" } else { "IP6" };
    write!(text, "v=0\r\no=- {session_id} {version} IN {family} {local}\r\ns=-\r\nc=IN {family} {local}\r\nt=0 0\r\n")?;
    for line in lines {
        match line {
            MediaLine::Audio(audio) => write_audio(text, audio)?,
            MediaLine::Rejected { kind, protocol, formats } => write!(text, "m={kind} 0 {protocol} {formats}\r\n")?,
        }
    }
    Ok(())
}

fn write_audio(text: &mut String, audio: &AudioLine) -> std::fmt::Result {
    write!(text, "m=audio {} {}", audio.local.port(), audio.protocol)?;
    for (_, payload_type) in &audio.codecs {
        write!(text, " {}", payload_type.get())?;
    }
    if let Some(number) = audio.comfort_noise {
        write!(text, " {}", number.get())?;
    }
    for (payload_type, _) in &audio.telephone_events {
        write!(text, " {}", payload_type.get())?;
    }
    text.push_str("\r\n");
    for (codec, payload_type) in &audio.codecs {
        let channels = if *codec == Codec::Opus { "/2" } else { "" };
        let (number, name) = (payload_type.get(), codec.encoding_name());
        write!(text, "a=rtpmap:{number} {name}/{}{channels}\r\n", codec.clock_rate_hz())?;
        if *codec == Codec::G729 {
            // Said in both cases, because its absence is read in different ways.
            write!(text, "a=fmtp:{number} annexb={}\r\n", if audio.annexb { "yes" } else { "no" })?;
        }
    }
    if let Some(number) = audio.comfort_noise {
        write!(text, "a=rtpmap:{} CN/8000\r\n", number.get())?;
    }
    for (payload_type, clock_rate_hz) in &audio.telephone_events {
        let number = payload_type.get();
        write!(text, "a=rtpmap:{number} telephone-event/{clock_rate_hz}\r\na=fmtp:{number} 0-15\r\n")?;
    }
    if audio.rtcp_mux {
        text.push_str("a=rtcp-mux\r\n");
    }
    if audio.rtcp_reduced_size {
        text.push_str("a=rtcp-rsize\r\n");
    }
    for line in &audio.crypto {
        write!(text, "a=crypto:{}\r\n", line.value())?;
    }
    write!(text, "a=ptime:{}\r\na={}\r\n", audio.ptime_ms, direction_attribute(audio.direction))
}
