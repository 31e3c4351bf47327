//! EC2's query interface, the instance metadata service (version 2) and Auto Scaling, as far as a cluster meets them: for
//! tests, in memory, on one loopback socket.
//!
//! Addresses really move: a private address is on one interface at a time and leaves it only where reassignment is allowed;
//! an Elastic IP leads to one place; a route to one interface. Placement groups have a strategy, instances a partition. What a
//! cloud does to its callers is ordered beforehand by action ([`Fault`]): delay, throttle, refuse, fail, never answer, or answer
//! with what was true before. Every call is kept ([`Simulator::calls`]).
//!
//! With a policy of IAM's ([`Simulator::allow_only`]) it refuses what that does not allow, by action, resource tag and namespace.
//!
//! It does not check signatures, only that there is one: the signer's tests have published examples for that.
#![forbid(unsafe_code)]

mod actions;
mod http;
mod metadata;
mod policy;
mod world;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub use policy::Policy;
pub use world::{ElasticIp, Group, Instance, InstanceState, Interface, Lifecycle, ScalingGroup, Strategy, Tag, World};

/// What is done to the next call of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered so much later.
    Delay(Duration),
    /// `RequestLimitExceeded`.
    Throttle,
    /// `UnauthorizedOperation`.
    Refuse,
    /// `InternalError`; nothing was done.
    Fail,
    /// It is done, and the connection closes without an answer.
    Vanish,
    /// It is answered with how things were before the last change.
    Stale,
}

/// Whether the interface is there. Metadata always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    #[default]
    Here,
    /// It dies with the next call of this action, which is done and not answered.
    Until(&'static str),
    /// Connections close at once; nothing is done.
    Away,
}

/// One call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Whose it is: the address that it came from.
    pub from: IpAddr,
    /// When it came.
    pub at: Instant,
    /// The service that it was signed for.
    pub service: String,
    /// Its action.
    pub action: String,
    /// Its other parameters, in the order they came, without the version.
    pub parameters: Vec<(String, String)>,
}

impl Call {
    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The values of a numbered parameter, `Name.1`, `Name.2`, …
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        (1..).map_while(|number| self.get(&format!("{name}.{number}"))).map(str::to_owned).collect()
    }
}

#[derive(Debug, Default)]
struct State {
    world: World,
    /// How things were before the last change.
    before: World,
    faults: Vec<(String, VecDeque<Fault>)>,
    presence: Presence,
    calls: Vec<Call>,
    /// What callers may do; anything where there is none.
    policy: Option<Policy>,
    /// The instance whose metadata are served to who has no instance's address.
    asking: usize,
}

/// A running simulator; its sockets close with the process.
#[derive(Clone, Debug)]
pub struct Simulator {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
}

impl Simulator {
    /// Serves `world` on a loopback port. Metadata are those of the first instance.
    ///
    /// # Errors
    /// There is no such socket.
    pub fn start(world: World) -> std::io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), world)
    }

    /// Serves `world` at `address`. Metadata are those of the instance that has the address of who asks.
    ///
    /// # Errors
    /// There is no such socket.
    pub fn start_at(address: SocketAddr, world: World) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State { before: world.clone(), world, ..State::default() }));
        let served = Self { state, address };
        let server = served.clone();
        std::thread::spawn(move || http::serve(&listener, &server));
        Ok(served)
    }

    /// Where everything is served, as in `http://127.0.0.1:40000`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Does `faults` to the next calls of `action`, one each.
    pub fn order(&self, action: &str, faults: &[Fault]) {
        self.state().faults.push((action.to_owned(), faults.iter().copied().collect()));
    }

    /// Is there from now on, or not.
    pub fn be(&self, presence: Presence) {
        self.state().presence = presence;
    }

    /// Whether it is there.
    pub fn presence(&self) -> Presence {
        self.state().presence
    }

    /// Refuses from now on what `policy` does not allow.
    pub fn allow_only(&self, policy: Policy) {
        self.state().policy = Some(policy);
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// The names of the actions that were called so far, in order.
    pub fn actions(&self) -> Vec<String> {
        self.state().calls.iter().map(|call| call.action.clone()).collect()
    }

    /// Serves the metadata of another instance from now on.
    pub fn ask_as(&self, instance: usize) {
        self.state().asking = instance;
    }

    /// Changes how things are, as somebody else would.
    pub fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.state().world);
    }

    /// How things are.
    pub fn world(&self) -> World {
        self.state().world.clone()
    }

    fn next_fault(&self, action: &str) -> Option<Fault> {
        let mut state = self.state();
        let mut of_action = state.faults.iter_mut().filter(|(name, faults)| name == action && !faults.is_empty());
        of_action.next().and_then(|(_, faults)| faults.pop_front())
    }
}
