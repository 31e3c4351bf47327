//! One record file after the other: `records-<day>-<n>.jsonl`, a new one each day (UTC) and when one has grown large.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tandem_config::Records;

use super::RecordsError;

const SECONDS_PER_DAY: u64 = 86_400;

/// The file that records are appended to at present.
pub(super) struct RecordFile {
    directory: PathBuf,
    rotate_bytes: u64,
    fsync: bool,
    /// Days since 1970-01-01 (UTC).
    day: u64,
    /// Counts a day's files from 1.
    number: u32,
    path: PathBuf,
    file: File,
    /// Octets of whole lines in the file. What a failed write left behind them is cut off before the next one.
    len: u64,
    /// Whether the file may be longer than `len`.
    torn: bool,
}

impl RecordFile {
    /// Goes on with the day's last file, or begins one.
    pub(super) fn open(config: &Records, now: SystemTime) -> Result<Self, RecordsError> {
        let directory = config.directory.clone();
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RecordsError { path, source }
        };
        fs::create_dir_all(&directory).map_err(failed(&directory))?;
        let day = day_of(now);
        let number = last_number(&directory, day).map_err(failed(&directory))?.unwrap_or(1);
        let path = path_of(&directory, day, number);
        let (file, len) = open_file(&path).map_err(failed(&path))?;
        let rotate_bytes = u64::from(config.rotate_mib) << 20;
        let file = Self { directory, rotate_bytes, fsync: config.fsync, day, number, path, file, len, torn: true };
        file.sync_directory().map_err(failed(&config.directory))?;
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends whole lines; all of them, or none. With `fsync` they are on the disk when this returns.
    pub(super) fn append(&mut self, lines: &[u8], now: SystemTime) -> io::Result<()> {
        let day = day_of(now);
        if day > self.day {
            self.begin(day, 1)?;
        } else if self.len >= self.rotate_bytes {
            self.begin(self.day, self.number + 1)?;
        }
        if self.torn {
            self.file.set_len(self.len)?;
            self.file.seek(SeekFrom::Start(self.len))?;
        }
        self.torn = true;
        self.file.write_all(lines)?;
        if self.fsync {
            self.file.sync_data()?;
        }
        self.torn = false;
        self.len += lines.len() as u64;
        Ok(())
    }

    fn begin(&mut self, day: u64, number: u32) -> io::Result<()> {
        let path = path_of(&self.directory, day, number);
        (self.file, self.len) = open_file(&path)?;
        (self.day, self.number, self.path, self.torn) = (day, number, path, true);
        self.sync_directory()
    }

    /// A new file's name is on the disk only when its directory is.
    fn sync_directory(&self) -> io::Result<()> {
        if self.fsync { File::open(&self.directory)?.sync_all() } else { Ok(()) }
    }
}

/// Opens or makes a file; and how long it is without a last line that a crash cut short.
fn open_file(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut end = file.metadata()?.len();
    let mut tail = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(tail.len() as u64);
        let part = &mut tail[..usize::try_from(end - start).unwrap_or(0)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(newline) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok((file, start + newline as u64 + 1));
        }
        end = start;
    }
    Ok((file, 0))
}

fn day_of(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / SECONDS_PER_DAY
}

fn path_of(directory: &Path, day: u64, number: u32) -> PathBuf {
    directory.join(format!("records-{}-{number}.jsonl", date(day)))
}

/// The highest number among a day's files.
fn last_number(directory: &Path, day: u64) -> io::Result<Option<u32>> {
    let start = format!("records-{}-", date(day));
    let mut last = None;
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(&start)?.strip_suffix(".jsonl")?.parse().ok());
        last = last.max(number);
    }
    Ok(last)
}

/// The civil date, `2026-11-23`, of a number of days since 1970-01-01 (proleptic Gregorian calendar).
fn date(days: u64) -> String {
    // Years begin in March here, so that the leap day comes last.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(day: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(day * SECONDS_PER_DAY + 3600)
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn days_have_their_civil_dates() {
        for (day, name) in [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (11_017, "2000-03-01")] {
            assert_eq!(date(day), name);
        }
        assert_eq!(date(20_780), "2026-11-23");
        assert_eq!(date(47_540), "2100-02-28");
        assert_eq!(date(47_541), "2100-03-01");
    }

    #[test]
    fn a_new_day_and_a_large_file_begin_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let config = Records { directory: directory.path().join("a/b"), rotate_mib: 1, fsync: true, store: false };
        let mut file = RecordFile::open(&config, at(0)).unwrap();
        let line = [vec![b'x'; (1 << 20) - 1], vec![b'\n']].concat();
        file.append(&line, at(0)).unwrap();
        file.append(b"{}\n", at(0)).unwrap();
        file.append(b"{}\n", at(1)).unwrap();
        // A clock that goes back does not go back to an older file.
        file.append(b"{}\n", at(0)).unwrap();
        assert_eq!(
            names(&config.directory),
            ["records-1970-01-01-1.jsonl", "records-1970-01-01-2.jsonl", "records-1970-01-02-1.jsonl"]
        );
        assert_eq!(fs::read(config.directory.join("records-1970-01-02-1.jsonl")).unwrap(), b"{}\n{}\n");
    }

    #[test]
    fn a_restart_goes_on_with_the_last_file_and_cuts_off_half_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let config = Records { directory: directory.path().to_owned(), rotate_mib: 1, fsync: false, store: false };
        fs::write(directory.path().join("records-1970-01-01-1.jsonl"), b"{}\n").unwrap();
        let torn = [b"{}\n".to_vec(), vec![b'y'; 10_000]].concat();
        fs::write(directory.path().join("records-1970-01-01-12.jsonl"), torn).unwrap();
        let mut file = RecordFile::open(&config, at(0)).unwrap();
        file.append(b"{\"a\":1}\n", at(0)).unwrap();
        assert_eq!(file.path(), directory.path().join("records-1970-01-01-12.jsonl"));
        assert_eq!(fs::read(file.path()).unwrap(), b"{}\n{\"a\":1}\n");
    }

    #[test]
    fn a_write_that_fails_leaves_no_half_line_once_it_succeeds() {
        let directory = tempfile::tempdir().unwrap();
        let config = Records { directory: directory.path().to_owned(), rotate_mib: 1, fsync: true, store: false };
        let mut file = RecordFile::open(&config, at(0)).unwrap();
        file.append(b"{}\n", at(0)).unwrap();
        let whole = std::mem::replace(&mut file.file, OpenOptions::new().write(true).open("/dev/full").unwrap());
        assert_eq!(file.append(b"{\"b\":2}\n", at(0)).unwrap_err().kind(), io::ErrorKind::StorageFull);
        file.file = whole;
        // As much of the failed write as the disk took.
        file.file.write_all(b"{\"b\"").unwrap();
        file.append(b"{\"b\":2}\n", at(0)).unwrap();
        assert_eq!(fs::read(file.path()).unwrap(), b"{}\n{\"b\":2}\n");
    }
}
