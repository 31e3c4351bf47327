//! Call detail records on disk: one JSON object per line, written by one thread.
//!
//! A record is confirmed only when it is written, and with `fsync` only when the disk has it; until then the call it
//! tells of is not forgotten. Records that arrive together share one write and one `fdatasync`. When the disk takes no
//! more, nothing is lost: records wait, the same write is tried again every second, and the node is not ready.

mod file;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tandem_call::{CallNumber, CallRecord};
use tandem_config::Records;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use file::RecordFile;

/// How long to wait before a write that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Records that share one write at most.
const BATCH: usize = 1024;

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("call records: {}: {source} (records.directory must be writable)", path.display())]
pub struct RecordsError {
    /// The directory or file.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

/// How the writer fares, readable by anyone.
#[derive(Debug, Default)]
pub(crate) struct RecordsState {
    /// The last write failed.
    pub(crate) failing: AtomicBool,
    /// Records written since the start.
    pub(crate) written: AtomicU64,
    /// Records handed over but not written yet.
    pub(crate) waiting: AtomicU64,
}

/// Control's end of the writer thread. Dropping it lets the thread write what it has and end.
pub(crate) struct RecordWriter {
    records: Option<mpsc::Sender<Box<CallRecord>>>,
    /// Calls whose record is written.
    pub(crate) written: UnboundedReceiver<CallNumber>,
    pub(crate) state: Arc<RecordsState>,
    thread: Option<JoinHandle<()>>,
}

impl RecordWriter {
    /// Opens the directory and starts the thread.
    pub(crate) fn start(config: &Records) -> Result<Self, RecordsError> {
        let file = RecordFile::open(config, SystemTime::now())?;
        let (records, incoming) = mpsc::channel();
        let (confirm, written) = unbounded_channel();
        let state = Arc::new(RecordsState::default());
        let writer = Writer { file, incoming, confirm, state: state.clone() };
        let thread = std::thread::Builder::new()
            .name("tandem-records".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| RecordsError { path: config.directory.clone(), source })?;
        Ok(Self { records: Some(records), written, state, thread: Some(thread) })
    }

    pub(crate) fn write(&self, record: Box<CallRecord>) {
        self.state.waiting.fetch_add(1, Relaxed);
        if let Some(records) = &self.records {
            // The thread lives as long as this end does.
            let _ = records.send(record);
        }
    }

    /// Waits until the thread has ended; how many records it could not write.
    pub(crate) fn finish(&mut self) -> u64 {
        self.records = None;
        // Nobody confirms any more: a record that the disk does not take now is given up.
        self.written.close();
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, what it had counts as not written.
            let _ = thread.join();
        }
        self.state.waiting.load(Relaxed)
    }
}

struct Writer {
    file: RecordFile,
    incoming: mpsc::Receiver<Box<CallRecord>>,
    confirm: UnboundedSender<CallNumber>,
    state: Arc<RecordsState>,
}

impl Writer {
    fn run(mut self) {
        let mut lines = Vec::new();
        let mut calls = Vec::new();
        while let Ok(first) = self.incoming.recv() {
            lines.clear();
            calls.clear();
            for record in std::iter::once(first).chain(self.incoming.try_iter()).take(BATCH) {
                // A record is numbers and strings, which JSON can hold.
                if serde_json::to_writer(&mut lines, &record).is_ok() {
                    lines.push(b'\n');
                }
                calls.push(record.number);
            }
            if !self.write_until_done(&lines) {
                return;
            }
            let count = calls.len() as u64;
            self.state.written.fetch_add(count, Relaxed);
            self.state.waiting.fetch_sub(count, Relaxed);
            for call in calls.drain(..) {
                // Nobody waits for it any more when control has ended.
                let _ = self.confirm.send(call);
            }
        }
    }

    /// Tries until it succeeds; `false` when control ended while it did not.
    fn write_until_done(&mut self, lines: &[u8]) -> bool {
        loop {
            match self.file.append(lines, SystemTime::now()) {
                Ok(()) => {
                    if self.state.failing.swap(false, Relaxed) {
                        tracing::info!(path = %self.file.path().display(), "call records are written again");
                    }
                    return true;
                }
                Err(error) => {
                    if !self.state.failing.swap(true, Relaxed) {
                        tracing::error!(
                            path = %self.file.path().display(), %error,
                            "call records cannot be written: they wait and are tried again every second"
                        );
                    }
                    if self.confirm.is_closed() {
                        return false;
                    }
                    std::thread::sleep(RETRY);
                }
            }
        }
    }
}

/// A writer and the thread's other ends, for tests of what uses it.
#[cfg(test)]
pub(crate) fn example_record(number: u64) -> CallRecord {
    use tandem_call::{Ended, LegRecord, UnixMillis};
    CallRecord {
        number: CallNumber(number),
        from: "sip:a@example.com".to_owned(),
        to: "sip:b@example.com".to_owned(),
        request_uri: "sip:b@example.com".to_owned(),
        routed_uri: "sip:b@10.0.0.1".to_owned(),
        route: "1".to_owned(),
        tried: Vec::new(),
        started: UnixMillis(0),
        answered: None,
        ended: UnixMillis(1000),
        setup_ms: 1000,
        duration_ms: 0,
        status: 486,
        reason: "busy".to_owned(),
        q850: 17,
        ended_by: Ended::Callee,
        identity: None,
        recordings: Vec::new(),
        caller: LegRecord::default(),
        callee: LegRecord::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(directory: &std::path::Path) -> Records {
        Records { directory: directory.to_owned(), ..Records::default() }
    }

    #[test]
    fn a_record_is_confirmed_when_it_is_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = RecordWriter::start(&config(directory.path())).unwrap();
        for number in 0..50 {
            writer.write(Box::new(example_record(number)));
        }
        for number in 0..50 {
            assert_eq!(writer.written.blocking_recv(), Some(CallNumber(number)));
        }
        assert_eq!(writer.finish(), 0);
        let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(files.len(), 1);
        let text = std::fs::read_to_string(files[0].as_ref().unwrap().path()).unwrap();
        let numbers: Vec<u64> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["number"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_told() {
        let error = RecordWriter::start(&config("/proc/nowhere".as_ref())).err().unwrap().to_string();
        assert!(error.starts_with("call records: /proc/nowhere: "), "{error}");
    }
}
