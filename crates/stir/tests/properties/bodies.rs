//! What holds for any octets; shared by property tests and fuzzing.

use tandem_stir::{Authority, Call, Certificates, Identity, IdentityHeader, verify};

/// Whatever an `Identity` header holds, it is read or refused, and without a certificate it vouches for nobody.
pub fn header(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    if let Ok(read) = IdentityHeader::parse(&text) {
        assert!(!read.info.is_empty() && !read.signature.is_empty());
        assert_eq!(read.is_compact(), read.claims.is_empty());
    }
    let number = |text: &str| [Identity::of(text, "example.com", Some("1"))];
    let (origins, destinations) = (number("+12155551212"), number("+12155551213"));
    let call = Call { origins: &origins, destinations: &destinations, date: Some(1), now: 1, freshness_s: 60 };
    let failure = verify(&text, &call, &mut Certificates::default()).expect_err("nobody is believed");
    assert!(matches!(failure.status(), 403 | 436 | 437 | 438));
    // What is one number is itself again.
    if let Identity::Number(number) = Identity::of(&text, "example.com", None) {
        assert_eq!(Identity::of(&number, "elsewhere", None), Identity::Number(number.clone()));
    }
}

/// Whatever a certificate is, its list is read or refused, and one that is read covers somebody or names a provider.
pub fn certificate(octets: &[u8]) {
    if let Ok(Some(authority)) = Authority::of_certificate(octets) {
        let provider = authority.service_provider().map(str::to_owned);
        assert_eq!(authority.covers(&Identity::Uri("sip:a@b".to_owned())), provider.is_some());
    }
}
