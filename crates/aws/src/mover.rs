//! A move: all calls at once, each again while there is time, then a look whether it is so.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::client::{CallError, Client};
use crate::ec2::Ec2;

/// The first wait before a call is made again; it doubles, and a random part of it is left out.
const AGAIN: Duration = Duration::from_millis(40);
/// The longest.
const AGAIN_MOST: Duration = Duration::from_secs(2);
/// Between looks whether an address is where it was moved to.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// An Elastic IP that floats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElasticAddress {
    /// As in `eipalloc-0a1b2c3d`.
    pub allocation: String,
    /// The private address that it leads to; the interface's first where none is given.
    #[serde(default)]
    pub private: Option<Ipv4Addr>,
}

/// A route that floats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteEntry {
    /// As in `rtb-0a1b2c3d`.
    pub table: String,
    /// As in `10.9.0.1/32`.
    pub destination: String,
}

/// All that floats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Addresses {
    /// Secondary private addresses.
    pub private: Vec<Ipv4Addr>,
    /// Elastic IPs.
    pub elastic: Vec<ElasticAddress>,
    /// Entries of route tables.
    pub routes: Vec<RouteEntry>,
}

/// How a move went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveReport {
    /// Calls that were made, those that were made again among them.
    pub calls: u32,
    /// Of these, calls that were throttled.
    pub throttled: u32,
    /// Milliseconds that it took.
    pub took_ms: u64,
    /// Of these, milliseconds that no answer was waited for.
    pub own_ms: u64,
}

/// Moves addresses to one interface.
#[derive(Debug)]
pub struct Mover {
    client: Client,
    interface: String,
    addresses: Addresses,
}

/// One call of a move.
#[derive(Clone, Copy)]
enum Step<'a> {
    Assign(&'a [Ipv4Addr]),
    Associate(&'a ElasticAddress),
    Route(&'a RouteEntry),
}

/// What one step took.
#[derive(Default)]
struct Spent {
    calls: u32,
    throttled: u32,
    waited: Duration,
}

impl Mover {
    /// Moves `addresses` to `interface`.
    pub fn new(client: Client, interface: String, addresses: Addresses) -> Self {
        Self { client, interface, addresses }
    }

    /// The client, for what it needs done between moves.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Moves everything here. Whoever asks holds the votes for so long: no call is begun after `within`.
    ///
    /// # Errors
    /// The first call that was refused, or that did not succeed in time; others may have succeeded.
    pub fn move_here(&self, within: Duration) -> Result<MoveReport, CallError> {
        let started = Instant::now();
        let deadline = started + within;
        // An Elastic IP may lead to a private address that is moved too: that one has to be here first.
        let depends = |elastic: &ElasticAddress| elastic.private.is_some_and(|ip| self.addresses.private.contains(&ip));
        let (after, at_once): (Vec<_>, Vec<_>) = self.addresses.elastic.iter().partition(|elastic| depends(elastic));
        let assign = (!self.addresses.private.is_empty()).then_some(Step::Assign(&self.addresses.private));
        let routes = self.addresses.routes.iter().map(Step::Route);
        let first = assign.into_iter().chain(at_once.into_iter().map(Step::Associate)).chain(routes).collect();
        let mut spent = self.perform(first, deadline)?;
        let more = self.perform(after.into_iter().map(Step::Associate).collect(), deadline)?;
        spent.calls += more.calls;
        spent.throttled += more.throttled;
        spent.waited += more.waited;
        let took = started.elapsed();
        Ok(MoveReport {
            calls: spent.calls,
            throttled: spent.throttled,
            took_ms: millis(took),
            own_ms: millis(took.saturating_sub(spent.waited)),
        })
    }

    /// All steps at the same time.
    fn perform(&self, steps: Vec<Step<'_>>, deadline: Instant) -> Result<Spent, CallError> {
        let run = |step: Step<'_>| self.until_done(step, deadline);
        // One step, which is the common case, needs no thread.
        if let [step] = steps[..] {
            return run(step);
        }
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = steps.into_iter().map(|step| scope.spawn(move || run(step))).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        let mut all = Spent::default();
        for outcome in outcomes {
            let spent = outcome?;
            all.calls += spent.calls;
            all.throttled += spent.throttled;
            // They wait beside each other.
            all.waited = all.waited.max(spent.waited);
        }
        Ok(all)
    }

    fn until_done(&self, step: Step<'_>, deadline: Instant) -> Result<Spent, CallError> {
        let ec2 = Ec2(&self.client);
        let mut spent = Spent::default();
        let mut pause = AGAIN;
        loop {
            let begun = Instant::now();
            let outcome = match step {
                Step::Assign(addresses) => ec2.assign(&self.interface, addresses),
                Step::Associate(elastic) => ec2.associate(&self.interface, elastic),
                Step::Route(route) => ec2.replace_route(&self.interface, route),
            };
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

    /// Whether everything that can be looked at is here.
    ///
    /// # Errors
    /// Nobody could be asked.
    pub fn is_here(&self) -> Result<bool, CallError> {
        let ec2 = Ec2(&self.client);
        let private = &self.addresses.private;
        if !private.is_empty() {
            let holders = ec2.interfaces_with(private)?;
            let here = holders.iter().filter(|interface| interface.id == self.interface);
            let here: Vec<Ipv4Addr> = here.flat_map(|interface| interface.addresses.iter().copied()).collect();
            if !private.iter().all(|address| here.contains(address)) {
                return Ok(false);
            }
        }
        for elastic in &self.addresses.elastic {
            if ec2.interface_of(elastic)?.as_deref() != Some(&self.interface) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks until everything is here or `within` is over: what a cloud answers may be a little old.
    ///
    /// # Errors
    /// Nobody could be asked the last time.
    pub fn confirm(&self, within: Duration) -> Result<bool, CallError> {
        let deadline = Instant::now() + within;
        loop {
            let here = self.is_here();
            if here == Ok(true) || Instant::now() + LOOK_AGAIN >= deadline {
                return here;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
