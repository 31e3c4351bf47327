use std::net::SocketAddr;

use tandem_contract::{Codec, Command, CryptoSuite, FlowId, Nanos, WorkerId};
use tandem_registrar::Change;
use tandem_sip::locate::Question;

use crate::{
    CallRecord, ConnectionCounters, ConnectionId, GuardCounters, ListenerId, RegistrationState, StoreTicket, TrunkEvent,
};

/// A call's number: unique while the process runs, never reused, not the SIP Call-ID of either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct CallNumber(pub u64);

/// What the switch wants done.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "few exist at once, and each is moved once")]
pub enum Output {
    /// Send these bytes; report a failure through [`crate::Switch::on_transport_error`].
    Datagram {
        /// From this socket.
        listener: ListenerId,
        /// To this address.
        to: SocketAddr,
        /// One SIP message.
        bytes: Vec<u8>,
    },
    /// Open a connection; then say so through [`crate::Switch::on_connected`] or [`crate::Switch::on_disconnected`].
    Connect {
        /// What it is called.
        connection: ConnectionId,
        /// From this listener's address, by its transport.
        listener: ListenerId,
        /// To this address.
        to: SocketAddr,
        /// The name that the far end's certificate must have; that of its address where none is given.
        server_name: Option<String>,
    },
    /// Send these bytes over an open connection, or say that it is gone.
    Stream {
        /// The connection.
        connection: ConnectionId,
        /// One SIP message, or a line end that keeps the connection alive.
        bytes: Vec<u8>,
    },
    /// Close the connection once what was said before is sent. It is forgotten already.
    Disconnect {
        /// The connection.
        connection: ConnectionId,
    },
    /// Put this on the worker's ring.
    Command {
        /// Whose ring.
        worker: WorkerId,
        /// The command.
        command: Command,
    },
    /// A peer was taken out of service or brought back: tell people.
    Trunk(TrunkEvent),
    /// Our registration with a peer stands otherwise than before: tell people.
    Registration {
        /// The peer.
        peer: String,
        /// How it stands now.
        state: RegistrationState,
    },
    /// Make these durable, in this order; where there is a ticket, say so through [`crate::Switch::on_registrations_stored`].
    Registrations {
        /// Which REGISTER waits for it.
        ticket: Option<StoreTicket>,
        /// What has changed.
        changes: Vec<Change>,
    },
    /// Ask the DNS; then say what came of it through [`crate::Switch::on_resolved`], whatever that is.
    Resolve(Question),
    /// Write this durably, then say so through [`crate::Switch::on_record_written`]; until then the call counts.
    Record(Box<CallRecord>),
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// The media flow is being installed; the callee knows nothing yet.
    Reserving,
    /// The INVITE to the callee is out, nothing but 100 came back.
    Calling,
    /// The callee rings, or early media flows.
    Ringing,
    /// Answered.
    Answered,
    /// Being torn down, or waiting for its record to be written.
    Ending,
}

/// One call, for people who look.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CallSnapshot {
    /// The call.
    pub number: CallNumber,
    /// Where it stands.
    pub state: CallState,
    /// The caller's address of record, as it was sent.
    pub from: String,
    /// The callee's address of record, as it was sent.
    pub to: String,
    /// The peer the call came from.
    pub source_peer: String,
    /// The peer it went to.
    pub destination_peer: String,
    /// The caller's SIP Call-ID.
    pub caller_call_id: String,
    /// The callee's SIP Call-ID.
    pub callee_call_id: String,
    /// What is spoken with the caller.
    #[serde(serialize_with = "crate::record::serialize_codec")]
    pub caller_codec: Option<Codec>,
    /// What is spoken with the callee.
    #[serde(serialize_with = "crate::record::serialize_codec")]
    pub callee_codec: Option<Codec>,
    /// The crypto suite towards the caller, where that leg speaks SRTP.
    #[serde(serialize_with = "crate::record::serialize_suite")]
    pub caller_srtp: Option<CryptoSuite>,
    /// The crypto suite towards the callee.
    #[serde(serialize_with = "crate::record::serialize_suite")]
    pub callee_srtp: Option<CryptoSuite>,
    /// Files that the call is or was recorded to.
    pub recordings: Vec<String>,
    /// Which worker carries the media.
    pub worker: u16,
    /// The flow's slot and generation there.
    pub flow: (u32, u32),
    /// Where the caller sends RTP to.
    pub caller_media: SocketAddr,
    /// Where the callee sends RTP to.
    pub callee_media: SocketAddr,
    /// Milliseconds since the INVITE.
    pub age_ms: u64,
    /// Milliseconds since the answer.
    pub answered_ms: Option<u64>,
}

impl CallSnapshot {
    pub(crate) const fn flow_of(flow: FlowId) -> (u32, u32) {
        (flow.slot, flow.generation)
    }

    pub(crate) const fn millis(from: Nanos, now: Nanos) -> u64 {
        now.since(from) / 1_000_000
    }
}

/// What the switch counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SwitchCounters {
    /// INVITEs that began a call or were refused as one.
    pub attempts: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that ended without an answer, by our refusal or the callee's.
    pub failed: u64,
    /// Calls the caller gave up before the answer.
    pub cancelled: u64,
    /// Calls refused because there were too many, or because the gateway drains.
    pub refused_busy: u64,
    /// Calls that another node had and that go on, or were recorded, here.
    pub taken_over: u64,
    /// Calls whose caller's identity was verified (RFC 8224).
    pub identities_verified: u64,
    /// Calls whose caller's identity could not be verified though there was one, or had to be and was not.
    pub identities_failed: u64,
    /// INVITEs that were signed here.
    pub identities_signed: u64,
    /// Recording sessions that a recording server took (RFC 7866).
    pub recordings_begun: u64,
    /// How often a recording server was told of a change of its call, and took it.
    pub recordings_changed: u64,
    /// How often it did not.
    pub recording_changes_refused: u64,
    /// Sessions for calls that were to be recorded, and whose recording server refused or did not answer.
    pub recordings_failed: u64,
    /// Recording sessions that the server ended before their call.
    pub recordings_lost: u64,
    /// Calls that are up and are to be recorded by a server, and are not.
    pub recordings_missing: u64,
    /// INVITEs from addresses of no peer, answered 403 and not counted as attempts.
    pub refused_strangers: u64,
    /// Datagrams that are not SIP messages we can answer.
    pub malformed_datagrams: u64,
    /// Requests of our own that nobody answered.
    pub transaction_timeouts: u64,
    /// Commands a worker did not take.
    pub worker_refusals: u64,
    /// Callers' legs whose packets came by the queue of the worker that has the call, as the device's spreading was to bring it about.
    pub legs_near: u64,
    /// Those whose packets came by another queue all the same.
    pub legs_astray: u64,
    /// Requests answered 503 because too many transactions were under way, or of overload.
    pub dropped_requests: u64,
    /// Requests that were sent to another target, since the first could not be had.
    pub failovers: u64,
    /// SIP retransmissions that were absorbed or repeated.
    pub retransmissions: u64,
    /// Connections that carry SIP.
    pub connections: ConnectionCounters,
    /// What was not heard.
    pub guard: GuardCounters,
}
