//! A move: all calls at once, each again while there is time; then looks whether it is so.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tandem_aws_protocol::{ElasticAddress, Floating, MoveReport, RouteEntry};

use crate::again::{Spent, until_done};
use crate::client::{CallError, Client};
use crate::ec2::Ec2;

/// Between looks whether an address is where it was moved to.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Moves addresses to interfaces of this instance.
#[derive(Debug)]
pub struct Mover {
    client: Client,
    here: Vec<(String, Floating)>,
}

/// One call of a move, to the interface that comes with it.
#[derive(Clone, Copy)]
enum Step<'a> {
    Assign(&'a [Ipv4Addr]),
    Associate(&'a ElasticAddress),
    Route(&'a RouteEntry),
}

/// Each with the interface that it is about.
type Steps<'a> = Vec<(&'a str, Step<'a>)>;

impl Mover {
    /// Moves to each interface what belongs to it.
    pub fn new(client: Client, here: Vec<(String, Floating)>) -> Self {
        Self { client, here }
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
        let (first, after) = self.steps();
        let mut spent = self.perform(first, deadline)?;
        let more = self.perform(after, deadline)?;
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

    /// What can be done at once, and what waits for it: an Elastic IP on a private address that has to be here first.
    fn steps(&self) -> (Steps<'_>, Steps<'_>) {
        let (mut first, mut after) = (Vec::new(), Vec::new());
        for (interface, floating) in &self.here {
            let Floating { private, elastic, routes, .. } = floating;
            if !private.is_empty() {
                first.push((interface.as_str(), Step::Assign(private)));
            }
            first.extend(routes.iter().map(|route| (interface.as_str(), Step::Route(route))));
            for elastic in elastic {
                let waits = elastic.private.is_some_and(|ip| private.contains(&ip));
                let steps = if waits { &mut after } else { &mut first };
                steps.push((interface.as_str(), Step::Associate(elastic)));
            }
        }
        (first, after)
    }

    /// All steps at the same time.
    fn perform(&self, steps: Steps<'_>, deadline: Instant) -> Result<Spent, CallError> {
        let run = |(interface, step): (&str, Step<'_>)| {
            let ec2 = Ec2(&self.client);
            until_done(deadline, || match step {
                Step::Assign(addresses) => ec2.assign(interface, addresses),
                Step::Associate(elastic) => ec2.associate(interface, elastic),
                Step::Route(route) => ec2.replace_route(interface, route),
            })
        };
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

    /// Opens as many connections as a move takes at a time, or keeps them open.
    ///
    /// # Errors
    /// Nobody could be asked.
    pub fn warm(&self) -> Result<(), CallError> {
        let at_a_time = self.steps().0.len();
        std::thread::scope(|scope| {
            let looks: Vec<_> = (0..at_a_time).map(|_| scope.spawn(|| self.is_here())).collect();
            looks.into_iter().try_for_each(|look| look.join().unwrap_or(Ok(false)).map(drop))
        })
    }

    /// Whether everything is here.
    ///
    /// # Errors
    /// Nobody could be asked.
    pub fn is_here(&self) -> Result<bool, CallError> {
        Ok(self.private_is_here()? && self.elastic_is_here()? && self.routes_are_here()?)
    }

    fn private_is_here(&self) -> Result<bool, CallError> {
        let all: Vec<Ipv4Addr> = self.here.iter().flat_map(|(_, floating)| floating.private.iter().copied()).collect();
        if all.is_empty() {
            return Ok(true);
        }
        let holders = Ec2(&self.client).interfaces_with(&all)?;
        let holds = |interface: &str, address: &Ipv4Addr| {
            holders.iter().any(|holder| holder.id == interface && holder.addresses.contains(address))
        };
        Ok(self.here.iter().all(|(interface, floating)| floating.private.iter().all(|ip| holds(interface, ip))))
    }

    fn elastic_is_here(&self) -> Result<bool, CallError> {
        let wanted = self.here.iter().flat_map(|(interface, floating)| {
            floating.elastic.iter().map(move |elastic| (elastic.allocation.as_str(), interface))
        });
        let wanted: Vec<_> = wanted.collect();
        if wanted.is_empty() {
            return Ok(true);
        }
        let allocations: Vec<&str> = wanted.iter().map(|(allocation, _)| *allocation).collect();
        let found = Ec2(&self.client).associations(&allocations)?;
        let leads = |(allocation, interface): &(&str, &String)| {
            found.iter().any(|(known, to)| known == allocation && to.as_ref() == Some(*interface))
        };
        Ok(wanted.iter().all(leads))
    }

    fn routes_are_here(&self) -> Result<bool, CallError> {
        let wanted =
            self.here.iter().flat_map(|(interface, floating)| floating.routes.iter().map(move |r| (r, interface)));
        let wanted: Vec<(&RouteEntry, &String)> = wanted.collect();
        if wanted.is_empty() {
            return Ok(true);
        }
        let mut tables: Vec<&str> = wanted.iter().map(|(route, _)| route.table.as_str()).collect();
        tables.sort_unstable();
        tables.dedup();
        let found = Ec2(&self.client).routes(&tables)?;
        let leads = |(route, interface): &(&RouteEntry, &String)| {
            found.iter().any(|(table, to, at)| *table == route.table && *to == route.destination && at == *interface)
        };
        Ok(wanted.iter().all(leads))
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
