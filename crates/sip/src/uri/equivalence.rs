//! URI comparison (RFC 3261 section 19.1.4).

use super::{Scheme, Uri, escape};

/// Parameters that must be on both URIs or on neither. `ttl` and `method` are such too.
const MUST_BE_ON_BOTH: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

pub(super) fn is_equivalent(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    if a.scheme != b.scheme {
        return false;
    }
    match a.scheme {
        Scheme::Sip | Scheme::Sips => {
            parts_are_equal(a.user, b.user)
                && parts_are_equal(a.password, b.password)
                && a.host.eq_ignore_ascii_case(b.host)
                // A URI without a port is not equal to one that names the default port.
                && a.port == b.port
                && params_agree(a, b)
                && params_agree(b, a)
                && headers_agree(a, b)
        }
        Scheme::Tel => numbers_are_equal(a, b) && params_agree(a, b) && params_agree(b, a),
        Scheme::Other => a.text == b.text,
    }
}

/// User and password: with case, an escape equal to what it stands for.
fn parts_are_equal(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => escape::eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// Whether each parameter of `a` is matched in `b`, or may be missing there.
fn params_agree(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    a.params.iter().all(|param| match b.params.iter().find(|other| escape::eq_ignore_case(param.name, other.name)) {
        Some(other) => match (param.value, other.value) {
            (Some(x), Some(y)) => escape::eq_ignore_case(x, y),
            (None, None) => true,
            _ => false,
        },
        None => !MUST_BE_ON_BOTH.iter().any(|name| escape::eq_ignore_case(name, param.name)),
    })
}

/// Header components are never ignored; their order is.
fn headers_agree(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let (Some(a), Some(b)) = (a.headers, b.headers) else { return a.headers.is_none() && b.headers.is_none() };
    let found = |header: &str, list: &str| {
        let (name, value) = header.split_once('=').unwrap_or((header, ""));
        list.split('&').any(|other| {
            let (other_name, other_value) = other.split_once('=').unwrap_or((other, ""));
            escape::eq_ignore_case(name, other_name) && escape::eq(value, other_value)
        })
    };
    a.split('&').all(|header| found(header, b)) && b.split('&').all(|header| found(header, a))
}

/// Visual separators mean nothing (RFC 3966 section 4).
fn numbers_are_equal(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let digits = |uri: &Uri<'_>| -> String {
        let number = uri.user.unwrap_or_default();
        number.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')')).map(|c| c.to_ascii_lowercase()).collect()
    };
    digits(a) == digits(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equivalent(a: &str, b: &str) -> bool {
        let (a, b) = (Uri::parse(a).expect(a), Uri::parse(b).expect(b));
        assert_eq!(a.is_equivalent(&b), b.is_equivalent(&a), "comparison must be symmetric");
        a.is_equivalent(&b)
    }

    /// The examples of RFC 3261 section 19.1.4.
    #[test]
    fn examples_of_the_rfc_that_are_equal() {
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("tel:+1-201-555-0123", "tel:+1(201)5550123"),
            ("isbn:1", "isbn:1"),
        ] {
            assert!(equivalent(a, b), "{a} {b}");
        }
    }

    #[test]
    fn examples_of_the_rfc_that_differ() {
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:a@b", "sips:a@b"),
            ("sip:a@b", "sip:b"),
            ("isbn:1", "isbn:2"),
        ] {
            assert!(!equivalent(a, b), "{a} {b}");
        }
    }
}
