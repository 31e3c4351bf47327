//! `*( SEMI name [ EQUAL value ] )`, of headers and of URIs.

use crate::ValueError;
use crate::scan;

/// Parameters whose grammar has been checked; text from the first semicolon on, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a> {
    text: &'a str,
}

/// One parameter. The value of a quoted string keeps its quotes, see [`Param::unquoted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name, as written.
    pub name: &'a str,
    /// The value, as written.
    pub value: Option<&'a str>,
}

impl<'a> Param<'a> {
    /// The value, and when it is a quoted string what is between the quotes, quoted pairs left as they are.
    pub fn unquoted(&self) -> Option<&'a str> {
        let value = self.value?;
        Some(value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value))
    }
}

impl<'a> Params<'a> {
    /// Checks header parameters: `generic-param` of RFC 3261 section 25.1, white space around `;` and `=` allowed.
    pub fn parse(text: &'a str) -> Result<Self, ValueError> {
        let text = scan::trim(text);
        let mut rest = text;
        while !rest.is_empty() {
            rest = scan::trim_start(rest.strip_prefix(';').ok_or(ValueError::Syntax)?);
            let (name, behind) = scan::take(rest, scan::TOKEN);
            if name.is_empty() {
                return Err(ValueError::Syntax);
            }
            rest = scan::trim_start(behind);
            if let Some(behind) = rest.strip_prefix('=') {
                rest = scan::trim_start(take_value(scan::trim_start(behind))?.1);
            }
        }
        Ok(Self { text })
    }

    /// Checks URI parameters: no white space, no quotes, `%HH` escapes (`uri-parameters`).
    pub(crate) fn parse_uri(text: &'a str) -> Result<Self, ValueError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        for param in text.strip_prefix(';').ok_or(ValueError::Syntax)?.split(';') {
            let (name, value) = param.split_once('=').map_or((param, None), |(name, value)| (name, Some(value)));
            let ok = |part: &str| !part.is_empty() && scan::all_or_escaped(part, scan::PARAM);
            // Proxies keep Base64 with its "=" in their Record-Route; nothing is ambiguous about that.
            if !ok(name) || !value.is_none_or(|value| ok(value.trim_end_matches('='))) {
                return Err(ValueError::Syntax);
            }
        }
        Ok(Self { text })
    }

    /// Text that was checked when it was indexed.
    pub(crate) const fn checked(text: &'a str) -> Self {
        Self { text }
    }

    /// The parameters as written, from the first semicolon on.
    pub const fn as_str(&self) -> &'a str {
        self.text
    }

    /// The parameters in their order.
    pub fn iter(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        let mut rest = self.text;
        core::iter::from_fn(move || {
            rest = scan::trim_start(rest.strip_prefix(';')?);
            let end = rest.bytes().position(|b| matches!(b, b'=' | b';' | b' ' | b'\t')).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            rest = scan::trim_start(behind);
            let mut value = None;
            if let Some(behind) = rest.strip_prefix('=') {
                let behind = scan::trim_start(behind);
                let (text, behind) = if behind.starts_with('"') {
                    scan::take_quoted(behind).unwrap_or((behind, ""))
                } else {
                    behind
                        .split_at(behind.bytes().position(|b| matches!(b, b';' | b' ' | b'\t')).unwrap_or(behind.len()))
                };
                value = Some(text);
                rest = scan::trim_start(behind);
            }
            Some(Param { name, value })
        })
    }

    /// The first parameter called `name`, in any case.
    pub fn get(&self, name: &str) -> Option<Param<'a>> {
        // Most headers carry one or two parameters and are asked for one: a scan beats any table.
        self.iter().find(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// The value of the parameter called `name`, if it has one.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.value
    }

    /// Whether a parameter is called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// `gen-value = token / host / quoted-string`, split off the front of `text`.
fn take_value(text: &str) -> Result<(&str, &str), ValueError> {
    if text.starts_with('"') {
        return scan::take_quoted(text).ok_or(ValueError::Syntax);
    }
    let (token, rest) = scan::take(text, scan::TOKEN);
    // A host may be an IPv6 reference, which is no token; `received` and `maddr` also come without the brackets, and
    // some peers write URIs and ports unquoted. Whatever holds no separator of lists or parameters is let through.
    let extra = rest.bytes().position(|b| !(scan::is(b, scan::TOKEN) || matches!(b, b'[' | b']' | b':' | b'/' | b'@')));
    let (value, rest) = text.split_at(token.len() + extra.unwrap_or(rest.len()));
    if value.is_empty() { Err(ValueError::Syntax) } else { Ok((value, rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_separators_is_ignored() {
        let params = Params::parse(r#" ; tag    = 98asjd8 ;q="a;b=\"c" ;flag ; last="#);
        assert_eq!(params, Err(ValueError::Syntax));
        let params = Params::parse(r#" ; tag    = 98asjd8 ;q="a;b=\"c" ;flag"#).expect("parameters");
        assert_eq!(params.value("TAG"), Some("98asjd8"));
        assert_eq!(params.get("q").and_then(|p| p.unquoted()), Some(r#"a;b=\"c"#));
        assert_eq!(params.get("flag"), Some(Param { name: "flag", value: None }));
        assert_eq!(params.iter().count(), 3);
    }

    #[test]
    fn empty_parameters_are_refused() {
        for bad in [";;", ";", ";a=;b", ";a b", "a", ";a=\"", ";=b"] {
            assert_eq!(Params::parse(bad), Err(ValueError::Syntax), "{bad}");
        }
        for bad in [";", ";;", ";a=", ";a b", ";%zz", ";a=b=c", ";a=="] {
            assert_eq!(Params::parse_uri(bad), Err(ValueError::Syntax), "{bad}");
        }
    }

    #[test]
    fn base64_in_uri_parameters_is_let_through() {
        let params = Params::parse_uri(";lr;vsf=AAAA==").expect("parameters");
        assert_eq!(params.value("vsf"), Some("AAAA=="));
    }

    #[test]
    fn ipv6_values_are_read_with_and_without_brackets() {
        let params = Params::parse(";received=2001:db8::1;maddr=[2001:db8::2]").expect("parameters");
        assert_eq!(params.value("received"), Some("2001:db8::1"));
        assert_eq!(params.value("maddr"), Some("[2001:db8::2]"));
    }
}
