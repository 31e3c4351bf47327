use core::net::{IpAddr, SocketAddr};

use tandem_sip::header::NameAddr;
use tandem_sip::{Instant, Peer, Request, Transport, Uri, UriBuf};

/// One contact of a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// What tells it from the subscriber's others: instance and reg-id where it has them (RFC 5626 section 6), else the URI that it
    /// was first registered with.
    pub key: String,
    /// The URI to call it by.
    pub contact: UriBuf,
    /// Preference in thousandths, 0 to 1000.
    pub q: u16,
    /// When it ends.
    pub expires: Instant,
    /// The Call-ID of the REGISTER that it comes from.
    pub call_id: String,
    /// The CSeq number of that.
    pub cseq: u32,
    /// Between which ends that REGISTER came.
    pub flow: Peer,
    /// It is reached over `flow`, not by its URI: it is behind address translation, or came over a connection.
    pub uses_flow: bool,
    /// Values of Path, the first to be visited first (RFC 3327).
    pub path: Vec<String>,
    /// `+sip.instance` with its angle brackets; empty for none.
    pub instance: String,
    /// `reg-id`; 0 for none.
    pub reg_id: u32,
    /// The User-Agent.
    pub user_agent: String,
}

/// Where a subscriber is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The Request-URI.
    pub uri: UriBuf,
    /// Where the request goes first.
    pub to: Peer,
    /// Later requests go there too, whatever Contact says.
    pub is_flow: bool,
    /// Values of Route for it.
    pub route_set: Vec<String>,
    /// Preference in thousandths: equal ones are called at once, lower ones after higher ones.
    pub q: u16,
    /// Which of the subscriber's bindings it is.
    pub key: String,
}

impl Binding {
    /// Where requests for it go.
    pub fn target(&self) -> Target {
        let uri = self.path.first().and_then(|path| NameAddr::parse(path).ok()).and_then(|path| path.uri().ok());
        let to = if self.uses_flow { self.flow } else { self.by_uri(&uri.unwrap_or(self.contact.view())) };
        Target {
            uri: self.contact.clone(),
            to,
            is_flow: self.uses_flow,
            route_set: self.path.clone(),
            q: self.q,
            key: self.key.clone(),
        }
    }

    /// The address in a URI; where it has a name, the flow, which is known to lead there.
    fn by_uri(&self, uri: &Uri<'_>) -> Peer {
        match address_of(uri, self.flow.transport) {
            Some(remote) if remote.is_ipv4() == self.flow.local.is_ipv4() => {
                Peer::new(self.flow.transport, self.flow.local, remote)
            }
            _ => self.flow,
        }
    }
}

pub(crate) fn address_of(uri: &Uri<'_>, transport: Transport) -> Option<SocketAddr> {
    let ip: IpAddr = uri.host().trim_matches(['[', ']']).parse().ok()?;
    Some(SocketAddr::new(ip, uri.port().unwrap_or(transport.default_port())))
}

/// Whether requests must go back where the REGISTER came from. Behind a proxy (Path) its source is the proxy's. Over a connection
/// the telephone may not take new ones. With datagrams it is behind address translation where its Via or Contact do not say the
/// address that the datagram came from.
pub(crate) fn must_use_flow(request: &Request, from: &Peer, contact: &Uri<'_>) -> bool {
    if request.has(tandem_sip::HeaderName::Path) {
        return false;
    }
    if from.transport.is_reliable() {
        return true;
    }
    let via = request.top_via();
    let sent_by = via.host.trim_matches(['[', ']']).parse().map(|ip| SocketAddr::new(ip, via.port_or_default()));
    let is_seen_as_sent =
        sent_by == Ok(from.remote) || (sent_by.map(|sent| sent.ip()) == Ok(from.remote.ip()) && !via.has_rport());
    let contact = address_of(contact, from.transport);
    !is_seen_as_sent || contact.map(|contact| contact.ip()) != Some(from.remote.ip())
}
