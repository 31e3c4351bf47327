//! A call made again while that may help and there is time.

use std::time::{Duration, Instant};

use crate::client::CallError;

/// The first wait before a call is made again; it doubles, and a random part of it is left out.
const AGAIN: Duration = Duration::from_millis(40);
/// The longest.
const AGAIN_MOST: Duration = Duration::from_secs(2);

/// What it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) calls: u32,
    pub(crate) throttled: u32,
    pub(crate) waited: Duration,
}

/// Calls until it is done, refused, or `deadline` has come: then no call is begun any more.
pub(crate) fn until_done(
    deadline: Instant,
    mut call: impl FnMut() -> Result<(), CallError>,
) -> Result<Spent, CallError> {
    let mut spent = Spent::default();
    let mut pause = AGAIN;
    loop {
        let begun = Instant::now();
        let outcome = call();
        spent.calls += 1;
        spent.waited += begun.elapsed();
        let error = match outcome {
            Ok(()) => return Ok(spent),
            Err(error @ CallError::Refused { .. }) => return Err(error),
            Err(error) => error,
        };
        spent.throttled += u32::from(matches!(error, CallError::Throttled { .. }));
        let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        if Instant::now() + jittered >= deadline {
            return Err(error);
        }
        std::thread::sleep(jittered);
        spent.waited += jittered;
        pause = (pause * 2).min(AGAIN_MOST);
    }
}
