//! Where things stand in a message's text.

use crate::header::{NameAddr, Params, Via};
use crate::{HeaderName, Method};

/// A piece of a message's head, in bytes from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Where `part`, a slice of `head`, stands in it. An empty literal counts as the beginning.
    pub(super) fn of(head: &str, part: &str) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(head.as_ptr() as usize);
        if start > head.len() {
            return Self::default();
        }
        Self { start: start as u32, end: (start + part.len()) as u32 }
    }

    /// How far into `head` its slice `part` begins.
    pub(super) fn offset_of(head: &str, part: &str) -> usize {
        Self::of(head, part).start as usize
    }

    pub(super) fn get(self, head: &str) -> &str {
        head.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// One header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: HeaderName,
    pub(super) name_text: Span,
    pub(super) value: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ViaIndex {
    transport: Span,
    host: Span,
    port: Option<u16>,
    params: Span,
}

impl ViaIndex {
    pub(super) fn of(head: &str, via: &Via<'_>) -> Self {
        Self {
            transport: Span::of(head, via.transport),
            host: Span::of(head, via.host),
            port: via.port,
            params: Span::of(head, via.params.as_str()),
        }
    }

    pub(super) fn view<'a>(&self, head: &'a str) -> Via<'a> {
        Via {
            transport: self.transport.get(head),
            host: self.host.get(head),
            port: self.port,
            params: Params::checked(self.params.get(head)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AddressIndex {
    display: Option<Span>,
    uri: Span,
    params: Span,
}

impl AddressIndex {
    pub(super) fn of(head: &str, address: &NameAddr<'_>) -> Self {
        Self {
            display: address.display.map(|display| Span::of(head, display)),
            uri: Span::of(head, address.uri),
            params: Span::of(head, address.params.as_str()),
        }
    }

    pub(super) fn view<'a>(&self, head: &'a str) -> NameAddr<'a> {
        NameAddr {
            display: self.display.map(|display| display.get(head)),
            uri: self.uri.get(head),
            params: Params::checked(self.params.get(head)),
        }
    }
}

/// The headers that every message has, already read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Core {
    pub(super) via: ViaIndex,
    pub(super) from: AddressIndex,
    pub(super) to: AddressIndex,
    pub(super) call_id: Span,
    pub(super) cseq_number: u32,
    pub(super) cseq_method: Method,
    pub(super) max_forwards: Option<u8>,
}
