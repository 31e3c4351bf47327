//! Pages for people: HTML that needs nothing but itself.

mod plot;
mod report;
mod tables;

use std::fmt::Write as _;

pub use report::report_page;
pub(crate) use report::{limit_text, machine_name};
pub use tables::{comparison_page, sizing_page};

const STYLE: &str = include_str!("style.css");

/// A whole page. `heading` and `aside` are text, `body` is HTML.
fn document(heading: &str, aside: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<header class=\"top\"><h1>{title}</h1><p>{aside}</p></header>\n\
         {body}</main>\n</body>\n</html>\n",
        title = escape(heading),
        aside = escape(aside),
    )
}

/// Text as it may stand in HTML, in an attribute too.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A whole number with its thousands apart.
pub(crate) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with three significant digits.
pub(crate) fn short(number: f64) -> String {
    let size = number.abs();
    match size {
        _ if number == 0.0 => "0".to_owned(),
        _ if size >= 999.5 => whole(number.round() as u64),
        _ if size >= 99.5 => format!("{number:.0}"),
        _ if size >= 9.95 => trim(format!("{number:.1}")),
        _ if size >= 0.1 => trim(format!("{number:.2}")),
        _ if size >= 0.001 => trim(format!("{number:.4}")),
        _ => format!("{number:.1e}"),
    }
}

/// Without zeros behind the point.
fn trim(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Microseconds in the unit that suits them.
pub(crate) fn micros(us: f64) -> String {
    match us {
        _ if us >= 1e6 => format!("{} s", short(us / 1e6)),
        _ if us >= 1e3 => format!("{} ms", short(us / 1e3)),
        _ if us < 1.0 && us > 0.0 => format!("{} ns", short(us * 1e3)),
        _ => format!("{} µs", short(us)),
    }
}

/// Seconds as people say them.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{} s", short(seconds)),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// A list of facts; those without a value are left out.
fn facts(rows: &[(&str, String)]) -> String {
    let mut html = "<dl class=\"facts\">".to_owned();
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a string does not fail.
        let _ = write!(html, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    }
    html + "</dl>\n"
}

/// A key of colours.
fn key(entries: &[(&str, &str)]) -> String {
    let mut html = "<div class=\"key\">".to_owned();
    for (colour, name) in entries {
        let _ = write!(html, "<span><i class=\"k-{colour}\"></i>{}</span>", escape(name));
    }
    html + "</div>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(whole), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.5, 12.34, 123.4, 61_000.2].map(short), ["0", "0.5", "12.3", "123", "61,000"]);
        assert_eq!([0.25, 61.5, 2000.0, 1.5e6].map(micros), ["250 ns", "61.5 µs", "2 ms", "1.5 s"]);
        assert_eq!([12.0, 75.0, 3700.0].map(duration), ["12 s", "1 min 15 s", "1 h 01 min"]);
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }
}
