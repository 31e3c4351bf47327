//! One thing that is wrong with a file, told so that it can be mended.

use std::fmt;

/// One thing that is wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Line, counted from 1; 0 where the problem has no place in the file.
    pub line: u64,
    /// Column in characters, counted from 1.
    pub column: u64,
    /// The field, as in `routes[1].peer`; empty where none is concerned.
    pub field: String,
    /// What is wrong and what is allowed.
    pub message: String,
    /// The line's text.
    pub source_line: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(text) = &self.source_line {
            let column = usize::try_from(self.column).unwrap_or(1).max(1);
            write!(f, "\n{:5} | {text}\n      | {:>column$}", self.line, '^')?;
        }
        Ok(())
    }
}
