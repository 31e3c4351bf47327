//! The files of a folder by name, whatever the case.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::codec::error::CodecError;

/// A file of 16-bit words.
type Words = Vec<i16>;

/// A folder's files.
pub(super) struct Folder {
    files: BTreeMap<String, PathBuf>,
}

impl Folder {
    /// A folder and all below it, in the order of their names.
    pub(super) fn all_below(path: &Path) -> Result<Vec<Self>, CodecError> {
        let mut folders = Vec::new();
        let mut waiting = vec![path.to_owned()];
        while let Some(path) = waiting.pop() {
            let mut files = BTreeMap::new();
            for entry in std::fs::read_dir(&path).map_err(CodecError::io(&path))? {
                let entry = entry.map_err(CodecError::io(&path))?;
                // Not through symbolic links, which could go in circles.
                let kind = entry.file_type().map_err(CodecError::io(&path))?;
                if kind.is_dir() {
                    waiting.push(entry.path());
                } else if let Some(name) = entry.file_name().to_str() {
                    files.insert(name.to_lowercase(), entry.path());
                }
            }
            folders.push(Self { files });
        }
        Ok(folders)
    }

    /// Names in lower case, with their paths.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.files.iter().map(|(name, path)| (name.as_str(), path.as_path()))
    }

    /// Where a file is, by its name in lower case.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.files.get(name).cloned()
    }

    /// A file's octets, if it is there.
    pub(super) fn octets(&self, name: &str) -> Result<Option<Vec<u8>>, CodecError> {
        self.files.get(name).map(|path| std::fs::read(path).map_err(CodecError::io(path))).transpose()
    }

    /// A file's 16-bit little-endian words, if it is there.
    pub(super) fn words(&self, name: &str) -> Result<Option<Words>, CodecError> {
        let octets = self.octets(name)?;
        Ok(octets.map(|octets| octets.as_chunks().0.iter().map(|word| i16::from_le_bytes(*word)).collect()))
    }

    /// Two files of words, if both are there.
    pub(super) fn pair(&self, first: &str, second: &str) -> Result<Option<(Words, Words)>, CodecError> {
        Ok(self.words(first)?.zip(self.words(second)?))
    }
}
