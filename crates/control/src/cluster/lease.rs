//! The store's vote, in Valkey or Redis: one compare-and-set at a time.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tandem_cluster::{Enrolled, LeaseAnswer, LeaseRecord, LeaseRequest};
use tokio::sync::mpsc;

use super::ClusterError;
use super::enrolment::ROSTER;

/// Sets the key where it has what is expected (`-` for nothing), and answers with whether it did and what is there then.
const COMPARE_AND_SET: &str = "\
local there = redis.call('GET', KEYS[1])
if (there or '-') == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) return {1, ARGV[2]} end
return {0, there or '-'}";
/// The same, for who is in the list of members.
const COMPARE_AND_SET_OF_MEMBER: &str = "\
local there = redis.call('GET', KEYS[1])
local roster = redis.call('GET', KEYS[2]) or ''
if (there or '-') == ARGV[1] and string.find(roster, ARGV[3], 1, true) then redis.call('SET', KEYS[1], ARGV[2]) return {1, ARGV[2]} end
return {0, there or '-'}";
/// The record where members come and go. Both keys have to be on one node of a cluster of stores.
pub(super) const LEASE_OF_MEMBERS: &str = "{tandem}:lease:0";
/// What stands for no record; a record has spaces in it.
const NOTHING: &str = "-";
/// A store that does not answer in this time is away: the machine has long asked again.
pub(super) const TIMEOUT: Duration = Duration::from_millis(500);
/// Between attempts to reach it.
const RECONNECT: Duration = Duration::from_millis(100);

/// Performs requests until the sender of them is gone. What cannot be done is not answered: the machine takes silence for
/// what it is. Where members come and go, `enrolled` is this node's name in the list of them.
pub(crate) async fn serve(
    client: redis::Client,
    enrolled: Option<String>,
    mut requests: mpsc::Receiver<LeaseRequest>,
    answers: mpsc::Sender<LeaseAnswer>,
) {
    let mut away = false;
    loop {
        let connected = tokio::time::timeout(TIMEOUT, client.get_multiplexed_async_connection()).await;
        let error = match connected {
            Ok(Ok(connection)) => {
                if std::mem::take(&mut away) {
                    tracing::info!("the store answers again");
                }
                match perform(connection, enrolled.as_deref(), &mut requests, &answers).await {
                    Some(error) => error,
                    None => return,
                }
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if !std::mem::replace(&mut away, true) {
            tracing::error!(
                error,
                "the store of votes is away: this node holds what it holds while the others vote for it"
            );
        }
        tokio::time::sleep(RECONNECT).await;
        // Old requests have been given up.
        while requests.try_recv().is_ok() {}
        if requests.is_closed() {
            return;
        }
    }
}

/// Until an error, or until nobody asks any more.
async fn perform(
    mut connection: MultiplexedConnection,
    enrolled: Option<&str>,
    requests: &mut mpsc::Receiver<LeaseRequest>,
    answers: &mpsc::Sender<LeaseAnswer>,
) -> Option<String> {
    let mut anew = true;
    while let Some(mut request) = requests.recv().await {
        if anew {
            // What is to be set follows from what was seen over another connection.
            request.set = None;
        }
        let mut answer = match tokio::time::timeout(TIMEOUT, ask(&mut connection, enrolled, &request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Some(error),
            Err(_) => return Some("no answer".to_owned()),
        };
        answer.anew = std::mem::take(&mut anew);
        // Nobody waits for it where the cluster's thread has ended.
        let _ = answers.send(answer).await;
    }
    None
}

async fn ask(
    connection: &mut MultiplexedConnection,
    enrolled: Option<&str>,
    request: &LeaseRequest,
) -> Result<LeaseAnswer, String> {
    let key = match enrolled {
        Some(_) => LEASE_OF_MEMBERS.to_owned(),
        None => format!("tandem:lease:{}", request.service.0),
    };
    let (set, there): (i64, String) = match request.set {
        Some((expected, record)) => {
            let expected = expected.map_or(NOTHING.to_owned(), |record| record.to_string());
            let mut command = redis::cmd("EVAL");
            match enrolled {
                Some(name) => {
                    let mark = record.owner.map_or_else(String::new, |own| Enrolled::mark(own, name));
                    let keys = command.arg(COMPARE_AND_SET_OF_MEMBER).arg(2).arg(key).arg(ROSTER);
                    keys.arg(expected).arg(record.to_string()).arg(mark)
                }
                None => command.arg(COMPARE_AND_SET).arg(1).arg(key).arg(expected).arg(record.to_string()),
            };
            command.query_async(connection).await.map_err(|error| error.to_string())?
        }
        None => {
            let there: Option<String> =
                redis::cmd("GET").arg(key).query_async(connection).await.map_err(|error| error.to_string())?;
            (0, there.unwrap_or(NOTHING.to_owned()))
        }
    };
    let record = if there == NOTHING { None } else { Some(there.parse::<LeaseRecord>().map_err(|e| e.to_string())?) };
    Ok(LeaseAnswer { service: request.service, request: request.request, set: set == 1, record, anew: false })
}

/// A client for the store's URL.
pub(crate) fn client(url: &str) -> Result<redis::Client, ClusterError> {
    redis::Client::open(url).map_err(|error| ClusterError::Store(error.to_string()))
}
