//! Who sets calls up: a gateway's control interface, its SIP, or an rtpengine.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use tandem_loadgen::{Latency, LoadError, PlannedCall, RemoteLeg, Rtpengine, SipCalls, SipEndpoints};

use super::control::Control;
use super::source::SourceArgs;
use crate::api::Api;

pub(super) enum SetUp {
    Http(Control),
    Sip(Box<SipCalls>),
    Rtpengine(Rtpengine, std::ops::Range<u32>),
}

impl SetUp {
    pub(super) fn new(arguments: &SourceArgs) -> Result<Self, LoadError> {
        Ok(match (arguments.rtpengine, endpoints(arguments)) {
            (Some(address), _) => Self::Rtpengine(Rtpengine::connect(address)?, 0..0),
            (None, Some(endpoints)) => Self::Sip(Box::new(SipCalls::open(endpoints)?)),
            (None, None) => {
                let api = Api::new(&arguments.control, &arguments.credentials);
                Self::Http(Control::new(api.map_err(|error| LoadError::SetUp(format!("{error:#}")))?))
            }
        })
    }

    /// Sets each call up. Answers where its legs are on the gateway.
    pub(super) fn install(&mut self, calls: &[PlannedCall]) -> Result<Vec<[RemoteLeg; 2]>, LoadError> {
        let (engine, numbers) = match self {
            Self::Http(control) => return control.install(calls),
            Self::Sip(sip) => return sip.set_up(calls),
            Self::Rtpengine(engine, numbers) => (engine, numbers),
        };
        let mut remotes = Vec::with_capacity(calls.len());
        for (call, number) in calls.iter().zip(0..) {
            numbers.end = number + 1;
            let [a, b] = engine.set_up(number, call.kind.legs, call.local.map(SocketAddr::V4))?;
            let (SocketAddr::V4(a), SocketAddr::V4(b)) = (a, b) else {
                return Err(LoadError::SetUp("rtpengine answers with IPv6 addresses".to_owned()));
            };
            remotes.push([a, b].map(RemoteLeg::plain));
        }
        Ok(remotes)
    }

    /// What the gateway added to the set-up of each call; none where that was not over SIP.
    pub(super) fn added(&self) -> Option<Latency> {
        match self {
            Self::Sip(sip) => Some(sip.added()),
            Self::Http(_) | Self::Rtpengine(..) => None,
        }
    }

    /// Does `work` while the calls are up. Over SIP the gateway may have something to say meanwhile.
    pub(super) fn during<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let Self::Sip(sip) = self else { return work() };
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| sip.attend(&done));
            let outcome = work();
            done.store(true, Ordering::Relaxed);
            outcome
        })
    }

    /// Takes the calls down.
    pub(super) fn remove(&mut self) -> Result<(), LoadError> {
        match self {
            Self::Http(control) => control.remove(),
            Self::Sip(sip) => sip.take_down(),
            Self::Rtpengine(engine, numbers) => std::mem::take(numbers).try_for_each(|number| engine.take_down(number)),
        }
    }
}

/// Who calls whom, where calls are set up over SIP.
pub(crate) fn endpoints(arguments: &SourceArgs) -> Option<SipEndpoints> {
    let gateway = arguments.sip?;
    let any = SocketAddr::new(if gateway.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() }, 0);
    let caller = arguments.sip_caller.unwrap_or(any);
    let callee = arguments.sip_callee.unwrap_or(caller);
    Some(SipEndpoints { gateway, caller, callee, prefix: arguments.sip_number.clone() })
}
