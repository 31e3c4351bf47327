//! `configs/reference.yaml`: every field with its meaning and its default or an example.

use std::fmt::Write as _;

use serde_json::Value;

use super::outline::{Field, Shape, fields};

/// Width that comments are wrapped to.
const WIDTH: usize = 110;

/// A file with every field: commented, with its default where it has one and an example where it has none.
pub fn reference_yaml() -> String {
    let mut page = Page { text: String::new() };
    page.comment(
        0,
        "Every field of Tandem's configuration, with its default or, where there is none, an example. \
         Fields marked as required must be there; whatever else is left out has its default. \
         Made by `tandem docs reference`.",
    );
    page.text.push_str("# yaml-language-server: $schema=tandem.schema.json\n");
    for field in fields() {
        page.text.push('\n');
        page.field(0, &field);
    }
    page.text
}

struct Page {
    text: String,
}

impl Page {
    fn comment(&mut self, indent: usize, words: &str) {
        self.wrapped(indent, "#", words);
    }

    fn wrapped(&mut self, indent: usize, start: &str, words: &str) {
        let mut line = start.to_owned();
        for word in words.split_whitespace() {
            if line.len() > start.len() && indent + line.len() + 1 + word.len() > WIDTH {
                self.line(indent, &line);
                line.truncate(start.len());
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(indent, &line);
    }

    fn line(&mut self, indent: usize, text: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{:indent$}{text}", "");
    }

    /// Makes comments of the lines from `start` on.
    fn comment_out(&mut self, start: usize, indent: usize) {
        let lines = self.text.split_off(start);
        for line in lines.lines() {
            let text = line.get(indent..).unwrap_or_default();
            self.line(indent, &format!("# {text}"));
        }
    }

    fn field(&mut self, indent: usize, field: &Field) {
        self.comment(indent, &field.meaning);
        match &field.shape {
            Shape::Section(fields) => {
                let start = self.text.len();
                self.line(indent, &format!("{}:", field.name));
                fields.iter().for_each(|field| self.field(indent + 2, field));
                if !field.required && field.default.is_none() {
                    self.comment_out(start, indent);
                }
            }
            Shape::Rows(fields, least) => {
                self.line(indent, if field.required { "# Required: at least one." } else { "# None by default." });
                let header = self.text.len();
                self.line(indent, &format!("{}:", field.name));
                let start = self.text.len();
                fields.iter().for_each(|field| self.field(indent + 4, field));
                // The first line of a row carries its dash.
                let dash = start + indent + 2;
                self.text.replace_range(dash..dash + 1, "-");
                if !field.required && *least > 1 {
                    // One alone would be wrong.
                    self.comment_out(header, indent);
                }
            }
            Shape::Value { allowed, choices } => {
                for (name, meaning) in choices {
                    self.wrapped(indent, "#  ", &format!("{name}: {meaning}"));
                }
                let standing = if field.required { "; required" } else { "" };
                self.comment(indent, &format!("({allowed}{standing})"));
                let (value, mark) = match (&field.default, &field.example) {
                    (Some(default), _) => (default, ""),
                    (None, Some(example)) => (example, if field.required || field.usual { "" } else { "# " }),
                    (None, None) => (&Value::Null, "# "),
                };
                self.line(indent, &format!("{mark}{}: {}", field.name, inline(value)));
            }
        }
    }
}

/// A value on one line of YAML.
pub(super) fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a text stands for itself without quotes, also inside `[]`.
fn is_plain(text: &str) -> bool {
    let harmless = |b: u8| b.is_ascii_alphanumeric() || b"/._-:".contains(&b);
    text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric() || first == b'/')
        && text.bytes().all(harmless)
        && !text.ends_with(':')
        && !matches!(text, "on" | "off" | "yes" | "no" | "true" | "false" | "null")
}
