//! From a file to a [`Config`] or to the list of what is wrong with it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_saphyr::path_map::{PathKey, PathKind};
use serde_saphyr::{Error as YamlError, Location, Locations};

use crate::check::Document;
use crate::document::Config;
use crate::problem::Problem;

/// The longest file that is read, in octets.
pub const MAX_FILE_BYTES: usize = 4 << 20;
/// Longer source lines are not shown.
const MAX_SHOWN_LINE: usize = 200;

/// Why there is no [`Config`].
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file is longer than [`MAX_FILE_BYTES`].
    #[error("{}: longer than {} MiB, which is no configuration file", path.display(), MAX_FILE_BYTES >> 20)]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// What the file says is wrong; never empty.
    #[error("{}", join(problems))]
    Invalid {
        /// Everything that was found.
        problems: Vec<Problem>,
    },
}

fn join(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads and checks a file.
///
/// # Errors
/// It cannot be read, is too long, or says something that is not allowed.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(LoadError::TooLong { path: path.to_owned() });
    }
    let file = path.display().to_string();
    match String::from_utf8(bytes) {
        Ok(text) => parse(&file, &text).map_err(|problems| LoadError::Invalid { problems }),
        Err(error) => {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            let message = "not UTF-8".to_owned();
            let problem = Problem { file, line, column: 1, field: String::new(), message, source_line: None };
            Err(LoadError::Invalid { problems: vec![problem] })
        }
    }
}

/// Checks the text of a file; `file` is what problems call it.
///
/// # Errors
/// Everything found to be wrong; never empty. What YAML or the types refuse ends the search, so that it comes alone.
pub fn parse(file: &str, text: &str) -> Result<Config, Vec<Problem>> {
    let options = || {
        serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_documents: 1, max_depth: 32 },
            strict_booleans: true,
            with_snippet: false,
        }
    };
    let error = match serde_saphyr::from_str_with_options_valid::<Document>(text, options()) {
        Ok(Document(config)) => return Ok(config),
        Err(error) => error,
    };
    let source = Source { file, text };
    match error.without_snippet() {
        YamlError::ValidationError { issues, locations, .. } => {
            let root = locations.locations_for(&PathKey::new());
            let problems = issues.iter().map(|issue| {
                let place = locations.locations_for(&issue.path).filter(|place| Some(*place) != root);
                let message = issue.message.clone().unwrap_or_else(|| issue.code.clone());
                source.problem(place.and_then(Locations::primary_location), &path_text(&issue.path), message)
            });
            Err(problems.collect())
        }
        other => {
            let field = path_of_serde_error(text, options());
            Err(vec![source.problem(other.location(), &field, explain(other))])
        }
    }
}

/// What is being read.
struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn problem(&self, place: Option<Location>, field: &str, message: String) -> Problem {
        let (line, column) = place.map_or((0, 0), |place| (place.line(), place.column()));
        let source_line = usize::try_from(line)
            .ok()
            .and_then(|line| self.text.lines().nth(line.checked_sub(1)?))
            .filter(|text| text.len() <= MAX_SHOWN_LINE)
            .map(|text| text.replace('\t', " "));
        Problem { file: self.file.to_owned(), line, column, field: field.to_owned(), message, source_line }
    }
}

/// A path as people write it: `routes[1].peer`.
fn path_text(path: &PathKey) -> String {
    let mut text = String::new();
    for (kind, step) in path.segments() {
        // Writing to a string does not fail.
        let _ = match kind {
            PathKind::Index => write!(text, "[{step}]"),
            PathKind::Key if text.is_empty() => write!(text, "{step}"),
            PathKind::Key => write!(text, ".{step}"),
        };
    }
    text
}

/// Where in the types parsing stopped. The file is read a second time for it, which only a wrong one is.
fn path_of_serde_error(text: &str, options: serde_saphyr::Options) -> String {
    let mut field = String::new();
    let reread: Result<(), YamlError> = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
        serde_path_to_error::deserialize::<_, Config>(yaml).map(drop).map_err(|error| {
            let path = error.path().to_string();
            // The last step is not known where the key itself is at fault.
            field = path.trim_end_matches(['.', '?']).to_owned();
            error.into_inner()
        })
    });
    drop(reread);
    field
}

/// What is wrong and what is allowed, in the words of someone who edits the file.
fn explain(error: &YamlError) -> String {
    match error {
        YamlError::SerdeUnknownField { field, expected, .. } => {
            format!("unknown field `{field}`; allowed here: {}", expected.join(", "))
        }
        YamlError::SerdeUnknownVariant { variant, expected, .. } => {
            format!("`{variant}` is not possible here; allowed: {}", expected.join(", "))
        }
        YamlError::SerdeMissingField { field, .. } => format!("the field `{field}` is missing"),
        YamlError::DuplicateMappingKey { key: Some(key), .. } => format!("`{key}` was said already"),
        YamlError::InvalidScalar { ty, .. } => format!("not {}", scalar(ty)),
        YamlError::InvalidBooleanStrict { .. } => "neither true nor false".to_owned(),
        YamlError::NullIntoString { .. } => "a value is missing".to_owned(),
        YamlError::SerdeInvalidType { unexpected, expected, .. }
        | YamlError::SerdeInvalidValue { unexpected, expected, .. } => format!("{unexpected}; wanted is {expected}"),
        other => {
            let message = other.render_with_formatter(&serde_saphyr::UserMessageFormatter);
            let Some(place) = other.location() else { return message };
            let said_twice = format!(" at line {}, column {}", place.line(), place.column());
            message.strip_suffix(&said_twice).unwrap_or(&message).to_owned()
        }
    }
}

/// A Rust type's name as a person would say it.
fn scalar(ty: &str) -> String {
    let most: u64 = match ty {
        "u8" => u8::MAX.into(),
        "u16" => u16::MAX.into(),
        "u32" => u32::MAX.into(),
        _ => return format!("a {ty}"),
    };
    format!("a whole number from 0 to {most}")
}
