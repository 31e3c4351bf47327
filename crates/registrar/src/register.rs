//! What a REGISTER asks for.

use tandem_sip::header::{Contact, NameAddr, delta_seconds};
use tandem_sip::{HeaderName, Request, StatusCode, UriBuf};

use crate::config::RegistrarConfig;

/// The Contact headers of a REGISTER (RFC 3261 section 10.3 step 6).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// None: it only asks.
    Nothing,
    /// `*` with Expires 0.
    RemoveAll,
    /// These.
    Contacts(Vec<WantedContact>),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WantedContact {
    pub(crate) uri: UriBuf,
    /// 0 removes it.
    pub(crate) expires_s: u32,
    pub(crate) q: u16,
    pub(crate) instance: String,
    pub(crate) reg_id: u32,
}

/// Why a REGISTER is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unacceptable {
    Bad(&'static str),
    /// 423.
    TooBrief,
    /// 439 (RFC 5626 section 6).
    NoOutbound,
}

impl Unacceptable {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::TooBrief => StatusCode::INTERVAL_TOO_BRIEF,
            Self::NoOutbound => StatusCode::FIRST_HOP_LACKS_OUTBOUND_SUPPORT,
        }
    }
}

/// Reads them.
pub(crate) fn read(request: &Request, config: &RegistrarConfig) -> Result<Wanted, Unacceptable> {
    // An Expires that cannot be read is treated as 3600 seconds (RFC 3261 section 20.19): as if there were none.
    let expires_s = request.expires().and_then(Result::ok);
    let mut contacts = Vec::new();
    let mut has_all = false;
    for contact in request.contacts() {
        match contact.map_err(|_| Unacceptable::Bad("Bad Request - Contact: malformed"))? {
            Contact::All => has_all = true,
            Contact::Address(address) => contacts.push(wanted(request, &address, expires_s, config)?),
        }
        if contacts.len() > config.max_contacts {
            return Err(Unacceptable::Bad("Bad Request - Contact: too many"));
        }
    }
    if !has_all {
        return Ok(if contacts.is_empty() { Wanted::Nothing } else { Wanted::Contacts(contacts) });
    }
    if !contacts.is_empty() || expires_s != Some(0) {
        return Err(Unacceptable::Bad("Bad Request - Contact: * goes alone, with Expires 0"));
    }
    Ok(Wanted::RemoveAll)
}

fn wanted(
    request: &Request,
    address: &NameAddr<'_>,
    expires_s: Option<u32>,
    config: &RegistrarConfig,
) -> Result<WantedContact, Unacceptable> {
    let uri = address.uri().map_err(|_| Unacceptable::Bad("Bad Request - Contact: malformed"))?;
    if !uri.is_sip() {
        return Err(Unacceptable::Bad("Bad Request - Contact: neither sip nor sips"));
    }
    let own = address.params.value("expires").and_then(|text| delta_seconds(text).ok());
    let expires_s = own.or(expires_s).unwrap_or(config.default_expires_s).min(config.max_expires_s);
    if expires_s > 0 && expires_s < config.min_expires_s {
        return Err(Unacceptable::TooBrief);
    }
    let q = address.params.value("q").and_then(thousandths).unwrap_or(1_000);
    let instance = address.params.get("+sip.instance").and_then(|param| param.unquoted()).unwrap_or_default();
    let reg_id = address.params.value("reg-id").and_then(|text| text.parse().ok()).unwrap_or(0);
    let uses_outbound = reg_id > 0 && !instance.is_empty() && request.supports("outbound");
    if uses_outbound && !first_hop_has_outbound(request) {
        return Err(Unacceptable::NoOutbound);
    }
    let reg_id = if uses_outbound { reg_id } else { 0 };
    Ok(WantedContact { uri: uri.into(), expires_s, q, instance: instance.to_owned(), reg_id })
}

/// The telephone is our direct neighbour, or the proxy that is its neighbour put `ob` into its Path.
fn first_hop_has_outbound(request: &Request) -> bool {
    let path = request.elements(HeaderName::Path).last().map(NameAddr::parse);
    match path {
        Some(Ok(path)) => path.uri().is_ok_and(|uri| uri.param("ob").is_some()),
        Some(Err(_)) => false,
        None => request.vias().count() == 1,
    }
}

/// `qvalue` (RFC 3261 section 25.1).
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let whole = match whole {
        "0" => 0,
        "1" => 1_000,
        _ => return None,
    };
    if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    Some(whole + decimals).filter(|q| *q <= 1_000)
}

/// The same, to write.
pub(crate) fn qvalue(thousandths: u16) -> String {
    format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_have_three_decimals() {
        for (text, q) in
            [("0", Some(0)), ("1", Some(1_000)), ("0.5", Some(500)), ("0.123", Some(123)), ("1.000", Some(1_000))]
        {
            assert_eq!(thousandths(text), q, "{text}");
        }
        for bad in ["", "2", "1.1", "0.1234", "0.x", ".5", "-0"] {
            assert_eq!(thousandths(bad), None, "{bad}");
        }
        assert_eq!((qvalue(1_000).as_str(), qvalue(70).as_str()), ("1.000", "0.070"));
    }
}
