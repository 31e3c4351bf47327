//! Comma-separated values (RFC 3261 section 7.3.1).

use crate::scan;

/// The elements of a comma-separated header value, trimmed. Commas inside quoted strings and angle brackets separate
/// nothing. An empty element is handed out as such, so that the view made from it objects.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: Option<&'a str>,
}

impl<'a> Elements<'a> {
    /// The elements of `value`; none when it is empty.
    pub fn new(value: &'a str) -> Self {
        Self { rest: (!scan::trim(value).is_empty()).then_some(value) }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest?;
        let bytes = text.as_bytes();
        let mut at = 0;
        let mut in_angles = false;
        while at < bytes.len() {
            match bytes[at] {
                b',' if !in_angles => {
                    self.rest = Some(&text[at + 1..]);
                    return Some(scan::trim(&text[..at]));
                }
                b'<' => in_angles = true,
                b'>' => in_angles = false,
                b'"' if !in_angles => {
                    // An unbalanced quote swallows the rest; the view made of it will object.
                    at = scan::take_quoted(&text[at..]).map_or(bytes.len(), |(quoted, _)| at + quoted.len());
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        self.rest = None;
        Some(scan::trim(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_and_angles_do_not_separate() {
        let all: Vec<_> = Elements::new(r#" "a,\",b" <sip:a,b@c>;x="1,2" , <sip:d> ,e"#).collect();
        assert_eq!(all, [r#""a,\",b" <sip:a,b@c>;x="1,2""#, "<sip:d>", "e"]);
        assert_eq!(Elements::new(" ").count(), 0);
        assert_eq!(Elements::new("a,,b,").collect::<Vec<_>>(), ["a", "", "b", ""]);
        assert_eq!(Elements::new("\"open, b").collect::<Vec<_>>(), ["\"open, b"]);
    }
}
