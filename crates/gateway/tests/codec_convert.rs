//! `tandem codec encode`, `decode` and `transcode` on files.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use tempfile::TempDir;

/// A folder for one test's files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, octets: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), octets).unwrap();
        self.path(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn wav(&self, name: &str, hz: u32, channels: u16, samples: &[i16]) -> PathBuf {
        let spec =
            hound::WavSpec { channels, sample_rate: hz, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
        let mut writer = hound::WavWriter::create(self.path(name), spec).unwrap();
        samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
        writer.finalize().unwrap();
        self.path(name)
    }
}

fn codec(arguments: &[&str], input: &Path, output: &Path) -> Assert {
    Command::new(env!("CARGO_BIN_EXE_tandem")).arg("codec").args(arguments).arg(input).arg(output).assert()
}

fn refused(assert: Assert) -> String {
    String::from_utf8(assert.failure().get_output().stderr.clone()).unwrap()
}

/// A voice-like buzz that swells and fades.
fn buzz(hz: u32, ms: u32) -> Vec<i16> {
    (0..hz * ms / 1000)
        .map(|i| {
            let t = f64::from(i) / f64::from(hz);
            let swell = 0.5 - 0.5 * (3.0 * t).cos();
            let voice: f64 =
                (1..6).map(|k| (std::f64::consts::TAU * 130.0 * f64::from(k) * t).sin() / f64::from(k)).sum();
            (6000.0 * swell * voice) as i16
        })
        .collect()
}

fn raw(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

#[test]
fn mu_law_becomes_a_law_octet_by_octet() {
    let files = Files::new();
    let input = files.write("in.ulaw", &(0..=255).collect::<Vec<u8>>());
    codec(&["transcode", "--from", "pcmu", "--to", "pcma"], &input, &files.path("out.alaw")).success();
    let expected: Vec<u8> =
        (0..=255).map(|octet| tandem_codec::g711::transcode_octet(tandem_codec::g711::Law::Mu, octet)).collect();
    assert_eq!(files.read("out.alaw"), expected);
}

#[test]
fn every_level_transcodes_to_the_same_octets() {
    let files = Files::new();
    let input = files.write("in.raw", &raw(&buzz(16_000, 600)));
    codec(&["encode", "--codec", "g722"], &input, &files.path("in.g722")).success();
    for to in ["pcmu", "g729"] {
        let mut outputs = Vec::new();
        for level in tandem_codec::Level::available() {
            let arguments = ["transcode", "--from", "g722", "--to", to, "--level", level.name()];
            codec(&arguments, &files.path("in.g722"), &files.path("out")).success();
            outputs.push(files.read("out"));
        }
        assert!(!outputs[0].is_empty());
        assert!(outputs.iter().all(|output| *output == outputs[0]));
    }
}

#[test]
fn speech_survives_every_codec() {
    let files = Files::new();
    for (name, hz, encoded_octets) in
        [("pcmu", 8000, 8000), ("pcma", 8000, 8000), ("g722", 16_000, 8000), ("g729", 8000, 1000), ("opus", 48_000, 0)]
    {
        let samples = buzz(hz, 1000);
        let input = files.wav("in.wav", hz, 1, &samples);
        codec(&["encode", "--codec", name], &input, &files.path("coded")).success();
        if encoded_octets > 0 {
            assert_eq!(files.read("coded").len(), encoded_octets, "{name}");
        }
        codec(&["decode", "--codec", name], &files.path("coded"), &files.path("out.wav")).success();
        let mut reader = hound::WavReader::open(files.path("out.wav")).unwrap();
        assert_eq!(reader.spec().sample_rate, hz);
        let decoded: Vec<i16> = reader.samples().map(Result::unwrap).collect();
        assert_eq!(decoded.len(), samples.len(), "{name}");
        let energy = |samples: &[i16]| samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
        let ratio = energy(&decoded) / energy(&samples);
        assert!((0.5..1.6).contains(&ratio), "{name}: energy changed by {ratio}");
    }
}

#[test]
fn opus_goes_to_the_codecs_of_telephony_and_back() {
    let files = Files::new();
    let input = files.write("in.raw", &raw(&buzz(48_000, 500)));
    codec(&["encode", "--codec", "opus"], &input, &files.path("in.opus")).success();
    assert!(files.read("in.opus").starts_with(b"OggS"));
    for (to, octets) in [("pcma", 4000), ("g722", 4000), ("g729", 500)] {
        codec(&["transcode", "--from", "opus", "--to", to], &files.path("in.opus"), &files.path("coded")).success();
        assert_eq!(files.read("coded").len(), octets, "{to}");
        codec(&["transcode", "--from", to, "--to", "opus"], &files.path("coded"), &files.path("out.opus")).success();
        codec(&["decode", "--codec", "opus"], &files.path("out.opus"), &files.path("out.raw")).success();
        assert_eq!(files.read("out.raw").len(), 2 * 24_000, "{to}");
    }
}

#[test]
fn g722_at_48_kbit_leaves_two_bits_of_each_octet_alone() {
    let files = Files::new();
    let input = files.write("in.raw", &raw(&buzz(16_000, 200)));
    codec(&["encode", "--codec", "g722", "--mode", "48"], &input, &files.path("out.g722")).success();
    let octets = files.read("out.g722");
    assert!(octets.iter().all(|octet| octet & 3 == 0) && octets.iter().any(|octet| octet & 4 != 0));
}

#[test]
fn lost_packets_are_concealed_in_place() {
    let files = Files::new();
    let mask = files.write("mask", b"0000 0000 01");
    for (name, hz) in [("pcmu", 8000), ("g722", 16_000), ("g729", 8000)] {
        let samples = buzz(hz, 1000);
        let input = files.write("in.raw", &raw(&samples));
        codec(&["encode", "--codec", name], &input, &files.path("coded")).success();
        codec(&["decode", "--codec", name], &files.path("coded"), &files.path("whole.raw")).success();
        let mask = mask.to_str().unwrap();
        codec(&["decode", "--codec", name, "--loss", mask], &files.path("coded"), &files.path("lossy.raw")).success();
        let (whole, lossy) = (files.read("whole.raw"), files.read("lossy.raw"));
        assert_eq!(whole.len(), lossy.len());
        assert_ne!(whole, lossy, "{name}");
        // Packet 9 of 20 ms was lost. What came before it is as it was, but for G.711's overlap of up to 3.75 ms into it.
        let overlap = if name == "pcmu" { 30 } else { 0 };
        let before = 2 * (9 * hz as usize / 50 - overlap);
        assert_eq!(whole[..before], lossy[..before], "{name}");
        let packet = before + 4 * overlap..before + 2 * hz as usize / 50;
        assert!(lossy[packet].iter().any(|octet| *octet != 0), "{name}: silence instead of a concealment");
    }
}

#[test]
fn silence_of_annex_b_is_written_in_serial_words_and_read_back() {
    let files = Files::new();
    let mut samples = buzz(8000, 500);
    samples.extend([3, -2, 1, 0].repeat(4000));
    let input = files.write("in.raw", &raw(&samples));
    codec(&["encode", "--codec", "g729", "--annexb", "--itu"], &input, &files.path("out.bit")).success();
    let words = files.read("out.bit");
    let frames = samples.len() / 80;
    assert!(words.len() < frames * 164 / 2, "nothing was left unsent");
    codec(&["decode", "--codec", "g729", "--itu"], &files.path("out.bit"), &files.path("out.raw")).success();
    assert_eq!(files.read("out.raw").len(), frames * 160);
    let error = refused(codec(&["encode", "--codec", "g729", "--annexb"], &input, &files.path("out.g729")));
    assert!(error.contains("--itu"), "{error}");
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_what_to_do() {
    let files = Files::new();
    let samples = buzz(44_100, 100);
    let output = files.path("out");
    let wav = files.wav("cd.wav", 44_100, 1, &samples);
    let error = refused(codec(&["encode", "--codec", "pcmu"], &wav, &output));
    assert!(error.contains("cd.wav: 44100 Hz, but pcmu takes 8000 Hz") && error.contains("sox"), "{error}");

    let wav = files.wav("stereo.wav", 8000, 2, &samples[..1000]);
    let error = refused(codec(&["encode", "--codec", "pcma"], &wav, &output));
    assert!(error.contains("2 channels"), "{error}");

    let odd = files.write("odd.raw", &[1, 2, 3]);
    let error = refused(codec(&["encode", "--codec", "g722"], &odd, &output));
    assert!(error.contains("truncated") && error.contains("octet 2"), "{error}");

    let short = files.write("short.g729", &[0; 33]);
    let error = refused(codec(&["decode", "--codec", "g729"], &short, &output));
    assert!(
        error.contains("truncated") && error.contains("3 of the 10 octets") && error.contains("octet 30"),
        "{error}"
    );

    let serial = files.write("bad.bit", &[0x21, 0x6b, 80, 0, 0x34, 0x12]);
    let error = refused(codec(&["decode", "--codec", "g729", "--itu"], &serial, &output));
    assert!(error.contains("bad.bit: octet 4"), "{error}");

    let not_ogg = files.write("no.opus", b"RIFF and so on, and nothing of Ogg in it");
    let error = refused(codec(&["decode", "--codec", "opus"], &not_ogg, &output));
    assert!(error.contains("no.opus") && error.contains("Ogg"), "{error}");

    let error = refused(codec(&["decode", "--codec", "pcmu"], &files.path("missing"), &output));
    assert!(error.contains("missing") && error.contains("No such file"), "{error}");
    assert!(!output.exists(), "an output was written though the input was bad");
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let files = Files::new();
    let input = files.write("in", &[0; 160]);
    let output = files.path("out");
    let cases = [
        (&["encode", "--codec", "ilbc"][..], "possible values: pcmu, pcma, g722, g729, opus"),
        (&["encode", "--codec", "pcmu", "--mode", "56"], "--mode goes with g722"),
        (&["encode", "--codec", "g722", "--mode", "57"], "64, 56 and 48"),
        (&["encode", "--codec", "pcmu", "--annexb"], "--annexb goes with g729"),
        (&["transcode", "--from", "g729", "--to", "pcmu", "--annexb"], "--annexb goes with g729"),
        (&["decode", "--codec", "opus", "--itu"], "--itu goes with g729"),
        (&["decode", "--codec", "pcmu", "--level", "mmx"], "scalar, avx2, avx512, avx512-vnni"),
        (&["decode", "--codec", "pcmu", "--ptime", "25"], "10, 20, 30, 40, 60"),
    ];
    for (arguments, expected) in cases {
        let error = refused(codec(arguments, &input, &output));
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}
