//! `tandem-aws`, which asks AWS for what this node wants: started beside the gateway, started again when it ends.
//!
//! A thread of its own waits for what it says. Who asks writes to its standard input himself, so that a move of addresses takes
//! no hop more than it needs.

mod presence;
mod process;
mod setup;
mod status;

use std::collections::HashMap;
use std::io::{self, Write};
use std::process::ChildStdin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use tandem_aws_protocol::{Asked, MoveReport, Outcome};
use tandem_config::Config;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::order::Order;

pub(crate) use presence::Presence;
pub use setup::AwsError;
use status::Move;
pub(crate) use status::{AwsStatus, AwsView};

/// Requests without answer at most: a process that does not answer is not asked on and on.
const WAITING: usize = 64;
/// How long a process that was just started may take to say which instance this is.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// How long a move that an operator asked for is tried.
const BY_HAND_MS: u64 = 10_000;
/// Between looks whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// The way to the process.
#[derive(Clone, Debug)]
pub(crate) struct Aws(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    asked: Mutex<Requests>,
    status: Mutex<AwsStatus>,
    /// Told whether addresses are here, after a move.
    confirmed: UnboundedSender<bool>,
    order: UnboundedSender<Order>,
}

#[derive(Debug, Default)]
struct Requests {
    /// `None` while there is no process, or it has not said that it is ready.
    input: Option<ChildStdin>,
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Outcome>>,
    /// The node ends: no process is started any more.
    ended: bool,
}

/// What has to be told.
pub(crate) struct Told {
    /// Whether addresses are here, after a move.
    pub(crate) confirmed: UnboundedSender<bool>,
    /// The switch's thread, which ends the node.
    pub(crate) order: UnboundedSender<Order>,
}

impl Aws {
    /// Starts the process, where the configuration wants it.
    ///
    /// # Errors
    /// An interface is not there, or the thread cannot run. What the process lacks it says by itself, and is started again.
    pub(crate) fn start(config: &Config, told: Told) -> Result<Option<(Self, JoinHandle<()>)>, AwsError> {
        if !config.aws.enabled {
            return Ok(None);
        }
        let setup = setup::setup(config)?;
        let Told { confirmed, order } = told;
        let status = AwsStatus { enabled: true, ..AwsStatus::default() };
        let shared = Shared { asked: Mutex::default(), status: Mutex::new(status), confirmed, order };
        let aws = Self(Arc::new(shared));
        let (kept, program) = (aws.clone(), setup::program(&config.aws.program));
        let run = move || process::keep_running(&kept, &program, &setup);
        let thread = std::thread::Builder::new().name("tandem-aws".to_owned()).spawn(run)?;
        Ok(Some((aws, thread)))
    }

    /// Asks for something. The answer is dropped where the process is not there, does not keep up, or ends first.
    pub(crate) fn ask(&self, asked: impl FnOnce(u64) -> Asked) -> oneshot::Receiver<Outcome> {
        let (answer, answered) = oneshot::channel();
        let mut requests = self.requests();
        requests.last += 1;
        let id = requests.last;
        if requests.waiting.len() < WAITING && requests.say(&asked(id)).is_ok() {
            requests.waiting.insert(id, answer);
        }
        answered
    }

    /// Lets the process end, and starts none any more.
    pub(crate) fn end(&self) {
        let mut requests = self.requests();
        requests.ended = true;
        requests.input = None;
    }

    /// This instance; waits for the process to say so, for a while.
    pub(crate) fn instance(&self) -> Option<String> {
        let until = std::time::Instant::now() + FIRST_WORD;
        loop {
            let known = self.status().identity.as_ref().map(|identity| identity.instance.clone());
            if known.is_some() || std::time::Instant::now() >= until {
                return known;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// A move came to its end: what EC2 made of it, whether all is here, and how long that took with workers and kernel.
    pub(crate) fn note_move(&self, report: Option<MoveReport>, is_here: bool, took_ms: u64) {
        let mut status = self.status();
        if let Some(report) = report {
            let made = Move::new(report, took_ms);
            tracing::info!(?made, "EC2 has the addresses here");
            status.calls_throttled += u64::from(report.throttled);
            status.last_move = Some(made);
        }
        if is_here {
            status.moves += 1;
        } else {
            status.moves_failed += 1;
        }
    }

    /// Brings the addresses here as an operator wants it, where no cluster says who has them.
    ///
    /// # Errors
    /// They are not here: why.
    pub(crate) async fn move_by_hand(&self) -> Result<(), String> {
        let begun = std::time::Instant::now();
        let outcome = self.ask(|id| Asked::Move { id, within_ms: BY_HAND_MS }).await;
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (report, outcome) = match outcome {
            Ok(Outcome::Moved(report)) => (Some(report), Ok(())),
            Ok(Outcome::NotMoved { error, .. }) => (None, Err(error)),
            _ => (None, Err("tandem-aws is not there".to_owned())),
        };
        self.note_move(report, outcome.is_ok(), took_ms);
        outcome
    }

    /// What is known of it.
    pub(crate) fn view(&self) -> AwsView {
        AwsView::of(&self.status())
    }

    pub(crate) fn status(&self) -> MutexGuard<'_, AwsStatus> {
        self.0.status.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.0.asked.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Something that the process said.
    fn on_said(&self, id: u64, outcome: Outcome) {
        match outcome {
            Outcome::Confirmed(here) => {
                self.status().here = here;
                match here {
                    // Without a cluster nobody waits for it.
                    Some(here) => drop(self.0.confirmed.send(here)),
                    None => tracing::warn!("after the move nobody could say where the addresses are"),
                }
            }
            Outcome::Terminating => {
                tracing::warn!("the Auto Scaling group ends this instance");
                // It fails only when the switch's thread has ended.
                let _ = self.0.order.send(Order::Terminate);
            }
            Outcome::Misunderstood(why) => tracing::error!(why, "tandem-aws is of another version"),
            outcome => {
                if let Outcome::Here(here) = outcome {
                    self.status().here = here;
                }
                let waiting = self.requests().waiting.remove(&id);
                if let Some(waiting) = waiting {
                    // Whoever asked may have gone.
                    let _ = waiting.send(outcome);
                }
            }
        }
    }
}

impl Requests {
    fn say(&mut self, asked: &Asked) -> io::Result<()> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        write_line(input, asked)
    }
}

/// One line of JSON. A pipe takes it whole: what waits there is less than it has room for.
fn write_line(input: &mut ChildStdin, value: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    input.write_all(&line)
}
