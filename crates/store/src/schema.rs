//! The tables, and how older ones become the present ones.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyPool, SqlSafeStr};

use crate::StoreError;

/// Every change of the tables since the first version, in order. One that has been released is never edited: the database knows
/// its checksum.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (
        1,
        "subscribers, registrations, records",
        include_str!("../migrations/0001_subscribers_registrations_records.sql"),
    ),
    (2, "callers' identities", include_str!("../migrations/0002_identities.sql")),
];

/// Applies what has not been applied yet. Several nodes may do so at once.
pub(crate) async fn migrate(pool: &AnyPool) -> Result<(), StoreError> {
    let migration = |(version, description, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*description).into(), MigrationType::Simple, (*sql).into_sql_str(), false)
    };
    let migrator = Migrator::with_migrations(MIGRATIONS.iter().map(migration).collect());
    migrator.run(pool).await.map_err(|error| StoreError {
        doing: "bringing tables up to date",
        source: sqlx::Error::Migrate(Box::new(error)),
    })
}
