//! Who is where.

use core::time::Duration;
use std::collections::{BTreeSet, HashMap};

use tandem_sip::Instant;

use crate::binding::{Binding, Target};

/// The bindings of all subscribers, and what is due when.
#[derive(Debug, Default)]
pub struct Location {
    bindings: HashMap<String, Vec<Binding>>,
    count: usize,
    /// When bindings end, or are to be asked whether they live.
    due: BTreeSet<(Instant, Due, String, String)>,
    keep_alive: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    End,
    Probe,
}

/// A telephone to be sent OPTIONS, so that the way to it through an address translator stays open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The subscriber.
    pub user: String,
    /// Where to.
    pub target: Target,
}

impl Location {
    pub(crate) fn new(keep_alive_s: u32) -> Self {
        let keep_alive = (keep_alive_s > 0).then(|| Duration::from_secs(u64::from(keep_alive_s)));
        Self { keep_alive, ..Self::default() }
    }

    /// Bindings in all.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether nobody is anywhere.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Every subscriber who is somewhere, and where.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Binding])> {
        self.bindings.iter().map(|(user, bindings)| (user.as_str(), bindings.as_slice()))
    }

    /// The bindings of one subscriber, ended ones not.
    pub fn bindings(&self, now: Instant, user: &str) -> impl Iterator<Item = &Binding> {
        self.bindings.get(user).into_iter().flatten().filter(move |binding| binding.expires > now)
    }

    /// Where a subscriber is called, the most preferred first. Of several flows of one instance the newest is taken (RFC 5626
    /// section 5.3); `instance`, from a GRUU, leaves only that one.
    pub fn contacts(&self, now: Instant, user: &str, instance: Option<&str>) -> Vec<Target> {
        let mut found: Vec<&Binding> = Vec::new();
        // Later ones are newer.
        for binding in self.bindings(now, user) {
            if instance.is_some_and(|wanted| binding.instance.trim_matches(['<', '>']) != wanted) {
                continue;
            }
            if !binding.instance.is_empty() {
                found.retain(|known| known.instance != binding.instance);
            }
            found.push(binding);
        }
        found.sort_by_key(|binding| core::cmp::Reverse(binding.q));
        found.into_iter().map(Binding::target).collect()
    }

    /// Adds a binding, or takes the place of the one with its key.
    pub(crate) fn put(&mut self, now: Instant, user: &str, binding: Binding) {
        self.remove(user, &binding.key);
        self.due.insert((binding.expires, Due::End, user.to_owned(), binding.key.clone()));
        if let Some(at) = self.probe_at(now, &binding) {
            self.due.insert((at, Due::Probe, user.to_owned(), binding.key.clone()));
        }
        self.bindings.entry(user.to_owned()).or_default().push(binding);
        self.count += 1;
    }

    pub(crate) fn remove(&mut self, user: &str, key: &str) -> Option<Binding> {
        let bindings = self.bindings.get_mut(user)?;
        let place = bindings.iter().position(|binding| binding.key == key)?;
        let binding = bindings.remove(place);
        if bindings.is_empty() {
            self.bindings.remove(user);
        }
        self.count -= 1;
        self.due.remove(&(binding.expires, Due::End, user.to_owned(), key.to_owned()));
        Some(binding)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// Forgets what has ended, and says whom to send OPTIONS.
    pub(crate) fn on_timeout(&mut self, now: Instant) -> Vec<Probe> {
        let mut probes = Vec::new();
        while self.next_deadline().is_some_and(|at| at <= now) {
            let Some((at, what, user, key)) = self.due.pop_first() else { break };
            let Some(binding) = self.bindings.get(&user).and_then(|all| all.iter().find(|one| one.key == key)) else {
                continue;
            };
            match what {
                Due::End if binding.expires == at => drop(self.remove(&user, &key)),
                Due::End => {}
                Due::Probe => {
                    let target = binding.target();
                    // A binding that was renewed since has two of these; they fall together here, on whole intervals.
                    if let Some(next) = self.probe_at(now, binding) {
                        self.due.insert((next, Due::Probe, user.clone(), key));
                    }
                    probes.push(Probe { user, target });
                }
            }
        }
        probes
    }

    /// The next moment for OPTIONS: spread over the interval by the binding's port, equal for equal bindings.
    fn probe_at(&self, now: Instant, binding: &Binding) -> Option<Instant> {
        let every = self.keep_alive.filter(|_| binding.uses_flow && !binding.flow.transport.is_reliable())?;
        let every_us = every.as_micros() as u64;
        let offset_us = u64::from(binding.flow.remote.port()) * every_us / 65_536;
        let round = (now.as_us() + every_us - offset_us) / every_us;
        Some(Instant::from_us(round * every_us + offset_us)).filter(|at| *at < binding.expires)
    }
}
