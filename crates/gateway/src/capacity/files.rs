//! Reports and prices, from and to files.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use tandem_capacity::prices::Prices;
use tandem_capacity::report::{self, MAX_FILE_BYTES, Report};

/// The longest price file, in octets.
const MAX_PRICES: u64 = 4 << 20;

/// Reads a report.
pub(super) fn report(path: &Path) -> anyhow::Result<Report> {
    let name = path.display().to_string();
    let mut text = Vec::new();
    let file = File::open(path).with_context(|| name.clone())?;
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut text).with_context(|| name.clone())?;
    Ok(report::read(&name, &text)?)
}

/// Reads several, each with the name of its file.
pub(super) fn reports(paths: &[impl AsRef<Path>]) -> anyhow::Result<Vec<(String, Report)>> {
    paths.iter().map(|path| Ok((path.as_ref().display().to_string(), report(path.as_ref())?))).collect()
}

/// Reads prices.
pub(super) fn prices(path: &Path) -> anyhow::Result<Prices> {
    let name = path.display().to_string();
    let mut text = String::new();
    let file = File::open(path).with_context(|| name.clone())?;
    file.take(MAX_PRICES).read_to_string(&mut text).with_context(|| name.clone())?;
    Ok(Prices::parse(&name, &text)?)
}

/// Writes a file whole or not at all: beside it first, then in its place.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let name = path.file_name().ok_or_else(|| anyhow!("{}: not a file", path.display()))?;
    let beside = path.with_file_name(format!(".{}.new", name.to_string_lossy()));
    let written = || -> std::io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

/// Writes to a file, or to standard output.
pub(super) fn tell(out: Option<&Path>, text: &str) -> anyhow::Result<()> {
    match out {
        Some(path) => write(path, text),
        None => std::io::stdout().write_all(text.as_bytes()).context("standard output"),
    }
}
