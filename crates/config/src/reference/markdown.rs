//! The manual's tables of fields.

use std::fmt::Write as _;

use super::outline::{Field, Shape, fields};
use super::yaml::inline;

/// One table per section, in Markdown.
pub fn reference_markdown() -> String {
    let mut text = String::new();
    for field in fields() {
        section(&mut text, &field.name, &field);
    }
    text
}

/// Writes the table of `field` at `path`, and after it those of what it contains. Writing to a string does not fail.
fn section(text: &mut String, path: &str, field: &Field) {
    let (path, inner) = match &field.shape {
        Shape::Section(fields) => (path.to_owned(), fields),
        Shape::Rows(fields, _) => (format!("{path}[]"), fields),
        Shape::Value { .. } => return,
    };
    let _ = writeln!(text, "### `{path}`\n\n{}\n", field.meaning);
    let _ = writeln!(text, "| field | allowed | default | meaning |\n| --- | --- | --- | --- |");
    for field in inner {
        let Shape::Value { allowed, choices } = &field.shape else {
            let _ = writeln!(text, "| `{}` | see below | | {} |", field.name, cell(&field.meaning));
            continue;
        };
        let default = match (&field.default, field.required) {
            (Some(default), _) => format!("`{}`", inline(default)),
            (None, true) => "required".to_owned(),
            (None, false) => "none".to_owned(),
        };
        let mut meaning = cell(&field.meaning);
        for (name, what) in choices {
            let _ = write!(meaning, "<br>`{name}`: {}", cell(what));
        }
        let _ = writeln!(text, "| `{}` | {} | {default} | {meaning} |", field.name, cell(allowed));
    }
    text.push('\n');
    for field in inner {
        section(text, &format!("{path}.{}", field.name), field);
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
