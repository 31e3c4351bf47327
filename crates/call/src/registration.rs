//! Registrations of ours with carriers (RFC 3261 §10.2): one contact each, refreshed before it expires, with credentials.

use std::sync::Arc;

use tandem_contract::Nanos;
use tandem_sip::digest::DigestClient;
use tandem_sip::{HeaderName, Identifiers, Method, RequestBuilder, Response, StatusCode};

use crate::config::Peer;
use crate::exchange::seconds;

/// Before the first try after a failure, in seconds; doubled with every failure, up to [`MOST_WAIT_S`] (RFC 5626 §4.5).
const FIRST_WAIT_S: u32 = 30;
const MOST_WAIT_S: u32 = 1_800;
/// Challenges to one REGISTER that are answered: one, one that finds the nonce old, and one of a proxy.
const MAX_CHALLENGES: u8 = 3;

/// Every registration.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    entries: Vec<Registration>,
}

/// One registration.
#[derive(Debug)]
pub(crate) struct Registration {
    peer: Arc<Peer>,
    client: DigestClient,
    /// Call-ID and tag, the same for all its requests (§10.2); made with the first.
    names: Option<(String, String)>,
    cseq: u32,
    /// What is asked for, in seconds.
    expires_s: u32,
    /// When the next request is due; `None` while one is under way, or when it is over.
    due: Option<Nanos>,
    challenges: u8,
    failures: u8,
    state: RegistrationState,
}

/// How a registration stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationState {
    /// Nothing is known yet.
    Asking,
    /// The carrier knows our contact, for so many seconds from the answer on.
    Registered(u32),
    /// It does not, for this reason.
    Failed(String),
    /// We took it back.
    Ended,
}

impl Registrations {
    /// These are the peers now. One whose account and address are as they were keeps its registration.
    pub(crate) fn set_peers<'p>(&mut self, peers: impl Iterator<Item = &'p Arc<Peer>>) {
        let mut before = std::mem::take(&mut self.entries);
        let same = |known: &Registration, peer: &Peer| {
            (&known.peer.name, known.peer.address, &known.peer.host, known.peer.listener)
                == (&peer.name, peer.address, &peer.host, peer.listener)
                && (&known.peer.account, &known.peer.domain, known.peer.register_s)
                    == (&peer.account, &peer.domain, peer.register_s)
        };
        self.entries = peers
            .filter_map(|peer| {
                let (account, expires_s) = (peer.account.as_ref()?, peer.register_s?);
                Some(match before.iter().position(|known| same(known, peer)) {
                    Some(known) => Registration { peer: Arc::clone(peer), ..before.swap_remove(known) },
                    None => Registration {
                        client: DigestClient::new(account.username.clone(), account.password.clone()),
                        peer: Arc::clone(peer),
                        names: None,
                        cseq: 0,
                        expires_s,
                        due: Some(Nanos::default()),
                        challenges: 0,
                        failures: 0,
                        state: RegistrationState::Asking,
                    },
                })
            })
            .collect();
    }

    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        self.entries.iter().filter_map(|entry| entry.due).min()
    }

    /// The peers whose registration is due; each is to have its [`Registrations::request`], or to hear that it failed.
    pub(crate) fn take_due(&mut self, now: Nanos) -> Vec<Arc<Peer>> {
        let due = |entry: &mut Registration| {
            entry.due.take_if(|due| *due <= now)?;
            Some(Arc::clone(&entry.peer))
        };
        self.entries.iter_mut().filter_map(due).collect()
    }

    /// The registration with a peer is due only then.
    pub(crate) fn put_off(&mut self, name: &str, until: Nanos) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.peer.name == name) {
            entry.due = Some(until);
        }
    }

    /// The REGISTER to a peer, with the address that it reaches us at.
    pub(crate) fn request(
        &mut self,
        name: &str,
        identifiers: &mut Identifiers,
        contact: &str,
    ) -> Option<RequestBuilder> {
        let entry = self.entries.iter_mut().find(|entry| entry.peer.name == name)?;
        Some(entry.request(identifiers, contact))
    }

    /// Takes every registration back, so that no new calls come this way.
    pub(crate) fn end(&mut self) {
        for entry in &mut self.entries {
            entry.expires_s = 0;
            entry.due = matches!(entry.state, RegistrationState::Registered(_)).then(Nanos::default);
        }
    }

    /// The final answer to a REGISTER; `None` where none came. Says how the registration stands where that changed.
    pub(crate) fn on_answer(
        &mut self,
        now: Nanos,
        name: &str,
        contact: &str,
        response: Option<&Response>,
    ) -> Option<RegistrationState> {
        let entry = self.entries.iter_mut().find(|entry| entry.peer.name == name)?;
        let before = entry.state.clone();
        entry.on_answer(now, contact, response);
        let is_same = std::mem::discriminant(&before) == std::mem::discriminant(&entry.state);
        (!is_same).then(|| entry.state.clone())
    }

    /// How the registration with a peer stands; `None` where there is none.
    pub(crate) fn state(&self, name: &str) -> Option<&RegistrationState> {
        self.entries.iter().find(|entry| entry.peer.name == name).map(|entry| &entry.state)
    }
}

impl Registration {
    fn request(&mut self, identifiers: &mut Identifiers, contact: &str) -> RequestBuilder {
        let (call_id, tag) = self.names.get_or_insert_with(|| (identifiers.call_id(), identifiers.tag()));
        let host = self.peer.uri_host();
        let user = self.peer.account.as_ref().map(|account| account.username.as_str()).unwrap_or_default();
        let user = tandem_sip::escape_user(user);
        self.cseq += 1;
        let request = RequestBuilder::new(Method::Register, format!("sip:{host}"))
            .from(&format!("<sip:{user}@{host}>;tag={tag}"))
            .to(&format!("<sip:{user}@{host}>"))
            .call_id(call_id)
            .cseq(self.cseq)
            .contact(contact)
            .header(HeaderName::Expires, &self.expires_s.to_string())
            .header(HeaderName::Allow, crate::exchange::ALLOW);
        self.client.authorize(request, identifiers)
    }

    fn on_answer(&mut self, now: Nanos, contact: &str, response: Option<&Response>) {
        let Some(response) = response else { return self.fail(now, "it does not answer REGISTER".to_owned()) };
        match response.status() {
            status if status.is_success() => {
                self.challenges = 0;
                self.failures = 0;
                if self.expires_s == 0 {
                    self.state = RegistrationState::Ended;
                    return;
                }
                let granted = granted_s(response, contact).unwrap_or(self.expires_s).max(1);
                self.state = RegistrationState::Registered(granted);
                self.due = Some(now.plus(seconds(granted) / 10 * 9));
            }
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                self.challenges += 1;
                let outcome = self.client.on_challenge(response);
                match outcome {
                    Ok(()) if self.challenges <= MAX_CHALLENGES => self.due = Some(now),
                    Ok(()) => self.fail(now, "it asks for credentials again and again".to_owned()),
                    Err(why) => self.fail(now, why.to_string()),
                }
            }
            StatusCode::INTERVAL_TOO_BRIEF => {
                let least = response.value(HeaderName::MinExpires).and_then(|value| value.trim().parse::<u32>().ok());
                match least.filter(|least| *least > self.expires_s && *least <= 86_400 && self.expires_s > 0) {
                    Some(least) => {
                        self.expires_s = least;
                        self.due = Some(now);
                    }
                    None => self.fail(now, "it finds any interval too brief".to_owned()),
                }
            }
            status => self.fail(now, format!("it answers REGISTER with {} {}", status.as_u16(), response.reason())),
        }
    }

    fn fail(&mut self, now: Nanos, why: String) {
        self.challenges = 0;
        let wait = FIRST_WAIT_S.saturating_mul(1 << self.failures.min(10)).min(MOST_WAIT_S);
        self.failures = self.failures.saturating_add(1);
        self.state = if self.expires_s == 0 { RegistrationState::Ended } else { RegistrationState::Failed(why) };
        self.due = (self.expires_s > 0).then(|| now.plus(seconds(wait)));
    }
}

/// For how long our contact is registered: its own `expires`, else the header (§10.3 step 8).
fn granted_s(response: &Response, contact: &str) -> Option<u32> {
    let own = response.contacts().flatten().filter_map(|contact| contact.address());
    let own =
        own.filter(|address| address.uri == contact).find_map(|address| address.params.value("expires")?.parse().ok());
    own.or_else(|| response.expires()?.ok())
}
