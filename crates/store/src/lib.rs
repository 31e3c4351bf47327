//! What outlives the process: subscribers, registrations and call records, in SQLite or PostgreSQL.
//!
//! The URL alone says which: `sqlite:///var/lib/tandem/tandem.db` or `postgres://user@host/database`. Both have the same
//! tables, made and brought up to date by versioned migrations that are part of the program, and both pass the same tests.
//! Nothing here retries: who calls decides what is to happen while the database is away.
#![forbid(unsafe_code)]

mod records;
mod registrations;
mod schema;
mod subscribers;

use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::{Any, AnyPool, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

pub use records::{Cursor, LegRow, RecordRow};
pub use registrations::{RegistrationChange, RegistrationRow};
pub use subscribers::{SubscriberChange, SubscriberRow};

/// How long to wait for a connection before the database counts as away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections at once: one writes, others read beside it.
const CONNECTIONS: u32 = 4;

/// The database did not do something.
#[derive(Debug, thiserror::Error)]
#[error("store: {doing}: {source}")]
pub struct StoreError {
    /// What was being done.
    pub doing: &'static str,
    /// What the database said.
    pub source: sqlx::Error,
}

impl StoreError {
    fn of(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self { doing, source }
    }
}

/// A database with the tables of this version. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
    /// SQLite takes one writer: others wait here, in order, and not in its busy handler. PostgreSQL loses little by it, since
    /// writes come in batches.
    writer: Arc<Mutex<()>>,
}

/// A transaction, and the right to write.
struct Writing {
    transaction: Transaction<'static, Any>,
    _turn: OwnedMutexGuard<()>,
}

impl Store {
    /// Connects and brings the tables up to date. A SQLite file that is missing is made; its directory must be there.
    ///
    /// # Errors
    /// The URL makes no sense, the database cannot be reached, or its tables are of a later version.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        install_default_drivers();
        let is_sqlite = is_sqlite(url);
        let url = if is_sqlite && !url.contains("mode=") {
            format!("{url}{}mode=rwc", if url.contains('?') { '&' } else { '?' })
        } else {
            url.to_owned()
        };
        let options = AnyPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(CONNECT_TIMEOUT);
        let options = options.after_connect(move |connection, _| {
            Box::pin(async move {
                if is_sqlite {
                    // A committed transaction survives the loss of power: what a REGISTER's 200 promises.
                    for pragma in
                        ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA busy_timeout = 5000"]
                    {
                        sqlx::query(pragma).execute(&mut *connection).await?;
                    }
                }
                Ok(())
            })
        });
        let pool = options.connect(&url).await.map_err(StoreError::of("connecting"))?;
        schema::migrate(&pool).await?;
        Ok(Self { pool, writer: Arc::default() })
    }

    /// Ends all connections; a SQLite file is then complete without its side files.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn write(&self) -> Result<Writing, StoreError> {
        let turn = self.writer.clone().lock_owned().await;
        let transaction = self.pool.begin().await.map_err(StoreError::of("beginning a transaction"))?;
        Ok(Writing { transaction, _turn: turn })
    }
}

impl Writing {
    async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await.map_err(StoreError::of("committing"))
    }
}

/// Whether a URL names a SQLite file.
pub fn is_sqlite(url: &str) -> bool {
    url.starts_with("sqlite:")
}

/// Whether a URL names a database of a kind that is known here.
pub fn is_known(url: &str) -> bool {
    is_sqlite(url) || url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// `($1, $2), ($3, $4)` for so many rows of so many columns.
fn placeholders(rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 1..=columns {
            if column > 1 {
                text.push_str(", ");
            }
            text.push('$');
            text.push_str(&(row * columns + column).to_string());
        }
        text.push(')');
    }
    text
}

/// Cuts rows into few sizes, so that few statements have to be prepared.
fn chunks<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = [64, 8, 1].into_iter().find(|size| *size <= rest.len())?;
        let (chunk, behind) = rest.split_at(size);
        rest = behind;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_few_sizes_and_all_of_them() {
        let rows: Vec<u32> = (0..83).collect();
        let sizes: Vec<usize> = chunks(&rows).map(<[u32]>::len).collect();
        assert_eq!(sizes, [64, 8, 8, 1, 1, 1]);
        assert_eq!(chunks(&rows).flatten().copied().collect::<Vec<_>>(), rows);
        assert_eq!(placeholders(2, 2), "($1, $2), ($3, $4)");
    }

    #[test]
    fn urls_say_which_database_it_is() {
        assert!(is_known("sqlite:///var/lib/tandem/tandem.db") && is_known("postgres://tandem@db/tandem"));
        assert!(!is_known("mysql://x") && !is_known("/var/lib/tandem.db"));
    }
}
