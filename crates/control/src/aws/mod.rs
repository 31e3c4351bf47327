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

use tandem_aws_protocol::{Asked, Outcome};
use tandem_config::Config;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::order::Order;

pub(crate) use presence::Presence;
pub use setup::AwsError;
pub(crate) use status::{AwsStatus, AwsView, Move};

/// Requests without answer at most: a process that does not answer is not asked on and on.
const WAITING: usize = 64;

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
                    // Without a cluster nobody asked for a move.
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
