use core::time::Duration;
use std::collections::HashMap;
use std::fmt::Write as _;

use tandem_sip::digest::{Algorithm, Authenticator, Checked, Ha1};
use tandem_sip::{
    HeaderName, Identifiers, Instant, Peer, Request, Response, ResponseBuilder, StatusCode, Uri, unescape,
};

use crate::binding::{Binding, must_use_flow};
use crate::config::RegistrarConfig;
use crate::location::{Location, Probe};
use crate::register::{self, Unacceptable, Wanted, WantedContact, qvalue};

/// Who may register: what is kept of its password, at most one hash for each algorithm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscriber {
    /// The hashes.
    pub hashes: Vec<Ha1>,
}

/// What a response says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// A phrase other than the registered one.
    pub reason: Option<&'static str>,
    /// Header lines beside those that every response has.
    pub headers: Vec<(HeaderName, String)>,
}

/// What is to be made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The subscriber's binding is so now.
    Put {
        /// The subscriber.
        user: String,
        /// The binding.
        binding: Box<Binding>,
    },
    /// The subscriber's binding is gone.
    Remove {
        /// The subscriber.
        user: String,
        /// Its key.
        key: String,
    },
}

/// What came of a REGISTER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What to answer, once the changes are durable.
    pub answer: Answer,
    /// What to make durable.
    pub changes: Vec<Change>,
}

/// What a registrar counted since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegistrarCounters {
    /// Requests that were challenged for want of credentials.
    pub challenged: u64,
    /// Requests challenged anew because their nonce was too old, unknown or used.
    pub stale: u64,
    /// Requests with an unknown user or a wrong password.
    pub refused: u64,
    /// REGISTERs that changed or renewed bindings.
    pub registered: u64,
    /// REGISTERs refused with 423.
    pub too_brief: u64,
}

/// Subscribers, their bindings, and the rules by which these change.
#[derive(Debug)]
pub struct Registrar {
    config: RegistrarConfig,
    subscribers: HashMap<String, Subscriber>,
    authenticator: Authenticator,
    location: Location,
    counters: RegistrarCounters,
}

impl Answer {
    fn new(status: StatusCode) -> Self {
        Self { status, reason: None, headers: Vec::new() }
    }

    fn bad(reason: &'static str) -> Self {
        Self { reason: Some(reason), ..Self::new(StatusCode::BAD_REQUEST) }
    }

    /// Adds what is to be said to a response of that status.
    pub fn apply(&self, mut response: ResponseBuilder) -> ResponseBuilder {
        if let Some(reason) = self.reason {
            response = response.reason(reason);
        }
        for (name, value) in &self.headers {
            response = response.header(*name, value);
        }
        response
    }

    /// The response.
    ///
    /// # Errors
    /// A header value from the request cannot be written back, which a parsed request does not have.
    pub fn response(&self, request: &Request, to_tag: &str) -> Result<Response, tandem_sip::BuildError> {
        self.apply(ResponseBuilder::new(request, self.status).to_tag(to_tag)).build()
    }
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self { answer, changes: Vec::new() }
    }
}

impl Registrar {
    /// A registrar without subscribers. `key` is random, and another after each start.
    pub fn new(config: RegistrarConfig, key: [u8; 32]) -> Self {
        Self {
            authenticator: Authenticator::new(config.digest(), key),
            location: Location::new(config.keep_alive_s),
            subscribers: HashMap::new(),
            counters: RegistrarCounters::default(),
            config,
        }
    }

    /// How it behaves.
    pub const fn config(&self) -> &RegistrarConfig {
        &self.config
    }

    /// Adds a subscriber or takes the place of the one with that name.
    pub fn put_subscriber(&mut self, user: &str, subscriber: Subscriber) {
        self.subscribers.insert(user.to_owned(), subscriber);
    }

    /// Removes a subscriber and where it is.
    pub fn remove_subscriber(&mut self, user: &str) -> Vec<Change> {
        self.subscribers.remove(user);
        self.remove_bindings(user)
    }

    /// Subscribers in all.
    pub fn subscribers(&self) -> usize {
        self.subscribers.len()
    }

    /// Whether there is a subscriber of that name.
    pub fn is_subscriber(&self, user: &str) -> bool {
        self.subscribers.contains_key(user)
    }

    /// Brings back a binding from before a restart.
    pub fn restore(&mut self, now: Instant, user: &str, binding: Binding) {
        self.location.put(now, user, binding);
    }

    /// Forgets where a subscriber is, as an operator asks.
    pub fn remove_bindings(&mut self, user: &str) -> Vec<Change> {
        let keys = self
            .location
            .iter()
            .find(|(known, _)| *known == user)
            .map(|(_, bindings)| bindings.iter().map(|binding| binding.key.clone()).collect::<Vec<_>>());
        keys.into_iter()
            .flatten()
            .map(|key| {
                self.location.remove(user, &key);
                Change::Remove { user: user.to_owned(), key }
            })
            .collect()
    }

    /// Who is where.
    pub const fn location(&self) -> &Location {
        &self.location
    }

    /// What was counted.
    pub const fn counters(&self) -> RegistrarCounters {
        self.counters
    }

    /// The user of our domain that a URI names; `None` where its host is another's.
    pub fn local_user(&self, uri: &Uri<'_>) -> Option<String> {
        if !uri.is_sip() || !self.config.serves(uri.host()) {
            return None;
        }
        String::from_utf8(unescape(uri.user()?).into_owned()).ok()
    }

    /// When [`Registrar::on_timeout`] wants to be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.location.next_deadline()
    }

    /// Forgets what has ended; whom to send OPTIONS.
    pub fn on_timeout(&mut self, now: Instant) -> Vec<Probe> {
        self.location.on_timeout(now)
    }

    /// Who a request is from, by its credentials in `header` (Authorization or Proxy-Authorization).
    ///
    /// # Errors
    /// What to answer: a challenge, or why the credentials make no sense. An unknown user and a wrong password get the same.
    pub fn authenticate(
        &mut self,
        now: Instant,
        request: &Request,
        header: HeaderName,
        identifiers: &mut Identifiers,
    ) -> Result<String, Answer> {
        let subscribers = &self.subscribers;
        let hash = |user: &str, algorithm: Algorithm| {
            subscribers.get(user)?.hashes.iter().find(|hash| hash.algorithm() == algorithm).copied()
        };
        let is_stale = match self.authenticator.check(now, request, header, hash) {
            Checked::Authentic(user) => return Ok(user.into_owned()),
            Checked::Malformed(reason) => return Err(Answer::bad(reason)),
            Checked::Stale => {
                self.counters.stale += 1;
                true
            }
            Checked::Missing => {
                self.counters.challenged += 1;
                false
            }
            Checked::Wrong => {
                self.counters.refused += 1;
                false
            }
        };
        let (status, challenge) = if header == HeaderName::Authorization {
            (StatusCode::UNAUTHORIZED, HeaderName::WwwAuthenticate)
        } else {
            (StatusCode::PROXY_AUTHENTICATION_REQUIRED, HeaderName::ProxyAuthenticate)
        };
        let values = self.authenticator.challenges(now, identifiers, is_stale);
        Err(Answer { headers: values.into_iter().map(|value| (challenge, value)).collect(), ..Answer::new(status) })
    }

    /// Who a call is from: authenticated, and under its own name.
    ///
    /// # Errors
    /// What to answer.
    pub fn authenticate_caller(
        &mut self,
        now: Instant,
        request: &Request,
        identifiers: &mut Identifiers,
    ) -> Result<String, Answer> {
        let user = self.authenticate(now, request, HeaderName::ProxyAuthorization, identifiers)?;
        let named = request.from().uri().ok().and_then(|uri| self.local_user(&uri));
        if named.as_deref() == Some(user.as_str()) { Ok(user) } else { Err(Answer::new(StatusCode::FORBIDDEN)) }
    }

    /// A REGISTER came from `from` (RFC 3261 section 10.3). Bindings change at once; the answer is to wait for the store.
    pub fn on_register(
        &mut self,
        now: Instant,
        from: Peer,
        request: &Request,
        identifiers: &mut Identifiers,
    ) -> Outcome {
        let user = match self.authenticate(now, request, HeaderName::Authorization, identifiers) {
            Ok(user) => user,
            Err(answer) => return answer.into(),
        };
        let address = request.to().uri().ok().and_then(|uri| self.local_user(&uri));
        if address.as_deref() != Some(user.as_str()) {
            // Nobody registers for another, and nobody learns who else there is.
            return Answer::new(StatusCode::FORBIDDEN).into();
        }
        let changed =
            register::read(request, &self.config).and_then(|wanted| self.change(now, from, request, &user, wanted));
        match changed {
            Ok(changes) => {
                if !changes.is_empty() {
                    self.counters.registered += 1;
                }
                Outcome { answer: self.success(now, request, &user), changes }
            }
            Err(refused) => {
                let mut answer = Answer::new(refused.status());
                match refused {
                    Unacceptable::Bad(reason) => answer.reason = Some(reason),
                    Unacceptable::TooBrief => {
                        self.counters.too_brief += 1;
                        answer.headers.push((HeaderName::MinExpires, self.config.min_expires_s.to_string()));
                    }
                    Unacceptable::NoOutbound => {}
                }
                answer.into()
            }
        }
    }

    /// All changes, or none and why not.
    fn change(
        &mut self,
        now: Instant,
        from: Peer,
        request: &Request,
        user: &str,
        wanted: Wanted,
    ) -> Result<Vec<Change>, Unacceptable> {
        let mut changes = Vec::new();
        match wanted {
            Wanted::Nothing => {}
            Wanted::RemoveAll => {
                for binding in self.location.bindings(now, user) {
                    in_order(binding, request)?;
                    changes.push(Change::Remove { user: user.to_owned(), key: binding.key.clone() });
                }
            }
            Wanted::Contacts(contacts) => {
                let path: Vec<String> = request.elements(HeaderName::Path).map(str::to_owned).collect();
                for contact in contacts {
                    let known = self.location.bindings(now, user).find(|binding| is_same(binding, &contact));
                    if let Some(known) = known {
                        in_order(known, request)?;
                    }
                    let key = known.map(|known| known.key.clone());
                    if contact.expires_s == 0 {
                        changes.extend(key.map(|key| Change::Remove { user: user.to_owned(), key }));
                        continue;
                    }
                    let key = key.unwrap_or_else(|| key_of(&contact));
                    let uses_flow = must_use_flow(request, &from, &contact.uri.view());
                    let binding = Box::new(Binding {
                        key,
                        q: contact.q,
                        expires: now + Duration::from_secs(u64::from(contact.expires_s)),
                        call_id: request.call_id().to_owned(),
                        cseq: request.cseq_number(),
                        flow: from,
                        uses_flow,
                        path: path.clone(),
                        instance: contact.instance,
                        reg_id: contact.reg_id,
                        contact: contact.uri,
                        user_agent: request
                            .value(HeaderName::UserAgent)
                            .unwrap_or_default()
                            .chars()
                            .take(128)
                            .collect(),
                    });
                    changes.push(Change::Put { user: user.to_owned(), binding });
                }
                self.has_room(now, user, &changes)?;
            }
        }
        for change in &changes {
            match change {
                Change::Put { user, binding } => self.location.put(now, user, (**binding).clone()),
                Change::Remove { user, key } => drop(self.location.remove(user, key)),
            }
        }
        Ok(changes)
    }

    fn has_room(&self, now: Instant, user: &str, changes: &[Change]) -> Result<(), Unacceptable> {
        let mut keys: Vec<&str> = self.location.bindings(now, user).map(|binding| binding.key.as_str()).collect();
        for change in changes {
            match change {
                Change::Put { binding, .. } if !keys.contains(&binding.key.as_str()) => keys.push(&binding.key),
                Change::Put { .. } => {}
                Change::Remove { key, .. } => keys.retain(|known| known != key),
            }
        }
        if keys.len() > self.config.max_contacts {
            return Err(Unacceptable::Bad("Bad Request - Contact: too many"));
        }
        Ok(())
    }

    /// The 200: every binding with what is left of its time (RFC 3261 section 10.3 step 8).
    fn success(&self, now: Instant, request: &Request, user: &str) -> Answer {
        let mut answer = Answer::new(StatusCode::OK);
        let knows_gruu = request.supports("gruu");
        let mut used_outbound = false;
        for binding in self.location.bindings(now, user) {
            let left_s = binding.expires.saturating_since(now).as_secs();
            let mut value = format!("<{}>;expires={left_s};q={}", binding.contact, qvalue(binding.q));
            if !binding.instance.is_empty() {
                let _ = write!(value, ";+sip.instance=\"{}\"", binding.instance);
                if knows_gruu {
                    let name = binding.instance.trim_matches(['<', '>']);
                    let user = tandem_sip::escape_user(user);
                    let _ = write!(value, ";pub-gruu=\"sip:{user}@{};gr={name}\"", self.config.realm);
                }
            }
            if binding.reg_id > 0 {
                let _ = write!(value, ";reg-id={}", binding.reg_id);
                used_outbound |= binding.call_id == request.call_id();
            }
            answer.headers.push((HeaderName::Contact, value));
        }
        if used_outbound {
            answer.headers.push((HeaderName::Require, "outbound".to_owned()));
        }
        if request.supports("path") {
            answer.headers.extend(request.elements(HeaderName::Path).map(|path| (HeaderName::Path, path.to_owned())));
        }
        answer
    }
}

/// RFC 3261 section 10.3 step 7: a REGISTER that was overtaken changes nothing.
fn in_order(known: &Binding, request: &Request) -> Result<(), Unacceptable> {
    if known.call_id == request.call_id() && request.cseq_number() <= known.cseq {
        return Err(Unacceptable::Bad("Bad Request - CSeq: not higher than before"));
    }
    Ok(())
}

fn key_of(contact: &WantedContact) -> String {
    if contact.reg_id > 0 {
        format!("{};{}", contact.instance, contact.reg_id)
    } else {
        contact.uri.as_str().to_owned()
    }
}

fn is_same(known: &Binding, contact: &WantedContact) -> bool {
    if contact.reg_id > 0 || known.reg_id > 0 {
        return known.instance == contact.instance && known.reg_id == contact.reg_id;
    }
    known.contact.view().is_equivalent(&contact.uri.view())
}
