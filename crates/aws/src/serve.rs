//! The loop: a line in, a line out.

use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use tandem_aws_protocol::{Answer, Asked, Outcome, Serving, Setup};

use crate::client::{CallError, Client, Endpoints};
use crate::members::members;
use crate::metadata::Metadata;
use crate::mover::Mover;
use crate::places::places;
use crate::presence::{Presence, publish};

/// Between calls that keep connections open and keys fresh: less than servers keep one that nobody uses.
const KEEP_WARM: Duration = Duration::from_secs(10);
/// How long a move is looked for afterwards.
const CONFIRM: Duration = Duration::from_secs(5);
/// Between looks whether the instance is to end; it is known some seconds after that was decided.
const LOOK_FOR_END: Duration = Duration::from_secs(2);

/// Serves whoever is at the other end of `input` and `output` until `input` ends.
///
/// # Errors
/// The first line is no [`Setup`], or the instance does not know itself or has no role.
pub fn serve(mut input: impl BufRead, output: impl Write + Send + 'static) -> anyhow::Result<()> {
    let mut line = String::new();
    input.read_line(&mut line).context("standard input")?;
    let setup: Setup = serde_json::from_str(&line).context("the first line is no setup")?;
    let metadata = Metadata::new(&setup.metadata);
    let (identity, here) = metadata.identity(setup.floating)?;
    let timeout = Duration::from_millis(setup.call_timeout_ms);
    let client = Client::new(metadata, &identity.region, Endpoints { all: setup.endpoint }, timeout);
    client.renew_credentials(SystemTime::now())?;
    let looks_for_end = setup.terminate_hook.is_some();
    let presence = Presence {
        instance: identity.instance.clone(),
        records: setup.records,
        launch_hook: setup.launch_hook,
        terminate_hook: setup.terminate_hook,
    };
    let server = Arc::new(Server { mover: Mover::new(client, here), presence, told: Mutex::default() });
    let output = Output(Arc::new(Mutex::new(output)));

    warm(&server);
    output.tell(&Answer { id: 0, outcome: Outcome::Ready(identity) });
    let kept = server.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(KEEP_WARM);
            warm(&kept);
        }
    });
    if looks_for_end {
        let (metadata, output) = (Metadata::new(&setup.metadata), output.clone());
        std::thread::spawn(move || {
            while !metadata.is_to_end() {
                std::thread::sleep(LOOK_FOR_END);
            }
            output.tell(&Answer { id: 0, outcome: Outcome::Terminating });
        });
    }

    for line in input.lines() {
        let line = line.context("standard input")?;
        let (server, output) = (server.clone(), output.clone());
        // A look must not make a move wait.
        std::thread::spawn(move || match serde_json::from_str::<Asked>(&line) {
            Ok(asked) => server.perform(&asked, &output),
            Err(error) => output.tell(&Answer { id: 0, outcome: Outcome::Misunderstood(error.to_string()) }),
        });
    }
    server.is_left();
    Ok(())
}

fn warm(server: &Server) {
    // What fails now is told, and may succeed when it matters.
    if let Err(error) = server.mover.client().renew_credentials(SystemTime::now()) {
        eprintln!("{error}");
    }
    if let Err(error) = server.mover.warm() {
        eprintln!("{error}");
    }
}

struct Output<W>(Arc<Mutex<W>>);

impl<W> Clone for Output<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W: Write> Output<W> {
    fn tell(&self, answer: &Answer) {
        let mut line = serde_json::to_vec(answer).unwrap_or_default();
        line.push(b'\n');
        let mut output = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // When nobody reads any more, the gateway has ended, and this process with it.
        let _ = output.write_all(&line).and_then(|()| output.flush());
    }
}

struct Server {
    mover: Mover,
    presence: Presence,
    /// What was last told of the node.
    told: Mutex<Option<Serving>>,
}

impl Server {
    fn perform(&self, asked: &Asked, output: &Output<impl Write>) {
        let id = asked.id();
        let outcome = match asked {
            Asked::Move { within_ms, .. } => self.move_here(Duration::from_millis(*within_ms)),
            Asked::Locate { .. } => Outcome::Here(self.mover.is_here().ok()),
            Asked::Place { addresses, .. } => match places(self.mover.client(), addresses) {
                Ok(placed) => Outcome::Placed(placed),
                Err(error) => Outcome::Failed(error.to_string()),
            },
            Asked::Members { by, also, .. } => match members(self.mover.client(), by, also) {
                Ok(found) => Outcome::Members(found),
                Err(error) => Outcome::Failed(error.to_string()),
            },
            Asked::Serve { serving, .. } => {
                *self.told.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(*serving);
                done(self.presence.serve(self.mover.client(), *serving))
            }
            Asked::Publish { node, metrics, .. } => done(publish(self.mover.client(), node, metrics)),
        };
        let moved = matches!(outcome, Outcome::Moved(_));
        output.tell(&Answer { id, outcome });
        if moved {
            let here = self.mover.confirm(CONFIRM).ok();
            output.tell(&Answer { id: 0, outcome: Outcome::Confirmed(here) });
        }
    }

    fn move_here(&self, within: Duration) -> Outcome {
        match self.mover.move_here(within) {
            Ok(report) => Outcome::Moved(report),
            Err(error) => {
                let refused = matches!(error, CallError::Refused { .. });
                Outcome::NotMoved { refused, error: error.to_string() }
            }
        }
    }

    /// The gateway has ended. Where it had no time to say so, its records weigh nothing from now on.
    fn is_left(&self) {
        let told = *self.told.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if matches!(told, Some(Serving::Yes | Serving::Draining))
            && let Err(error) = self.presence.weigh(self.mover.client(), false)
        {
            eprintln!("{error}");
        }
    }
}

fn done(outcome: Result<(), CallError>) -> Outcome {
    outcome.map_or_else(|error| Outcome::Failed(error.to_string()), |()| Outcome::Done)
}
