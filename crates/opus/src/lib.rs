//! Opus as RTP carries it (RFC 7587): a clock of 48 kHz whatever the audio, mono, packets of 20 ms, through libopus.
//!
//! The library is foreign code that allocates when a coder is made, and only then; a coder can neither be copied nor moved to another machine.
//! That is why it has a crate of its own, apart from `tandem-codec`.
#![forbid(unsafe_code)]

use thiserror::Error;

/// RTP clock of Opus (RFC 7587 section 4.1).
pub const CLOCK_HZ: u32 = 48_000;

/// RTP clock ticks of a packet of 20 ms.
pub const TICKS_PER_PACKET: u32 = CLOCK_HZ / 50;

/// Octets that any packet of 20 ms fits in (RFC 6716 section 3.4).
pub const MAX_PACKET_OCTETS: usize = 1275;

/// Sampling rate of the audio outside; libopus converts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleRate {
    /// 8 kHz, narrow band.
    Hz8000,
    /// 16 kHz, wide band.
    Hz16000,
    /// 48 kHz, full band.
    Hz48000,
}

impl SampleRate {
    /// Samples per second.
    #[must_use]
    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8000,
            Self::Hz16000 => 16_000,
            Self::Hz48000 => 48_000,
        }
    }

    /// Samples of a packet of 20 ms.
    #[must_use]
    pub const fn samples_per_packet(self) -> usize {
        self.hz() as usize / 50
    }
}

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderOptions {
    /// Sampling rate of the input.
    pub rate: SampleRate,
    /// Bits per second, 6 000 to 510 000 (RFC 7587 section 3.1.1 says which suit which band).
    pub bits_per_second: u32,
    /// Computation spent, 0 to 10.
    pub complexity: u8,
    /// Loss to be expected, in percent. Where it is not 0, packets repeat the one before at a lower rate (in-band FEC).
    pub expected_loss_percent: u8,
    /// Whether silence may go unsent (DTX).
    pub dtx: bool,
}

impl Default for EncoderOptions {
    /// Wide-band speech at 24 kbit/s.
    fn default() -> Self {
        Self { rate: SampleRate::Hz16000, bits_per_second: 24_000, complexity: 5, expected_loss_percent: 0, dtx: false }
    }
}

/// Why a coder could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("libopus: {reason}")]
pub struct CreateError {
    reason: &'static str,
}

impl From<opus::Error> for CreateError {
    fn from(error: opus::Error) -> Self {
        Self { reason: error.description() }
    }
}

/// Why a packet was not encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The input is not 20 ms.
    #[error("an Opus packet takes {expected} samples, not {given}")]
    Length {
        /// Samples of 20 ms.
        expected: usize,
        /// Samples given.
        given: usize,
    },
    /// The library refuses: the output is too small.
    #[error("libopus could not encode: {0}")]
    Library(&'static str),
}

/// Why a packet was not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The packet breaks a rule of RFC 6716 section 3.4, or holds more than there is room for.
    #[error("not a packet of Opus: {0}")]
    Packet(&'static str),
}

/// The encoder of one stream.
#[derive(Debug)]
pub struct Encoder {
    inner: opus::Encoder,
    rate: SampleRate,
}

impl Encoder {
    /// An encoder at the start of a stream.
    ///
    /// # Errors
    /// What libopus does not accept among the options, or lack of memory.
    pub fn new(options: EncoderOptions) -> Result<Self, CreateError> {
        let mut inner = opus::Encoder::new(options.rate.hz(), opus::Channels::Mono, opus::Application::Voip)?;
        let bits = i32::try_from(options.bits_per_second).unwrap_or(i32::MAX);
        inner.set_bitrate(opus::Bitrate::Bits(bits))?;
        inner.set_complexity(i32::from(options.complexity.min(10)))?;
        inner.set_inband_fec(options.expected_loss_percent > 0)?;
        inner.set_packet_loss_perc(i32::from(options.expected_loss_percent.min(100)))?;
        inner.set_dtx(options.dtx)?;
        Ok(Self { inner, rate: options.rate })
    }

    /// Encodes 20 ms and returns the octets of the packet. With DTX, a packet of 1 or 2 octets need not be sent.
    ///
    /// # Errors
    /// Another length than 20 ms, or an output too small ([`MAX_PACKET_OCTETS`] always suffice).
    pub fn encode(&mut self, pcm: &[i16], packet: &mut [u8]) -> Result<usize, EncodeError> {
        let expected = self.rate.samples_per_packet();
        if pcm.len() != expected {
            return Err(EncodeError::Length { expected, given: pcm.len() });
        }
        self.inner.encode(pcm, packet).map_err(|error| EncodeError::Library(error.description()))
    }

    /// Samples at the encoder's rate by which its output lags behind its input.
    ///
    /// # Errors
    /// None in practice: libopus is asked.
    pub fn look_ahead(&mut self) -> Result<usize, CreateError> {
        Ok(usize::try_from(self.inner.get_lookahead()?).unwrap_or(0))
    }
}

/// The decoder of one stream.
#[derive(Debug)]
pub struct Decoder {
    inner: opus::Decoder,
    rate: SampleRate,
}

impl Decoder {
    /// A decoder at the start of a stream.
    ///
    /// # Errors
    /// Lack of memory.
    pub fn new(rate: SampleRate) -> Result<Self, CreateError> {
        Ok(Self { inner: opus::Decoder::new(rate.hz(), opus::Channels::Mono)?, rate })
    }

    /// Decodes a packet (of any duration Opus knows) and returns how many samples it held.
    ///
    /// # Errors
    /// What is no packet, or more than there is room for. An empty packet is none: a lost one goes to [`Self::conceal`].
    pub fn decode(&mut self, packet: &[u8], pcm: &mut [i16]) -> Result<usize, DecodeError> {
        if packet.is_empty() {
            return Err(DecodeError::Packet("it is empty"));
        }
        self.inner.decode(packet, pcm, false).map_err(|error| DecodeError::Packet(error.description()))
    }

    /// Fills 20 ms with what the packet *after* a lost one repeats of it, or conceals where it repeats nothing. That packet is to be given to
    /// [`Self::decode`] next.
    ///
    /// # Errors
    /// As of [`Self::decode`].
    pub fn recover(&mut self, next_packet: &[u8], pcm: &mut [i16]) -> Result<usize, DecodeError> {
        if next_packet.is_empty() {
            return self.conceal(pcm);
        }
        let room = self.packet_of(pcm)?;
        self.inner.decode(next_packet, room, true).map_err(|error| DecodeError::Packet(error.description()))
    }

    /// Fills 20 ms with what is to be heard in place of a lost packet.
    ///
    /// # Errors
    /// Room for less than 20 ms.
    pub fn conceal(&mut self, pcm: &mut [i16]) -> Result<usize, DecodeError> {
        let room = self.packet_of(pcm)?;
        self.inner.decode(&[], room, false).map_err(|error| DecodeError::Packet(error.description()))
    }

    fn packet_of<'a>(&self, pcm: &'a mut [i16]) -> Result<&'a mut [i16], DecodeError> {
        pcm.get_mut(..self.rate.samples_per_packet()).ok_or(DecodeError::Packet("there is no room for 20 ms"))
    }
}

/// RTP clock ticks of audio in a packet, from its first octets (RFC 6716 section 3.1); `None` if it is not one.
#[must_use]
pub fn ticks_of_packet(packet: &[u8]) -> Option<u32> {
    let samples = opus::packet::get_nb_samples(packet, CLOCK_HZ).ok()?;
    u32::try_from(samples).ok()
}
