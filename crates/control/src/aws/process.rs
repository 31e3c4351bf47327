//! The process: started, listened to, and started again.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tandem_aws_protocol::{Answer, Outcome, Setup};

use super::{Aws, write_line};

/// The first wait before it is started again; it doubles.
const AGAIN: Duration = Duration::from_millis(100);
/// The longest.
const AGAIN_MOST: Duration = Duration::from_secs(10);
/// A process that ran for so long did not end for what is wrong at its start.
const RAN_WELL: Duration = Duration::from_secs(60);
/// Between looks whether the node ends, while none is started.
const LOOK: Duration = Duration::from_millis(50);

/// Runs one process after another until the node ends.
pub(super) fn keep_running(aws: &Aws, program: &Path, setup: &Setup) {
    let mut pause = AGAIN;
    while !aws.requests().ended {
        let started = Instant::now();
        let how = match run(aws, program, setup) {
            Ok(how) => how,
            Err(error) => format!("{}: {error}", program.display()),
        };
        {
            let mut requests = aws.requests();
            requests.input = None;
            // Whoever waits is told by their end.
            requests.waiting.clear();
            if requests.ended {
                return;
            }
        }
        let mut status = aws.status();
        status.identity = None;
        status.restarts += 1;
        drop(status);
        tracing::error!(how, again_ms = pause.as_millis(), "tandem-aws has ended: addresses cannot move to this node");
        let until = Instant::now() + pause;
        while Instant::now() < until && !aws.requests().ended {
            std::thread::sleep(LOOK);
        }
        pause = if started.elapsed() > RAN_WELL { AGAIN } else { (pause * 2).min(AGAIN_MOST) };
    }
}

/// One process, until its end; how that was.
fn run(aws: &Aws, program: &Path, setup: &Setup) -> io::Result<String> {
    let mut command = Command::new(program);
    // Whoever interrupts the gateway does not mean it: it is needed until the node is drained.
    command.process_group(0);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let listened = listen(aws, &mut child, setup);
    // It ends with its input, which whoever asks has from now on.
    drop(child.stdin.take());
    aws.requests().input = None;
    let status = child.wait()?;
    listened.map(|()| status.to_string())
}

fn listen(aws: &Aws, child: &mut Child, setup: &Setup) -> io::Result<()> {
    let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut input = Some(child.stdin.take().ok_or_else(missing)?);
    let output = child.stdout.take().ok_or_else(missing)?;
    let errors = child.stderr.take().ok_or_else(missing)?;
    std::thread::Builder::new().name("tandem-aws-log".to_owned()).spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            tracing::warn!(target: "tandem_aws", "{line}");
        }
    })?;
    if let Some(input) = &mut input {
        write_line(input, setup)?;
    }
    for line in BufReader::new(output).lines() {
        let line = line?;
        let Ok(Answer { id, outcome }) = serde_json::from_str(&line) else {
            tracing::error!(line, "tandem-aws says something else: is it of this version?");
            continue;
        };
        let Outcome::Ready(identity) = outcome else {
            aws.on_said(id, outcome);
            continue;
        };
        tracing::info!(instance = identity.instance, zone = identity.zone, "tandem-aws is ready");
        aws.status().identity = Some(identity);
        let mut requests = aws.requests();
        if requests.ended {
            return Ok(());
        }
        requests.input = input.take();
    }
    Ok(())
}
