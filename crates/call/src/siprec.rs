//! Recording sessions: a call's media copied to a recording server, which is called for it with both streams and a description of
//! who is in the call (SIPREC: RFC 7866, with metadata of RFC 7865).
//!
//! | state of the session | what is awaited | what follows |
//! | --- | --- | --- |
//! | invited | the server's final answer | until then nothing is copied |
//! | up | a change of the call: of a codec, a direction, an address, a party | re-INVITE with offer and metadata anew; copies go on meanwhile |
//! | up | the end of the call, or the server's BYE | BYE, or the copies end |
//! | missing | its time: `FIRST_AGAIN_S`, twice that, and so on up to `LAST_AGAIN_S` | another INVITE |
//! | given up | nothing: the server said that it does not want the call | |
//!
//! The call never waits for any of it: a server that is silent, refuses or goes away leaves the call as it is.

mod copies;
mod description;
mod metadata;
mod takeover;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tandem_contract::{FlowId, LegSide, Nanos, WorkerId};
use tandem_sip::{
    ClientTx, Dialog, DialogId, DialogState, HeaderName, Method, Peer as SipPeer, Request, RequestBuilder, Response,
    ServerTx, StatusCode, UriBuf,
};

use crate::call::{Call, Phase};
use crate::exchange::{Exchange, Purpose, instant, seconds};
use crate::output::CallNumber;
use crate::record::UnixMillis;

use copies::Copied;
use description::{BOUNDARY, Description, Protection, Told};
pub(crate) use takeover::SessionReplica;

/// Seconds until a server that could not be had, or left, is called again: the first time, and at most.
const FIRST_AGAIN_S: u32 = 5;
const LAST_AGAIN_S: u32 = 60;
/// The longest time that a server may ask for.
const MAX_RETRY_AFTER_S: u32 = 3_600;

/// Every call's recording session.
#[derive(Debug, Default)]
pub(crate) struct Recordings {
    sessions: HashMap<CallNumber, Session>,
    /// By Call-ID and our tag.
    dialogs: HashMap<(String, String), CallNumber>,
    /// Calls that are to be recorded and are not, from the first failure until a session is up.
    missing: HashMap<CallNumber, Missing>,
    /// Calls with a session or without the one they are to have, of which something is new.
    touched: BTreeSet<CallNumber>,
}

#[derive(Debug)]
struct Session {
    dialog: Dialog,
    home: SipPeer,
    /// The INVITE under way.
    invite: Option<ClientTx>,
    place: (WorkerId, FlowId),
    description: Description,
    /// The server knows the description, or has refused it.
    is_told: bool,
    /// Not before this time is it told anew, after a glare.
    again_at: Option<Nanos>,
    /// What is copied of both legs; `None` for what the server does not want.
    copies: [Option<Copied>; 2],
}

/// A session that there should be.
#[derive(Clone, Copy, Debug, Default)]
struct Missing {
    attempts: u32,
    /// When it is tried again; `None` while it is being tried, or for good.
    again_at: Option<Nanos>,
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
        self.missing.remove(&call);
        self.touched.remove(&call);
    }

    fn remove(&mut self, call: CallNumber) -> Option<Session> {
        let session = self.sessions.remove(&call)?;
        self.dialogs.remove(&key(&session.dialog));
        Some(session)
    }

    /// Something happened in a call.
    pub(crate) fn touch(&mut self, call: CallNumber) {
        if self.sessions.contains_key(&call) || self.missing.contains_key(&call) {
            self.touched.insert(call);
        }
    }

    /// A call to look after.
    pub(crate) fn take_touched(&mut self) -> Option<CallNumber> {
        self.touched.pop_first()
    }

    /// When a call is to be looked after in any case.
    pub(crate) fn deadline(&self, call: CallNumber) -> Option<Nanos> {
        let again = self.missing.get(&call).and_then(|missing| missing.again_at);
        again.or_else(|| self.sessions.get(&call)?.again_at)
    }

    /// The call is changing: its server is told of what comes of that, or called, later.
    fn postpone(&mut self, now: Nanos, call: CallNumber) {
        if let Some(at) = self.missing.get_mut(&call).and_then(|missing| missing.again_at.as_mut()) {
            *at = (*at).max(now.plus(seconds(1)));
        }
        if let Some(session) = self.sessions.get_mut(&call) {
            session.again_at.take_if(|at| *at <= now);
        }
    }

    /// Calls that are to be recorded and are not.
    pub(crate) fn missing(&self) -> u64 {
        self.missing.len() as u64
    }
}

impl Session {
    fn is_up(&self) -> bool {
        self.dialog.state == DialogState::Confirmed
    }
}

fn key(dialog: &Dialog) -> (String, String) {
    (dialog.id.call_id.clone(), dialog.id.local_tag.clone())
}

impl Call {
    /// The peer that records it: the route's choice, else the caller's peer's, else the callee's.
    fn recorded_by(&self) -> Option<String> {
        let of = |side| self.leg(side).peer.recorder.clone();
        self.recorder.clone().or_else(|| of(LegSide::A)).or_else(|| of(LegSide::B))
    }
}

impl Exchange {
    /// The call was answered, or a session with its server failed before: the server that it is to be recorded by is called.
    pub(crate) fn begin_recording(&mut self, now: Nanos, call: &Call) {
        let found = call.recorded_by().and_then(|name| self.routing.peer_named(&name));
        let Some((_, peer)) = found else { return };
        let target = UriBuf::sip(None, &peer.uri_host());
        let (Ok(ways), Ok(target)) = (self.ways_to(now, &peer), target) else {
            return self.on_unrecorded(now, call.number, Some(0));
        };
        let home = ways[0];
        let identifiers = self.transactions.identifiers();
        let dialog = Dialog {
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
        let protection = Protection::new(&peer, || self.key_seed());
        let started = UnixMillis(self.config.wall_clock.unix_millis(now));
        let description = Description::new(Told::of(call), protection, || self.unique(), started);
        let place = (call.media.reservation.worker, call.media.reservation.flow);
        let mut session = Session {
            dialog,
            home,
            invite: None,
            place,
            description,
            is_told: false,
            again_at: None,
            copies: [None; 2],
        };
        if self.describe(now, call.number, &mut session, &ways) {
            self.recordings.insert(call.number, session);
        } else {
            self.on_unrecorded(now, call.number, Some(0));
        }
    }

    /// Sends the server of a session the offer and the metadata as they are now; `false` where there is no room for it.
    fn describe(&mut self, now: Nanos, call: CallNumber, session: &mut Session, ways: &[SipPeer]) -> bool {
        let home = session.home;
        let transport = home.transport.uri_param().map(|name| format!(";transport={name}")).unwrap_or_default();
        let body = session.description.body(call);
        let request: RequestBuilder = session.dialog.request(Method::Invite);
        let request = request
            .header(HeaderName::Contact, &format!("<sip:{}{transport}>;+sip.src", home.local))
            .header(HeaderName::Require, "siprec")
            .header(HeaderName::Accept, "application/sdp, application/rs-metadata")
            .body(&format!("multipart/mixed;boundary={BOUNDARY}"), body);
        let invite = RecordingInvite { call, dialog: session.dialog.clone(), home, ack: None };
        session.invite = self.request_to(now, ways, request, Purpose::Recording(Box::new(invite)));
        session.is_told = session.invite.is_some();
        session.again_at = None;
        session.is_told
    }

    /// Tells a call's server what has changed, and calls it again where that is due.
    pub(crate) fn look_after_recording(&mut self, now: Nanos, call: &Call) {
        let is_due = |at: Option<Nanos>| at.is_some_and(|at| at <= now);
        if call.phase != Phase::Answered || call.is_changing() {
            return self.recordings.postpone(now, call.number);
        }
        if let Some(missing) = self.recordings.missing.get_mut(&call.number).filter(|missing| is_due(missing.again_at))
        {
            missing.again_at = None;
            self.begin_recording(now, call);
            return;
        }
        let Some(session) = self.recordings.sessions.get(&call.number) else { return };
        let waits = session.invite.is_some() || session.again_at.is_some_and(|at| at > now);
        let told = Told::of(call);
        if waits || session.is_told && session.description.told == told {
            return;
        }
        let Some(mut session) = self.recordings.remove(call.number) else { return };
        let at = UnixMillis(self.config.wall_clock.unix_millis(now));
        session.description.change(told, || self.unique(), at);
        let to = self.next_hop(now, &session.dialog, session.home);
        if !self.describe(now, call.number, &mut session, &[to]) {
            session.again_at = Some(now.plus(seconds(FIRST_AGAIN_S)));
        }
        self.recordings.insert(call.number, session);
    }

    /// The call is over, and its session with it. Its flow takes the copies along.
    pub(crate) fn end_recording(&mut self, now: Nanos, call: CallNumber) {
        self.recordings.missing.remove(&call);
        let Some(mut session) = self.recordings.remove(call) else { return };
        match session.invite {
            // A 200 that is on its way is acknowledged and ended when it comes.
            Some(tx) if !session.is_up() => drop(self.transactions.cancel(instant(now), tx, None)),
            _ => {
                let to = self.next_hop(now, &session.dialog, session.home);
                self.bye(now, &mut session.dialog, to, "Q.850;cause=16", None);
            }
        }
    }

    /// The server answered our INVITE.
    pub(crate) fn on_recording_answer(&mut self, now: Nanos, tx: ClientTx, response: &Response) {
        let status = response.status();
        let Some(Purpose::Recording(invite)) = self.requests.get_mut(&tx) else { return };
        if let Some((to, bytes)) = &invite.ack {
            if status.is_success() {
                let (to, bytes) = (*to, Arc::clone(bytes));
                self.transactions.resend(to, bytes);
            }
            return;
        }
        if status.is_success() {
            self.on_recording_accepted(now, tx, response);
        } else if status.is_final() {
            self.on_recording_refused(now, tx, Some(response));
        }
    }

    fn on_recording_accepted(&mut self, now: Nanos, tx: ClientTx, response: &Response) {
        let Some(Purpose::Recording(invite)) = self.requests.get(&tx) else { return };
        let (call, home, mut dialog) = (invite.call, invite.home, invite.dialog.clone());
        let is_change = dialog.state == DialogState::Confirmed;
        if is_change {
            dialog.on_response(response);
        } else {
            response.to_tag().unwrap_or_default().clone_into(&mut dialog.id.remote_tag);
            if dialog.confirm(response).is_err() {
                // Without a usable Contact, the way the INVITE went is the best guess.
                dialog.state = DialogState::Confirmed;
            }
        }
        let to = self.next_hop(now, &dialog, home);
        let ack = self.transactions.send_ack(to, dialog.ack(response.cseq_number())).ok();
        if let Some(Purpose::Recording(invite)) = self.requests.get_mut(&tx) {
            invite.ack = ack.map(|bytes| (to, bytes));
        }
        let is_ours = self.recordings.sessions.get(&call).is_some_and(|session| session.invite == Some(tx));
        let Some(mut session) = is_ours.then(|| self.recordings.remove(call)).flatten() else {
            // The call is over. What was up before has had its BYE.
            if !is_change {
                self.bye(now, &mut dialog, to, "SIP;cause=487", None);
            }
            return;
        };
        session.dialog = dialog;
        session.invite = None;
        let copies = self.copies_of(&mut session, response);
        session.copies = copies.unwrap_or_default();
        if copies.is_none() {
            self.copy_of(&session);
            self.bye(now, &mut session.dialog, to, "SIP;cause=487", None);
            return self.on_unrecorded(now, call, None);
        }
        let counter =
            if is_change { &mut self.counters.recordings_changed } else { &mut self.counters.recordings_begun };
        *counter += 1;
        self.recordings.missing.remove(&call);
        self.copy_of(&session);
        self.recordings.insert(call, session);
        self.recordings.touch(call);
    }

    /// The server refused an INVITE, or does not answer it (`None`).
    pub(crate) fn on_recording_refused(&mut self, now: Nanos, tx: ClientTx, response: Option<&Response>) {
        let Some(Purpose::Recording(invite)) = self.requests.get(&tx) else { return };
        let call = invite.call;
        let random = self.random();
        let Some(session) = self.recordings.sessions.get_mut(&call).filter(|session| session.invite == Some(tx)) else {
            return;
        };
        session.invite = None;
        let status = response.map(Response::status);
        let is_gone = matches!(status, None | Some(StatusCode::REQUEST_TIMEOUT | StatusCode::CALL_DOES_NOT_EXIST));
        if session.is_up() && !is_gone {
            // RFC 3261 §14.1: the session is as it was. The Call-ID is ours.
            if status == Some(StatusCode::REQUEST_PENDING) {
                session.is_told = false;
                session.again_at = Some(now.plus((2_100 + random % 1_900) * 1_000_000));
            } else {
                self.counters.recording_changes_refused += 1;
            }
            return self.recordings.touch(call);
        }
        if session.is_up() {
            self.lose_recording(now, call);
        } else {
            self.recordings.remove(call);
            self.on_unrecorded(now, call, response.map_or(Some(0), again_after_s));
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
            self.lose_recording(now, call);
        }
        true
    }

    /// The server left a session that was up: the copies end, and it is called again later.
    fn lose_recording(&mut self, now: Nanos, call: CallNumber) {
        let Some(mut session) = self.recordings.remove(call) else { return };
        session.copies = [None; 2];
        self.copy_of(&session);
        self.counters.recordings_lost += 1;
        self.put_off(now, call, Some(0));
    }

    /// A session did not come about. `after_s` is what the server asks to wait; `None` where it does not want the call at all.
    fn on_unrecorded(&mut self, now: Nanos, call: CallNumber, after_s: Option<u32>) {
        self.counters.recordings_failed += 1;
        self.put_off(now, call, after_s);
    }

    fn put_off(&mut self, now: Nanos, call: CallNumber, after_s: Option<u32>) {
        let missing = self.recordings.missing.entry(call).or_default();
        let wait_s = (FIRST_AGAIN_S << missing.attempts.min(8)).min(LAST_AGAIN_S);
        missing.attempts += 1;
        missing.again_at = after_s.map(|asked| now.plus(seconds(wait_s.max(asked.min(MAX_RETRY_AFTER_S)))));
        self.recordings.touch(call);
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

/// How many seconds after a refusal it is worth another try; `None` where the server said that it does not want the call.
fn again_after_s(refusal: &Response) -> Option<u32> {
    let status = refusal.status();
    let passes =
        matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TEMPORARILY_UNAVAILABLE | StatusCode::BUSY_HERE);
    let asked = refusal.retry_after().and_then(Result::ok).map(|after| after.delay_s);
    (passes || asked.is_some() || (500..600).contains(&status.as_u16())).then(|| asked.unwrap_or(0))
}
