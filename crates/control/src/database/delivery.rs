//! Call records from their files into the store, in order and once each.
//!
//! The files are the spool: a record is in one, on the disk, before its call is forgotten. How far they have been taken over is
//! written in the same transaction as the records, so that nothing that happens on the way loses or doubles one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::Value;
use tandem_store::{Cursor, LegRow, RecordRow, Store, StoreError};
use tokio::time::sleep;

use super::StoreState;

/// Between looks for new records, and between attempts to reach a database that is away.
const PAUSE: Duration = Duration::from_secs(1);
/// Records that share a transaction at most.
const BATCH: usize = 256;

pub(super) struct Delivery {
    store: Store,
    directory: PathBuf,
    node: String,
    state: Arc<StoreState>,
}

impl Delivery {
    pub(super) fn new(store: Store, directory: PathBuf, node: String, state: Arc<StoreState>) -> Self {
        Self { store, directory, node, state }
    }

    /// Goes on until its runtime ends.
    pub(super) async fn run(self) {
        let mut cursor = None;
        let mut is_failing = false;
        loop {
            let delivered = self.deliver(&mut cursor).await;
            match &delivered {
                Ok(_) => is_failing = false,
                Err(error) => {
                    // Where the store really is, it says itself.
                    cursor = None;
                    if !is_failing {
                        tracing::warn!(%error, "call records wait in their files until the store takes them");
                    }
                    is_failing = true;
                }
            }
            if !matches!(delivered, Ok(BATCH)) {
                sleep(PAUSE).await;
            }
        }
    }

    /// Takes over what comes next, at most [`BATCH`] records; how many that were.
    async fn deliver(&self, known: &mut Option<Cursor>) -> Result<usize, DeliveryError> {
        let mut cursor = match known.take() {
            Some(cursor) => cursor,
            None => {
                let kept = self.store.record_cursor(&self.node).await?;
                kept.unwrap_or(Cursor { file: String::new(), position: 0 })
            }
        };
        let mut rows = Vec::new();
        for file in files(&self.directory)? {
            if place(&file) < place(&cursor.file) {
                continue;
            }
            if file != cursor.file {
                cursor = Cursor { file, position: 0 };
            }
            self.read(&mut cursor, &mut rows)?;
            if rows.len() == BATCH {
                break;
            }
        }
        if !rows.is_empty() {
            let new = self.store.deliver_records(&self.node, &rows, &cursor).await?;
            self.state.records.fetch_add(new, Relaxed);
        }
        *known = Some(cursor);
        Ok(rows.len())
    }

    /// Whole lines from the cursor on; it moves behind them.
    fn read(&self, cursor: &mut Cursor, rows: &mut Vec<RecordRow>) -> io::Result<()> {
        let mut file = File::open(self.directory.join(&cursor.file))?;
        file.seek(SeekFrom::Start(u64::try_from(cursor.position).unwrap_or(0)))?;
        let mut lines = BufReader::new(file);
        let mut line = String::new();
        while rows.len() < BATCH {
            line.clear();
            let length = lines.read_line(&mut line)?;
            if !line.ends_with('\n') {
                break;
            }
            // Node, file and place in it name a record among all of them.
            let id = format!("{}/{}/{}", self.node, cursor.file, cursor.position);
            cursor.position += i64::try_from(length).unwrap_or(0);
            match serde_json::from_str(&line) {
                Ok(record) => rows.push(row(id, &record, line.trim_end())),
                Err(error) => tracing::warn!(id, %error, "a line of the record files is no record and is left out"),
            }
        }
        Ok(())
    }
}

/// The record files' names, the oldest first.
fn files(directory: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        files.extend(name.to_str().filter(|name| place(name).1 > 0).map(str::to_owned));
    }
    files.sort_by(|a, b| place(a).cmp(&place(b)));
    Ok(files)
}

/// Day and number in `records-<day>-<n>.jsonl`; number 0 for what is none.
fn place(name: &str) -> (&str, u32) {
    let parts = name.strip_prefix("records-").and_then(|name| name.strip_suffix(".jsonl")?.rsplit_once('-'));
    parts.and_then(|(day, number)| Some((day, number.parse().ok()?))).unwrap_or_default()
}

fn row(id: String, record: &Value, text: &str) -> RecordRow {
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let time = |value: &Value| {
        let time = value.as_str().and_then(|text| humantime::parse_rfc3339(text).ok());
        let since = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    };
    let leg = |name: &str| {
        let leg = &record[name];
        let hundredths = |value: &Value| value.as_f64().map_or(0, |score| (score * 100.0).round() as i64);
        LegRow {
            leg: name.to_owned(),
            peer: words(&leg["peer"]),
            call_id: words(&leg["call_id"]),
            codec: words(&leg["codec"]),
            packets_received: number(&leg["packets_received"]),
            packets_lost: number(&leg["packets_lost"]),
            jitter_us: number(&leg["jitter_us"]),
            mos_received_hundredths: hundredths(&leg["mos_received"]),
            mos_sent_hundredths: hundredths(&leg["mos_sent"]),
        }
    };
    RecordRow {
        id,
        started_ms: time(&record["started"]),
        ended_ms: time(&record["ended"]),
        caller: words(&record["from"]),
        callee: words(&record["to"]),
        route: words(&record["route"]),
        identity: words(&record["identity"]["verdict"]),
        attestation: words(&record["identity"]["attestation"]),
        status: number(&record["status"]),
        q850: number(&record["q850"]),
        duration_ms: number(&record["duration_ms"]),
        ended_by: words(&record["ended_by"]),
        record: text.to_owned(),
        legs: vec![leg("caller"), leg("callee")],
    }
}

/// Records could not be taken over.
#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("record files: {0}")]
    Files(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_testkit::Postgres;

    fn line(number: u64) -> String {
        serde_json::to_string(&crate::records::example_record(number)).unwrap() + "\n"
    }

    fn numbers(ids: &[String]) -> Vec<&str> {
        ids.iter().map(|id| id.strip_prefix("edge-1/").unwrap()).collect()
    }

    #[test]
    fn records_come_in_order_from_file_to_file_and_half_a_line_waits() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let store = Store::open(&format!("sqlite://{}/t.db", path.display())).await.unwrap();
            let state = Arc::new(StoreState::default());
            let delivery = Delivery::new(store.clone(), path.clone(), "edge-1".into(), state.clone());
            let mut cursor = None;
            let first = line(1);
            let length = first.len();
            std::fs::write(path.join("records-2026-11-25-9.jsonl"), &first).unwrap();
            std::fs::write(path.join("records-2026-11-25-10.jsonl"), line(2) + "no record\n" + &line(3)[..20]).unwrap();
            std::fs::write(path.join("notes.txt"), "x").unwrap();
            assert_eq!(delivery.deliver(&mut cursor).await.unwrap(), 2);
            assert_eq!(delivery.deliver(&mut cursor).await.unwrap(), 0);
            std::fs::write(path.join("records-2026-11-25-10.jsonl"), line(2) + "no record\n" + &line(3)).unwrap();
            std::fs::write(path.join("records-2026-11-26-1.jsonl"), line(4)).unwrap();
            // A process that has just started knows only what the store says.
            assert_eq!(delivery.deliver(&mut None).await.unwrap(), 2);
            assert_eq!(delivery.deliver(&mut None).await.unwrap(), 0);
            let ids = store.record_ids("edge-1").await.unwrap();
            assert_eq!(ids.len(), 4);
            assert!(numbers(&ids).contains(&"records-2026-11-25-9.jsonl/0"));
            assert!(numbers(&ids).contains(&format!("records-2026-11-25-10.jsonl/{}", length + 10).as_str()));
            assert_eq!(state.records.load(Relaxed), 4);
            store.close().await;
        });
    }

    #[test]
    fn while_postgresql_is_away_records_wait_and_then_come_once_each() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let records = tempfile::tempdir().unwrap();
        let mut server = Postgres::start(directory.path()).unwrap();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let store = Store::open(&server.url()).await.unwrap();
            let state = Arc::new(StoreState::default());
            let delivery = Delivery::new(store.clone(), records.path().to_owned(), "edge-1".into(), state.clone());
            let file = records.path().join("records-2026-11-26-1.jsonl");
            let text = |count: u64| (1..=count).map(line).collect::<String>();
            let mut cursor = None;
            std::fs::write(&file, text(300)).unwrap();
            assert_eq!(delivery.deliver(&mut cursor).await.unwrap(), BATCH);
            server.stop().unwrap();
            assert!(delivery.deliver(&mut cursor).await.is_err());
            std::fs::write(&file, text(700)).unwrap();
            assert!(delivery.deliver(&mut cursor).await.is_err());
            server.resume().unwrap();
            let mut delivered = BATCH;
            loop {
                match delivery.deliver(&mut cursor).await.unwrap() {
                    0 => break,
                    more => delivered += more,
                }
            }
            assert_eq!(delivered, 700, "none twice");
            assert_eq!(store.record_ids("edge-1").await.unwrap().len(), 700, "none lost");
            assert_eq!(state.records.load(Relaxed), 700);
            store.close().await;
        });
    }
}
