//! Requests that belong to one hop and are made from the INVITE they follow.

use super::{BuildError, OWN_LIMITS, finish, push_header};
use crate::{HeaderName, Message, Method, Request, Response};

/// The ACK for a final response of 300 to 699 (RFC 3261 section 17.1.1.3): the INVITE's Request-URI, topmost Via, From,
/// Call-ID, CSeq number and Route, with the To of the response.
pub(crate) fn ack_for_failure(invite: &Request, response: &Response) -> Result<Request, BuildError> {
    follow(invite, Method::Ack, response.value(HeaderName::To).unwrap_or_default(), &[])
}

/// The CANCEL for `invite` (RFC 3261 section 9.1): Request-URI, topmost Via, From, To, Call-ID, CSeq number and Route of
/// the INVITE. `reason` becomes a Reason header (RFC 3326).
pub(crate) fn cancel_for(invite: &Request, reason: Option<&str>) -> Result<Request, BuildError> {
    let to = invite.value(HeaderName::To).unwrap_or_default();
    match reason {
        Some(reason) => follow(invite, Method::Cancel, to, &[(HeaderName::Reason, reason)]),
        None => follow(invite, Method::Cancel, to, &[]),
    }
}

fn follow(invite: &Request, method: Method, to: &str, more: &[(HeaderName, &str)]) -> Result<Request, BuildError> {
    let mut head = String::with_capacity(512);
    head.push_str(method.as_str());
    head.push(' ');
    head.push_str(invite.uri_text());
    head.push_str(" SIP/2.0\r\n");
    let via = invite.elements(HeaderName::Via).next().unwrap_or_default();
    push_header(&mut head, HeaderName::Via, via);
    push_header(&mut head, HeaderName::MaxForwards, "70");
    for header in invite.headers() {
        if matches!(header.name, HeaderName::Route | HeaderName::From | HeaderName::CallId) {
            push_header(&mut head, header.name, header.value);
        }
    }
    push_header(&mut head, HeaderName::To, to);
    push_header(&mut head, HeaderName::CSeq, &format!("{} {method}", invite.cseq_number()));
    for (name, value) in more {
        push_header(&mut head, *name, value);
    }
    match Message::parse(&finish(head, None, &[]), &OWN_LIMITS)? {
        Message::Request(request) => Ok(request),
        Message::Response(_) => unreachable!("a method is never SIP/2.0"),
    }
}
