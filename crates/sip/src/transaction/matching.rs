//! Which transaction a message belongs to (RFC 3261 sections 17.1.3 and 17.2.3).

use core::fmt::Write as _;

use crate::{Fields, Method, Request, Response};

/// Writes the key of the server transaction that `request` starts or repeats. `method` is that of the request, or INVITE
/// to find what an ACK or CANCEL refers to. True when the peer is of RFC 2543 and its To tag has to be compared as well.
pub(super) fn write_server_key(key: &mut String, request: &Request, method: &Method) -> bool {
    key.clear();
    let via = request.top_via();
    if let Some(branch) = via.rfc3261_branch() {
        let _ = write!(key, "{branch}\n{}:{}\n{method}", via.host, via.port_or_default());
        lower(key, branch.len());
        return false;
    }
    // Without a unique branch: Request-URI, From tag, Call-ID, CSeq number and the whole topmost Via.
    let _ = write!(
        key,
        "\n{}\n{}\n{}\n{}\n{} {}:{}{}\n{method}",
        request.uri_text(),
        request.from_tag().unwrap_or_default(),
        request.call_id(),
        request.cseq_number(),
        via.transport,
        via.host,
        via.port_or_default(),
        via.params.as_str(),
    );
    true
}

/// Hosts are compared without case; the method behind is an upper-case token for all that are known, and one that is not
/// and differs in case only would have to share a branch as well.
fn lower(key: &mut str, from: usize) {
    let end = key.rfind('\n').unwrap_or(key.len());
    if let Some(host) = key.get_mut(from..end) {
        host.make_ascii_lowercase();
    }
}

/// Writes the key of the client transaction that `response` answers: branch and CSeq method. The sent-by is ours if the
/// branch is, since branches are 96 random bits.
pub(super) fn write_response_key(key: &mut String, response: &Response) -> bool {
    let Some(branch) = response.top_via().branch() else { return false };
    write_client_key(key, branch, response.cseq_method());
    true
}

pub(super) fn write_client_key(key: &mut String, branch: &str, method: &Method) {
    key.clear();
    let _ = write!(key, "{branch}\n{method}");
}

/// Writes what two copies of a request have in common that came by different ways (section 8.2.2.2); false for requests
/// inside a dialog, which are not merged, and for CANCEL, which goes the way of its INVITE.
pub(super) fn write_merge_key(key: &mut String, request: &Request) -> bool {
    if request.to_tag().is_some() || *request.method() == Method::Cancel {
        return false;
    }
    let Some(from_tag) = request.from_tag() else { return false };
    key.clear();
    let fields: &Fields = request;
    let _ = write!(key, "{}\n{from_tag}\n{} {}", fields.call_id(), fields.cseq_number(), fields.cseq_method());
    true
}
