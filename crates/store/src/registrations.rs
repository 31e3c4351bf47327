//! Where subscribers are.

use std::collections::HashMap;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};

use crate::{Store, StoreError, chunks, placeholders};

/// One contact of a subscriber (RFC 3261 section 10). Absent text is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrationRow {
    /// The subscriber.
    pub username: String,
    /// What tells this contact from the subscriber's others: instance and reg-id, or its URI.
    pub binding: String,
    /// Its URI.
    pub contact: String,
    /// Preference in thousandths, 0 to 1000.
    pub q: i64,
    /// When it ends, in milliseconds since 1970.
    pub expires_ms: i64,
    /// The Call-ID of the REGISTER that it comes from.
    pub call_id: String,
    /// The CSeq number of that.
    pub cseq: i64,
    /// The address that the REGISTER came from.
    pub received: String,
    /// The address of ours that it came to.
    pub local: String,
    /// What carried it.
    pub transport: String,
    /// Values of Path (RFC 3327), one a line.
    pub path: String,
    /// `+sip.instance` (RFC 5626).
    pub instance: String,
    /// `reg-id` (RFC 5626); 0 for none.
    pub reg_id: i64,
    /// The User-Agent.
    pub user_agent: String,
}

/// What is to become of a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationChange {
    /// It is so now.
    Put(Box<RegistrationRow>),
    /// It is gone.
    Remove {
        /// The subscriber.
        username: String,
        /// Which of its contacts.
        binding: String,
    },
}

const COLUMNS: &str = "username, binding, contact, q, expires_ms, call_id, cseq, received, local, transport, path, instance, \
                       reg_id, user_agent";
const COLUMN_COUNT: usize = 14;
const UPDATE: &str = "contact = excluded.contact, q = excluded.q, expires_ms = excluded.expires_ms, call_id = excluded.call_id, \
                      cseq = excluded.cseq, received = excluded.received, local = excluded.local, \
                      transport = excluded.transport, path = excluded.path, instance = excluded.instance, \
                      reg_id = excluded.reg_id, user_agent = excluded.user_agent";

impl RegistrationChange {
    fn key(&self) -> (&str, &str) {
        match self {
            Self::Put(row) => (&row.username, &row.binding),
            Self::Remove { username, binding } => (username, binding),
        }
    }
}

impl Store {
    /// Makes changes durable, all or none. Of several changes of one contact the last counts.
    ///
    /// # Errors
    /// The database is away or refuses; then nothing has changed.
    pub async fn change_registrations(&self, changes: &[RegistrationChange]) -> Result<(), StoreError> {
        let doing = "writing registrations";
        let last: HashMap<_, _> = changes.iter().map(|change| (change.key(), change)).collect();
        let mut rows = Vec::with_capacity(last.len());
        let mut writing = self.write().await?;
        for ((username, binding), change) in &last {
            match change {
                RegistrationChange::Put(row) => rows.push(&**row),
                RegistrationChange::Remove { .. } => {
                    sqlx::query("DELETE FROM registrations WHERE username = $1 AND binding = $2")
                        .bind(*username)
                        .bind(*binding)
                        .execute(&mut *writing.transaction)
                        .await
                        .map_err(StoreError::of(doing))?;
                }
            }
        }
        // In one order everywhere, so that two nodes' transactions cannot wait for each other.
        rows.sort_unstable_by_key(|row| (&row.username, &row.binding));
        for chunk in chunks(&rows) {
            let sql = format!(
                "INSERT INTO registrations ({COLUMNS}) VALUES {} ON CONFLICT (username, binding) DO UPDATE SET {UPDATE}",
                placeholders(chunk.len(), COLUMN_COUNT)
            );
            // Made of constants and numbers: no text from outside is in it.
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for row in chunk {
                query =
                    query.bind(&row.username).bind(&row.binding).bind(&row.contact).bind(row.q).bind(row.expires_ms);
                query = query.bind(&row.call_id).bind(row.cseq).bind(&row.received).bind(&row.local);
                query = query.bind(&row.transport).bind(&row.path).bind(&row.instance).bind(row.reg_id);
                query = query.bind(&row.user_agent);
            }
            query.execute(&mut *writing.transaction).await.map_err(StoreError::of(doing))?;
        }
        writing.commit().await
    }

    /// Every registration that ends after `now_ms`, by subscriber.
    ///
    /// # Errors
    /// The database is away.
    pub async fn registrations(&self, now_ms: i64) -> Result<Vec<RegistrationRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM registrations WHERE expires_ms > $1 ORDER BY username, binding");
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(now_ms)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::of("reading registrations"))?;
        rows.iter().map(registration).collect::<Result<_, _>>().map_err(StoreError::of("reading registrations"))
    }

    /// Deletes what ended before `before_ms`; how many that were.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn expire_registrations(&self, before_ms: i64) -> Result<u64, StoreError> {
        let doing = "deleting expired registrations";
        let mut writing = self.write().await?;
        let done = sqlx::query("DELETE FROM registrations WHERE expires_ms < $1")
            .bind(before_ms)
            .execute(&mut *writing.transaction)
            .await
            .map_err(StoreError::of(doing))?;
        writing.commit().await?;
        Ok(done.rows_affected())
    }
}

fn registration(row: &AnyRow) -> Result<RegistrationRow, sqlx::Error> {
    Ok(RegistrationRow {
        username: row.try_get(0)?,
        binding: row.try_get(1)?,
        contact: row.try_get(2)?,
        q: row.try_get(3)?,
        expires_ms: row.try_get(4)?,
        call_id: row.try_get(5)?,
        cseq: row.try_get(6)?,
        received: row.try_get(7)?,
        local: row.try_get(8)?,
        transport: row.try_get(9)?,
        path: row.try_get(10)?,
        instance: row.try_get(11)?,
        reg_id: row.try_get(12)?,
        user_agent: row.try_get(13)?,
    })
}
