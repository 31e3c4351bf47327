//! What operators and other threads ask of the loop, a file that was read again among it.

use std::net::IpAddr;

use tandem_call::{CallNumber, FlowsRefused};
use tandem_config::{Config, LoadError, Reload};
use tandem_contract::{Command, Nanos};

use super::{Phase, Shell, source_lists};
use crate::addresses::{AddressAnswer, AddressChange, AddressError};
use crate::flows::{FlowQuery, key_of};
use crate::functions::{Asked, Denied, FunctionAnswer};
use crate::http::{self, LimitsView, NewLimits};
use crate::order::{Reloaded, Request, read_again};
use crate::stir;
use crate::switch_config::switch_config;
use crate::users::registrations;

impl Shell {
    /// Applies what can be applied of a file that was read again, or says why nothing of it can.
    pub(super) fn apply(&mut self, read: Result<Box<Config>, LoadError>) -> Result<Reloaded, String> {
        let mut wanted = *read.map_err(|error| error.to_string())?;
        if self.config.cluster.discover.is_some() {
            // The file does not have the name that the instance gave.
            wanted.node = self.config.node.clone();
        }
        let reload = Reload::new(&self.config, wanted);
        let reload = reload.map_err(|error| format!("without a restart the file does not fit:\n{error}"))?;
        let now = self.clock.now();
        let config = switch_config(&reload.config, self.slots, self.clock.wall());
        self.switch.reconfigure(now, config).map_err(|error| error.to_string())?;
        let kept = self.read_secrets_again(&reload.config);
        if let Some(log) = &self.log {
            log.set_level(reload.config.log.level);
        }
        for change in self.addresses.differences(&self.config, &reload.config) {
            self.change_address_now(change, None);
        }
        let defence = &reload.config.defence;
        if (&defence.allow, &defence.deny) != (&self.config.defence.allow, &self.config.defence.deny)
            && !self.workers.set_sources(source_lists(defence))
        {
            tracing::error!("defence: a worker has not taken the last lists yet; read the file again");
        }
        self.config = reload.config;
        tracing::info!(applied = reload.applied.join(", "), "configuration read again");
        if !reload.needs_restart.is_empty() {
            tracing::warn!(fields = reload.needs_restart.join(", "), "these changes need a restart");
        }
        Ok(Reloaded { applied: reload.applied, needs_restart: reload.needs_restart, kept })
    }

    /// Certificates and tokens; those that cannot be read stay as they are, and are named.
    fn read_secrets_again(&mut self, config: &Config) -> Vec<String> {
        let mut kept = self.streams.reload(&config.sip.listen);
        if let Err(error) = http::reload_certificates(&self.certificates, config.http.tls.as_ref()) {
            kept.push(format!("certificates of HTTP: {error}"));
        }
        if let Err((name, error)) = self.gate.reload(&config.http) {
            kept.push(format!("tokens of HTTP: `{name}`: {error}"));
        }
        match stir::load(&config.stir) {
            Ok(stir) => self.switch.set_stir(stir),
            Err(error) => kept.push(format!("identities: {error}")),
        }
        for kept in &kept {
            tracing::error!(kept, "stays as it was");
        }
        kept
    }

    fn limits(&self) -> LimitsView {
        LimitsView { limits: self.config.limits.clone(), calls: self.switch.calls_in_progress() as u64 }
    }

    /// Until the file is read again.
    fn set_limits(&mut self, now: Nanos, wanted: NewLimits) -> Result<LimitsView, String> {
        let mut config = self.config.clone();
        wanted.apply(&mut config.limits);
        let reload = Reload::new(&self.config, config).map_err(|error| error.to_string())?;
        let config = switch_config(&reload.config, self.slots, self.clock.wall());
        self.switch.reconfigure(now, config).map_err(|error| error.to_string())?;
        tracing::info!(limits = ?reload.config.limits, "limits changed over HTTP, until the configuration is read again");
        self.config = reload.config;
        Ok(self.limits())
    }

    pub(super) fn on_request(&mut self, request: Request) {
        let now = self.clock.now();
        // Whoever asked may have gone; then nobody misses the answer.
        match request {
            Request::Status(answer) => {
                let _ = answer.send(self.status());
            }
            Request::Calls(answer) => {
                let _ = answer.send(self.switch.snapshot(now));
            }
            Request::Call(call, answer) => {
                let _ = answer.send(self.switch.call(now, call));
            }
            Request::Function(number, asked, answer) => self.ask(now, number, asked, answer),
            Request::HangUp(call, answer) => {
                let _ = answer.send(self.switch.hang_up(now, call));
            }
            Request::InstallFlows(_, answer) if self.phase == Phase::Starting => {
                let _ = answer.send(Err(FlowsRefused::Draining));
            }
            Request::InstallFlows(flows, answer) => match self.switch.install_flows(now, &flows) {
                Ok(ticket) => self.flow_requests.install(ticket, answer),
                Err(refused) => {
                    let _ = answer.send(Err(refused));
                }
            },
            Request::RemoveFlows(numbers, answer) => {
                self.flow_requests.remove(self.switch.remove_flows(numbers), answer);
            }
            Request::Bans(answer) => {
                let _ = answer.send(self.switch.bans(now));
            }
            Request::Ban(source, seconds, answer) => {
                let _ = answer.send(self.switch.ban(now, source, seconds));
            }
            Request::Unban(source, answer) => {
                let _ = answer.send(self.switch.unban(now, source));
            }
            Request::Trunks(answer) => {
                let _ = answer.send(self.switch.trunks());
            }
            Request::Routes(answer) => {
                let _ = answer.send(self.config.routes.clone());
            }
            Request::Limits(answer) => {
                let _ = answer.send(self.limits());
            }
            Request::SetLimits(wanted, answer) => {
                let _ = answer.send(self.set_limits(now, wanted));
            }
            Request::Explain(enquiry, answer) => {
                let _ = answer.send(self.switch.explain(now, &enquiry));
            }
            Request::Reload(answer) => read_again(self.config_path.clone(), self.order.clone(), Some(answer)),
            Request::Drain(answer) => {
                self.drain(now);
                let _ = answer.send(self.switch.calls_in_progress() as u64);
            }
            Request::Addresses(answer) => {
                let _ = answer.send(self.addresses.list());
            }
            Request::AddAddress { port, cidr, gateway, answer } => match self.addresses.port(port.as_deref()) {
                Some(port) => {
                    let local = self.addresses.local(port, cidr, gateway);
                    self.change_address_now(AddressChange::Add(port, local), Some(answer));
                }
                None => {
                    let _ = answer.send(Err(AddressError::UnknownPort));
                }
            },
            Request::Registrations(answer) => {
                let _ = answer.send(registrations(&self.switch, now));
            }
            Request::RemoveRegistrations(user, answer) => {
                let _ = answer.send(self.switch.remove_registrations(&user));
            }
            Request::RemoveAddress(address, answer) => {
                self.change_address(AddressChange::Remove(address), Some(answer));
            }
            Request::TakeOver(node, answer) => {
                let _ = answer.send(self.take_over(now, node.as_deref(), None));
            }
            Request::Release(answer) => {
                let _ = answer.send(self.release(now, false, None));
            }
            Request::Flows(answer) => {
                let query = FlowQuery::new(now, self.switch.snapshot(now), answer);
                for (worker, flow) in query.keys() {
                    self.workers.send(worker, Command::ReadFlow { flow });
                }
                self.flow_queries.push(query);
            }
        }
    }

    /// Asks a call's worker for something.
    pub(crate) fn ask(&mut self, now: Nanos, number: CallNumber, asked: Asked, answer: FunctionAnswer) {
        let Some(call) = self.switch.call(now, number) else {
            // Whoever asked may have gone.
            let _ = answer.send(Err(Denied::NoCall));
            return;
        };
        if let Asked::Record { files } = &asked {
            self.switch.note_recording(number, files.iter().cloned());
        }
        self.functions.ask(&mut self.workers, key_of(&call), asked, answer);
    }

    /// Changes an address, and tells the link of one that comes.
    fn change_address_now(&mut self, change: AddressChange, answer: Option<AddressAnswer>) {
        self.change_address(change, answer);
        if let AddressChange::Add(_, local) = change {
            self.announce(local.address);
        }
    }

    /// Changes an address. Of one that comes the link is not told yet.
    pub(crate) fn change_address(&mut self, change: AddressChange, answer: Option<AddressAnswer>) {
        if let Some(command) = self.addresses.begin(change, self.workers.count(), answer) {
            self.workers.send_all(command);
        }
    }

    /// Tells the link who has an address. Where a worker could not take it, it is not announced either.
    pub(crate) fn announce(&mut self, address: IpAddr) {
        let command = self.addresses.announce(address);
        self.workers.send_all(command);
    }
}
