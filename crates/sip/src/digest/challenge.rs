//! WWW-Authenticate and Proxy-Authenticate.

use super::Algorithm;
use super::params::{AuthParams, push_quoted, set};
use crate::ValueError;

/// A Digest challenge. Texts are what stands between the quotes, quoted pairs left as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// Whose password is wanted.
    pub realm: &'a str,
    /// To be answered with.
    pub nonce: &'a str,
    /// To be given back.
    pub opaque: Option<&'a str>,
    /// The hash function; `None` for one that is not known here.
    pub algorithm: Option<Algorithm>,
    /// The qualities of protection on offer, a list; `None` is the form of RFC 2069.
    pub qop: Option<&'a str>,
    /// The password may have been right: only the nonce was too old.
    pub is_stale: bool,
}

impl<'a> Challenge<'a> {
    /// Reads a header value; `Ok(None)` when its scheme is not Digest.
    ///
    /// # Errors
    ///
    /// When the list of parameters is malformed, lacks realm or nonce, or has a parameter twice.
    pub fn parse(value: &'a str) -> Result<Option<Self>, ValueError> {
        let Some(params) = AuthParams::of_digest(value) else { return Ok(None) };
        let (mut realm, mut nonce, mut opaque, mut algorithm, mut qop, mut stale) =
            (None, None, None, None, None, None);
        for param in params {
            let (name, value) = param?;
            let slot = match name.to_ascii_lowercase().as_str() {
                "realm" => &mut realm,
                "nonce" => &mut nonce,
                "opaque" => &mut opaque,
                "algorithm" => &mut algorithm,
                "qop" => &mut qop,
                "stale" => &mut stale,
                _ => continue,
            };
            set(slot, value)?;
        }
        let (Some(realm), Some(nonce)) = (realm, nonce) else { return Err(ValueError::Syntax) };
        let is_stale = stale.is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
        let algorithm = algorithm.map_or(Some(Algorithm::Md5), Algorithm::lookup);
        Ok(Some(Self { realm, nonce, opaque, algorithm, qop, is_stale }))
    }

    /// Whether `qop=auth` is on offer; `None` when the challenge can only be answered by other means (`auth-int`).
    pub(super) fn wants_auth(&self) -> Option<bool> {
        let Some(qop) = self.qop else { return Some(false) };
        qop.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth")).then_some(true)
    }

    /// The header value.
    pub fn to_value(&self) -> String {
        let mut text = String::with_capacity(192);
        push_quoted(&mut text, "Digest realm", self.realm);
        push_quoted(&mut text, ", nonce", self.nonce);
        if let Some(opaque) = self.opaque {
            push_quoted(&mut text, ", opaque", opaque);
        }
        if self.is_stale {
            text.push_str(", stale=TRUE");
        }
        if let Some(algorithm) = self.algorithm {
            text.push_str(", algorithm=");
            text.push_str(algorithm.as_str());
        }
        if let Some(qop) = self.qop {
            push_quoted(&mut text, ", qop", qop);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_of_rfc_3261_section_20_44_is_read() {
        let value = "Digest realm=\"atlanta.com\", domain=\"sip:boxesbybob.com\", qop=\"auth\", \
                     nonce=\"f84f1cec41e6cbe5aea9c8e88d359\", opaque=\"\", stale=FALSE, algorithm=MD5";
        let challenge = Challenge::parse(value).expect("well-formed").expect("Digest");
        let wanted = Challenge {
            realm: "atlanta.com",
            nonce: "f84f1cec41e6cbe5aea9c8e88d359",
            opaque: Some(""),
            algorithm: Some(Algorithm::Md5),
            qop: Some("auth"),
            is_stale: false,
        };
        assert_eq!(challenge, wanted);
        assert_eq!(Challenge::parse(&challenge.to_value()), Ok(Some(challenge)));
    }

    #[test]
    fn defaults_and_strangers_are_told_apart() {
        let parse = |value| Challenge::parse(value).expect("well-formed").expect("Digest");
        let plain = parse("Digest realm=\"r\",nonce=\"n\"");
        assert_eq!((plain.algorithm, plain.wants_auth()), (Some(Algorithm::Md5), Some(false)));
        let odd = parse("Digest realm=\"r\",nonce=\"n\",algorithm=SHA-256-sess,qop=\"auth-int\",stale=true,x=y");
        assert_eq!((odd.algorithm, odd.wants_auth(), odd.is_stale), (None, None, true));
        assert_eq!(parse("Digest realm=r,nonce=n,qop=\"auth-int, AUTH\"").wants_auth(), Some(true));
        assert_eq!(Challenge::parse("Bearer authz_server=\"x\""), Ok(None));
        for bad in ["Digest realm=\"r\"", "Digest nonce=\"n\"", "Digest realm=\"r\",nonce=\"n\",nonce=\"m\""] {
            assert_eq!(Challenge::parse(bad), Err(ValueError::Syntax), "{bad}");
        }
    }
}
