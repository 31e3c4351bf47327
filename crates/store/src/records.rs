//! Call detail records.

use sqlx::Row as _;

use crate::{Store, StoreError};

/// One call attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordRow {
    /// Unique among all records of all nodes; one that is known already changes nothing.
    pub id: String,
    /// When the INVITE came, in milliseconds since 1970.
    pub started_ms: i64,
    /// When the call was over.
    pub ended_ms: i64,
    /// The caller's URI.
    pub caller: String,
    /// The callee's URI.
    pub callee: String,
    /// The route taken.
    pub route: String,
    /// The final SIP status.
    pub status: i64,
    /// The cause value of Q.850.
    pub q850: i64,
    /// Milliseconds from answer to end.
    pub duration_ms: i64,
    /// Who ended it.
    pub ended_by: String,
    /// What came of checking the caller's identity: `verified`, `failed`, `none`, or nothing where nobody looked.
    pub identity: String,
    /// SHAKEN's attestation: `A`, `B`, `C` or nothing.
    pub attestation: String,
    /// The whole record as JSON.
    pub record: String,
    /// Its legs.
    pub legs: Vec<LegRow>,
}

/// One leg of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegRow {
    /// Which: `caller` or `callee`.
    pub leg: String,
    /// The peer's name.
    pub peer: String,
    /// The SIP Call-ID of its dialog.
    pub call_id: String,
    /// The codec last spoken.
    pub codec: String,
    /// RTP packets accepted from the peer.
    pub packets_received: i64,
    /// Packets of the peer's that did not arrive.
    pub packets_lost: i64,
    /// Interarrival jitter at the end, in microseconds.
    pub jitter_us: i64,
    /// Mean opinion score of what came, in hundredths; 0 for none.
    pub mos_received_hundredths: i64,
    /// The same of what the peer heard.
    pub mos_sent_hundredths: i64,
}

/// How far a node's record files have been taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The file's name.
    pub file: String,
    /// Octets of it.
    pub position: i64,
}

impl Store {
    /// Takes over records and notes how far the node has come, in one transaction: each record is there once, whatever is lost on
    /// the way and sent again. Returns how many were new.
    ///
    /// # Errors
    /// The database is away or refuses; then nothing has changed.
    pub async fn deliver_records(&self, node: &str, rows: &[RecordRow], cursor: &Cursor) -> Result<u64, StoreError> {
        let doing = "writing call records";
        let mut writing = self.write().await?;
        let mut new = 0;
        for row in rows {
            let done = sqlx::query(
                "INSERT INTO call_records (id, node, started_ms, ended_ms, caller, callee, route, status, q850, \
                 duration_ms, ended_by, identity, attestation, record) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(&row.id)
            .bind(node)
            .bind(row.started_ms)
            .bind(row.ended_ms)
            .bind(&row.caller)
            .bind(&row.callee)
            .bind(&row.route)
            .bind(row.status)
            .bind(row.q850)
            .bind(row.duration_ms)
            .bind(&row.ended_by)
            .bind(&row.identity)
            .bind(&row.attestation)
            .bind(&row.record)
            .execute(&mut *writing.transaction)
            .await
            .map_err(StoreError::of(doing))?;
            new += done.rows_affected();
            for leg in &row.legs {
                sqlx::query(
                    "INSERT INTO call_record_legs (record_id, leg, peer, call_id, codec, packets_received, packets_lost, \
                     jitter_us, mos_received_hundredths, mos_sent_hundredths) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (record_id, leg) DO NOTHING",
                )
                .bind(&row.id)
                .bind(&leg.leg)
                .bind(&leg.peer)
                .bind(&leg.call_id)
                .bind(&leg.codec)
                .bind(leg.packets_received)
                .bind(leg.packets_lost)
                .bind(leg.jitter_us)
                .bind(leg.mos_received_hundredths)
                .bind(leg.mos_sent_hundredths)
                .execute(&mut *writing.transaction)
                .await
                .map_err(StoreError::of(doing))?;
            }
        }
        sqlx::query(
            "INSERT INTO record_cursors (node, file, position) VALUES ($1, $2, $3) \
             ON CONFLICT (node) DO UPDATE SET file = excluded.file, position = excluded.position",
        )
        .bind(node)
        .bind(&cursor.file)
        .bind(cursor.position)
        .execute(&mut *writing.transaction)
        .await
        .map_err(StoreError::of(doing))?;
        writing.commit().await?;
        Ok(new)
    }

    /// How far a node has come; `None` where nothing was taken over yet.
    ///
    /// # Errors
    /// The database is away.
    pub async fn record_cursor(&self, node: &str) -> Result<Option<Cursor>, StoreError> {
        let read = || async {
            let row = sqlx::query("SELECT file, position FROM record_cursors WHERE node = $1")
                .bind(node)
                .fetch_optional(&self.pool)
                .await?;
            row.map(|row| Ok(Cursor { file: row.try_get(0)?, position: row.try_get(1)? })).transpose()
        };
        read().await.map_err(StoreError::of("reading how far call records have come"))
    }

    /// Identifiers of a node's records whose caller's identity came to `identity`, in the order of the calls' ends.
    ///
    /// # Errors
    /// The database is away.
    pub async fn record_ids_by_identity(&self, node: &str, identity: &str) -> Result<Vec<String>, StoreError> {
        let read = || async {
            let statement = "SELECT id FROM call_records WHERE node = $1 AND identity = $2 ORDER BY ended_ms, id";
            let rows = sqlx::query(statement).bind(node).bind(identity).fetch_all(&self.pool).await?;
            rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()
        };
        read().await.map_err(StoreError::of("reading call records"))
    }

    /// Identifiers of all records of a node, in the order of the calls' ends.
    ///
    /// # Errors
    /// The database is away.
    pub async fn record_ids(&self, node: &str) -> Result<Vec<String>, StoreError> {
        let read = || async {
            let rows = sqlx::query("SELECT id FROM call_records WHERE node = $1 ORDER BY ended_ms, id")
                .bind(node)
                .fetch_all(&self.pool)
                .await?;
            rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()
        };
        read().await.map_err(StoreError::of("reading call records"))
    }
}
