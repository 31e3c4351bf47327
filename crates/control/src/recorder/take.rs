//! One recording: its files, from the first packet to the last.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tandem_call::CallSnapshot;
use tandem_codec::resample::Rate;
use tandem_config::{Recording, RecordingFormat};
use tandem_contract::{Codec, LegSide, Nanos, TapHeader};
use tandem_wire::rtp::Rtp;

use super::pcap;
use super::timeline::Timeline;

/// How long a packet may come after its time before its place is written, in milliseconds.
const PATIENCE_MS: u64 = 1_000;
/// How often a WAV's header is brought up to date, so that a crash leaves a file that can be played; in milliseconds.
const HEADER_MS: u64 = 10_000;

/// What is to be recorded, and where.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The files without their endings.
    pub(crate) stem: PathBuf,
    pub(crate) formats: Vec<RecordingFormat>,
    /// The WAV's sampling rate.
    pub(crate) rate: Rate,
    /// The recording ends by itself after so many seconds.
    pub(crate) max_s: u32,
    /// And when its files together have grown to so many octets.
    pub(crate) max_octets: u64,
}

impl Plan {
    /// A call's next recording, from now on.
    pub(crate) fn of(call: &CallSnapshot, wanted: &Recording, directory: &Path) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let is_wide = [call.caller_codec, call.callee_codec].contains(&Some(Codec::G722));
        Self {
            stem: stem(directory, now.as_millis() as u64, call.number.0, call.recordings.len()),
            formats: wanted.formats.clone(),
            rate: if is_wide { Rate::Hz16000 } else { Rate::Hz8000 },
            max_s: wanted.max_s,
            max_octets: u64::from(wanted.max_mib) << 20,
        }
    }

    /// The files it makes.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.formats.iter().map(|format| self.stem.with_extension(extension(*format))).collect()
    }
}

const fn extension(format: RecordingFormat) -> &'static str {
    match format {
        RecordingFormat::Wav => "wav",
        RecordingFormat::Pcap => "pcap",
    }
}

/// A recording under way.
pub(super) struct Take {
    wav: Option<Stereo>,
    pcap: Option<BufWriter<File>>,
    /// The worker's time of the first packet, and what the wall clock said about then.
    start: Option<(Nanos, u64)>,
    longest: u64,
    files: Vec<PathBuf>,
    /// Octets of the capture, and how many all files may have together.
    captured: u64,
    max_octets: u64,
}

impl Take {
    /// Makes the files. A file that is there already is not touched.
    pub(super) fn create(plan: &Plan) -> io::Result<Self> {
        let (mut wav, mut capture) = (None, None);
        if let Some(directory) = plan.stem.parent() {
            fs::create_dir_all(directory)?;
        }
        for (format, path) in plan.formats.iter().zip(plan.files()) {
            let file = BufWriter::new(File::create_new(path)?);
            match format {
                RecordingFormat::Wav => wav = Some(Stereo::new(file, plan.rate)?),
                RecordingFormat::Pcap => {
                    let file = capture.insert(file);
                    pcap::write_head(file)?;
                }
            }
        }
        Ok(Self {
            wav,
            pcap: capture,
            start: None,
            longest: u64::from(plan.max_s) * 1_000_000_000,
            files: plan.files(),
            captured: 0,
            max_octets: plan.max_octets,
        })
    }

    /// Its files.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Takes a packet of either leg; `wall` tells the time where none was taken yet. `false` once the longest duration or size is
    /// reached.
    pub(super) fn push(&mut self, header: &TapHeader, octets: &[u8], wall: impl FnOnce() -> u64) -> io::Result<bool> {
        let (start, unix_ns) = *self.start.get_or_insert_with(|| (header.received_at, wall()));
        let since = header.received_at.since(start);
        let spoken = self.wav.as_ref().map_or(0, |wav| wav.octets_until(since));
        if since >= self.longest || self.captured.saturating_add(spoken) >= self.max_octets {
            return Ok(false);
        }
        if let Some(file) = &mut self.pcap {
            pcap::write_datagram(file, unix_ns + since, header.source, header.local, octets)?;
            self.captured += pcap::octets_of(header.source, octets.len());
        }
        if let (Some(wav), Ok(rtp), false) = (&mut self.wav, Rtp::parse(octets), header.is_beside_speech) {
            wav.push(since, header, &rtp)?;
        }
        Ok(true)
    }

    /// Writes what is left and completes the files.
    pub(super) fn finish(self) -> io::Result<()> {
        if let Some(mut file) = self.pcap {
            file.flush()?;
        }
        self.wav.map_or(Ok(()), Stereo::finish)
    }
}

/// A WAV with the caller on the left and the callee on the right.
struct Stereo {
    writer: hound::WavWriter<BufWriter<File>>,
    rate: Rate,
    legs: [Timeline; 2],
    written: u64,
    header_due: u64,
}

impl Stereo {
    fn new(file: BufWriter<File>, rate: Rate) -> io::Result<Self> {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: rate.hz(),
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let writer = hound::WavWriter::new(file, spec).map_err(io_error)?;
        let header_due = HEADER_MS * rate.samples_per_ms() as u64;
        Ok(Self { writer, rate, legs: [Timeline::new(rate), Timeline::new(rate)], written: 0, header_due })
    }

    /// How long its samples are up to a time since the beginning, both sides of 16 bits.
    fn octets_until(&self, since_ns: u64) -> u64 {
        since_ns / 1_000_000 * self.rate.samples_per_ms() as u64 * 4
    }

    fn push(&mut self, since_ns: u64, header: &TapHeader, rtp: &Rtp<'_>) -> io::Result<()> {
        let per_ms = self.rate.samples_per_ms() as u64;
        let arrival = since_ns / 1_000 * per_ms / 1_000;
        self.legs[header.leg.index()].push(arrival, header.codec, rtp);
        self.write(arrival.saturating_sub(PATIENCE_MS * per_ms))?;
        if self.written >= self.header_due {
            self.header_due = self.written + HEADER_MS * per_ms;
            self.writer.flush().map_err(io_error)?;
        }
        Ok(())
    }

    /// Writes both legs up to a position.
    fn write(&mut self, until: u64) -> io::Result<()> {
        while self.written < until {
            self.written += 1;
            for side in LegSide::BOTH {
                self.writer.write_sample(self.legs[side.index()].next()).map_err(io_error)?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        let end = self.legs[0].end().max(self.legs[1].end());
        self.write(end)?;
        self.writer.finalize().map_err(io_error)
    }
}

fn io_error(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// A file name's stem for a call's recording: when it began, the call's number, and which of the call's it is.
fn stem(directory: &Path, unix_ms: u64, call: u64, nth: usize) -> PathBuf {
    let began = std::time::UNIX_EPOCH + std::time::Duration::from_millis(unix_ms);
    let began = humantime::format_rfc3339_seconds(began).to_string().replace(['-', ':'], "");
    directory.join(format!("{began}-{call}-{nth}"))
}
