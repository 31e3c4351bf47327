//! `tandem codec conformance`.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use assert_cmd::Command;

fn conformance(folder: &Path) -> assert_cmd::assert::Assert {
    Command::new(env!("CARGO_BIN_EXE_tandem")).args(["codec", "conformance"]).arg(folder).assert()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

/// A sweep as ITU-T's, made with the scalar reference.
fn write_sweep(folder: &Path, spoil: Option<usize>) {
    let pcm: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    let words = |words: &[i16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let law = tandem_codec::g711::Law::A;
    let mut codes: Vec<i16> = pcm.iter().map(|sample| i16::from(law.encode(*sample))).collect();
    if let Some(at) = spoil {
        codes[at] ^= 1;
    }
    std::fs::write(folder.join("sweep.src"), words(&pcm)).unwrap();
    std::fs::write(folder.join("sweep-r.a"), words(&codes)).unwrap();
}

#[test]
fn exact_vectors_are_listed_for_every_level() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("g711")).unwrap();
    write_sweep(&folder.path().join("g711"), None);
    let done = conformance(folder.path()).success();
    let table = text(&done.get_output().stdout);
    let rows: Vec<&str> = table.lines().skip(1).collect();
    assert_eq!(rows.len(), tandem_codec::Level::available().count(), "{table}");
    for (row, level) in rows.iter().zip(tandem_codec::Level::available()) {
        for part in ["g711/sweep-r.a", "G.711 A-law encode", level.name(), "65536", "exact"] {
            assert!(row.contains(part), "{part} is missing: {row}");
        }
    }
}

#[test]
fn difference_is_told_with_its_place_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    write_sweep(folder.path(), Some(40_000));
    let done = conformance(folder.path()).failure();
    let output = done.get_output();
    assert!(text(&output.stdout).contains("frame 40000, sample 40000: "), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("comparisons differ"), "{}", text(&output.stderr));
}

#[test]
fn folder_without_vectors_fails() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no vectors here").unwrap();
    let done = conformance(folder.path()).failure();
    assert!(text(&done.get_output().stderr).contains("no test vectors"));
}

#[test]
fn folder_that_is_not_there_is_named() {
    let done = conformance(Path::new("/nowhere/at/all")).failure();
    assert!(text(&done.get_output().stderr).contains("/nowhere/at/all"));
}

#[test]
fn itu_vectors_are_exact() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let vectors = std::env::var_os("TANDEM_SHARED").map_or(beside, PathBuf::from).join("vectors");
    if !vectors.is_dir() {
        let required = std::env::var_os("TANDEM_REQUIRE_SHARED").is_some_and(|value| value == "1");
        assert!(!required, "the vectors are required, but there is no {}", vectors.display());
        println!("not run: ITU-T vectors (no {})", vectors.display());
        return;
    }
    // Those that take no more than a few seconds at every level; `tandem codec conformance` itself runs them all.
    for set in ["g711", "g722"] {
        let done = conformance(&vectors.join(set)).success();
        assert!(text(&done.get_output().stdout).contains("exact"), "{set}");
    }
}
