//! Users who register here: their REGISTERs, their calls, and the way to them.

use std::collections::BTreeMap;

use tandem_contract::Nanos;
use tandem_registrar::{Answer, Probe, Registrar, Target};
use tandem_sip::{HeaderName, Method, Peer as SipPeer, Request, RequestBuilder, ServerTx, StatusCode, Uri, uas};

use crate::config::{HuntMode, PeerId, SwitchConfig};
use crate::exchange::{Exchange, Purpose, instant, nanos};
use crate::guard::Offence;
use crate::output::Output;
use crate::routing::{Candidate, NoDestination, Plan};

/// REGISTERs that wait for the store at most; more are answered 503.
const MAX_WAITING: usize = 20_000;
/// What a REGISTER may require.
const OPTION_TAGS: &[&str] = &["path", "outbound", "gruu"];

/// Changes of registrations that were handed out and are not durable yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreTicket(pub u64);

/// Who an INVITE from no peer is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A user who has shown a password, and the peer that it is.
    User(PeerId),
    /// It was challenged, or refused.
    Answered,
    /// It does not even claim to be one of ours.
    Stranger,
}

/// The registrar, and who waits for its answers.
#[derive(Debug)]
pub(crate) struct Users {
    pub(crate) registrar: Registrar,
    /// The name of the peer that all of them are.
    peer_name: String,
    /// Its number.
    pub(crate) peer: PeerId,
    waiting: BTreeMap<StoreTicket, (ServerTx, Box<Request>, Answer)>,
    /// The last ticket's number.
    next: u64,
}

impl Users {
    pub(crate) fn new(registrar: Registrar, peer_name: String, config: &SwitchConfig) -> Self {
        let mut users = Self { registrar, peer_name, peer: PeerId::GONE, waiting: BTreeMap::new(), next: 0 };
        users.find_peer(config);
        users
    }

    /// Peers may have other numbers now.
    pub(crate) fn find_peer(&mut self, config: &SwitchConfig) {
        let position = config.peers.iter().zip(0..).find(|(peer, _)| peer.name == self.peer_name);
        self.peer = position.map_or(PeerId::GONE, |(_, id)| PeerId(id));
    }

    /// The user that a URI names, and where that is; `None` where it names none of ours.
    pub(crate) fn targets(&self, now: Nanos, uri: &Uri<'_>) -> Option<Vec<Target>> {
        let user = self.registrar.local_user(uri).or_else(|| {
            // A route has decided that it is for us, whatever its host.
            let user = tandem_sip::unescape(uri.user()?).into_owned();
            String::from_utf8(user).ok()
        })?;
        let instance = uri.param("gr").and_then(|param| param.value);
        self.registrar.is_subscriber(&user).then(|| self.registrar.location().contacts(instant(now), &user, instance))
    }

    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        self.registrar.next_deadline().map(nanos)
    }

    fn ticket(&mut self) -> StoreTicket {
        self.next += 1;
        StoreTicket(self.next)
    }
}

impl Exchange {
    /// A REGISTER (RFC 3261 §10.3). Its answer waits until what it changed is durable.
    pub(crate) fn on_register(&mut self, now: Nanos, tx: ServerTx, from: SipPeer, request: Request) {
        let tag = self.tag();
        let Some(users) = &mut self.users else {
            return self.refuse(now, tx, &request, StatusCode::METHOD_NOT_ALLOWED, &tag);
        };
        let understood =
            uas::Capabilities { methods: &[Method::Register], option_tags: OPTION_TAGS, content_types: &[] };
        if let Err(refusal) = uas::check(&request, &understood) {
            if let Ok(response) = refusal.response(&request, &tag) {
                let _ = self.transactions.respond(instant(now), tx, &response);
            }
            return;
        }
        if users.waiting.len() >= MAX_WAITING {
            let retry_after_s = self.config.limits.retry_after_s;
            let response = self.response(&request, StatusCode::SERVICE_UNAVAILABLE, &tag).retry_after(retry_after_s);
            self.respond(now, tx, response);
            return;
        }
        let refused_before = users.registrar.counters().refused;
        let outcome = users.registrar.on_register(instant(now), from, &request, self.transactions.identifiers());
        if users.registrar.counters().refused > refused_before {
            self.guard.strike(now, from.remote.ip(), Offence::Credentials);
        }
        if outcome.changes.is_empty() {
            let response = self.response(&request, outcome.answer.status, &tag);
            self.respond(now, tx, outcome.answer.apply(response));
            return;
        }
        let ticket = users.ticket();
        users.waiting.insert(ticket, (tx, Box::new(request), outcome.answer));
        self.outputs.push_back(Output::Registrations { ticket: Some(ticket), changes: outcome.changes });
    }

    /// What a REGISTER changed is durable, or could not be made so.
    pub(crate) fn on_registrations_stored(&mut self, now: Nanos, ticket: StoreTicket, is_stored: bool) {
        let Some((tx, request, answer)) = self.users.as_mut().and_then(|users| users.waiting.remove(&ticket)) else {
            return;
        };
        let tag = self.tag();
        let response = if is_stored {
            answer.apply(self.response(&request, answer.status, &tag))
        } else {
            let retry_after_s = self.config.limits.retry_after_s;
            self.response(&request, StatusCode::SERVICE_UNAVAILABLE, &tag).retry_after(retry_after_s)
        };
        self.respond(now, tx, response);
    }

    /// Where a call goes, with registered users in the places where they are: several of one user are called at once
    /// where they are preferred alike, else one after another.
    pub(crate) fn to_users(&self, now: Nanos, mut plan: Plan) -> Result<Plan, NoDestination> {
        let Some(users) = &self.users else { return Ok(plan) };
        let is_for_one = plan.candidates.len() == 1;
        let mut nobody = None;
        let mut candidates = Vec::with_capacity(plan.candidates.len());
        for candidate in plan.candidates {
            if candidate.peer != users.peer {
                candidates.push(candidate);
                continue;
            }
            let Some(contacts) = users.targets(now, &candidate.uri.view()) else {
                nobody = nobody.or(Some(NoDestination::UnknownUser));
                continue;
            };
            if contacts.is_empty() {
                nobody = Some(NoDestination::UserAway);
            }
            if is_for_one && contacts.len() > 1 {
                let are_alike = contacts.iter().all(|contact| contact.q == contacts[0].q);
                plan.hunt.mode = if are_alike { HuntMode::Parallel } else { HuntMode::InOrder };
            }
            candidates.extend(contacts.into_iter().map(|contact| Candidate {
                uri: contact.uri.clone(),
                contact: Some(contact),
                ..candidate.clone()
            }));
        }
        plan.candidates = candidates;
        match nobody {
            Some(why) if plan.candidates.is_empty() => Err(why),
            _ => Ok(plan),
        }
    }

    /// Who an INVITE from no peer is from: a user who has shown a password, or a stranger.
    pub(crate) fn user_of(&mut self, now: Nanos, tx: ServerTx, from: SipPeer, request: &Request) -> Caller {
        let Some(users) = &mut self.users else { return Caller::Stranger };
        let claims = request.from().uri().is_ok_and(|uri| users.registrar.local_user(&uri).is_some());
        if !claims {
            return Caller::Stranger;
        }
        let identifiers = self.transactions.identifiers();
        let refused_before = users.registrar.counters().refused;
        match users.registrar.authenticate_caller(instant(now), request, identifiers) {
            Ok(_) => Caller::User(users.peer),
            Err(answer) => {
                if users.registrar.counters().refused > refused_before {
                    self.guard.strike(now, from.remote.ip(), Offence::Credentials);
                }
                let tag = self.tag();
                let response = answer.apply(self.response(request, answer.status, &tag));
                self.respond(now, tx, response);
                Caller::Answered
            }
        }
    }

    /// Forgets registrations that have ended, and keeps ways through address translators open.
    pub(crate) fn look_after_users(&mut self, now: Nanos) {
        let Some(users) = &mut self.users else { return };
        for Probe { user: _, target } in users.registrar.on_timeout(instant(now)) {
            let identifiers = self.transactions.identifiers();
            let us = format!("<sip:{}>;tag={}", target.to.local, identifiers.tag());
            let request = RequestBuilder::new(Method::Options, target.uri.as_str().to_owned())
                .from(&us)
                .to(&format!("<{}>", target.uri))
                .call_id(&identifiers.call_id())
                .cseq(1)
                .header(HeaderName::Accept, crate::exchange::SDP);
            self.request(now, target.to, request, Purpose::Bare);
        }
    }
}
