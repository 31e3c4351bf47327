//! Finds the ITU-T conformance vectors, which are not part of this repository.

use std::path::{Path, PathBuf};

/// A folder of vectors.
pub(crate) struct Vectors {
    folder: PathBuf,
}

impl Vectors {
    /// The folder below `vectors/` of the shared material: where `TANDEM_SHARED` says, or beside the repository. Where there is none, says that
    /// the test was not run, or fails if `TANDEM_REQUIRE_SHARED` is 1.
    pub(crate) fn open(name: &str) -> Option<Self> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
        let shared = std::env::var_os("TANDEM_SHARED").map_or(beside, PathBuf::from);
        let folder = shared.join("vectors").join(name);
        if folder.is_dir() {
            return Some(Self { folder });
        }
        let required = std::env::var_os("TANDEM_REQUIRE_SHARED").is_some_and(|value| value == "1");
        assert!(!required, "the vectors are required, but there is no {}", folder.display());
        println!("not run: ITU-T vectors (no {})", folder.display());
        None
    }

    /// All files of the folder, by name.
    #[allow(dead_code, reason = "not every test lists")]
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.folder).expect("the folder can be listed");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry can be read").path()).collect();
        files.sort();
        files
    }

    /// A file's octets, if it is there: some files of each set may be kept elsewhere.
    pub(crate) fn octets(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.folder.join(name)).ok()
    }

    /// A file of 16-bit little-endian words.
    #[allow(dead_code, reason = "not every test reads whole files of words")]
    pub(crate) fn words(&self, name: &str) -> Option<Vec<i16>> {
        let octets = self.octets(name)?;
        Some(octets.chunks_exact(2).map(|word| i16::from_le_bytes([word[0], word[1]])).collect())
    }
}

/// The first place where two sequences differ, with what is there; a missing element is a difference.
#[allow(dead_code, reason = "some tests name frames and samples")]
pub(crate) fn first_difference<T: PartialEq + Copy>(
    actual: &[T],
    expected: &[T],
) -> Option<(usize, Option<T>, Option<T>)> {
    let length = actual.len().max(expected.len());
    (0..length)
        .map(|i| (i, actual.get(i).copied(), expected.get(i).copied()))
        .find(|(_, actual, expected)| actual != expected)
}
