//! Linear samples from and to files: WAV by the name's ending, otherwise raw 16-bit little-endian.

use std::path::Path;

use super::error::CodecError;

/// Whether a file is WAV, by its name.
pub(super) fn is_wav(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wav"))
}

/// Reads mono samples of the rate `hz` that `codec` takes. A raw file is believed to have it.
pub(super) fn read(path: &Path, codec: &'static str, hz: u32) -> Result<Vec<i16>, CodecError> {
    if is_wav(path) { read_wav(path, codec, hz) } else { read_raw(path) }
}

fn read_wav(path: &Path, codec: &'static str, expected: u32) -> Result<Vec<i16>, CodecError> {
    let wav = |source| CodecError::Wav { path: path.to_owned(), source };
    let reader = hound::WavReader::open(path).map_err(wav)?;
    let spec = reader.spec();
    if spec.sample_rate != expected {
        return Err(CodecError::Rate { path: path.to_owned(), hz: spec.sample_rate, codec, expected });
    }
    if spec.channels != 1 {
        return Err(CodecError::Channels { path: path.to_owned(), channels: spec.channels });
    }
    if spec.bits_per_sample != 16 || spec.sample_format != hound::SampleFormat::Int {
        let format = match spec.sample_format {
            hound::SampleFormat::Int => "integer",
            hound::SampleFormat::Float => "floating-point",
        };
        return Err(CodecError::SampleFormat { path: path.to_owned(), bits: spec.bits_per_sample, format });
    }
    reader.into_samples().collect::<Result<_, _>>().map_err(wav)
}

fn read_raw(path: &Path) -> Result<Vec<i16>, CodecError> {
    let octets = std::fs::read(path).map_err(CodecError::io(path))?;
    let (words, rest) = octets.as_chunks::<2>();
    if !rest.is_empty() {
        let offset = octets.len() - rest.len();
        return Err(CodecError::Truncated { path: path.to_owned(), unit: "16-bit sample", offset, have: 1, need: 2 });
    }
    Ok(words.iter().map(|word| i16::from_le_bytes(*word)).collect())
}

/// Writes mono samples of the rate `hz`.
pub(super) fn write(path: &Path, hz: u32, samples: &[i16]) -> Result<(), CodecError> {
    if !is_wav(path) {
        let octets: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        return std::fs::write(path, octets).map_err(CodecError::io(path));
    }
    let spec =
        hound::WavSpec { channels: 1, sample_rate: hz, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let wav = |source| CodecError::Wav { path: path.to_owned(), source };
    let mut writer = hound::WavWriter::create(path, spec).map_err(wav)?;
    for sample in samples {
        writer.write_sample(*sample).map_err(wav)?;
    }
    writer.finalize().map_err(wav)
}
