//! Going on with another node's calls, and letting go of one's own.
//!
//! | takeover | |
//! | --- | --- |
//! | 1 | workers are given the floating media addresses, and asked to go on with the flows that are at hand |
//! | 2 | where every call of the copy has its flow at hand, the link is told who has the media addresses: media goes on |
//! | 3 | where the calls are handed over, their last changes are waited for: the node that lets go says which were the last |
//! | 4 | every call of the copy is restored; workers are asked to go on with what was not at hand, and the link is told now |
//! | 5 | the kernel is given SIP's floating addresses, beside the switch's thread |
//! | 6 | what restored calls have to say is sent; until then it waits |
//!
//! Media does not wait for SIP, nor for as many calls as there are. Where the calls are handed over, the node that lets go keeps what comes
//! until the link is told, and passes it on. The kernel comes last because it takes milliseconds, of a core that the steps before may need.
//!
//! Flows are at hand because [`Shell::warm_up`] sees to each call of the copy as it changes.

use std::time::Instant;

use serde::Serialize;
use tandem_call::{CallNumber, MediaFunctions};
use tandem_config::FloatingAddress;
use tandem_contract::{Function, LegSide, LocalAddress, Nanos};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::addresses::AddressChange;
use crate::cluster::TakeOver;
use crate::flows::key_of;
use crate::functions::{Asked, fork_to};
use crate::order::Order;
use crate::recorder::Plan;
use crate::replication::{KernelAddress, WarmCall, Warming};
use crate::shell::Shell;

/// How long the last changes of calls that are handed over are waited for. Without them a call goes on from the ones before.
const LAST_CHANGES_NS: u64 = 100_000_000;
/// Calls that are restored before the workers are told of them.
const AT_ONCE: usize = 32;
/// Calls of other nodes that are seen to in one turn: some tenths of a millisecond.
pub(crate) const WARMED_AT_ONCE: usize = 32;

/// Calls that are handed over, whose last changes have not come yet.
#[derive(Debug)]
pub(crate) struct Expected {
    /// The node that had them.
    from: String,
    /// Until when they are waited for.
    pub(crate) until: Nanos,
    /// The link knows who has the media addresses.
    is_announced: bool,
}

/// What came of a takeover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct TakenOver {
    /// Calls that go on here, or were recorded.
    pub(crate) calls: usize,
    /// Calls that could not, and why.
    refused: Vec<String>,
}

/// What came of letting go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Released {
    /// Calls that are not ours any more.
    calls: usize,
}

impl Shell {
    /// Takes the floating addresses, and goes on with what the node of this name had, or every other node. `done` is told
    /// when every worker has the addresses, and dropped when one has no place for them.
    pub(crate) fn take_over(&mut self, now: Nanos, node: Option<&str>, done: Option<oneshot::Sender<()>>) -> TakenOver {
        self.take_addresses(done);
        let is_announced = self.resume_media(now, node);
        self.take_calls(now, node, is_announced)
    }

    /// The same, as the cluster orders it.
    pub(crate) fn begin_take_over(&mut self, now: Nanos, order: TakeOver) {
        self.take_addresses(Some(order.done));
        let is_announced = self.resume_media(now, order.from.as_deref());
        match order.from {
            Some(from) if order.handed_over && !self.is_copy_complete(&from) => {
                self.expected = Some(Expected { from, until: now.plus(LAST_CHANGES_NS), is_announced });
            }
            from => drop(self.take_calls(now, from.as_deref(), is_announced)),
        }
    }

    /// Has the flows of other nodes' calls at hand, as the calls are by now.
    pub(crate) fn warm_up(&mut self, most: usize) {
        let Some(state) = self.replication.as_ref().map(|replication| replication.state.clone()) else { return };
        let (now, switch) = (self.clock.now(), &mut self.switch);
        state.warm().warm_up(most, |warming| match warming {
            Warming::Gone(media) => {
                switch.dismiss(media);
                true
            }
            Warming::Is(replica) => switch.prepare(now, replica).is_ok(),
        });
    }

    /// Lets the media go on of calls whose flows are at hand. Where that is so of each, the link is told who has the media
    /// addresses: nobody is kept waiting for the calls. Whether it was told.
    fn resume_media(&mut self, now: Nanos, node: Option<&str>) -> bool {
        let Some(replication) = &self.replication else { return false };
        let (media, begun) = (replication.state.warm().media(now, node), Instant::now());
        let mut at_hand = 0;
        for some in media.chunks(AT_ONCE) {
            for (media, position) in some {
                at_hand += usize::from(self.switch.resume_media(now, *media, *position));
            }
            self.perform(now);
        }
        let is_whole = at_hand == media.len();
        if is_whole {
            self.announce_floating();
        }
        let took_us = begun.elapsed().as_micros() as u64;
        tracing::info!(node, at_hand, calls = media.len(), took_us, "media goes on where its flow was at hand");
        is_whole
    }

    fn announce_floating(&mut self) {
        for (_, local) in self.on_ports(&self.config.replication.addresses) {
            self.announce(local.address);
        }
    }

    fn is_copy_complete(&self, from: &str) -> bool {
        self.replication.as_ref().is_none_or(|replication| replication.is_complete(from))
    }

    /// Goes on with calls that were handed over once their last changes are here, or have been waited for.
    pub(crate) fn look_for_expected(&mut self, now: Nanos) {
        let Some(expected) = &self.expected else { return };
        let is_complete = self.is_copy_complete(&expected.from);
        if !is_complete && now < expected.until {
            return;
        }
        if is_complete {
            tracing::info!(node = expected.from, "the last changes of the calls that are handed over are here");
        } else {
            tracing::warn!(
                node = expected.from,
                "the last changes of the calls that are handed over did not come in time"
            );
        }
        if let Some(Expected { from, is_announced, .. }) = self.expected.take() {
            self.take_calls(now, Some(&from), is_announced);
        }
    }

    fn take_addresses(&mut self, done: Option<oneshot::Sender<()>>) {
        let floating = &self.config.replication.addresses;
        let changes = self.on_ports(floating).into_iter().map(|(port, local)| AddressChange::Add(port, local));
        self.change_addresses(changes.collect(), None, done);
    }

    fn take_calls(&mut self, now: Nanos, node: Option<&str>, is_announced: bool) -> TakenOver {
        self.attached = self.config.replication.addresses.iter().filter_map(KernelAddress::of).collect();
        if !self.attached.is_empty() {
            self.held.get_or_insert_default();
        }
        let warm = self.replication.as_ref().map(|replication| replication.take(now, node)).unwrap_or_default();
        let (found, begun) = (warm.len(), Instant::now());
        let mut refused = Vec::new();
        for some in warm.chunks(AT_ONCE) {
            let outcomes: Vec<_> = some.iter().map(|call| (call, self.restore(now, call))).collect();
            self.perform(now);
            for (call, outcome) in outcomes {
                match outcome {
                    Ok(number) => self.resume_functions(now, number, call.replica.functions()),
                    Err(why) => refused.push(why),
                }
            }
        }
        if !is_announced {
            self.announce_floating();
        }
        self.attach();
        let calls = found - refused.len();
        let took_us = begun.elapsed().as_micros() as u64;
        tracing::info!(
            node,
            calls,
            refused = refused.len(),
            took_us,
            "taken over: floating addresses and calls are here"
        );
        TakenOver { calls, refused }
    }

    /// The call's number here, or why it does not go on.
    fn restore(&mut self, now: Nanos, call: &WarmCall) -> Result<CallNumber, String> {
        self.switch.restore(now, &call.replica, call.position(now)).map_err(|error| {
            let [caller, callee] = call.replica.call_ids();
            tracing::error!(caller, callee, %error, "a call of another node does not go on here");
            format!("{caller}: {error}")
        })
    }

    /// Copies and records a call's media as the other node did: copies with numbers of their own, to further files.
    fn resume_functions(&mut self, now: Nanos, number: CallNumber, wanted: MediaFunctions) {
        for (leg, remote) in LegSide::BOTH.into_iter().zip(wanted.forks) {
            match remote.map(fork_to) {
                Some(Ok(to)) => {
                    self.ask_again(now, number, Asked::Plain(Function::Fork { leg, to: Some(to) }));
                }
                Some(Err(error)) => tracing::error!(call = number.0, %error, "its packets are not copied any more"),
                None => {}
            }
        }
        let recorder = self.recorder.clone().filter(|_| wanted.recorded);
        let place = self.config.recording.directory.as_ref().zip(self.switch.call(now, number));
        let Some((recorder, (directory, call))) = recorder.zip(place) else { return };
        let plan = Plan::of(&call, &self.config.recording, directory);
        let order = self.order.clone();
        tokio::spawn(async move {
            let files = plan.files().iter().map(|file| file.display().to_string()).collect();
            match recorder.begin(key_of(&call), plan).await {
                // Nobody takes it any more when control has ended.
                Ok(()) => drop(order.send(Order::Ask(number, Asked::Record { files }))),
                Err(error) => tracing::error!(call = number.0, %error, "the call is not recorded any more"),
            }
        });
    }

    /// Asks for what was done on another node, which nobody here waits for.
    pub(crate) fn ask_again(&mut self, now: Nanos, number: CallNumber, asked: Asked) {
        let (answer, answered) = oneshot::channel();
        self.ask(now, number, asked, answer);
        tokio::spawn(async move {
            if let Ok(Err(error)) = answered.await {
                tracing::error!(call = number.0, %error, "what was done with its media is not done any more");
            }
        });
    }

    /// Lets go of the floating addresses and of every call: another node will have them, or has them already where this one is
    /// `superseded`. Nobody is told but `done`, when neither a worker nor the kernel has them any more.
    pub(crate) fn release(&mut self, now: Nanos, superseded: bool, done: Option<oneshot::Sender<()>>) -> Released {
        if let Some(replication) = &mut self.replication {
            if !superseded {
                // The last changes are for whoever goes on.
                replication.turn(now, &mut self.switch, &mut self.workers);
            }
            replication.release(superseded);
        }
        let calls = self.switch.abandon();
        self.switch.abandon_media();
        (self.held, self.expected) = (None, None);
        if let Some(replication) = &self.replication {
            replication.state.warm().warm_up_again();
        }
        // Before the addresses go: who answers to that has let go of the flows on them.
        self.perform(now);
        let floating = self.config.replication.addresses.clone();
        let kernel = std::mem::take(&mut self.attached);
        let detached = (!kernel.is_empty())
            .then(|| tokio::task::spawn_blocking(move || kernel.iter().for_each(KernelAddress::detach)));
        let changes = self.on_ports(&floating).into_iter().map(|(_, local)| AddressChange::Remove(local.address));
        self.change_addresses(changes.collect(), detached, done);
        tracing::info!(calls, "let go of the floating addresses and of all calls");
        Released { calls }
    }

    /// Tells `done` when every worker has answered, and `before` has ended.
    fn change_addresses(
        &mut self,
        changes: Vec<AddressChange>,
        before: Option<JoinHandle<()>>,
        done: Option<oneshot::Sender<()>>,
    ) {
        let mut answers = Vec::with_capacity(changes.len());
        for change in changes {
            let (answer, answered) = oneshot::channel();
            self.change_address(change, Some(answer));
            answers.push((change, answered));
        }
        let Some(done) = done else { return };
        tokio::spawn(async move {
            if let Some(before) = before {
                // The kernel drops an address that is not renewed, whatever became of that.
                let _ = before.await;
            }
            for (change, answered) in answers {
                // An address that is to go and is not there is gone.
                if !matches!((answered.await, change), (Ok(Ok(())), _) | (Ok(Err(_)), AddressChange::Remove(_))) {
                    return;
                }
            }
            // Whoever waited for it may have ended.
            let _ = done.send(());
        });
    }

    /// The floating addresses of media ports, with the number of the port.
    fn on_ports(&self, floating: &[FloatingAddress]) -> Vec<(u8, LocalAddress)> {
        let on_port = |floating: &FloatingAddress| {
            let port = self.addresses.port(floating.port.as_deref())?;
            Some((port, self.addresses.local(port, floating.address, None)))
        };
        floating.iter().filter(|floating| floating.interface.is_none()).filter_map(on_port).collect()
    }

    /// Lets the kernel have its addresses; what is to be sent waits for them.
    fn attach(&mut self) {
        if self.attached.is_empty() {
            return;
        }
        let (addresses, order) = (self.attached.clone(), self.order.clone());
        tokio::task::spawn_blocking(move || {
            for address in &addresses {
                if let Err(error) = address.attach() {
                    tracing::error!(address = %address.ip(), error, "SIP's floating address is not here");
                }
            }
            // Nobody takes it any more when control has ended.
            let _ = order.send(Order::AddressesAttached);
            for address in &addresses {
                if let Err(error) = address.announce() {
                    tracing::warn!(address = %address.ip(), error, "SIP's floating address was not announced");
                }
            }
        });
    }

    /// Lets the kernel keep its addresses for some seconds more.
    pub(crate) fn renew_addresses(&self) {
        if self.attached.is_empty() || self.held.is_some() {
            return;
        }
        let addresses = self.attached.clone();
        tokio::task::spawn_blocking(move || {
            for address in &addresses {
                if let Err(error) = address.attach() {
                    tracing::error!(address = %address.ip(), error, "SIP's floating address could not be kept");
                }
            }
        });
    }

    /// The kernel has its addresses, as far as it could be given them.
    pub(crate) fn on_attached(&mut self, now: Nanos) {
        for output in self.held.take().unwrap_or_default() {
            self.carry_out(now, output);
        }
    }
}
