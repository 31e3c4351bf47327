//! Who calls, as the callee is told: asserted identities inside a trust domain (RFC 3325), anonymity where the caller asks
//! for it (RFC 3323), and headers that a peer's configuration passes on or sets.

use tandem_sip::header::NameAddr;
use tandem_sip::{HeaderName, Request, UriBuf, unescape};

use crate::config::{IdentityHeader, Peer};
use crate::stir::{IdentityVerdict, with_verstat};

/// `From` of a caller who asks for privacy (RFC 3323 §4.1).
pub(crate) const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// What an INVITE to a callee says beside its dialog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Presented {
    /// `From`, without tag.
    pub(crate) from: String,
    /// Further header lines.
    pub(crate) lines: Vec<(String, String)>,
}

/// Who the caller is: user part and display name.
struct Caller {
    user: Option<String>,
    display: Option<String>,
}

/// What `callee` is told of the caller, who is `caller`'s. `own_host` is our address on the callee's side: the caller's own
/// host is nobody's business.
pub(crate) fn presented(
    request: &Request,
    (caller, verdict): (&Peer, Option<IdentityVerdict>),
    callee: &Peer,
    own_host: &str,
) -> Presented {
    let from = read(&request.from());
    // RFC 3325 §5: what those assert whom we do not trust is not passed on.
    let asserted = if caller.is_trusted { asserted(request) } else { None };
    let wants_privacy = request
        .value(HeaderName::Privacy)
        .is_some_and(|value| value.split(';').any(|part| matches!(part.trim(), "id" | "user" | "header" | "session")));
    let mut lines = Vec::new();
    let known = asserted.as_ref().unwrap_or(&from);
    // §7: under `Privacy: id` those alone may know who are trusted.
    if callee.is_trusted || !wants_privacy {
        let verstat = verdict.filter(|_| callee.is_trusted);
        let user = known.user.as_deref().map(|user| with_verstat(user, verstat));
        let address = address(&Caller { user, display: known.display.clone() }, own_host);
        match callee.identity {
            IdentityHeader::None => {}
            IdentityHeader::Asserted => lines.push(("P-Asserted-Identity".to_owned(), address)),
            IdentityHeader::RemoteParty => {
                let privacy = if wants_privacy { "full" } else { "off" };
                lines.push((
                    "Remote-Party-ID".to_owned(),
                    format!("{address};party=calling;screen=yes;privacy={privacy}"),
                ));
            }
        }
    }
    if wants_privacy && callee.is_trusted {
        lines.push(("Privacy".to_owned(), "id".to_owned()));
    }
    if caller.is_trusted && callee.is_trusted {
        for (name, header) in [("Diversion", HeaderName::Diversion), ("History-Info", HeaderName::HistoryInfo)] {
            lines.extend(request.elements(header).map(|value| (name.to_owned(), value.to_owned())));
        }
    }
    for name in &callee.pass_headers {
        let values = request.headers().filter(|header| header.name_text.eq_ignore_ascii_case(name));
        lines.extend(values.map(|header| (name.clone(), header.value.to_owned())));
    }
    lines.extend(callee.set_headers.iter().cloned());
    let from = if wants_privacy { ANONYMOUS.to_owned() } else { address(&from, own_host) };
    Presented { from, lines }
}

/// An address as it stands in a dialog, at `own_host` instead of its own.
pub(crate) fn at_our_host(remote: &str, own_host: &str) -> String {
    let caller = NameAddr::parse(remote).map_or(Caller { user: None, display: None }, |remote| read(&remote));
    address(&caller, own_host)
}

fn asserted(request: &Request) -> Option<Caller> {
    let asserted = request.elements(HeaderName::PAssertedIdentity).next();
    let value = asserted.or_else(|| request.extension("Remote-Party-ID"))?;
    Some(read(&NameAddr::parse(value).ok()?))
}

fn read(address: &NameAddr<'_>) -> Caller {
    let user = address.uri().ok().and_then(|uri| uri.user().map(|user| unescape(user).into_owned()));
    Caller { user: user.and_then(|user| String::from_utf8(user).ok()), display: address.display.map(str::to_owned) }
}

fn address(caller: &Caller, own_host: &str) -> String {
    let uri = UriBuf::sip(caller.user.as_deref(), own_host).or_else(|_| UriBuf::sip(None, own_host));
    let uri = uri.map_or_else(|_| format!("sip:{own_host}"), |uri| uri.to_string());
    match &caller.display {
        Some(display) => format!("{display} <{uri}>"),
        None => format!("<{uri}>"),
    }
}
