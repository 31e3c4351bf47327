//! Dialogs (RFC 3261 section 12): who talks to whom, over which route, at which number.
//!
//! A [`Dialog`] is plain data; with the feature `serde` it can be stored and carried over to another node, which then goes
//! on where the first one stopped.

mod invite_2xx;

use core::fmt;

pub use invite_2xx::{Invite2xx, Invite2xxStep};

use crate::header::{NameAddr, write_name_addr};
use crate::{HeaderName, Method, Request, RequestBuilder, Response, Scheme, Uri, UriBuf};

/// Names a dialog: Call-ID and the tags of both sides. A tag is empty where an RFC 2543 peer gave none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DialogId {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag.
    pub remote_tag: String,
}

impl DialogId {
    /// The dialog that a received request belongs to; for one outside of dialogs, with an empty local tag.
    pub fn of_request(request: &Request) -> Self {
        Self {
            call_id: request.call_id().to_owned(),
            local_tag: request.to_tag().unwrap_or_default().to_owned(),
            remote_tag: request.from_tag().unwrap_or_default().to_owned(),
        }
    }

    /// The dialog that a received response belongs to or creates.
    pub fn of_response(response: &Response) -> Self {
        Self {
            call_id: response.call_id().to_owned(),
            local_tag: response.from_tag().unwrap_or_default().to_owned(),
            remote_tag: response.to_tag().unwrap_or_default().to_owned(),
        }
    }
}

/// Whether the dialog has been confirmed by a 2xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum DialogState {
    /// Made by a provisional response.
    Early,
    /// Made or confirmed by a 2xx.
    Confirmed,
}

/// One side of a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Dialog {
    /// Call-ID and tags.
    pub id: DialogId,
    /// Early or confirmed.
    pub state: DialogState,
    /// What goes into From: `name-addr` without tag.
    pub local_address: String,
    /// What goes into To: `name-addr` without tag.
    pub remote_address: String,
    /// The Contact of the peer: where requests are sent.
    pub remote_target: UriBuf,
    /// Record-Route of the peer, in the order in which our requests pass it: `name-addr` with parameters.
    pub route_set: Vec<String>,
    /// CSeq number of our last request; `None` before the first.
    pub local_cseq: Option<u32>,
    /// CSeq number of the peer's last request; `None` before the first.
    pub remote_cseq: Option<u32>,
    /// The dialog was made over `sips`.
    pub is_secure: bool,
}

/// A dialog cannot be made of these messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialogError {
    /// No Contact, so nobody knows where to send requests.
    #[error("Contact is missing")]
    NoContact,
    /// A Contact or Record-Route that is malformed, or a Contact that is no sip, sips or tel URI.
    #[error("{0} is malformed")]
    Malformed(HeaderName),
}

/// A request of the peer's came out of order (section 12.2.2): answer with 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CSeq {received} is not above {last}")]
pub struct OutOfOrder {
    /// The highest number so far.
    pub last: u32,
    /// The number of the request.
    pub received: u32,
}

impl Dialog {
    /// The side of the user agent server: `request` is answered with `local_tag` (section 12.1.1).
    ///
    /// # Errors
    ///
    /// When the request gives no usable Contact or Record-Route; answer with 400.
    pub fn uas(request: &Request, local_tag: &str, state: DialogState) -> Result<Self, DialogError> {
        let route_set = route_set(request.record_routes())?;
        let mut id = DialogId::of_request(request);
        local_tag.clone_into(&mut id.local_tag);
        Ok(Self {
            id,
            state,
            local_address: without_tag(&request.to()),
            remote_address: without_tag(&request.from()),
            remote_target: remote_target(request)?,
            route_set,
            local_cseq: None,
            remote_cseq: Some(request.cseq_number()),
            is_secure: request.uri().scheme() == Scheme::Sips,
        })
    }

    /// The side of the user agent client: `response`, a 101 to 299 with a To tag, answers our `request` (section 12.1.2).
    ///
    /// # Errors
    ///
    /// When the response gives no usable Contact or Record-Route.
    pub fn uac(request: &Request, response: &Response) -> Result<Self, DialogError> {
        let mut route_set = route_set(response.record_routes())?;
        route_set.reverse();
        // A provisional response may leave Contact out; until one comes, the Request-URI serves.
        let remote_target = match remote_target(response) {
            Err(DialogError::NoContact) if response.status().is_provisional() => request.uri_buf(),
            other => other?,
        };
        Ok(Self {
            id: DialogId::of_response(response),
            state: if response.status().is_success() { DialogState::Confirmed } else { DialogState::Early },
            local_address: without_tag(&request.from()),
            remote_address: without_tag(&request.to()),
            remote_target,
            route_set,
            local_cseq: Some(request.cseq_number()),
            remote_cseq: None,
            is_secure: request.uri().scheme() == Scheme::Sips,
        })
    }

    /// Confirms an early dialog with the 2xx that has its tags; the route set is taken anew (section 13.2.2.4).
    ///
    /// # Errors
    ///
    /// When the response gives no usable Contact or Record-Route.
    pub fn confirm(&mut self, response: &Response) -> Result<(), DialogError> {
        if self.state == DialogState::Early {
            let mut routes = route_set(response.record_routes())?;
            routes.reverse();
            self.route_set = routes;
            self.state = DialogState::Confirmed;
        }
        self.remote_target = remote_target(response)?;
        Ok(())
    }

    /// Marks the server's side confirmed: we sent a 2xx.
    pub const fn confirm_as_uas(&mut self) {
        self.state = DialogState::Confirmed;
    }

    /// A new request inside the dialog, with the next CSeq number (section 12.2.1.1). Add Contact if it is a target
    /// refresh, and a body, and send it to [`Dialog::next_hop`].
    pub fn request(&mut self, method: Method) -> RequestBuilder {
        let number = self.local_cseq.map_or(1, |last| last.wrapping_add(1));
        self.local_cseq = Some(number);
        self.request_numbered(method, number)
    }

    /// The ACK for the 2xx to an INVITE of ours with CSeq number `invite_cseq` (section 13.2.2.4).
    pub fn ack(&self, invite_cseq: u32) -> RequestBuilder {
        self.request_numbered(Method::Ack, invite_cseq)
    }

    fn request_numbered(&self, method: Method, number: u32) -> RequestBuilder {
        let strict = self.strict_router();
        let uri = strict.unwrap_or(self.remote_target.as_str());
        let mut request = RequestBuilder::new(method, uri);
        for route in self.route_set.iter().skip(usize::from(strict.is_some())) {
            request = request.route(route);
        }
        if strict.is_some() {
            request = request.route(&write_name_addr(None, self.remote_target.as_str(), None));
        }
        request
            .from(&with_tag(&self.local_address, &self.id.local_tag))
            .to(&with_tag(&self.remote_address, &self.id.remote_tag))
            .call_id(&self.id.call_id)
            .cseq(number)
    }

    /// The first route, when it does not know loose routing; then it takes the place of the Request-URI.
    fn strict_router(&self) -> Option<&str> {
        let first = NameAddr::parse(self.route_set.first()?).ok()?;
        let uri = first.uri().ok()?;
        (!uri.is_loose_router()).then_some(first.uri)
    }

    /// The URI to find the address for that requests are sent to (section 8.1.2): the first route, or the remote target.
    pub fn next_hop(&self) -> Uri<'_> {
        self.route_set
            .first()
            .and_then(|route| NameAddr::parse(route).ok()?.uri().ok())
            .unwrap_or_else(|| self.remote_target.view())
    }

    /// Checks and notes the CSeq number of a request from the peer, and for re-INVITE and UPDATE its Contact (section
    /// 12.2.2). ACK and CANCEL carry the number of their INVITE and are let through.
    ///
    /// # Errors
    ///
    /// When the number is not above the last one: answer with 500.
    pub fn on_request(&mut self, request: &Request) -> Result<(), OutOfOrder> {
        if matches!(request.method(), Method::Ack | Method::Cancel) {
            return Ok(());
        }
        let received = request.cseq_number();
        if let Some(last) = self.remote_cseq.filter(|&last| received <= last) {
            return Err(OutOfOrder { last, received });
        }
        self.remote_cseq = Some(received);
        if is_target_refresh(request.method())
            && let Ok(target) = remote_target(request)
        {
            self.remote_target = target;
        }
        Ok(())
    }

    /// Takes a new remote target from the 2xx to a re-INVITE or UPDATE of ours (section 12.2.1.2).
    pub fn on_response(&mut self, response: &Response) {
        if response.status().is_success()
            && is_target_refresh(response.cseq_method())
            && let Ok(target) = remote_target(response)
        {
            self.remote_target = target;
        }
    }
}

impl fmt::Display for DialogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};local={};remote={}", self.call_id, self.local_tag, self.remote_tag)
    }
}

/// Methods whose Contact replaces the remote target (RFC 3261 section 6, RFC 3311).
const fn is_target_refresh(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Update | Method::Subscribe | Method::Notify | Method::Refer)
}

fn remote_target(fields: &crate::Fields) -> Result<UriBuf, DialogError> {
    let contact = fields.contacts().next().ok_or(DialogError::NoContact)?;
    let uri = contact.ok().and_then(|contact| contact.address()?.uri().ok());
    match uri {
        Some(uri) if uri.scheme() != Scheme::Other => Ok(uri.into()),
        _ => Err(DialogError::Malformed(HeaderName::Contact)),
    }
}

fn route_set<'a>(
    routes: impl Iterator<Item = Result<NameAddr<'a>, crate::ValueError>>,
) -> Result<Vec<String>, DialogError> {
    routes
        .map(|route| {
            let route = route.map_err(|_| DialogError::Malformed(HeaderName::RecordRoute))?;
            Ok(format!("<{}>{}", route.uri, route.params.as_str()))
        })
        .collect()
}

/// The address as written, its parameters left out: all that matters of them is the tag, which [`DialogId`] has.
fn without_tag(address: &NameAddr<'_>) -> String {
    match address.display {
        Some(display) => format!("{display} <{}>", address.uri),
        None => format!("<{}>", address.uri),
    }
}

fn with_tag(address: &str, tag: &str) -> String {
    if tag.is_empty() { address.to_owned() } else { format!("{address};tag={tag}") }
}
