//! The gateway's call detail records, as far as the audit needs them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// One call.
#[derive(Debug, Deserialize)]
pub(crate) struct Record {
    pub(crate) status: u16,
    pub(crate) caller: Leg,
    pub(crate) callee: Leg,
}

/// One leg of a call.
#[derive(Debug, Deserialize)]
pub(crate) struct Leg {
    pub(crate) codec: Option<String>,
    pub(crate) local_media: Option<SocketAddr>,
}

/// Reads every record of every `.jsonl` file in `directory`.
pub(crate) fn read(directory: &Path) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for (index, line) in text.lines().enumerate() {
            let record =
                serde_json::from_str(line).with_context(|| format!("{} line {}", path.display(), index + 1))?;
            records.push(record);
        }
    }
    ensure!(!records.is_empty(), "there is no call record in {}", directory.display());
    Ok(records)
}
