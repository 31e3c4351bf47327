//! Header field names, their compact forms, and a table that finds them.

use core::fmt;

macro_rules! header_names {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $(/ $compact:literal)?;)*) => {
        /// A header field's name.
        ///
        /// The ones this crate or its users look at have a variant; all others are [`HeaderName::Other`], and their
        /// text is found in the message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum HeaderName {
            $(
                #[doc = concat!("`", $name, "`.")]
                $variant,
            )*
            /// A name without a variant here.
            Other,
        }

        /// Every name with a variant, in the order of the variants, then every compact form.
        const NAMES: &[(&str, HeaderName)] = &[
            $(($name, HeaderName::$variant),)*
            $($(($compact, HeaderName::$variant),)?)*
        ];

        impl HeaderName {
            /// The long form; empty for [`HeaderName::Other`].
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other => "",
                }
            }
        }
    };
}

header_names! {
    Accept = "Accept";
    AcceptContact = "Accept-Contact" / "a";
    AcceptEncoding = "Accept-Encoding";
    AcceptLanguage = "Accept-Language";
    AlertInfo = "Alert-Info";
    Allow = "Allow";
    AllowEvents = "Allow-Events" / "u";
    AuthenticationInfo = "Authentication-Info";
    Authorization = "Authorization";
    CallId = "Call-ID" / "i";
    CallInfo = "Call-Info";
    Contact = "Contact" / "m";
    ContentDisposition = "Content-Disposition";
    ContentEncoding = "Content-Encoding" / "e";
    ContentLanguage = "Content-Language";
    ContentLength = "Content-Length" / "l";
    ContentType = "Content-Type" / "c";
    CSeq = "CSeq";
    Date = "Date";
    Diversion = "Diversion";
    ErrorInfo = "Error-Info";
    Event = "Event" / "o";
    Expires = "Expires";
    From = "From" / "f";
    HistoryInfo = "History-Info";
    Identity = "Identity" / "y";
    InReplyTo = "In-Reply-To";
    MaxForwards = "Max-Forwards";
    MimeVersion = "MIME-Version";
    MinExpires = "Min-Expires";
    MinSe = "Min-SE";
    Organization = "Organization";
    PAssertedIdentity = "P-Asserted-Identity";
    PPreferredIdentity = "P-Preferred-Identity";
    Path = "Path";
    Priority = "Priority";
    Privacy = "Privacy";
    ProxyAuthenticate = "Proxy-Authenticate";
    ProxyAuthorization = "Proxy-Authorization";
    ProxyRequire = "Proxy-Require";
    RAck = "RAck";
    RSeq = "RSeq";
    Reason = "Reason";
    RecordRoute = "Record-Route";
    ReferTo = "Refer-To" / "r";
    ReferredBy = "Referred-By" / "b";
    RejectContact = "Reject-Contact" / "j";
    Replaces = "Replaces";
    ReplyTo = "Reply-To";
    RequestDisposition = "Request-Disposition" / "d";
    Require = "Require";
    RetryAfter = "Retry-After";
    Route = "Route";
    Server = "Server";
    ServiceRoute = "Service-Route";
    SessionExpires = "Session-Expires" / "x";
    SipEtag = "SIP-ETag";
    SipIfMatch = "SIP-If-Match";
    Subject = "Subject" / "s";
    SubscriptionState = "Subscription-State";
    Supported = "Supported" / "k";
    Timestamp = "Timestamp";
    To = "To" / "t";
    Unsupported = "Unsupported";
    UserAgent = "User-Agent";
    Via = "Via" / "v";
    Warning = "Warning";
    WwwAuthenticate = "WWW-Authenticate";
}

/// Slots of the hash table below; a power of two, about three times the number of names.
const SLOTS: usize = 256;
const EMPTY: u8 = u8::MAX;

/// Open addressing over [`NAMES`], laid out at compile time.
const TABLE: [u8; SLOTS] = {
    let mut table = [EMPTY; SLOTS];
    let mut i = 0;
    while i < NAMES.len() {
        let mut slot = hash(NAMES[i].0.as_bytes());
        while table[slot] != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = i as u8;
        i += 1;
    }
    table
};

/// First, middle and last letter without case, and the length. `name` is not empty.
const fn hash(name: &[u8]) -> usize {
    let first = (name[0] | 0x20) as usize;
    let middle = (name[name.len() / 2] | 0x20) as usize;
    let last = (name[name.len() - 1] | 0x20) as usize;
    (first.wrapping_mul(7) ^ middle.wrapping_mul(31) ^ last.wrapping_mul(67) ^ name.len().wrapping_mul(13)) % SLOTS
}

impl HeaderName {
    /// The name that `text` stands for, long or compact, in any case (RFC 3261 section 7.3.1).
    pub fn lookup(text: &str) -> Self {
        if text.is_empty() {
            return Self::Other;
        }
        let mut slot = hash(text.as_bytes());
        while TABLE[slot] != EMPTY {
            let (name, id) = NAMES[usize::from(TABLE[slot])];
            if name.eq_ignore_ascii_case(text) {
                return id;
            }
            slot = (slot + 1) % SLOTS;
        }
        Self::Other
    }

    /// Whether a message may carry this header only once. A second one leaves the message without a meaning
    /// (RFC 3261 section 7.3.1; RFC 4475 section 3.3.8).
    pub const fn is_single(self) -> bool {
        matches!(
            self,
            Self::CallId
                | Self::ContentLength
                | Self::ContentType
                | Self::CSeq
                | Self::From
                | Self::MaxForwards
                | Self::To
        )
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Other) { "extension header" } else { self.as_str() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_every_case() {
        for &(text, id) in NAMES {
            assert_eq!(HeaderName::lookup(text), id, "{text}");
            assert_eq!(HeaderName::lookup(&text.to_ascii_uppercase()), id, "{text}");
            assert_eq!(HeaderName::lookup(&text.to_ascii_lowercase()), id, "{text}");
        }
        for stranger in ["", "Viaa", "C%6Fntact", "Foobar", "z", "Xyzzy-2"] {
            assert_eq!(HeaderName::lookup(stranger), HeaderName::Other, "{stranger}");
        }
    }

    #[test]
    fn a_lookup_seldom_probes_far() {
        let mut longest = 0;
        for &(text, _) in NAMES {
            let mut slot = hash(text.as_bytes());
            let mut probes = 1;
            while NAMES[usize::from(TABLE[slot])].0 != text {
                slot = (slot + 1) % SLOTS;
                probes += 1;
            }
            longest = longest.max(probes);
        }
        assert!(longest <= 6, "{longest}");
    }
}
