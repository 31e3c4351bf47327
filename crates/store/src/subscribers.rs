//! Who may register.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::{Store, StoreError};

/// A subscriber: hashes of user name, realm and password, in hexadecimal, each empty where it is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriberRow {
    /// The user part of its address of record.
    pub username: String,
    /// The realm that the hashes are made with.
    pub realm: String,
    /// With MD5.
    pub ha1_md5: String,
    /// With SHA-256.
    pub ha1_sha256: String,
    /// With SHA-512/256.
    pub ha1_sha512_256: String,
}

/// What became of a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberChange {
    /// Grows with each change of any subscriber.
    pub generation: i64,
    /// The subscriber as it is now; its hashes say nothing where it is gone.
    pub row: SubscriberRow,
    /// Whether it is gone.
    pub is_removed: bool,
}

impl Store {
    /// Adds a subscriber, or replaces its hashes; `true` where it is new.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn put_subscriber(&self, row: &SubscriberRow) -> Result<bool, StoreError> {
        let doing = "writing a subscriber";
        let mut writing = self.write().await?;
        let generation = next_generation(&mut writing.transaction).await.map_err(StoreError::of(doing))?;
        let known = sqlx::query("SELECT removed FROM subscribers WHERE realm = $1 AND username = $2")
            .bind(&row.realm)
            .bind(&row.username)
            .fetch_optional(&mut *writing.transaction)
            .await
            .map_err(StoreError::of(doing))?;
        let was_there = known.is_some_and(|known| known.try_get::<i64, _>(0).is_ok_and(|removed| removed == 0));
        sqlx::query(
            "INSERT INTO subscribers (username, realm, ha1_md5, ha1_sha256, ha1_sha512_256, removed, generation) \
             VALUES ($1, $2, $3, $4, $5, 0, $6) \
             ON CONFLICT (realm, username) DO UPDATE SET ha1_md5 = excluded.ha1_md5, ha1_sha256 = excluded.ha1_sha256, \
             ha1_sha512_256 = excluded.ha1_sha512_256, removed = 0, generation = excluded.generation",
        )
        .bind(&row.username)
        .bind(&row.realm)
        .bind(&row.ha1_md5)
        .bind(&row.ha1_sha256)
        .bind(&row.ha1_sha512_256)
        .bind(generation)
        .execute(&mut *writing.transaction)
        .await
        .map_err(StoreError::of(doing))?;
        writing.commit().await?;
        Ok(!was_there)
    }

    /// Removes a subscriber and forgets its hashes; `false` where there is none.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn remove_subscriber(&self, realm: &str, username: &str) -> Result<bool, StoreError> {
        let doing = "removing a subscriber";
        let mut writing = self.write().await?;
        let generation = next_generation(&mut writing.transaction).await.map_err(StoreError::of(doing))?;
        let done = sqlx::query(
            "UPDATE subscribers SET removed = 1, ha1_md5 = '', ha1_sha256 = '', ha1_sha512_256 = '', generation = $1 \
             WHERE realm = $2 AND username = $3 AND removed = 0",
        )
        .bind(generation)
        .bind(realm)
        .bind(username)
        .execute(&mut *writing.transaction)
        .await
        .map_err(StoreError::of(doing))?;
        writing.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// What changed after `generation`, in order; 0 gives every subscriber there ever was.
    ///
    /// # Errors
    /// The database is away.
    pub async fn subscribers_since(&self, generation: i64) -> Result<Vec<SubscriberChange>, StoreError> {
        let rows = sqlx::query(
            "SELECT generation, username, realm, ha1_md5, ha1_sha256, ha1_sha512_256, removed FROM subscribers \
             WHERE generation > $1 ORDER BY generation",
        )
        .bind(generation)
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::of("reading subscribers"))?;
        rows.iter().map(change).collect::<Result<_, _>>().map_err(StoreError::of("reading subscribers"))
    }
}

/// One writer at a time has the next number, so that numbers are seen in the order of commits.
async fn next_generation(transaction: &mut sqlx::Transaction<'static, sqlx::Any>) -> Result<i64, sqlx::Error> {
    sqlx::query("UPDATE generations SET value = value + 1 WHERE name = 'subscribers'")
        .execute(&mut **transaction)
        .await?;
    let row =
        sqlx::query("SELECT value FROM generations WHERE name = 'subscribers'").fetch_one(&mut **transaction).await?;
    row.try_get(0)
}

fn change(row: &AnyRow) -> Result<SubscriberChange, sqlx::Error> {
    Ok(SubscriberChange {
        generation: row.try_get(0)?,
        row: SubscriberRow {
            username: row.try_get(1)?,
            realm: row.try_get(2)?,
            ha1_md5: row.try_get(3)?,
            ha1_sha256: row.try_get(4)?,
            ha1_sha512_256: row.try_get(5)?,
        },
        is_removed: row.try_get::<i64, _>(6)? != 0,
    })
}
