//! Members that come and go: what EC2 says of them, and the list of them in the store.

use std::future::pending;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use tandem_aws_protocol::{Asked, Existing, InCommon, Outcome};
use tandem_cluster::{Enrolled, Found, Keeper, Member, MemberId, RosterAnswer, RosterRequest};
use tandem_config::ClusterDiscovery;
use tandem_contract::Nanos;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot::error::TryRecvError;

use super::ClusterError;
use super::lease::{LEASE_OF_MEMBERS, TIMEOUT};
use super::member::placement;
use crate::aws::Aws;

/// Between looks which instances there are.
const LOOK_NS: u64 = 10_000_000_000;
/// How long a node that starts waits for EC2 to know it: an instance that was just launched may be missing for some seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between the looks of who waits for that.
const AGAIN: Duration = Duration::from_secs(2);
/// Between looks at an answer.
const POLL: Duration = Duration::from_millis(20);

/// The list of members.
pub(super) const ROSTER: &str = "{tandem}:members";
/// Sets the list where it is what is expected and the service's record begins as it should; answers with both.
const SET_ROSTER: &str = "\
local there = redis.call('GET', KEYS[1]) or ''
local record = redis.call('GET', KEYS[2]) or ''
if ARGV[2] ~= '' and there == ARGV[1] and string.sub(record, 1, string.len(ARGV[3])) == ARGV[3] then
redis.call('SET', KEYS[1], ARGV[2]) there = ARGV[2] end
return {there, record}";

/// How members are found, and this node as it was.
#[derive(Debug)]
pub(crate) struct Discovery {
    by: InCommon,
    port: u16,
    pub(crate) own: String,
    pub(crate) zone: String,
    pub(crate) heartbeat: SocketAddr,
}

impl Discovery {
    /// Looks until EC2 says that this instance is among the members.
    ///
    /// # Errors
    /// It does not in time: why.
    pub(crate) fn begin(aws: &Aws, wanted: &ClusterDiscovery) -> Result<Self, ClusterError> {
        let by = match (&wanted.tag, &wanted.auto_scaling_group) {
            (Some(tag), _) => InCommon::Tag(tag.key.clone(), tag.value.clone()),
            (None, group) => InCommon::AutoScalingGroup(group.clone().unwrap_or_default()),
        };
        let until = Instant::now() + PATIENCE;
        loop {
            let error = match Self::find(aws, &by, wanted.port, until) {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            if Instant::now() + AGAIN >= until {
                return Err(error);
            }
            tracing::warn!(%error, "looking again");
            std::thread::sleep(AGAIN);
        }
    }

    fn find(aws: &Aws, by: &InCommon, port: u16, until: Instant) -> Result<Self, ClusterError> {
        let away = || ClusterError::Discovery("tandem-aws is not there; what it lacks is in the log".to_owned());
        let own = aws.instance().ok_or_else(away)?;
        let mut answer = aws.ask(|id| Asked::Members { id, by: by.clone(), also: Vec::new() });
        let found = loop {
            match answer.try_recv() {
                Ok(Outcome::Members(found)) => break found,
                Ok(Outcome::Failed(error)) => return Err(ClusterError::Discovery(error)),
                Err(TryRecvError::Empty) if Instant::now() < until => std::thread::sleep(POLL),
                _ => return Err(away()),
            }
        };
        let mut belonging = found.iter().filter(|found| found.belongs).peekable();
        if belonging.peek().is_none() {
            return Err(ClusterError::NobodyFound(by.to_string()));
        }
        let others: Vec<&str> = belonging.clone().map(|found| found.instance.as_str()).collect();
        let Some(here) = belonging.find(|found| found.instance == own) else {
            return Err(ClusterError::NotAmong { own, by: by.to_string(), found: others.join(", ") });
        };
        tracing::info!(instance = own, members = others.join(", "), "found by {by}");
        let heartbeat = SocketAddr::new(here.address, port);
        Ok(Self { by: by.clone(), port, zone: here.zone.clone(), heartbeat, own })
    }
}

/// What happened.
pub(super) enum Happened {
    Found(Vec<Existing>),
    Answered(RosterAnswer),
}

/// The list, and the ways to EC2 and to the store.
pub(super) struct Enrolment {
    pub(super) keeper: Keeper,
    discovery: Discovery,
    aws: Aws,
    next_look: Nanos,
    /// Whether the machine is to be told what the store said.
    pub(super) has_news: bool,
    /// Members as they were asked for last.
    told: Vec<Enrolled>,
    found: (Sender<Vec<Existing>>, Receiver<Vec<Existing>>),
    requests: Sender<RosterRequest>,
    answers: Receiver<RosterAnswer>,
}

impl Enrolment {
    /// Within a tokio runtime.
    pub(super) fn start(now: Nanos, discovery: Discovery, aws: Aws, store: redis::Client) -> Self {
        let (requests, asked) = channel(4);
        let (answer, answers) = channel(4);
        tokio::spawn(serve(store, asked, answer));
        let keeper = Keeper::new(now, &discovery.own);
        Self {
            keeper,
            discovery,
            aws,
            next_look: now,
            has_news: false,
            told: Vec::new(),
            found: channel(1),
            requests,
            answers,
        }
    }

    /// Waits until something happens; for ever where there is no list.
    pub(super) async fn next(enrolment: &mut Option<Self>) -> Happened {
        let Some(enrolment) = enrolment else { return pending().await };
        tokio::select! {
            Some(found) = enrolment.found.1.recv() => Happened::Found(found),
            Some(answer) = enrolment.answers.recv() => Happened::Answered(answer),
            else => pending().await,
        }
    }

    pub(super) fn on(&mut self, now: Nanos, happened: Happened) {
        match happened {
            Happened::Found(found) => self.keeper.on_found(found.into_iter().map(node).collect()),
            Happened::Answered(answer) => {
                self.has_news = true;
                if let Err(error) = self.keeper.on_answer(now, answer) {
                    tracing::error!(%error, "members stay as they are");
                }
            }
        }
    }

    /// Looks at EC2 where that is due.
    pub(super) fn look(&mut self, now: Nanos) {
        if now < self.next_look {
            return;
        }
        self.next_look = now.plus(LOOK_NS);
        let (by, also) = (self.discovery.by.clone(), self.keeper.names().map(str::to_owned).collect());
        let (answer, found) = (self.aws.ask(|id| Asked::Members { id, by, also }), self.found.0.clone());
        tokio::spawn(async move {
            match answer.await {
                Ok(Outcome::Members(members)) => drop(found.send(members).await),
                Ok(Outcome::Failed(error)) => tracing::warn!(error, "EC2 does not say who is a member"),
                // It starts again; the next look is not far.
                _ => {}
            }
        });
    }

    pub(super) fn next_deadline(&self) -> Nanos {
        self.next_look.min(self.keeper.next_deadline())
    }

    /// Performs a request. A store that is behind is one that does not answer.
    pub(super) fn perform(&self, request: RosterRequest) {
        let _ = self.requests.try_send(request);
    }

    /// Whether this node is in the list, by that number.
    pub(super) fn has_number(&self, number: MemberId) -> bool {
        self.keeper.enrolled() == Some(number)
    }

    /// Whether members came or went since this was asked last.
    pub(super) fn has_changed(&mut self) -> bool {
        let members = self.keeper.members();
        let changed = members != self.told;
        self.told = members;
        changed
    }

    /// The members as the machine has them.
    pub(super) fn members(&self) -> Vec<(MemberId, Member)> {
        self.keeper.members().iter().map(Enrolled::member).collect()
    }

    /// Names and heartbeat addresses of members, by number.
    pub(super) fn directory(&self) -> (Vec<String>, Vec<Vec<SocketAddr>>) {
        let mut names = vec![String::new(); tandem_cluster::MAX_MEMBERS];
        let mut addresses = vec![Vec::new(); tandem_cluster::MAX_MEMBERS];
        for member in self.keeper.members() {
            let slot = usize::from(member.slot);
            addresses[slot] = vec![SocketAddr::new(member.address, self.discovery.port)];
            names[slot] = member.name;
        }
        (names, addresses)
    }
}

fn node(existing: Existing) -> Found {
    let Existing { instance, belongs, address, zone, subnet, group, partition } = existing;
    Found { name: instance, address, placement: placement(zone, subnet, group, partition), belongs }
}

/// Performs requests until the sender of them is gone. What cannot be done is not answered.
async fn serve(client: redis::Client, mut requests: Receiver<RosterRequest>, answers: Sender<RosterAnswer>) {
    let mut connection: Option<MultiplexedConnection> = None;
    while let Some(request) = requests.recv().await {
        let outcome = tokio::time::timeout(TIMEOUT, async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => client.get_multiplexed_async_connection().await?,
            };
            let answer = ask(&mut open, &request).await?;
            Ok::<_, redis::RedisError>((open, answer))
        });
        // That the store is away is told by who asks it for votes.
        if let Ok(Ok((open, answer))) = outcome.await {
            connection = Some(open);
            // Nobody waits for it where the cluster's thread has ended.
            let _ = answers.send(answer).await;
        }
    }
}

async fn ask(connection: &mut MultiplexedConnection, request: &RosterRequest) -> redis::RedisResult<RosterAnswer> {
    let mut command = redis::cmd("EVAL");
    command.arg(SET_ROSTER).arg(2).arg(ROSTER).arg(LEASE_OF_MEMBERS);
    match &request.write {
        Some(write) => command.arg(write.expected.as_deref().unwrap_or_default()).arg(&write.text).arg(&write.record),
        None => command.arg("").arg("").arg(""),
    };
    let (roster, record): (String, String) = command.query_async(connection).await?;
    let there = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(RosterAnswer { request: request.request, roster: there(roster), record: there(record) })
}
