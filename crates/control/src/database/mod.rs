//! The store's thread: it loads what was there, makes registrations durable in batches, and passes on what other nodes changed.
//!
//! While the database is away nothing waits for it: REGISTERs are answered 503, calls go on with what is in memory, and call
//! records stay in their files until they can be delivered.

mod convert;
mod delivery;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tandem_call::StoreTicket;
use tandem_store::{RegistrationChange, RegistrationRow, Store, StoreError, SubscriberChange, SubscriberRow};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, sleep};

pub(crate) use convert::{binding_of, change_of, hashes_of, row_of, subscriber_of};
use delivery::Delivery;

/// Between attempts to reach a database that is away.
const RETRY: Duration = Duration::from_secs(1);
/// Between looks for subscribers that another node, or somebody in the database itself, has changed.
const LOOK: Duration = Duration::from_secs(5);
/// Between deletions of registrations that have ended.
const SWEEP: Duration = Duration::from_secs(60);
/// Changes that share a transaction at most.
const BATCH: usize = 512;

/// What the store is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Make these durable; the ticket comes back as [`News::Stored`].
    Registrations(Option<StoreTicket>, Vec<RegistrationChange>),
    /// Add a subscriber or give it another password; whether it is new.
    PutSubscriber(SubscriberRow, oneshot::Sender<Result<bool, String>>),
    /// Remove a subscriber by realm and name; whether there was one.
    RemoveSubscriber(String, String, oneshot::Sender<Result<bool, String>>),
    /// Names of all subscribers of a realm.
    Subscribers(String, oneshot::Sender<Result<Vec<String>, String>>),
}

/// What the store tells the switch's thread.
#[derive(Debug)]
pub(crate) enum News {
    /// Registrations from before the start.
    Loaded(Vec<RegistrationRow>),
    /// Subscribers that are new, have changed, or are gone.
    Subscribers(Vec<SubscriberChange>),
    /// Changes are durable, or could not be made so.
    Stored(StoreTicket, bool),
}

/// How the store fares, readable by anyone.
#[derive(Debug, Default)]
pub(crate) struct StoreState {
    /// The last thing it was asked was done.
    pub(crate) is_up: AtomicBool,
    /// Transactions that failed.
    pub(crate) failures: AtomicU64,
    /// Call records taken over.
    pub(crate) records: AtomicU64,
}

/// What the thread is started with.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) url: String,
    /// Where record files are, and under which name they are taken over; `None` where they are not.
    pub(crate) records: Option<(PathBuf, String)>,
}

/// Control's end of the store's thread, which ends when all senders of questions are gone.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) asks: UnboundedSender<Ask>,
    pub(crate) news: UnboundedReceiver<News>,
    pub(crate) state: Arc<StoreState>,
}

impl Database {
    pub(crate) fn start(wanted: Wanted) -> io::Result<(Self, JoinHandle<()>)> {
        let (asks, incoming) = unbounded_channel();
        let (tell, news) = unbounded_channel();
        let state = Arc::new(StoreState::default());
        let keeper = Keeper { incoming, tell, state: state.clone(), generation: 0 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name("tandem-store".to_owned())
            .spawn(move || runtime.block_on(keeper.run(wanted)))?;
        Ok((Self { asks, news, state }, thread))
    }
}

/// The thread's own.
struct Keeper {
    incoming: UnboundedReceiver<Ask>,
    tell: UnboundedSender<News>,
    state: Arc<StoreState>,
    /// Of the last change of a subscriber that was passed on.
    generation: i64,
}

impl Keeper {
    async fn run(mut self, wanted: Wanted) {
        let Some(store) = self.open(&wanted.url).await else { return };
        if let Some((directory, node)) = wanted.records {
            let delivery = Delivery::new(store.clone(), directory, node, self.state.clone());
            tokio::spawn(delivery.run());
        }
        let mut look = interval(LOOK);
        let mut sweep = interval(SWEEP);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = Vec::new();
        loop {
            tokio::select! {
                count = self.incoming.recv_many(&mut asked, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    self.answer(&store, &mut asked).await;
                }
                _ = look.tick() => {
                    let passed = self.pass_on_subscribers(&store).await;
                    self.note(passed);
                }
                _ = sweep.tick() => {
                    let swept = store.expire_registrations(unix_ms() - 60_000).await;
                    self.note(swept.map(drop));
                }
            }
        }
        store.close().await;
    }

    /// Opens and loads, again and again until it succeeds; `None` where control ended before.
    async fn open(&mut self, url: &str) -> Option<Store> {
        loop {
            match self.load(url).await {
                Ok(store) => {
                    self.note(Ok(()));
                    return Some(store);
                }
                Err(error) => self.note(Err(error)),
            }
            let pause = sleep(RETRY);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    ask = self.incoming.recv() => self.decline(ask?, "the database cannot be reached"),
                }
            }
        }
    }

    async fn load(&mut self, url: &str) -> Result<Store, StoreError> {
        let store = Store::open(url).await?;
        self.pass_on_subscribers(&store).await?;
        let registrations = store.registrations(unix_ms()).await?;
        let _ = self.tell.send(News::Loaded(registrations));
        Ok(store)
    }

    async fn pass_on_subscribers(&mut self, store: &Store) -> Result<(), StoreError> {
        let changes = store.subscribers_since(self.generation).await?;
        if let Some(last) = changes.last() {
            self.generation = last.generation;
            let _ = self.tell.send(News::Subscribers(changes));
        }
        Ok(())
    }

    async fn answer(&mut self, store: &Store, asked: &mut Vec<Ask>) {
        let mut tickets = Vec::new();
        let mut changes = Vec::new();
        let mut others = Vec::new();
        for ask in asked.drain(..) {
            match ask {
                Ask::Registrations(ticket, more) => {
                    tickets.extend(ticket);
                    changes.extend(more);
                }
                other => others.push(other),
            }
        }
        if !changes.is_empty() {
            let stored = store.change_registrations(&changes).await;
            let is_stored = stored.is_ok();
            self.note(stored);
            for ticket in tickets {
                let _ = self.tell.send(News::Stored(ticket, is_stored));
            }
        }
        for other in others {
            self.answer_operator(store, other).await;
        }
    }

    async fn answer_operator(&mut self, store: &Store, ask: Ask) {
        let words = |error: StoreError| error.to_string();
        match ask {
            Ask::Registrations(..) => {}
            Ask::PutSubscriber(row, answer) => {
                let done = store.put_subscriber(&row).await.map_err(words);
                // The registrar knows before the operator is told.
                let _ = self.pass_on_subscribers(store).await;
                let _ = answer.send(done);
            }
            Ask::RemoveSubscriber(realm, user, answer) => {
                let done = store.remove_subscriber(&realm, &user).await.map_err(words);
                let _ = self.pass_on_subscribers(store).await;
                let _ = answer.send(done);
            }
            Ask::Subscribers(realm, answer) => {
                let all = store.subscribers_since(0).await.map_err(words);
                let names = all.map(|all| {
                    let mut names: Vec<_> = all
                        .into_iter()
                        .filter(|change| !change.is_removed && change.row.realm == realm)
                        .map(|change| change.row.username)
                        .collect();
                    names.sort_unstable();
                    names
                });
                let _ = answer.send(names);
            }
        }
    }

    fn decline(&self, ask: Ask, why: &str) {
        match ask {
            Ask::Registrations(ticket, _) => {
                if let Some(ticket) = ticket {
                    let _ = self.tell.send(News::Stored(ticket, false));
                }
            }
            Ask::PutSubscriber(_, answer) | Ask::RemoveSubscriber(_, _, answer) => {
                drop(answer.send(Err(why.to_owned())))
            }
            Ask::Subscribers(_, answer) => drop(answer.send(Err(why.to_owned()))),
        }
    }

    /// Logs when the database goes away and when it is back, once each.
    fn note(&self, done: Result<(), StoreError>) {
        match done {
            Ok(()) => {
                if !self.state.is_up.swap(true, Relaxed) {
                    tracing::info!("the store is there");
                }
            }
            Err(error) => {
                if self.state.is_up.swap(false, Relaxed) || self.state.failures.load(Relaxed) == 0 {
                    tracing::error!(%error, "the store does not answer: nobody can register, calls go on; it is tried again");
                }
                self.state.failures.fetch_add(1, Relaxed);
            }
        }
    }
}

fn unix_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
