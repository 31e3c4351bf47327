//! Against a real server: what one node writes is what another one hears, whatever happens to the store between them.
#![allow(missing_docs, clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use redis::Commands;
use tandem_replication::{Change, NodeRun, StoreConfig, StoreStatus, Subject, Writer, follow, retire};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// Long enough for a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(30);

struct Server {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Server {
    /// On a free port.
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_on(port)
    }

    fn start_on(port: u16) -> Self {
        Self::with(port, |command| {
            command.args(["--save", "", "--appendonly", "no"]);
        })
    }

    fn with(port: u16, arguments: impl FnOnce(&mut Command)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("redis-server");
        let port_text = port.to_string();
        arguments(&mut command);
        command.args(["--port", &port_text, "--bind", "127.0.0.1", "--dir"]).arg(directory.path());
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = spawned.expect("redis-server, which `scripts/setup.sh test` installs");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_ready = |line: &str| line.contains("Ready to accept connections") || line.contains("Sentinel ID is");
        assert!(lines.by_ref().map_while(Result::ok).any(|line| is_ready(&line)), "it starts");
        // What it says later must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port, _directory: directory }
    }

    fn config(&self) -> StoreConfig {
        let urls = vec![format!("redis://127.0.0.1:{}/", self.port)];
        StoreConfig { urls, sentinel_master: None, prefix: "test".to_owned() }
    }

    fn keys(&self) -> Vec<String> {
        let mut connection = redis::Client::open(self.config().urls[0].as_str()).unwrap().get_connection().unwrap();
        let mut keys: Vec<String> = connection.keys("*").unwrap();
        keys.sort_unstable();
        keys
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn node(name: &str, run: u64) -> NodeRun {
    NodeRun { node: name.to_owned(), run }
}

fn writer(config: &StoreConfig, node: NodeRun) -> (Writer, Arc<StoreStatus>) {
    let status = Arc::new(StoreStatus::default());
    (Writer::start(config, node, status.clone()).unwrap(), status)
}

/// What a node that follows knows.
struct Copy {
    changes: UnboundedReceiver<Change>,
    known: BTreeMap<(String, Subject, u64), (String, bool)>,
}

impl Copy {
    fn of(config: &StoreConfig, own: NodeRun) -> Self {
        let (told, changes) = unbounded_channel();
        let following = follow(config, own, Arc::new(StoreStatus::default()), move |change| {
            let _ = told.send(change);
        });
        tokio::spawn(following.unwrap());
        Self { changes, known: BTreeMap::new() }
    }

    /// Waits until what is known is as wanted.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            let change = timeout(PATIENCE, self.changes.recv()).await;
            match change.unwrap_or_else(|_| panic!("not told that {what}: {:?}", self.known)).unwrap() {
                Change::Anew(node) => self.known.retain(|(known, ..), _| *known != node.to_string()),
                Change::Put { node, subject, call, value, is_fresh } => {
                    let value = String::from_utf8(value.to_vec()).unwrap();
                    self.known.insert((node.to_string(), subject, call), (value, is_fresh));
                }
                Change::Gone { node, subject, call } => {
                    self.known.remove(&(node.to_string(), subject, call));
                }
                Change::Complete(_) => {}
            }
        }
    }

    fn call(&self, node: &NodeRun, call: u64) -> Option<&str> {
        self.known.get(&(node.to_string(), Subject::Call, call)).map(|(value, _)| value.as_str())
    }
}

#[tokio::test]
async fn a_follower_has_what_was_there_and_hears_of_what_changes() {
    let server = Server::start();
    let config = server.config();
    let a = node("a", 1);
    let (writer, _) = writer(&config, a.clone());
    writer.put(Subject::Call, 1, b"one".to_vec());
    let mut early = Copy::of(&config, node("b", 2));
    early.until("call 1 is there", |copy| copy.call(&a, 1) == Some("one")).await;
    let mut late = Copy::of(&config, node("c", 3));
    late.until("call 1 was there", |copy| copy.call(&a, 1) == Some("one")).await;
    for copy in [&mut early, &mut late] {
        writer.put(Subject::Call, 1, b"two".to_vec());
        writer.put(Subject::Position, 1, b"at 5".to_vec());
        copy.until("call 1 changed", |copy| copy.call(&a, 1) == Some("two") && copy.known.len() == 2).await;
        writer.put(Subject::Call, 1, b"one".to_vec());
        copy.until("call 1 changed back", |copy| copy.call(&a, 1) == Some("one")).await;
        // What had not changed since a copy began is known from its first reading alone.
        assert!(copy.known[&(a.to_string(), Subject::Call, 1)].1, "it was published");
    }
    writer.remove(1);
    early.until("call 1 is gone", |copy| copy.known.is_empty()).await;
}

#[tokio::test]
async fn a_store_that_was_away_and_forgot_everything_is_filled_again() {
    let server = Server::start();
    let (config, port) = (server.config(), server.port);
    let a = node("a", 1);
    let (writer, status) = writer(&config, a.clone());
    let mut copy = Copy::of(&config, node("b", 2));
    writer.put(Subject::Call, 1, b"stays".to_vec());
    writer.put(Subject::Call, 2, b"ends".to_vec());
    copy.until("both are there", |copy| copy.known.len() == 2).await;
    drop(server);
    // Whatever happens now costs nobody anything.
    writer.remove(2);
    for n in 0..10_000 {
        writer.put(Subject::Call, 3, format!("version {n}").into_bytes());
    }
    let server = Server::start_on(port);
    copy.until("all is as it is now", |copy| copy.call(&a, 3) == Some("version 9999") && copy.known.len() == 2).await;
    assert_eq!((copy.call(&a, 1), copy.call(&a, 2)), (Some("stays"), None));
    assert!(status.is_up() && status.outages() == 1 && status.resyncs() >= 2, "{status:?}");
    assert!(server.keys().contains(&"test:{a/0000000000000001}:calls".to_owned()));
}

#[tokio::test]
async fn what_changed_while_only_the_connection_was_gone_is_put_right() {
    let server = Server::start();
    let config = server.config();
    let a = node("a", 1);
    let (writer, status) = writer(&config, a.clone());
    let mut copy = Copy::of(&config, node("b", 2));
    for call in 0..1_000 {
        writer.put(Subject::Call, call, b"up".to_vec());
    }
    copy.until("all are there", |copy| copy.known.len() == 1_000).await;
    let mut operator = redis::Client::open(config.urls[0].as_str()).unwrap().get_connection().unwrap();
    let cut: i64 = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").query(&mut operator).unwrap();
    let _: i64 = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").query(&mut operator).unwrap();
    assert!(cut > 0);
    for call in 0..999 {
        writer.remove(call);
    }
    copy.until("one is left", |copy| copy.known.len() == 1 && copy.call(&a, 999) == Some("up")).await;
    let left: Vec<u64> = operator.hkeys("test:{a/0000000000000001}:calls").unwrap();
    assert_eq!(left, [999]);
    assert_eq!(status.waiting(), 0);
}

#[tokio::test]
async fn a_node_that_took_over_removes_what_it_took_when_its_own_is_written() {
    let server = Server::start();
    let config = server.config();
    let (a, b) = (node("a", 1), node("b", 2));
    let (first, _) = writer(&config, a.clone());
    first.put(Subject::Call, 7, b"of a".to_vec());
    let mut watching = Copy::of(&config, node("c", 3));
    watching.until("the call is a's", |copy| copy.call(&a, 7).is_some()).await;
    drop(first);
    let (second, _) = writer(&config, b.clone());
    second.put(Subject::Call, 1, b"of b".to_vec());
    retire(&second, a.clone());
    watching.until("the call is b's", |copy| copy.call(&b, 1) == Some("of b")).await;
    let mut late = Copy::of(&config, node("d", 4));
    late.until("b has it", |copy| copy.call(&b, 1).is_some()).await;
    assert_eq!(late.call(&a, 7), None);
    // A node does not follow itself.
    let mut own = Copy::of(&config, b.clone());
    let (third, _) = writer(&config, node("e", 5));
    third.put(Subject::Call, 1, b"of e".to_vec());
    own.until("e is heard", |copy| copy.call(&node("e", 5), 1).is_some()).await;
    assert_eq!(own.call(&b, 1), None);
}

#[tokio::test]
async fn the_master_that_a_sentinel_names_is_the_store() {
    let master = Server::start();
    let sentinel_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sentinel.conf");
    std::fs::write(&file, format!("sentinel monitor calls 127.0.0.1 {} 1\n", master.port)).unwrap();
    let sentinel = Server::with(sentinel_port, |command| {
        command.arg(&file).arg("--sentinel");
    });
    let urls = vec![format!("redis://127.0.0.1:{}/", sentinel.port)];
    let config = StoreConfig { urls, sentinel_master: Some("calls".to_owned()), prefix: "test".to_owned() };
    let a = node("a", 1);
    let (writer, _) = writer(&config, a.clone());
    writer.put(Subject::Call, 1, b"one".to_vec());
    let mut copy = Copy::of(&config, node("b", 2));
    copy.until("the call is there", |copy| copy.call(&a, 1) == Some("one")).await;
    assert!(master.keys().contains(&"test:{a/0000000000000001}:calls".to_owned()));
}

#[test]
fn a_url_that_is_none_is_told_without_its_password() {
    let urls = vec!["http://user:secret@127.0.0.1/".to_owned()];
    let config = StoreConfig { urls, sentinel_master: None, prefix: "test".to_owned() };
    let error = Writer::start(&config, node("a", 1), Arc::default()).unwrap_err().to_string();
    assert!(!error.contains("secret") && !format!("{config:?}").contains("secret"), "{error}");
}
