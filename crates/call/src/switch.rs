use std::net::SocketAddr;

use tandem_contract::{Event, Nanos, WorkerId};

use crate::{
    CallNumber, CallSnapshot, ListenerId, Output, PeerId, SwitchConfig, SwitchConfigError, SwitchCounters, WallClock,
};

/// Every call of this gateway.
#[derive(Debug)]
pub struct Switch {
    config: SwitchConfig,
}

impl Switch {
    /// A switch without calls. `seed` is the source of every tag, branch, SSRC and sequence number it will choose; give
    /// it real randomness outside of tests.
    pub fn new(config: SwitchConfig, _seed: [u8; 32]) -> Result<Self, SwitchConfigError> {
        config.validate()?;
        Ok(Self { config })
    }

    /// A datagram came in on `listener`.
    pub fn on_datagram(&mut self, _now: Nanos, _listener: ListenerId, _remote: SocketAddr, _bytes: &[u8]) {}

    /// A worker said something.
    pub fn on_media_event(&mut self, _now: Nanos, _worker: WorkerId, _event: Event) {}

    /// The deadline of [`Switch::next_deadline`] has come. Calling it early does nothing.
    pub fn on_timeout(&mut self, _now: Nanos) {}

    /// A datagram to `to` could not be sent, or came back as unreachable.
    pub fn on_transport_error(&mut self, _now: Nanos, _listener: ListenerId, _to: SocketAddr) {}

    /// The record of `call` is durable.
    pub fn on_record_written(&mut self, _now: Nanos, _call: CallNumber) {}

    /// Takes no new calls from now on; those under way go on.
    pub fn drain(&mut self, _now: Nanos) {}

    /// Ends every call: BYE to both sides where it was answered, a final response and CANCEL where not.
    pub fn end_all(&mut self, _now: Nanos, _reason: &str) {}

    /// Ends one call; `false` where there is none of that number.
    pub fn hang_up(&mut self, _now: Nanos, _call: CallNumber) -> bool {
        false
    }

    /// Exchanges peers, routes, limits and timeouts; calls under way keep what they began with. Listeners and the media
    /// plane cannot change.
    pub fn reconfigure(&mut self, _now: Nanos, config: SwitchConfig) -> Result<(), SwitchConfigError> {
        config.validate()?;
        self.config = config;
        Ok(())
    }

    /// Tells what the wall clock says, where it was stepped.
    pub fn set_wall_clock(&mut self, wall_clock: WallClock) {
        self.config.wall_clock = wall_clock;
    }

    /// What is to be done next; `None` when all is said.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }

    /// When [`Switch::on_timeout`] wants to be called.
    pub fn next_deadline(&self) -> Option<Nanos> {
        None
    }

    /// Calls that are not forgotten yet.
    pub fn calls_in_progress(&self) -> usize {
        0
    }

    /// Whether draining began and every call is over and recorded.
    pub fn is_drained(&self) -> bool {
        false
    }

    /// Every call, oldest first.
    pub fn snapshot(&self, _now: Nanos) -> Vec<CallSnapshot> {
        Vec::new()
    }

    /// What was counted since the start.
    pub fn counters(&self) -> SwitchCounters {
        SwitchCounters::default()
    }

    /// Which peer a source address belongs to.
    pub fn peer_of(&self, _source: std::net::IpAddr) -> Option<PeerId> {
        None
    }
}
