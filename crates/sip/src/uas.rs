//! What a user agent server checks before it looks at what a request is about (RFC 3261 section 8.2).

use crate::header::MediaType;
use crate::{BuildError, HeaderName, Method, Request, Response, ResponseBuilder, StatusCode};

/// What this user agent understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities<'a> {
    /// Methods that may be sent to it, ACK and CANCEL included.
    pub methods: &'a [Method],
    /// Option tags of Require, for instance `timer`.
    pub option_tags: &'a [&'a str],
    /// Types of bodies, for instance `application/sdp`.
    pub content_types: &'a [&'a str],
}

/// Why a request goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    reason: Option<&'static str>,
    header: Option<(HeaderName, String)>,
}

impl Refusal {
    const fn new(status: StatusCode) -> Self {
        Self { status, reason: None, header: None }
    }

    fn bad(reason: &'static str) -> Self {
        Self { reason: Some(reason), ..Self::new(StatusCode::BAD_REQUEST) }
    }

    fn with(status: StatusCode, name: HeaderName, value: String) -> Self {
        Self { header: Some((name, value)), ..Self::new(status) }
    }

    /// The status of the response.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The response.
    ///
    /// # Errors
    ///
    /// When `to_tag` is malformed.
    pub fn response(&self, request: &Request, to_tag: &str) -> Result<Response, BuildError> {
        let mut response = ResponseBuilder::new(request, self.status).to_tag(to_tag);
        if let Some(reason) = self.reason {
            response = response.reason(reason);
        }
        if let Some((name, value)) = &self.header {
            response = response.header(*name, value);
        }
        response.build()
    }
}

/// All the checks below, in the order of RFC 3261 section 8.2. ACK is never refused (section 8.1.3.2 gives it no
/// response), CANCEL only looked at where section 9.2 says so.
///
/// # Errors
///
/// The response to give.
pub fn check(request: &Request, capabilities: &Capabilities<'_>) -> Result<(), Refusal> {
    if *request.method() == Method::Ack {
        return Ok(());
    }
    check_method(request, capabilities.methods)?;
    check_uri_scheme(request)?;
    check_max_forwards(request)?;
    check_addresses(request)?;
    if *request.method() == Method::Cancel {
        return Ok(());
    }
    check_require(request, capabilities.option_tags)?;
    check_content(request, capabilities.content_types)
}

/// Section 8.2.1: 405 with Allow.
///
/// # Errors
///
/// The response to give.
pub fn check_method(request: &Request, methods: &[Method]) -> Result<(), Refusal> {
    if methods.contains(request.method()) {
        return Ok(());
    }
    let allow: Vec<_> = methods.iter().map(Method::as_str).collect();
    // A method that nobody knows is not implemented (section 21.5.2), one that is known is not allowed (section 21.4.6).
    let status = match request.method() {
        Method::Other(_) => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::METHOD_NOT_ALLOWED,
    };
    Err(Refusal::with(status, HeaderName::Allow, allow.join(", ")))
}

/// Section 8.2.2.1: 416 for what is neither `sip`, `sips` nor `tel`.
///
/// # Errors
///
/// The response to give.
pub fn check_uri_scheme(request: &Request) -> Result<(), Refusal> {
    match request.uri().scheme() {
        crate::Scheme::Other => Err(Refusal::new(StatusCode::UNSUPPORTED_URI_SCHEME)),
        _ => Ok(()),
    }
}

/// Section 16.3 step 3: 483 for a request that has come to the end of its hops. A back-to-back user agent forwards too, and
/// without this a routing loop through it never ends; OPTIONS is answered here (section 11).
///
/// # Errors
///
/// The response to give.
pub fn check_max_forwards(request: &Request) -> Result<(), Refusal> {
    if request.max_forwards() == Some(0) && *request.method() != Method::Options {
        return Err(Refusal::new(StatusCode::TOO_MANY_HOPS));
    }
    Ok(())
}

/// Addresses that are needed later: every Via, Contact, Route and Record-Route is well-formed, and a request that creates a
/// dialog says where its sender is reached (section 8.1.1.8).
///
/// # Errors
///
/// The response to give.
pub fn check_addresses(request: &Request) -> Result<(), Refusal> {
    if request.vias().any(|via| via.is_err()) {
        return Err(Refusal::bad("Bad Request - Via: malformed"));
    }
    if request.contacts().any(|contact| contact.is_err()) {
        return Err(Refusal::bad("Bad Request - Contact: malformed"));
    }
    if request.routes().any(|route| route.is_err()) {
        return Err(Refusal::bad("Bad Request - Route: malformed"));
    }
    if request.record_routes().any(|route| route.is_err()) {
        return Err(Refusal::bad("Bad Request - Record-Route: malformed"));
    }
    Ok(())
}

/// Section 8.2.2.3: 420 with Unsupported, naming what is not understood.
///
/// # Errors
///
/// The response to give.
pub fn check_require(request: &Request, option_tags: &[&str]) -> Result<(), Refusal> {
    let unknown: Vec<_> =
        request.require().filter(|tag| !option_tags.iter().any(|known| known.eq_ignore_ascii_case(tag))).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Refusal::with(StatusCode::BAD_EXTENSION, HeaderName::Unsupported, unknown.join(", ")))
}

/// Section 8.2.3: 415 with Accept or Accept-Encoding, unless the body may be ignored (`handling=optional`).
///
/// # Errors
///
/// The response to give.
pub fn check_content(request: &Request, content_types: &[&str]) -> Result<(), Refusal> {
    if request.body().is_empty() {
        return Ok(());
    }
    let disposition = request.value(HeaderName::ContentDisposition).unwrap_or_default().to_ascii_lowercase();
    if disposition.split(';').skip(1).any(|param| param.replace([' ', '\t'], "") == "handling=optional") {
        return Ok(());
    }
    let encoded = |value: &str| !value.is_empty() && !value.eq_ignore_ascii_case("identity");
    if request.elements(HeaderName::ContentEncoding).any(encoded) {
        let identity = "identity".to_owned();
        return Err(Refusal::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, HeaderName::AcceptEncoding, identity));
    }
    let Some(content_type) = request.value(HeaderName::ContentType) else {
        return Err(Refusal::bad("Bad Request - Content-Type: missing"));
    };
    let Ok(media) = MediaType::parse(content_type) else {
        return Err(Refusal::bad("Bad Request - Content-Type: malformed"));
    };
    if content_types.iter().any(|known| media.is(known)) {
        return Ok(());
    }
    Err(Refusal::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, HeaderName::Accept, content_types.join(", ")))
}
