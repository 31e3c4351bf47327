//! Going on with another node's calls, and letting go of one's own.
//!
//! | takeover | |
//! | --- | --- |
//! | 1 | workers are given the floating media addresses, and announce them |
//! | 2 | every call of the copy is restored; workers are asked to go on with its flow |
//! | 3 | the kernel is given SIP's floating addresses, beside the switch's thread; until it has them nothing is sent |
//! | 4 | what restored calls have to say is sent |
//!
//! Media does not wait for SIP: it flows from the second step on.

use serde::Serialize;
use tandem_config::FloatingAddress;
use tandem_contract::{LocalAddress, Nanos};

use tokio::sync::oneshot;

use crate::addresses::AddressChange;
use crate::order::Order;
use crate::replication::{KernelAddress, WarmCall};
use crate::shell::Shell;

/// What came of a takeover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct TakenOver {
    /// Calls that go on here, or were recorded.
    calls: usize,
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
        let floating = self.config.replication.addresses.clone();
        let changes = self.on_ports(&floating).into_iter().map(|(port, local)| AddressChange::Add(port, local));
        self.change_addresses(changes.collect(), done);
        self.attached = floating.iter().filter_map(KernelAddress::of).collect();
        self.attach();
        let warm = self.replication.as_ref().map(|replication| replication.take(now, node)).unwrap_or_default();
        let found = warm.len();
        let refused: Vec<String> = warm.iter().filter_map(|call| self.restore(now, call)).collect();
        let calls = found - refused.len();
        tracing::info!(node, calls, refused = refused.len(), "taken over: floating addresses and calls are here");
        TakenOver { calls, refused }
    }

    /// Why a call does not go on, where it does not.
    fn restore(&mut self, now: Nanos, call: &WarmCall) -> Option<String> {
        let error = self.switch.restore(now, &call.replica, call.position(now)).err()?;
        let [caller, callee] = call.replica.call_ids();
        tracing::error!(caller, callee, %error, "a call of another node does not go on here");
        Some(format!("{caller}: {error}"))
    }

    /// Lets go of the floating addresses and of every call: another node has them, or will. Nobody is told but `done`, when
    /// no worker has them any more.
    pub(crate) fn release(&mut self, now: Nanos, done: Option<oneshot::Sender<()>>) -> Released {
        if let Some(replication) = &mut self.replication {
            // The last changes are for whoever goes on.
            replication.turn(now, &mut self.switch, &mut self.workers);
            replication.release();
        }
        let calls = self.switch.abandon();
        self.held = None;
        // Before the addresses go: who answers to that has let go of the flows on them.
        self.perform(now);
        let floating = self.config.replication.addresses.clone();
        let changes = self.on_ports(&floating).into_iter().map(|(_, local)| AddressChange::Remove(local.address));
        self.change_addresses(changes.collect(), done);
        let kernel = std::mem::take(&mut self.attached);
        if !kernel.is_empty() {
            tokio::task::spawn_blocking(move || kernel.iter().for_each(KernelAddress::detach));
        }
        tracing::info!(calls, "let go of the floating addresses and of all calls");
        Released { calls }
    }

    fn change_addresses(&mut self, changes: Vec<AddressChange>, done: Option<oneshot::Sender<()>>) {
        let mut answers = Vec::with_capacity(changes.len());
        for change in changes {
            let (answer, answered) = oneshot::channel();
            self.change_address(change, Some(answer));
            answers.push((change, answered));
        }
        let Some(done) = done else { return };
        tokio::spawn(async move {
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
        self.held.get_or_insert_default();
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
