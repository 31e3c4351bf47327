//! What the switch's thread is told, by signals, by the gateway's wiring and over HTTP.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::Serialize;
use tandem_call::{
    Ban, CallNumber, CallSnapshot, Enquiry, EnquiryError, Explanation, FlowLeg, FlowNumber, FlowsRefused,
    InstalledFlow, RemovedFlow, TrunkStatus,
};
use tandem_config::{Cidr, Config, LoadError, Route};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::addresses::{AddressAnswer, AddressView};
use crate::cluster::{LetGo, TakeOver};
use crate::flows::FlowView;
use crate::functions::{Asked, FunctionAnswer};
use crate::http::{LimitsView, NewLimits};
use crate::ports::PortSpreading;
use crate::status::SwitchStatus;
use crate::takeover::{Released, TakenOver};
use crate::users::RegistrationView;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Order {
    /// Workers run: calls can be taken. How ports spread what they receive, where they do.
    DataPlaneReady(Vec<PortSpreading>),
    /// End: gently the first time, at once the second.
    Terminate,
    /// Read the configuration file again.
    Reload,
    /// The kernel has SIP's floating addresses.
    AddressesAttached,
    /// The file was read, perhaps because somebody asked for it.
    Apply(Result<Box<Config>, LoadError>, Option<ReloadAnswer>),
    /// Something that was done with a call's media on the node before, and is to be done here too.
    Ask(CallNumber, Asked),
    /// A node that let go of its calls was heard to say that the copy has them all.
    CopyComplete,
    /// The floating addresses are to come here, with the calls on them.
    TakeOver(TakeOver),
    /// They are another's.
    LetGo(LetGo),
}

/// What came of reading the file again.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reloaded {
    /// Fields that differed and are applied.
    pub(crate) applied: Vec<String>,
    /// Fields that differ and stay as they are until the gateway is restarted.
    pub(crate) needs_restart: Vec<String>,
    /// Files of certificates and tokens that could not be read, and why: what they had before stays.
    pub(crate) kept: Vec<String>,
}

/// Who waits for that; or for why nothing changed.
pub(crate) type ReloadAnswer = oneshot::Sender<Result<Reloaded, String>>;

/// What is asked over HTTP; each answer goes to a oneshot channel.
#[derive(Debug)]
pub(crate) enum Request {
    Status(oneshot::Sender<SwitchStatus>),
    Calls(oneshot::Sender<Vec<CallSnapshot>>),
    Flows(oneshot::Sender<Vec<FlowView>>),
    Call(CallNumber, oneshot::Sender<Option<CallSnapshot>>),
    /// Something to do with a call's media.
    Function(CallNumber, Asked, FunctionAnswer),
    /// Whether there is such a call.
    HangUp(CallNumber, oneshot::Sender<bool>),
    /// Flows without a call, all or none.
    InstallFlows(Vec<[FlowLeg; 2]>, oneshot::Sender<Result<Vec<InstalledFlow>, FlowsRefused>>),
    /// Those of these numbers that were there.
    RemoveFlows(RangeInclusive<FlowNumber>, oneshot::Sender<Vec<RemovedFlow>>),
    Bans(oneshot::Sender<Vec<Ban>>),
    /// For so many seconds; `false` for a peer.
    Ban(IpAddr, u32, oneshot::Sender<bool>),
    /// Whether there was one.
    Unban(IpAddr, oneshot::Sender<bool>),
    /// Every peer.
    Trunks(oneshot::Sender<Vec<TrunkStatus>>),
    /// The routing table.
    Routes(oneshot::Sender<Vec<Route>>),
    Limits(oneshot::Sender<LimitsView>),
    /// What they are then, or why they cannot be.
    SetLimits(NewLimits, oneshot::Sender<Result<LimitsView, String>>),
    /// Where a call would go.
    Explain(Enquiry, oneshot::Sender<Result<Explanation, EnquiryError>>),
    /// Read the configuration file again.
    Reload(ReloadAnswer),
    /// How many calls are left.
    Drain(oneshot::Sender<u64>),
    Addresses(oneshot::Sender<Vec<AddressView>>),
    AddAddress {
        port: Option<String>,
        cidr: Cidr,
        gateway: Option<IpAddr>,
        answer: AddressAnswer,
    },
    RemoveAddress(IpAddr, AddressAnswer),
    /// Go on with the calls of the node of this name, or of every other node.
    TakeOver(Option<String>, oneshot::Sender<TakenOver>),
    /// Let go of every call and of the floating addresses.
    Release(oneshot::Sender<Released>),
    Registrations(oneshot::Sender<Vec<RegistrationView>>),
    /// Of one subscriber; how many there were.
    RemoveRegistrations(String, oneshot::Sender<usize>),
}

/// Turns SIGTERM and SIGINT into [`Order::Terminate`] and SIGHUP into [`Order::Reload`], for good.
pub(crate) async fn forward_signals(orders: UnboundedSender<Order>) -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    loop {
        let order = tokio::select! {
            _ = term.recv() => Order::Terminate,
            _ = int.recv() => Order::Terminate,
            _ = hup.recv() => Order::Reload,
        };
        if orders.send(order).is_err() {
            return Ok(());
        }
    }
}

/// Reads the file beside the switch's thread, which has calls to attend to.
pub(crate) fn read_again(path: PathBuf, orders: UnboundedSender<Order>, answer: Option<ReloadAnswer>) {
    tokio::task::spawn_blocking(move || {
        // Nobody takes it any more when control has ended.
        let _ = orders.send(Order::Apply(tandem_config::load(&path).map(Box::new), answer));
    });
}
