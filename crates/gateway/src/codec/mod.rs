//! `tandem codec`: speech files encoded, decoded and transcoded offline, with the code that the gateway runs on packets, and the ITU-T
//! conformance vectors run at every level.

mod args;
mod audio;
mod coder;
mod conformance;
mod error;
mod loss;
mod ogg_opus;
mod packets;

use std::path::Path;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tandem_codec::g722::Mode;
use tandem_codec::resample::{Rate, Resampler};
use tandem_codec::transcode::{Codec, Input, Transcoder};
use tandem_opus::SampleRate;

pub(crate) use args::CodecArgs;
pub(crate) use error::CodecError;

use args::{Command, Conversion, Decode, Encode, Transcode};
use coder::{DecoderOptions, StreamDecoder, StreamEncoder, StreamEncoderOptions};
use packets::{Container, Packet};

/// A codec by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum CodecName {
    /// G.711 µ-law, 8 kHz.
    Pcmu,
    /// G.711 A-law, 8 kHz.
    Pcma,
    /// G.722, 16 kHz.
    G722,
    /// G.729 Annex A (and B), 8 kHz.
    G729,
    /// Opus in Ogg, mono, 48 kHz.
    Opus,
}

impl CodecName {
    const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "pcmu",
            Self::Pcma => "pcma",
            Self::G722 => "g722",
            Self::G729 => "g729",
            Self::Opus => "opus",
        }
    }

    /// Sampling rate of its speech in a file of samples.
    const fn hz(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G729 => 8000,
            Self::G722 => 16_000,
            Self::Opus => 48_000,
        }
    }

    /// The codec in the gateway's own pipeline, which Opus has no part in.
    const fn pipeline(self) -> Option<Codec> {
        match self {
            Self::Pcmu => Some(Codec::Pcmu),
            Self::Pcma => Some(Codec::Pcma),
            Self::G722 => Some(Codec::G722),
            Self::G729 => Some(Codec::G729),
            Self::Opus => None,
        }
    }

    /// The rate at which libopus is to work beside this codec.
    const fn opus_rate(self) -> SampleRate {
        match self.hz() {
            8000 => SampleRate::Hz8000,
            16_000 => SampleRate::Hz16000,
            _ => SampleRate::Hz48000,
        }
    }
}

/// Does what the command line asks.
///
/// # Errors
/// What is wrong with the files or options, in words; for `conformance`, any difference, or nothing to compare.
pub(crate) fn run(args: CodecArgs) -> Result<(), CodecError> {
    match args.command {
        Command::Encode(args) => encode(&args),
        Command::Decode(args) => decode(&args),
        Command::Transcode(args) => transcode(&args),
        Command::Conformance(args) => conformance::run(&args.folder, args.level),
    }
}

/// Samples that are encoded at a time: 20 ms at the codec's rate.
const fn samples_per_step(codec: CodecName) -> usize {
    codec.hz() as usize / 50
}

fn encode(args: &Encode) -> Result<(), CodecError> {
    let Encode { codec, annexb, ref conversion } = *args;
    let Conversion { ref input, ref output, level, itu, .. } = *conversion;
    let mode = conversion.mode_for(&[codec])?;
    require_g729(&[codec], itu, annexb)?;
    let samples = audio::read(input, codec.name(), codec.hz())?;
    let options = StreamEncoderOptions { level, mode, annexb, opus_rate: codec.opus_rate() };
    let mut encoder = StreamEncoder::new(codec, options)?;
    let whole = samples.len() / encoder.grain(codec.opus_rate()) * encoder.grain(codec.opus_rate());
    note_left_over(input, samples.len() - whole);
    let mut packets = Vec::new();
    let progress = progress(whole / samples_per_step(codec));
    for pcm in samples[..whole].chunks(samples_per_step(codec)) {
        let made = encoder.encode(pcm).map_err(payload_error(input, packets.len()))?;
        packets.extend(made);
        progress.inc(1);
    }
    progress.finish_and_clear();
    Container { codec, itu }.write(output, &packets)
}

fn decode(args: &Decode) -> Result<(), CodecError> {
    let Decode { codec, ref conversion } = *args;
    let Conversion { ref input, ref output, level, itu, .. } = *conversion;
    let mode = conversion.mode_for(&[codec])?;
    require_g729(&[codec], itu, false)?;
    let loss = conversion.loss_mask()?;
    let stream = Container { codec, itu }.read(input, conversion.ptime(), &loss)?;
    let conceals_g711 = stream.packets.contains(&Packet::Lost);
    let options =
        DecoderOptions { level, mode, opus_rate: codec.opus_rate(), ptime_ms: stream.ptime_ms, conceals_g711 };
    let mut decoder = StreamDecoder::new(codec, options)?;
    let progress = progress(stream.packets.len());
    for (i, packet) in stream.packets.iter().enumerate() {
        decoder.decode(packet).map_err(payload_error(input, i))?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    audio::write(output, codec.hz(), &decoder.finish())
}

fn transcode(args: &Transcode) -> Result<(), CodecError> {
    let Transcode { from, to, annexb, ref conversion } = *args;
    let Conversion { ref input, ref output, itu, .. } = *conversion;
    let mode = conversion.mode_for(&[from, to])?;
    require_g729(&[from, to], itu, false)?;
    require_g729(&[to], false, annexb)?;
    let loss = conversion.loss_mask()?;
    let stream = Container { codec: from, itu }.read(input, conversion.ptime(), &loss)?;
    let progress = progress(stream.packets.len());
    let packets = match (from.pipeline(), to.pipeline()) {
        (Some(from), Some(to)) if mode == Mode::Kbit64 && !annexb => {
            transcode_in_pipeline(args, from, to, &stream, &progress)?
        }
        _ => transcode_over_samples(args, mode, &stream, &progress)?,
    };
    progress.finish_and_clear();
    Container { codec: to, itu }.write(output, &packets)
}

/// As the gateway does it, packet by packet.
fn transcode_in_pipeline(
    args: &Transcode,
    from: Codec,
    to: Codec,
    stream: &packets::Stream,
    progress: &ProgressBar,
) -> Result<Vec<Packet>, CodecError> {
    let Conversion { ref input, level, .. } = args.conversion;
    let mut transcoder = Transcoder::new(from, to);
    // Room for 200 ms, more than any packet here.
    let mut room = [0; 1600];
    let mut packets = Vec::new();
    for (i, packet) in stream.packets.iter().enumerate() {
        let input_of_packet = match packet {
            // The last packet of a file need not be a whole number of the other codec's frames; what is over is left out.
            Packet::Received(payload) if i + 1 == stream.packets.len() => {
                let whole = whole_frames(payload, from, to);
                note_left_over(input, (payload.len() - whole) * from.rate().samples_per_ms() / 8);
                Input::Payload(&payload[..whole])
            }
            Packet::Received(payload) => Input::Payload(payload),
            Packet::Lost => Input::Lost { ticks: 8 * stream.ptime_ms },
            Packet::NotSent => Input::NotSent { ticks: 8 * stream.ptime_ms },
        };
        let made = transcoder
            .transcode(level, input_of_packet, &mut room)
            .map_err(|error| payload_error(input, i)(error.to_string()))?
            .octets();
        packets.push(if made > 0 { Packet::Received(room[..made].to_vec()) } else { Packet::NotSent });
        progress.inc(1);
    }
    Ok(packets)
}

/// Octets of the longest start of a payload that is a whole number of frames of both codecs. Only G.729 has frames of more than an octet.
fn whole_frames(payload: &[u8], from: Codec, to: Codec) -> usize {
    let fits =
        |octets: &usize| from.ticks_of_payload(*octets).is_some_and(|ticks| to.octets_of_speech(ticks).is_some());
    (0..=payload.len()).rev().find(fits).unwrap_or(0)
}

/// Where Opus is on a side, G.722 below 64 kbit/s, or G.729 that tells silence from speech: decoded, converted by libopus, encoded.
fn transcode_over_samples(
    args: &Transcode,
    mode: Mode,
    stream: &packets::Stream,
    progress: &ProgressBar,
) -> Result<Vec<Packet>, CodecError> {
    let Transcode { from, to, annexb, ref conversion } = *args;
    let Conversion { ref input, level, .. } = *conversion;
    let opus_rate = if from == CodecName::Opus { to.opus_rate() } else { from.opus_rate() };
    let options = DecoderOptions { level, mode, opus_rate, ptime_ms: stream.ptime_ms, conceals_g711: true };
    let mut decoder = StreamDecoder::new(from, options)?;
    let mut encoder = StreamEncoder::new(to, StreamEncoderOptions { level, mode, annexb, opus_rate })?;
    let rate_of = |codec: CodecName| if codec == CodecName::Opus { opus_rate.hz() } else { codec.hz() };
    let mut resampler = resampler(rate_of(from), rate_of(to));
    let step = rate_of(to) as usize / 50;
    let mut pending = Vec::new();
    let mut packets = Vec::new();
    for (i, packet) in stream.packets.iter().enumerate() {
        decoder.decode(packet).map_err(payload_error(input, i))?;
        let decoded = decoder.take();
        let mut converted = vec![0; decoded.len() * rate_of(to) as usize / rate_of(from) as usize];
        resampler.process(level, &decoded, &mut converted);
        pending.extend(converted);
        while pending.len() >= step {
            let pcm: Vec<i16> = pending.drain(..step).collect();
            packets.extend(encoder.encode(&pcm).map_err(payload_error(input, i))?);
        }
        progress.inc(1);
    }
    note_left_over(input, pending.len());
    Ok(packets)
}

fn resampler(from_hz: u32, to_hz: u32) -> Resampler {
    let rate = |hz| match hz {
        8000 => Rate::Hz8000,
        16_000 => Rate::Hz16000,
        _ => Rate::Hz48000,
    };
    Resampler::new(rate(from_hz), rate(to_hz))
}

fn require_g729(codecs: &[CodecName], itu: bool, annexb: bool) -> Result<(), CodecError> {
    if codecs.contains(&CodecName::G729) {
        return Ok(());
    }
    let codec = codecs[0].name();
    match (itu, annexb) {
        (true, _) => Err(CodecError::Option { option: "--itu", goes_with: "g729", codec }),
        (_, true) => Err(CodecError::Option { option: "--annexb", goes_with: "g729", codec }),
        _ => Ok(()),
    }
}

fn payload_error(path: &Path, packet: usize) -> impl FnOnce(String) -> CodecError + '_ {
    move |reason| CodecError::Payload { path: path.to_owned(), packet, reason }
}

fn note_left_over(path: &Path, samples: usize) {
    if samples > 0 {
        eprintln!("{}: the last {samples} samples do not fill a frame and are left out", path.display());
    }
}

/// Steps below which a file is done before anybody looks: 30 s.
const SHORT: usize = 1500;

/// A bar on a terminal, for long files.
fn progress(steps: usize) -> ProgressBar {
    let target = if steps < SHORT { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(steps as u64), target);
    // The default style serves should the template ever be refused.
    match ProgressStyle::with_template("{wide_bar} {percent} %  {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
