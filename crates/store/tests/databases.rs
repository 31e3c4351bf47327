//! The same behaviour on SQLite and on PostgreSQL, a real server.
#![allow(missing_docs, clippy::unwrap_used)]

use std::future::Future;
use std::os::unix::fs::PermissionsExt;

use tandem_store::{Cursor, LegRow, RecordRow, RegistrationChange, RegistrationRow, Store, SubscriberRow};
use tandem_testkit::Postgres;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A directory that the server's user may enter.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Runs a test on both databases.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                let directory = super::directory();
                let url = format!("sqlite://{}/tandem.db", directory.path().display());
                super::block_on(super::$name(url));
            })*
        }
        mod postgres {
            $(#[test]
            fn $name() {
                let directory = super::directory();
                let server = super::Postgres::start(directory.path()).unwrap();
                super::block_on(super::$name(server.url()));
            })*
        }
    };
}

on_both! {
    subscribers_come_change_and_go
    registrations_survive_closing
    of_many_changes_the_last_counts
    records_are_delivered_once_and_in_order
    records_are_found_by_what_came_of_the_callers_identity
    tables_of_the_first_version_keep_their_records
}

fn subscriber(username: &str, hash: &str) -> SubscriberRow {
    SubscriberRow {
        username: username.into(),
        realm: "example.com".into(),
        ha1_md5: hash.into(),
        ha1_sha256: String::new(),
        ha1_sha512_256: hash.repeat(2),
    }
}

async fn subscribers_come_change_and_go(url: String) {
    let store = Store::open(&url).await.unwrap();
    assert!(store.subscribers_since(0).await.unwrap().is_empty());
    assert!(store.put_subscriber(&subscriber("alice", "a")).await.unwrap());
    assert!(store.put_subscriber(&subscriber("bob's \"ü\"; --", "b")).await.unwrap());
    assert!(!store.put_subscriber(&subscriber("alice", "c")).await.unwrap(), "a new password, not a new subscriber");
    let all = store.subscribers_since(0).await.unwrap();
    let rows: Vec<_> = all.iter().map(|change| (change.row.clone(), change.is_removed)).collect();
    assert_eq!(rows, [(subscriber("bob's \"ü\"; --", "b"), false), (subscriber("alice", "c"), false)]);
    let known = all[1].generation;

    let other = Store::open(&url).await.unwrap();
    assert!(other.remove_subscriber("example.com", "alice").await.unwrap());
    assert!(!other.remove_subscriber("example.com", "alice").await.unwrap());
    assert!(!other.remove_subscriber("elsewhere", "alice").await.unwrap());
    let changes = store.subscribers_since(known).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert!(changes[0].is_removed && changes[0].row.username == "alice" && changes[0].row.ha1_md5.is_empty());
    assert!(store.put_subscriber(&subscriber("alice", "d")).await.unwrap(), "the name is free again");
    other.close().await;
    store.close().await;
}

fn registration(username: &str, binding: &str, expires_ms: i64) -> RegistrationRow {
    RegistrationRow {
        username: username.into(),
        binding: binding.into(),
        contact: format!("sip:{username}@192.0.2.1:5060"),
        q: 500,
        expires_ms,
        call_id: "c".into(),
        cseq: i64::from(u32::MAX),
        received: "198.51.100.1:40000".into(),
        local: "10.0.1.10:5060".into(),
        transport: "udp".into(),
        path: "<sip:p1;lr>\n<sip:p2;lr>".into(),
        instance: "<urn:uuid:00000000-0000-1000-8000-000A95A0E128>".into(),
        reg_id: 1,
        user_agent: "phone".into(),
    }
}

fn put(username: &str, binding: &str, expires_ms: i64) -> RegistrationChange {
    RegistrationChange::Put(Box::new(registration(username, binding, expires_ms)))
}

fn remove(username: &str, binding: &str) -> RegistrationChange {
    RegistrationChange::Remove { username: username.into(), binding: binding.into() }
}

async fn registrations_survive_closing(url: String) {
    let store = Store::open(&url).await.unwrap();
    store
        .change_registrations(&[put("bob", "1", 9_000), put("alice", "1", 5_000), put("alice", "2", 9_000)])
        .await
        .unwrap();
    store.close().await;
    let store = Store::open(&url).await.unwrap();
    assert_eq!(
        store.registrations(5_000).await.unwrap(),
        [registration("alice", "2", 9_000), registration("bob", "1", 9_000)],
        "what has ended is not there"
    );
    assert_eq!(store.expire_registrations(9_000).await.unwrap(), 1);
    assert_eq!(store.registrations(0).await.unwrap().len(), 2);
    store.close().await;
}

async fn of_many_changes_the_last_counts(url: String) {
    let store = Store::open(&url).await.unwrap();
    store.change_registrations(&[]).await.unwrap();
    let many: Vec<_> = (0..300).map(|n| put(&format!("u{:03}", n % 150), "1", n)).collect();
    store.change_registrations(&many).await.unwrap();
    let all = store.registrations(-1).await.unwrap();
    assert_eq!(all.len(), 150);
    assert!(all.iter().zip(150..).all(|(row, expires_ms)| row.expires_ms == expires_ms));
    store
        .change_registrations(&[remove("u000", "1"), put("u001", "1", 7), put("u000", "1", 8), remove("u001", "1")])
        .await
        .unwrap();
    let all = store.registrations(-1).await.unwrap();
    assert_eq!((all.len(), all[0].expires_ms, all[1].username.as_str()), (149, 8, "u002"));
    store.close().await;
}

fn record(id: &str, ended_ms: i64) -> RecordRow {
    let leg = LegRow { leg: "caller".into(), codec: "PCMU".into(), mos_received_hundredths: 441, ..LegRow::default() };
    let legs = vec![leg.clone(), LegRow { leg: "callee".into(), ..leg }];
    RecordRow { id: id.into(), ended_ms, record: format!("{{\"id\":\"{id}\"}}"), legs, ..RecordRow::default() }
}

async fn records_are_delivered_once_and_in_order(url: String) {
    let store = Store::open(&url).await.unwrap();
    assert_eq!(store.record_cursor("a").await.unwrap(), None);
    let cursor = |position| Cursor { file: "records-2026-11-26-1.jsonl".into(), position };
    assert_eq!(store.deliver_records("a", &[record("1", 1), record("2", 2)], &cursor(100)).await.unwrap(), 2);
    assert_eq!(store.deliver_records("a", &[record("2", 2), record("3", 3)], &cursor(200)).await.unwrap(), 1);
    assert_eq!(store.deliver_records("b", &[record("4", 0)], &cursor(50)).await.unwrap(), 1);
    assert_eq!(store.record_cursor("a").await.unwrap(), Some(cursor(200)));
    assert_eq!(store.record_ids("a").await.unwrap(), ["1", "2", "3"]);
    store.close().await;
}

async fn records_are_found_by_what_came_of_the_callers_identity(url: String) {
    let store = Store::open(&url).await.unwrap();
    let of =
        |id: &str, identity: &str| RecordRow { identity: identity.into(), attestation: "A".into(), ..record(id, 1) };
    let rows = [of("1", "verified"), of("2", "failed"), record("3", 1), of("4", "verified")];
    let cursor = Cursor { file: "records-2026-11-26-1.jsonl".into(), position: 1 };
    assert_eq!(store.deliver_records("a", &rows, &cursor).await.unwrap(), 4);
    assert_eq!(store.record_ids_by_identity("a", "verified").await.unwrap(), ["1", "4"]);
    assert_eq!(store.record_ids_by_identity("a", "").await.unwrap(), ["3"]);
    store.close().await;
}

/// Tables of the first version, with a record in them, are brought up to date and keep it.
async fn tables_of_the_first_version_keep_their_records(url: String) {
    use sqlx::{AnyConnection, Connection as _, Executor as _};
    sqlx::any::install_default_drivers();
    let at = if url.starts_with("sqlite") { format!("{url}?mode=rwc") } else { url.clone() };
    let store = Store::open(&url).await.unwrap();
    store.close().await;
    let mut connection = AnyConnection::connect(&at).await.unwrap();
    for statement in [
        "ALTER TABLE call_records DROP COLUMN identity",
        "ALTER TABLE call_records DROP COLUMN attestation",
        "DELETE FROM _sqlx_migrations WHERE version = 2",
        "INSERT INTO call_records (id, node, started_ms, ended_ms, caller, callee, route, status, q850, duration_ms, ended_by, \
         record) VALUES ('old', 'a', 0, 0, '', '', '', 200, 16, 0, 'caller', '{}')",
    ] {
        connection.execute(statement).await.unwrap();
    }
    connection.close().await.unwrap();
    let store = Store::open(&url).await.unwrap();
    assert_eq!(store.record_ids_by_identity("a", "").await.unwrap(), ["old"]);
    store.close().await;
}

#[test]
fn two_nodes_may_bring_the_tables_up_to_date_at_once() {
    let directory = directory();
    let server = Postgres::start(directory.path()).unwrap();
    block_on(async {
        let url = server.url();
        let (a, b) = tokio::join!(Store::open(&url), Store::open(&url));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a.put_subscriber(&subscriber("alice", "a")).await.unwrap());
        assert!(!b.put_subscriber(&subscriber("alice", "a")).await.unwrap());
        a.close().await;
        b.close().await;
    });
}

#[test]
fn what_cannot_be_opened_is_told() {
    for url in ["sqlite:///nowhere/at/all/tandem.db", "postgres://nobody@localhost/x?host=/nowhere", "mysql://x"] {
        let error = block_on(Store::open(url)).unwrap_err().to_string();
        assert!(error.starts_with("store: connecting: "), "{error}");
    }
}

#[test]
fn a_server_that_goes_away_is_told_and_used_again_when_it_is_back() {
    let directory = directory();
    let mut server = Postgres::start(directory.path()).unwrap();
    block_on(async {
        let store = Store::open(&server.url()).await.unwrap();
        store.change_registrations(&[put("alice", "1", 1)]).await.unwrap();
        server.stop().unwrap();
        assert!(store.change_registrations(&[put("alice", "2", 1)]).await.is_err());
        server.resume().unwrap();
        store.change_registrations(&[put("alice", "3", 1)]).await.unwrap();
        let bindings: Vec<_> = store.registrations(0).await.unwrap().into_iter().map(|row| row.binding).collect();
        assert_eq!(bindings, ["1", "3"]);
        store.close().await;
    });
}
