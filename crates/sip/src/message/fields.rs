//! Headers and body, by type.

use core::fmt;
use std::sync::Arc;

use super::index::{Core, Entry, Span};
use crate::header::{Contact, Elements, MediaType, NameAddr, Reason, RetryAfter, Via, delta_seconds};
use crate::{HeaderName, Method, ValueError};

/// The headers and body of a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Fields {
    /// Start line and headers with their line ends, folding undone, up to and with the empty line.
    pub(super) head: Box<str>,
    pub(super) entries: Vec<Entry>,
    pub(super) core: Core,
    pub(super) body: Box<[u8]>,
}

/// One header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Which header it is.
    pub name: HeaderName,
    /// Its name as written.
    pub name_text: &'a str,
    /// Its value, trimmed and on one line.
    pub value: &'a str,
}

impl Fields {
    pub(super) fn text(&self, span: Span) -> &str {
        span.get(&self.head)
    }

    /// Every header line, in order.
    pub fn headers(&self) -> impl DoubleEndedIterator<Item = Header<'_>> + ExactSizeIterator {
        self.entries.iter().map(|entry| Header {
            name: entry.name,
            name_text: self.text(entry.name_text),
            value: self.text(entry.value),
        })
    }

    /// The value of the first line called `name`. Not meant for [`HeaderName::Other`], see
    /// [`Fields::extension`].
    pub fn value(&self, name: HeaderName) -> Option<&str> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| self.text(entry.value))
    }

    /// Whether there is a line called `name`.
    pub fn has(&self, name: HeaderName) -> bool {
        self.value(name).is_some()
    }

    /// The value of the first line with a name that has no [`HeaderName`] of its own.
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.headers()
            .find(|header| header.name == HeaderName::Other && header.name_text.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    /// The elements of every line called `name`, in order, split at their commas.
    pub fn elements(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(move |entry| entry.name == name)
            .flat_map(|entry| Elements::new(self.text(entry.value)))
    }

    /// The topmost Via.
    pub fn top_via(&self) -> Via<'_> {
        self.core.via.view(&self.head)
    }

    /// Every Via, topmost first.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'_>, ValueError>> {
        self.elements(HeaderName::Via).map(Via::parse)
    }

    /// From.
    pub fn from(&self) -> NameAddr<'_> {
        self.core.from.view(&self.head)
    }

    /// The From tag; RFC 2543 peers may leave it out.
    pub fn from_tag(&self) -> Option<&str> {
        self.from().tag()
    }

    /// To.
    pub fn to(&self) -> NameAddr<'_> {
        self.core.to.view(&self.head)
    }

    /// The To tag: there from the first response on that a user agent server gave.
    pub fn to_tag(&self) -> Option<&str> {
        self.to().tag()
    }

    /// Call-ID.
    pub fn call_id(&self) -> &str {
        self.text(self.core.call_id)
    }

    /// The number in CSeq.
    pub const fn cseq_number(&self) -> u32 {
        self.core.cseq_number
    }

    /// The method in CSeq.
    pub const fn cseq_method(&self) -> &Method {
        &self.core.cseq_method
    }

    /// Max-Forwards; RFC 2543 peers may leave it out.
    pub const fn max_forwards(&self) -> Option<u8> {
        self.core.max_forwards
    }

    /// Every Contact.
    pub fn contacts(&self) -> impl Iterator<Item = Result<Contact<'_>, ValueError>> {
        self.elements(HeaderName::Contact).map(Contact::parse)
    }

    /// The first Contact that is an address: the remote target of dialogs (RFC 3261 section 12.1).
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        self.contacts().find_map(|contact| contact.ok()?.address())
    }

    /// Every Route, topmost first.
    pub fn routes(&self) -> impl Iterator<Item = Result<NameAddr<'_>, ValueError>> {
        self.elements(HeaderName::Route).map(NameAddr::parse)
    }

    /// Every Record-Route, topmost first.
    pub fn record_routes(&self) -> impl Iterator<Item = Result<NameAddr<'_>, ValueError>> {
        self.elements(HeaderName::RecordRoute).map(NameAddr::parse)
    }

    /// Option tags that the receiver must understand (RFC 3261 section 20.32).
    pub fn require(&self) -> impl Iterator<Item = &str> {
        self.elements(HeaderName::Require).filter(|tag| !tag.is_empty())
    }

    /// Whether the sender supports the extension `tag` (RFC 3261 section 20.37).
    pub fn supports(&self, tag: &str) -> bool {
        self.elements(HeaderName::Supported).any(|supported| supported.eq_ignore_ascii_case(tag))
    }

    /// Whether Allow names `method`; `None` when there is no Allow.
    pub fn allows(&self, method: &Method) -> Option<bool> {
        self.has(HeaderName::Allow).then(|| self.elements(HeaderName::Allow).any(|allowed| allowed == method.as_str()))
    }

    /// Content-Type.
    pub fn content_type(&self) -> Option<Result<MediaType<'_>, ValueError>> {
        self.value(HeaderName::ContentType).map(MediaType::parse)
    }

    /// Expires, in seconds.
    pub fn expires(&self) -> Option<Result<u32, ValueError>> {
        self.value(HeaderName::Expires).map(delta_seconds)
    }

    /// Retry-After.
    pub fn retry_after(&self) -> Option<Result<RetryAfter<'_>, ValueError>> {
        self.value(HeaderName::RetryAfter).map(RetryAfter::parse)
    }

    /// Every Reason (RFC 3326).
    pub fn reasons(&self) -> impl Iterator<Item = Result<Reason<'_>, ValueError>> {
        self.elements(HeaderName::Reason).map(Reason::parse)
    }

    /// The body; empty when there is none.
    pub const fn body(&self) -> &[u8] {
        &self.body
    }

    /// Start line and headers as text, with the empty line behind them.
    pub const fn head(&self) -> &str {
        &self.head
    }

    /// The message as it goes on the wire.
    pub fn to_bytes(&self) -> Arc<[u8]> {
        let mut bytes = Vec::with_capacity(self.head.len() + self.body.len());
        self.write_to(&mut bytes);
        bytes.into()
    }

    /// Appends the message as it goes on the wire.
    pub fn write_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.head.as_bytes());
        bytes.extend_from_slice(&self.body);
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} + {} bytes", self.head, self.body.len())
    }
}
