//! Recording sessions: a call's media copied to a recording server, which is called for it with both streams and a description of
//! who is in the call (SIPREC: RFC 7866, with metadata of RFC 7865).
//!
//! | state of the session | what is awaited |
//! | --- | --- |
//! | invited | the server's final answer; until then nothing is copied |
//! | up | the end of the call, or the server's BYE |
//!
//! The call never waits for any of it: a server that is silent, refuses or goes away leaves the call as it is.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tandem_contract::{Command, FlowId, ForkTarget, Function, LegSide, Nanos, WorkerId};
use tandem_sdp::SessionDescription;
use tandem_sip::{
    ClientTx, Dialog, DialogId, DialogState, HeaderName, Method, Peer as SipPeer, Request, Response, ServerTx,
    StatusCode, UriBuf,
};

use crate::call::Call;
use crate::exchange::{Exchange, Purpose, instant};
use crate::leg::Leg;
use crate::output::CallNumber;
use crate::record::UnixMillis;

/// What a worker confirms the copies' beginning and end with; nobody waits for it.
const REQUEST: u32 = u32::MAX;
/// Between the parts of the INVITE's body; it occurs in none of them.
const BOUNDARY: &str = "tandem-recording-session";

/// Every call's recording session.
#[derive(Debug, Default)]
pub(crate) struct Recordings {
    sessions: HashMap<CallNumber, Session>,
    /// By Call-ID and our tag.
    dialogs: HashMap<(String, String), CallNumber>,
}

#[derive(Debug)]
struct Session {
    dialog: Dialog,
    home: SipPeer,
    /// The INVITE under way.
    invite: Option<ClientTx>,
    place: (WorkerId, FlowId),
    /// Where the copies of both legs go; `None` for what the server does not want.
    targets: [Option<ForkTarget>; 2],
}

/// A session as another node goes on with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SessionReplica {
    dialog: Dialog,
    home: (tandem_sip::Transport, SocketAddr, SocketAddr),
    targets: [Option<(SocketAddr, u32)>; 2],
}

/// An INVITE to a recording server.
#[derive(Debug)]
pub(crate) struct RecordingInvite {
    pub(crate) call: CallNumber,
    dialog: Dialog,
    home: SipPeer,
    /// The ACK that was sent: the server repeats its 200 until it has one.
    ack: Option<(SipPeer, Arc<[u8]>)>,
}

impl Recordings {
    /// Whose session a request is about.
    fn of_request(&self, request: &Request) -> Option<CallNumber> {
        let tag = request.to_tag()?;
        self.dialogs.get(&(request.call_id().to_owned(), tag.to_owned())).copied()
    }

    fn insert(&mut self, call: CallNumber, session: Session) {
        self.dialogs.insert(key(&session.dialog), call);
        self.sessions.insert(call, session);
    }

    /// Forgets a call's session, and says nothing to its server.
    pub(crate) fn forget(&mut self, call: CallNumber) {
        self.remove(call);
    }

    fn remove(&mut self, call: CallNumber) -> Option<Session> {
        let session = self.sessions.remove(&call)?;
        self.dialogs.remove(&key(&session.dialog));
        Some(session)
    }

    /// What another node has to know of a call's session; nothing before it is up.
    pub(crate) fn replica(&self, call: CallNumber) -> Option<SessionReplica> {
        let session = self.sessions.get(&call).filter(|session| session.invite.is_none())?;
        Some(SessionReplica {
            dialog: session.dialog.clone(),
            home: (session.home.transport, session.home.local, session.home.remote),
            targets: session.targets.map(|target| target.map(|target| (target.remote, target.ssrc))),
        })
    }
}

fn key(dialog: &Dialog) -> (String, String) {
    (dialog.id.call_id.clone(), dialog.id.local_tag.clone())
}

impl Exchange {
    /// The call was answered: the server that it is to be recorded by is called.
    pub(crate) fn begin_recording(&mut self, now: Nanos, call: &Call) {
        let chosen = call.recorder.clone().or_else(|| call.leg(LegSide::A).peer.recorder.clone());
        let Some(name) = chosen.or_else(|| call.leg(LegSide::B).peer.recorder.clone()) else { return };
        let Some((_, peer)) = self.routing.peer_named(&name) else { return };
        let Ok(ways) = self.ways_to(now, &peer) else {
            self.counters.recordings_failed += 1;
            return;
        };
        let home = ways[0];
        let Ok(target) = UriBuf::sip(None, &peer.uri_host()) else { return };
        let identifiers = self.transactions.identifiers();
        let mut dialog = Dialog {
            id: DialogId { call_id: identifiers.call_id(), local_tag: identifiers.tag(), remote_tag: String::new() },
            state: DialogState::Early,
            local_address: format!("<sip:{}>", home.local),
            remote_address: format!("<{target}>"),
            remote_target: target,
            route_set: Vec::new(),
            local_cseq: None,
            remote_cseq: None,
            is_secure: false,
        };
        let started = UnixMillis(self.config.wall_clock.unix_millis(now));
        let ids = [(); 5].map(|()| self.unique());
        let body = body(call, &ids, started);
        let transport = home.transport.uri_param().map(|name| format!(";transport={name}")).unwrap_or_default();
        let request = dialog.request(Method::Invite);
        let request = request
            .header(HeaderName::Contact, &format!("<sip:{}{transport}>;+sip.src", home.local))
            .header(HeaderName::Require, "siprec")
            .header(HeaderName::Accept, "application/sdp, application/rs-metadata")
            .body(&format!("multipart/mixed;boundary={BOUNDARY}"), body);
        let invite = RecordingInvite { call: call.number, dialog: dialog.clone(), home, ack: None };
        let Some(tx) = self.request_to(now, &ways, request, Purpose::Recording(Box::new(invite))) else {
            self.counters.recordings_failed += 1;
            return;
        };
        let place = (call.media.reservation.worker, call.media.reservation.flow);
        self.recordings.insert(call.number, Session { dialog, home, invite: Some(tx), place, targets: [None; 2] });
    }

    /// The call is over, and its session with it. Its flow takes the copies along.
    pub(crate) fn end_recording(&mut self, now: Nanos, call: CallNumber) {
        let Some(mut session) = self.recordings.remove(call) else { return };
        match session.invite {
            // A 200 that is on its way is acknowledged and ended when it comes.
            Some(tx) => drop(self.transactions.cancel(instant(now), tx, None)),
            None => {
                let to = self.next_hop(now, &session.dialog, session.home);
                self.bye(now, &mut session.dialog, to, "Q.850;cause=16", None);
            }
        }
    }

    /// The server answered our INVITE; what it was sent to be recorded with, where it is now.
    pub(crate) fn on_recording_answer(&mut self, now: Nanos, tx: ClientTx, response: &Response) -> Option<CallNumber> {
        let status = response.status();
        let Some(Purpose::Recording(invite)) = self.requests.get_mut(&tx) else { return None };
        if let Some((to, bytes)) = &invite.ack {
            if status.is_success() {
                let (to, bytes) = (*to, Arc::clone(bytes));
                self.transactions.resend(to, bytes);
            }
            return None;
        }
        if status.is_provisional() {
            return None;
        }
        let (call, home) = (invite.call, invite.home);
        if !status.is_success() {
            self.on_recording_failure(tx);
            return None;
        }
        let mut dialog = invite.dialog.clone();
        response.to_tag().unwrap_or_default().clone_into(&mut dialog.id.remote_tag);
        if dialog.confirm(response).is_err() {
            // Without a usable Contact, the way the INVITE went is the best guess.
            dialog.state = DialogState::Confirmed;
        }
        let to = self.next_hop(now, &dialog, home);
        let ack = self.transactions.send_ack(to, dialog.ack(response.cseq_number())).ok();
        if let Some(Purpose::Recording(invite)) = self.requests.get_mut(&tx) {
            invite.ack = ack.map(|bytes| (to, bytes));
        }
        let targets = self.targets_of(response);
        let is_wanted = self.recordings.sessions.contains_key(&call);
        let Some(targets) = targets.filter(|_| is_wanted) else {
            self.recordings.remove(call);
            self.counters.recordings_failed += u64::from(is_wanted);
            self.bye(now, &mut dialog, to, "SIP;cause=487", None);
            return None;
        };
        let session = self.recordings.sessions.get_mut(&call)?;
        session.dialog = dialog;
        session.invite = None;
        session.targets = targets;
        self.counters.recordings_begun += 1;
        self.copy(call);
        Some(call)
    }

    /// The server refused, or does not answer.
    pub(crate) fn on_recording_failure(&mut self, tx: ClientTx) {
        let Some(Purpose::Recording(invite)) = self.requests.get(&tx) else { return };
        let call = invite.call;
        if self.recordings.sessions.get(&call).is_some_and(|session| session.invite == Some(tx)) {
            self.recordings.remove(call);
            self.counters.recordings_failed += 1;
        }
    }

    /// A request in a session's dialog; `false` where it is in none.
    pub(crate) fn on_recorder_request(&mut self, now: Nanos, tx: ServerTx, request: &Request) -> bool {
        let Some(call) = self.recordings.of_request(request) else { return false };
        let tag = request.to_tag().unwrap_or_default().to_owned();
        let status = match request.method() {
            Method::Bye => StatusCode::OK,
            Method::Options | Method::Info | Method::Update => StatusCode::OK,
            // The copies go on as they were agreed.
            Method::Invite => StatusCode::NOT_ACCEPTABLE_HERE,
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        self.refuse(now, tx, request, status, &tag);
        if *request.method() == Method::Bye {
            self.counters.recordings_lost += 1;
            if let Some(session) = self.recordings.sessions.get_mut(&call) {
                session.targets = [None; 2];
            }
            self.copy(call);
            self.recordings.remove(call);
        }
        true
    }

    /// Another node's session goes on here, once the worker has the call's flow.
    pub(crate) fn restore_recording(&mut self, call: &Call, replica: &SessionReplica) {
        let (transport, local, remote) = replica.home;
        let targets = replica.targets.map(|target| target.map(|(remote, ssrc)| self.target(remote, Some(ssrc))));
        let session = Session {
            dialog: replica.dialog.clone(),
            home: SipPeer::new(transport, local, remote),
            invite: None,
            place: (call.media.reservation.worker, call.media.reservation.flow),
            targets,
        };
        self.recordings.insert(call.number, session);
    }

    /// A call was over on another node, whose server may not have heard.
    pub(crate) fn finish_recording(&mut self, now: Nanos, replica: &SessionReplica) {
        let (transport, local, remote) = replica.home;
        let mut dialog = replica.dialog.clone();
        let to = self.next_hop(now, &dialog, SipPeer::new(transport, local, remote));
        self.bye(now, &mut dialog, to, "Q.850;cause=16", None);
    }

    /// Has the worker copy, or not copy any more, as the session says.
    pub(crate) fn copy(&mut self, call: CallNumber) {
        let Some(session) = self.recordings.sessions.get(&call) else { return };
        let ((worker, flow), targets) = (session.place, session.targets);
        for leg in LegSide::BOTH {
            let function = Function::Fork { leg, to: targets[leg.index()] };
            self.command(worker, Command::Function { flow, request: REQUEST, function });
        }
    }

    /// Where the answer wants both streams; `None` where it wants neither.
    fn targets_of(&mut self, response: &Response) -> Option<[Option<ForkTarget>; 2]> {
        let answer = SessionDescription::parse(response.body()).ok()?;
        let mut targets = [None; 2];
        for (target, media) in targets.iter_mut().zip(&answer.media) {
            let is_wanted = media.port != 0 && media.direction.receives();
            *target = media.remote().filter(|_| is_wanted).map(|remote| self.target(remote, None));
        }
        targets.iter().any(Option::is_some).then_some(targets)
    }

    fn target(&mut self, remote: SocketAddr, ssrc: Option<u32>) -> ForkTarget {
        let random = self.random();
        ForkTarget {
            remote,
            ssrc: ssrc.unwrap_or((random >> 32) as u32),
            first_sequence: random as u16 & 0x7fff,
            first_timestamp: self.random() as u32,
        }
    }

    /// An identifier of RFC 7865 §6.10: a random UUID in base64.
    fn unique(&mut self) -> String {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&self.random().to_be_bytes());
        octets[8..].copy_from_slice(&self.random().to_be_bytes());
        octets[6] = octets[6] & 0x0f | 0x40;
        octets[8] = octets[8] & 0x3f | 0x80;
        STANDARD.encode(octets)
    }
}

/// What the server is told: the streams, and whose they are.
fn body(call: &Call, ids: &[String; 5], started: UnixMillis) -> String {
    let parts = [
        ("application/sdp", "", offer(call)),
        ("application/rs-metadata+xml", "Content-Disposition: recording-session\r\n", metadata(call, ids, started)),
    ];
    let mut body = String::new();
    for (kind, more, content) in parts {
        // Writing to a string does not fail.
        let _ = write!(body, "--{BOUNDARY}\r\nContent-Type: {kind}\r\n{more}\r\n{content}\r\n");
    }
    body + "--" + BOUNDARY + "--\r\n"
}

/// Two streams that are only sent (RFC 7866 §7.1.1), labelled 1 and 2: the caller's voice and the callee's.
fn offer(call: &Call) -> String {
    let host = |address: IpAddr| format!("IN IP{} {address}", if address.is_ipv4() { 4 } else { 6 });
    let [a, b] = LegSide::BOTH.map(|side| call.media.reservation.local(side));
    let mut sdp = format!("v=0\r\no=- {} 1 {}\r\ns=-\r\nt=0 0\r\n", call.number.0, host(a.ip()));
    for ((leg, local), label) in call.legs.iter().zip([a, b]).zip(1..) {
        let _ = write!(sdp, "{}", stream(leg, local, &host(local.ip()), label));
    }
    sdp
}

/// The copies have the payload types that the leg's peer uses.
fn stream(leg: &Leg, local: SocketAddr, host: &str, label: u8) -> String {
    let Some(format) = leg.negotiation.agreement().map(|agreed| agreed.format) else {
        return format!("m=audio 0 RTP/AVP 0\r\nc={host}\r\na=label:{label}\r\n");
    };
    let codec = format.codec;
    let events = format.receive_telephone_event.or(format.telephone_event).map(u8::from);
    let number = u8::from(format.receive_payload_type);
    let clock = codec.clock_rate_hz();
    let mut formats = number.to_string();
    // Opus is always said to have two channels (RFC 7587 §7).
    let channels = if codec.encoding_name().eq_ignore_ascii_case("opus") { "/2" } else { "" };
    let mut lines = format!("a=rtpmap:{number} {}/{clock}{channels}\r\n", codec.encoding_name());
    if let Some(events) = events {
        let _ = write!(formats, " {events}");
        let _ = write!(lines, "a=rtpmap:{events} telephone-event/{clock}\r\n");
    }
    format!("m=audio {} RTP/AVP {formats}\r\nc={host}\r\n{lines}a=sendonly\r\na=label:{label}\r\n", local.port())
}

fn metadata(call: &Call, [session, caller, callee, first, second]: &[String; 5], started: UnixMillis) -> String {
    let time = serde_json::to_value(started).ok().and_then(|time| time.as_str().map(str::to_owned)).unwrap_or_default();
    let [from, to] = [&call.record.from, &call.record.to].map(|uri| escaped(uri));
    let participant =
        |id: &str, aor: &str| format!("<participant participant_id=\"{id}\"><nameID aor=\"{aor}\"/></participant>");
    let stream = |id: &str, label: u8| {
        format!("<stream stream_id=\"{id}\" session_id=\"{session}\"><label>{label}</label></stream>")
    };
    let in_session = |id: &str| {
        format!(
            "<participantsessionassoc participant_id=\"{id}\" session_id=\"{session}\"><associate-time>{time}</associate-time></participantsessionassoc>"
        )
    };
    let in_streams = |id: &str, sends: &str, receives: &str| {
        format!(
            "<participantstreamassoc participant_id=\"{id}\"><send>{sends}</send><recv>{receives}</recv></participantstreamassoc>"
        )
    };
    [
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<recording xmlns=\"urn:ietf:params:xml:ns:recording:1\"><datamode>complete</datamode>"
            .to_owned(),
        format!("<session session_id=\"{session}\"><start-time>{time}</start-time></session>"),
        participant(caller, &from),
        participant(callee, &to),
        stream(first, 1),
        stream(second, 2),
        in_session(caller),
        in_session(callee),
        in_streams(caller, first, second),
        in_streams(callee, second, first),
        "</recording>".to_owned(),
    ]
    .concat()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
