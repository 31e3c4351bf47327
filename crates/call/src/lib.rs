//! The back-to-back user agent: routing, admission, media reservation and the life of a call, without I/O or clock.
//!
//! Whoever drives a [`Switch`] needs six steps. Hand it what arrives (`on_datagram`, `on_stream_bytes`,
//! `on_media_event`, `on_record_written` and their like); call `on_timeout` when [`Switch::next_deadline`] has come; after each of these take every
//! [`Output`] from [`Switch::poll_output`] until it is `None` and perform it. `now` is always the first argument and
//! never goes backwards. Randomness comes from a seed given at the start, so equal inputs give equal outputs.
//!
//! A call is two SIP dialogs and one media flow. Nothing of one side's dialog (Call-ID, tags, Via, Contact, session
//! origin) is ever shown to the other.
#![forbid(unsafe_code)]

mod admission;
mod bare_flow;
mod call;
mod cause;
mod change;
mod config;
mod connections;
mod dtmf_info;
mod ending;
mod exchange;
mod functions;
mod guard;
mod heard;
mod hunt;
mod identity;
mod in_dialog;
mod leg;
mod media_pool;
mod naming;
mod output;
mod record;
mod registration;
mod reliable;
mod replaces;
mod replica;
mod replicate;
mod restore;
mod routing;
mod session_timer;
mod setup;
mod silence;
mod siprec;
mod spread;
mod standby;
mod stir;
mod switch;
mod transfer;
mod trunks;
mod users;
mod whereabouts;

pub use bare_flow::{FlowLeg, FlowNumber, FlowTicket, FlowsDone, FlowsRefused, InstalledFlow, RemovedFlow};
pub use config::{
    Account, Conditions, ConnectionLimits, Group, GroupId, HealthPolicy, Host, Hours, HuntMode, HuntPolicy,
    IdentityHeader, Limits, Listener, ListenerId, MediaPlane, Member, Order, Pattern, Peer, PeerId, PortRange, Rewrite,
    Route, SourceNet, SwitchConfig, SwitchConfigError, Target, Timeouts, WallClock, WorkerSlots,
};
pub use connections::ConnectionCounters;
pub use functions::MediaFunctions;
pub use guard::{Ban, GuardConfig, GuardCounters, Offence};
pub use output::{CallNumber, CallSnapshot, CallState, Output, SwitchCounters};
pub use record::{CallRecord, Ended, LegRecord, TriedPeer, UnixMillis};
pub use registration::RegistrationState;
pub use replica::{Replica, ReplicaError};
pub use restore::{MediaPosition, RestoreError};
pub use routing::{Enquiry, EnquiryError, Explanation, RuleVerdict, TargetVerdict};
pub use spread::Spread;
pub use stir::{IdentityRecord, IdentityVerdict, Stir, StirCheck, StirPolicy};
pub use switch::Switch;
pub use tandem_sdp::{CryptoLine, RtcpMux, SrtpPolicy};
pub use tandem_sip::locate::{Answer, Naptr, Question, RecordKind, Records, Srv};
pub use tandem_sip::{ConnectionId, Limits as MessageLimits, Peer as SipPeer, Transport};
pub use tandem_stir::{Attestation, CertificateError, Certificates, KeyError, Replays, Signer};
pub use trunks::{TrunkEvent, TrunkStatus};
pub use users::StoreTicket;
pub use whereabouts::{Resolution, Server};
