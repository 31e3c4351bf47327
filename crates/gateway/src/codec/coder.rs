//! One stream's encoder or decoder, whichever codec it is.

use tandem_codec::Level;
use tandem_codec::g711::concealment::{Concealment, DELAY};
use tandem_codec::g711::{self, Law};
use tandem_codec::g722;
use tandem_codec::g729::bitstream::Frame;
use tandem_codec::g729::{self, FRAME_SAMPLES};
use tandem_opus::{EncoderOptions, MAX_PACKET_OCTETS, SampleRate};

use super::CodecName;
use super::packets::{Packet, g729_frames};

/// What a decoder is to be like.
#[derive(Clone, Copy, Debug)]
pub(super) struct DecoderOptions {
    pub(super) level: Level,
    /// Speech bits of G.722.
    pub(super) mode: g722::Mode,
    /// Sampling rate of Opus outside.
    pub(super) opus_rate: SampleRate,
    /// Milliseconds of a packet.
    pub(super) ptime_ms: usize,
    /// Whether G.711 conceals losses, which delays it; the delay is taken out again.
    pub(super) conceals_g711: bool,
}

/// The decoder of one stream.
#[derive(Debug)]
pub(super) struct StreamDecoder {
    options: DecoderOptions,
    kind: DecoderKind,
    pcm: Vec<i16>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
enum DecoderKind {
    G711 { law: Law, concealment: Option<Concealment> },
    G722(g722::ConcealingDecoder),
    G729(g729::Decoder),
    Opus(tandem_opus::Decoder),
}

impl StreamDecoder {
    pub(super) fn new(codec: CodecName, options: DecoderOptions) -> Result<Self, tandem_opus::CreateError> {
        let g711 = |law| DecoderKind::G711 { law, concealment: options.conceals_g711.then(Concealment::new) };
        let kind = match codec {
            CodecName::Pcmu => g711(Law::Mu),
            CodecName::Pcma => g711(Law::A),
            CodecName::G722 => DecoderKind::G722(g722::ConcealingDecoder::new(options.mode)),
            CodecName::G729 => DecoderKind::G729(g729::Decoder::new()),
            CodecName::Opus => DecoderKind::Opus(tandem_opus::Decoder::new(options.opus_rate)?),
        };
        Ok(Self { options, kind, pcm: Vec::new() })
    }

    /// Decodes a packet, or conceals it. What is wrong with a payload comes back in words.
    pub(super) fn decode(&mut self, packet: &Packet) -> Result<(), String> {
        let Self { options, kind, pcm } = self;
        let DecoderOptions { level, ptime_ms, .. } = *options;
        let start = pcm.len();
        match kind {
            DecoderKind::G711 { law, concealment } => match packet {
                Packet::Received(payload) => {
                    pcm.resize(start + payload.len(), 0);
                    g711::decode(level, *law, payload, &mut pcm[start..]);
                    if let Some(concealment) = concealment {
                        concealment.receive(&mut pcm[start..]);
                    }
                }
                _ => {
                    pcm.resize(start + 8 * ptime_ms, 0);
                    if let Some(concealment) = concealment {
                        concealment.conceal(&mut pcm[start..]);
                    }
                }
            },
            DecoderKind::G722(state) => {
                let octets = match packet {
                    Packet::Received(payload) => Some(&payload[..]),
                    _ => None,
                };
                pcm.resize(start + 2 * octets.map_or(8 * ptime_ms, <[u8]>::len), 0);
                let job = g722::ConcealingJob { state, octets, pcm: &mut pcm[start..] };
                g722::decode_or_conceal_batch(level, &mut [job]);
            }
            DecoderKind::G729(state) => {
                let mut frames = g729_frames(packet);
                if *packet == Packet::Lost {
                    frames = vec![Frame::Erased; ptime_ms / 10];
                }
                pcm.resize(start + FRAME_SAMPLES * frames.len(), 0);
                let (pcm, _) = pcm[start..].as_chunks_mut::<FRAME_SAMPLES>();
                g729::decode_batch(level, &mut [g729::DecodeJob { state, frames: &frames, pcm }]);
            }
            DecoderKind::Opus(decoder) => {
                // 120 ms, the longest packet there is.
                pcm.resize(start + 6 * options.opus_rate.samples_per_packet(), 0);
                let count = match packet {
                    Packet::Received(payload) => decoder.decode(payload, &mut pcm[start..]),
                    _ => decoder.conceal(&mut pcm[start..]),
                };
                pcm.truncate(start + count.map_err(|error| error.to_string())?);
            }
        }
        Ok(())
    }

    /// All samples, in step with the packets.
    pub(super) fn finish(mut self) -> Vec<i16> {
        if let DecoderKind::G711 { concealment: Some(mut concealment), .. } = self.kind {
            let mut rest = [0; DELAY];
            concealment.receive(&mut rest);
            self.pcm.extend(rest);
            self.pcm.drain(..DELAY);
        }
        self.pcm
    }

    /// Takes out what has been decoded since it was last asked.
    pub(super) fn take(&mut self) -> Vec<i16> {
        std::mem::take(&mut self.pcm)
    }
}

/// The encoder of one stream.
#[derive(Debug)]
pub(super) struct StreamEncoder {
    level: Level,
    kind: EncoderKind,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
enum EncoderKind {
    G711(Law),
    G722(g722::Encoder),
    G729(g729::Encoder),
    Opus(tandem_opus::Encoder),
}

/// What an encoder is to be like.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamEncoderOptions {
    pub(super) level: Level,
    /// Speech bits of G.722.
    pub(super) mode: g722::Mode,
    /// Whether G.729 tells silence from speech.
    pub(super) annexb: bool,
    /// Sampling rate of Opus outside.
    pub(super) opus_rate: SampleRate,
}

impl StreamEncoder {
    pub(super) fn new(codec: CodecName, options: StreamEncoderOptions) -> Result<Self, tandem_opus::CreateError> {
        let kind = match codec {
            CodecName::Pcmu => EncoderKind::G711(Law::Mu),
            CodecName::Pcma => EncoderKind::G711(Law::A),
            CodecName::G722 => EncoderKind::G722(g722::Encoder::new(options.mode)),
            CodecName::G729 => EncoderKind::G729(g729_encoder(options.annexb)),
            CodecName::Opus => {
                let options = EncoderOptions { rate: options.opus_rate, ..EncoderOptions::default() };
                EncoderKind::Opus(tandem_opus::Encoder::new(options)?)
            }
        };
        Ok(Self { level: options.level, kind })
    }

    /// Samples of which packets are made: those left over at the end of a file are left out.
    pub(super) fn grain(&self, opus_rate: SampleRate) -> usize {
        match &self.kind {
            EncoderKind::G711(_) => 1,
            EncoderKind::G722(_) => 2,
            EncoderKind::G729(_) => FRAME_SAMPLES,
            EncoderKind::Opus(_) => opus_rate.samples_per_packet(),
        }
    }

    /// Encodes samples, a whole number of grains, to packets.
    pub(super) fn encode(&mut self, pcm: &[i16]) -> Result<Vec<Packet>, String> {
        Ok(match &mut self.kind {
            EncoderKind::G711(law) => {
                let mut octets = vec![0; pcm.len()];
                g711::encode(self.level, *law, pcm, &mut octets);
                vec![Packet::Received(octets)]
            }
            EncoderKind::G722(state) => {
                let mut octets = vec![0; pcm.len() / 2];
                let job = g722::EncodeJob { state, pcm, octets: &mut octets };
                g722::encode_batch(self.level, &mut [job]);
                vec![Packet::Received(octets)]
            }
            EncoderKind::G729(state) => {
                let (pcm, _) = pcm.as_chunks::<FRAME_SAMPLES>();
                let mut frames = vec![Frame::NotSent; pcm.len()];
                g729::encode_batch(self.level, &mut [g729::EncodeJob { state, pcm, frames: &mut frames }]);
                frames.iter().map(packet_of_frame).collect()
            }
            EncoderKind::Opus(encoder) => {
                let mut packet = [0; MAX_PACKET_OCTETS];
                let count = encoder.encode(pcm, &mut packet).map_err(|error| error.to_string())?;
                vec![Packet::Received(packet[..count].to_vec())]
            }
        })
    }
}

fn packet_of_frame(frame: &Frame) -> Packet {
    match frame {
        Frame::Speech(octets) => Packet::Received(octets.to_vec()),
        Frame::Sid(octets) => Packet::Received(octets.to_vec()),
        Frame::NotSent => Packet::NotSent,
        Frame::Erased => Packet::Lost,
    }
}

/// An encoder of G.729 before its first frame.
pub(super) fn g729_encoder(annexb: bool) -> g729::Encoder {
    if annexb { g729::Encoder::with_annex_b() } else { g729::Encoder::new() }
}
