//! What can go wrong with files and options, told to a person.

use std::io;
use std::path::PathBuf;

use tandem_codec::g729::bitstream::SerialError;
use thiserror::Error;

/// Why `tandem codec` gave up.
#[derive(Debug, Error)]
pub(crate) enum CodecError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A WAV file could not be read or written.
    #[error("{path}: not a WAV file that can be used: {source}")]
    Wav {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: hound::Error,
    },
    /// A WAV file has another sampling rate than the codec.
    #[error(
        "{path}: {hz} Hz, but {codec} takes {expected} Hz; convert it first, for example: sox {path} -r {expected} converted.wav"
    )]
    Rate {
        /// The file.
        path: PathBuf,
        /// Its sampling rate.
        hz: u32,
        /// The codec.
        codec: &'static str,
        /// The codec's sampling rate.
        expected: u32,
    },
    /// A WAV file is not mono.
    #[error("{path}: {channels} channels, but a call is mono; convert it first, for example: sox {path} -c 1 mono.wav")]
    Channels {
        /// The file.
        path: PathBuf,
        /// Its channels.
        channels: u16,
    },
    /// A WAV file does not hold 16-bit integers.
    #[error(
        "{path}: {bits}-bit {format} samples, but 16-bit integers are needed; convert it first, for example: sox {path} -b 16 -e signed converted.wav"
    )]
    SampleFormat {
        /// The file.
        path: PathBuf,
        /// Bits of its samples.
        bits: u16,
        /// Integer or floating point.
        format: &'static str,
    },
    /// A file ends inside a frame or a sample.
    #[error("{path}: truncated: it ends with {have} of the {need} octets of the {unit} at octet {offset}")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is incomplete.
        unit: &'static str,
        /// Where that begins.
        offset: usize,
        /// Octets there.
        have: usize,
        /// Octets it should have.
        need: usize,
    },
    /// An ITU serial file breaks its format.
    #[error("{path}: {source}")]
    Serial {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: SerialError,
    },
    /// An Ogg file breaks its format.
    #[error("{path}: not an Ogg file that can be used: {source}")]
    Ogg {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ogg::OggReadError,
    },
    /// An Ogg file holds something else than a call's Opus.
    #[error("{path}: not mono Opus in Ogg: {reason}")]
    NotOpus {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A payload that its codec refuses.
    #[error("{path}: packet {packet}: {reason}")]
    Payload {
        /// The file.
        path: PathBuf,
        /// Which packet, counted from 0.
        packet: usize,
        /// Why.
        reason: String,
    },
    /// Frames not sent have no place in a raw file.
    #[error(
        "{path}: a file of bare G.729 frames cannot hold silence that is not sent; add --itu to write ITU serial words"
    )]
    SilenceInRaw {
        /// The file to be written.
        path: PathBuf,
    },
    /// A loss mask that cannot be read.
    #[error(
        "{path}: not a loss mask: {reason}; give ITU-T G.192 frame words (0x6b21 received, 0x6b20 lost) or text of 0 and 1 (lost)"
    )]
    Mask {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An option that does not go with the codec.
    #[error("{option} goes with {goes_with} only, not with {codec}")]
    Option {
        /// The option.
        option: &'static str,
        /// The codec it goes with.
        goes_with: &'static str,
        /// The codec asked for.
        codec: &'static str,
    },
    /// libopus could not be set up.
    #[error(transparent)]
    Opus(#[from] tandem_opus::CreateError),
    /// A vector came out different.
    #[error("{count} of {total} comparisons differ")]
    Different {
        /// Comparisons that differ.
        count: usize,
        /// All comparisons.
        total: usize,
    },
    /// No vectors.
    #[error("{path}: no test vectors that are known here; give the folder that holds the ITU-T files, by their names")]
    NothingFound {
        /// The folder.
        path: PathBuf,
    },
}

impl CodecError {
    /// For `map_err` on what a file was used for.
    pub(super) fn io(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }
}
