//! The command line of `tandem codec`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tandem_codec::Level;
use tandem_codec::g722::Mode;

use super::CodecName;
use super::error::CodecError;
use super::loss::LossMask;

/// Converts speech files, and runs conformance vectors.
#[derive(Clone, Debug, Args)]
pub(crate) struct CodecArgs {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// Samples (WAV by the name, otherwise raw 16-bit little-endian at the codec's rate) to a codec.
    Encode(Encode),
    /// A codec to samples.
    Decode(Decode),
    /// One codec to another, as the gateway does it to packets.
    Transcode(Transcode),
    /// Runs every ITU-T vector below a folder at every level of this machine.
    Conformance(Conformance),
}

#[derive(Clone, Debug, Args)]
pub(super) struct Encode {
    /// What to encode to.
    #[arg(long, value_enum)]
    pub(super) codec: CodecName,
    /// Tell silence from speech (G.729 Annex B).
    #[arg(long)]
    pub(super) annexb: bool,
    #[command(flatten)]
    pub(super) conversion: Conversion,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Decode {
    /// What to decode from.
    #[arg(long, value_enum)]
    pub(super) codec: CodecName,
    #[command(flatten)]
    pub(super) conversion: Conversion,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Transcode {
    /// What the input is.
    #[arg(long, value_enum)]
    pub(super) from: CodecName,
    /// What the output is to be.
    #[arg(long, value_enum)]
    pub(super) to: CodecName,
    /// Tell silence from speech when encoding (G.729 Annex B).
    #[arg(long)]
    pub(super) annexb: bool,
    #[command(flatten)]
    pub(super) conversion: Conversion,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Conformance {
    /// Where the vectors are, by the names ITU-T gives them.
    pub(super) folder: PathBuf,
    /// Only this level.
    #[arg(long, value_parser = level)]
    pub(super) level: Option<Level>,
}

/// What all conversions have in common.
#[derive(Clone, Debug, Args)]
pub(super) struct Conversion {
    /// File to read.
    pub(super) input: PathBuf,
    /// File to write.
    pub(super) output: PathBuf,
    /// G.729 in ITU-T serial words (one 16-bit word per bit), not octets.
    #[arg(long)]
    pub(super) itu: bool,
    /// G.722 speech bits, in kbit/s: 64, 56 or 48.
    #[arg(long, value_parser = mode)]
    mode: Option<Mode>,
    /// Instruction set to use at most: scalar, avx2, avx512, avx512-vnni.
    #[arg(long, value_parser = level, default_value_t = Level::detect())]
    pub(super) level: Level,
    /// Packets to lose on the way in, one entry each, repeated: G.192 frame words, or text of 0 and 1 (lost).
    #[arg(long, value_name = "MASK")]
    loss: Option<PathBuf>,
    /// Milliseconds of a packet of the input.
    #[arg(long, default_value = "20", value_parser = ["10", "20", "30", "40", "60"])]
    ptime: String,
}

impl Conversion {
    /// The mode of G.722, if that is among the codecs.
    pub(super) fn mode_for(&self, codecs: &[CodecName]) -> Result<Mode, CodecError> {
        match self.mode {
            Some(_) if !codecs.contains(&CodecName::G722) => {
                Err(CodecError::Option { option: "--mode", goes_with: "g722", codec: codecs[0].name() })
            }
            mode => Ok(mode.unwrap_or_default()),
        }
    }

    /// The mask; without one, no loss.
    pub(super) fn loss_mask(&self) -> Result<LossMask, CodecError> {
        self.loss.as_deref().map_or_else(|| Ok(LossMask::default()), LossMask::read)
    }

    /// Milliseconds of a packet, a multiple of ten.
    pub(super) fn ptime(&self) -> usize {
        self.ptime.parse().unwrap_or(20)
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    let rate = text.parse().ok();
    rate.and_then(Mode::from_kbit_per_second).ok_or_else(|| "G.722 has 64, 56 and 48 kbit/s".to_owned())
}

fn level(text: &str) -> Result<Level, String> {
    let names = |levels: &mut dyn Iterator<Item = Level>| levels.map(Level::name).collect::<Vec<_>>().join(", ");
    match Level::from_name(text) {
        Some(level) if level <= Level::detect() => Ok(level),
        Some(_) => Err(format!("this machine has only {}", names(&mut Level::available()))),
        None => Err(format!("the levels are {}", names(&mut Level::ALL.into_iter()))),
    }
}
