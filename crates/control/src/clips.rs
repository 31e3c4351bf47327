//! Speech and music from WAV files, encoded once for each codec that can play them.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tandem_codec::Level;
use tandem_codec::g711::{self, Law};
use tandem_codec::g722;
use tandem_codec::g729::bitstream::Frame;
use tandem_codec::g729::{self, FRAME_SAMPLES};
use tandem_codec::resample::{Rate, Resampler};
use tandem_contract::{Clip, Codec};

/// The longest clip, in seconds: some 15 MB in all encodings.
const MAX_S: u32 = 600;

/// Why a file is no clip.
#[derive(Debug, thiserror::Error)]
pub enum ClipFileError {
    /// It cannot be opened.
    #[error("cannot read {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It cannot be read as WAV.
    #[error("no usable WAV: {0}")]
    Wav(#[from] hound::Error),
    /// A rate that the resampler does not have.
    #[error("{0} Hz is not possible; 8000, 16000 and 48000 are (sox in.wav -r 16000 out.wav makes one)")]
    Rate(u32),
    /// Nothing to hear.
    #[error("it is shorter than 10 ms")]
    Empty,
    /// More than memory should be spent on.
    #[error("{0} s are too long; at most {MAX_S} are possible")]
    TooLong(u32),
}

/// Reads a WAV file and encodes it.
///
/// `beeps` is no file: two short tones every five seconds.
pub(crate) fn load(path: &Path) -> Result<Clip, ClipFileError> {
    if path.as_os_str() == "beeps" {
        return Ok(beeps());
    }
    let file = std::fs::File::open(path).map_err(|source| ClipFileError::Io { path: path.to_owned(), source })?;
    read(io::BufReader::new(file))
}

/// Reads WAV of any number of channels and any usual format of samples, and encodes their mean.
pub(crate) fn read(wav: impl Read) -> Result<Clip, ClipFileError> {
    let mut reader = hound::WavReader::new(wav)?;
    let spec = reader.spec();
    let rate = match spec.sample_rate {
        8_000 => Rate::Hz8000,
        16_000 => Rate::Hz16000,
        48_000 => Rate::Hz48000,
        other => return Err(ClipFileError::Rate(other)),
    };
    let seconds = reader.duration() / spec.sample_rate;
    if seconds >= MAX_S {
        return Err(ClipFileError::TooLong(seconds));
    }
    let samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>()?,
        hound::SampleFormat::Int => {
            let full_scale = (1_u64 << (spec.bits_per_sample.clamp(1, 32) - 1)) as f32;
            reader
                .samples::<i32>()
                .map(|sample| Ok(sample? as f32 / full_scale))
                .collect::<Result<_, hound::Error>>()?
        }
    };
    let channels = usize::from(spec.channels.max(1));
    let mean = |frame: &[f32]| {
        let sum: f32 = frame.iter().sum();
        (sum / channels as f32 * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
    };
    let samples: Vec<i16> = samples.chunks_exact(channels).map(mean).collect();
    encode(rate, &samples)
}

/// Two short beeps every five seconds, for who is held and has no music.
pub(crate) fn beeps() -> Clip {
    const HZ: f32 = 425.0;
    let sound = |n: usize| {
        let ms = n / 8;
        let sounds = ms < 200 || (300..500).contains(&ms);
        let value = (n as f32 / 8_000.0 * HZ * std::f32::consts::TAU).sin() * 3_000.0;
        if sounds { value as i16 } else { 0 }
    };
    let samples: Vec<i16> = (0..40_000).map(sound).collect();
    encode(Rate::Hz8000, &samples).expect("five seconds are a clip")
}

/// Encodes samples for every codec that can play clips. What does not fill 10 ms at the end is left out.
fn encode(rate: Rate, samples: &[i16]) -> Result<Clip, ClipFileError> {
    let level = Level::detect();
    let tens = samples.len() / (10 * rate.samples_per_ms());
    if tens == 0 {
        return Err(ClipFileError::Empty);
    }
    let duration_ms = 10 * tens as u32;
    let mut sound = samples[..tens * 10 * rate.samples_per_ms()].to_vec();
    sound.resize(sound.len() + Clip::TAIL_MS as usize * rate.samples_per_ms(), 0);
    let at = |to: Rate| {
        let mut output = vec![0; sound.len() / rate.samples_per_ms() * to.samples_per_ms()];
        Resampler::new(rate, to).process(level, &sound, &mut output);
        output
    };
    let (narrow, wide) = (at(Rate::Hz8000), at(Rate::Hz16000));
    let law = |law: Law| {
        let mut octets = vec![0; narrow.len()];
        g711::encode(level, law, &narrow, &mut octets);
        octets.into_boxed_slice()
    };
    let mut g722 = vec![0; wide.len() / 2];
    let mut state = g722::Encoder::new(g722::Mode::default());
    g722::encode_batch(level, &mut [g722::EncodeJob { state: &mut state, pcm: &wide, octets: &mut g722 }]);
    let encodings = [
        (Codec::Pcmu, law(Law::Mu)),
        (Codec::Pcma, law(Law::A)),
        (Codec::G722, g722.into_boxed_slice()),
        (Codec::G729, g729_octets(level, &narrow)),
    ];
    Ok(Clip::new(duration_ms, encodings).expect("every encoding was made as long as the clip and its tail"))
}

fn g729_octets(level: Level, pcm: &[i16]) -> Box<[u8]> {
    let (pcm, _) = pcm.as_chunks::<FRAME_SAMPLES>();
    let mut frames = vec![Frame::NotSent; pcm.len()];
    let mut state = g729::Encoder::new();
    g729::encode_batch(level, &mut [g729::EncodeJob { state: &mut state, pcm, frames: &mut frames }]);
    frames
        .iter()
        .flat_map(|frame| match frame {
            Frame::Speech(octets) => *octets,
            // Without Annex B every frame is speech.
            Frame::Sid(_) | Frame::NotSent | Frame::Erased => [0; 10],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn wav(spec: hound::WavSpec, samples: &[i32]) -> Vec<u8> {
        let mut octets = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut octets, spec).unwrap();
        samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
        writer.finalize().unwrap();
        octets.into_inner()
    }

    fn spec(channels: u16, sample_rate: u32, bits_per_sample: u16) -> hound::WavSpec {
        hound::WavSpec { channels, sample_rate, bits_per_sample, sample_format: hound::SampleFormat::Int }
    }

    #[test]
    fn speech_of_8_khz_becomes_the_very_octets_of_g711_and_every_codec_has_its_length() {
        let samples: Vec<i32> = (0..1_640).map(|n| (n * 37 % 8_000) - 4_000).collect();
        let clip = read(&wav(spec(1, 8_000, 16), &samples)[..]).unwrap();
        assert_eq!(clip.duration_ms(), 200, "5 ms at the end are left out");
        let pcm: Vec<i16> = samples[..1_600].iter().map(|sample| *sample as i16).collect();
        let mut expected = vec![0; 1_600];
        g711::encode(Level::Scalar, Law::A, &pcm, &mut expected);
        assert_eq!(clip.frames(Codec::Pcma, 0, 200), Some(&expected[..]));
        for (codec, per_ten) in [(Codec::Pcmu, 80), (Codec::G722, 80), (Codec::G729, 10)] {
            assert_eq!(clip.frames(codec, 200, 60).map(<[u8]>::len), Some(6 * per_ten), "{codec:?} has its tail");
        }
    }

    #[test]
    fn channels_are_mixed_and_other_sample_formats_scaled() {
        let stereo: Vec<i32> = (0..960).flat_map(|_| [8_000 << 8, 0]).collect();
        let clip = read(&wav(spec(2, 48_000, 24), &stereo)[..]).unwrap();
        let mut expected = [0];
        g711::encode(Level::Scalar, Law::Mu, &[4_000], &mut expected);
        // In the middle, where the filter has settled.
        let frame = clip.frames(Codec::Pcmu, 10, 10).unwrap();
        assert!(frame[..40].iter().all(|octet| octet.abs_diff(expected[0]) <= 1), "{frame:?}");
    }

    #[test]
    fn what_is_no_clip_says_what_would_be() {
        let error = |octets: &[u8]| read(octets).unwrap_err().to_string();
        assert!(error(b"RIFX").starts_with("no usable WAV"), "{}", error(b"RIFX"));
        assert!(error(&wav(spec(1, 44_100, 16), &[0; 4_410])).starts_with("44100 Hz is not possible; 8000, 16000"));
        assert_eq!(error(&wav(spec(1, 8_000, 16), &[0; 79])), "it is shorter than 10 ms");
        let missing = load(Path::new("/nowhere/at/all.wav")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read /nowhere/at/all.wav: No such file"), "{missing}");
    }

    #[test]
    fn beeps_are_heard_and_end_in_silence() {
        let clip = beeps();
        assert_eq!(clip.duration_ms(), 5_000);
        assert!(clip.frames(Codec::Pcmu, 0, 10).unwrap().iter().any(|octet| *octet != 0xff));
        assert!(clip.frames(Codec::Pcmu, 4_000, 1_000).unwrap().iter().all(|octet| *octet == 0xff));
    }
}
