//! `tandem codec conformance`: every ITU-T vector below a folder, at every level of this machine.
//!
//! Files are known by the names that ITU-T gives them, in whatever folder they lie. A codec with state runs each vector as several calls at
//! once that are a few frames apart, so that every lane holds another moment of it; all of them must come out right.

mod folder;
mod g711;
mod g722;
mod g729;

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use tandem_codec::Level;

use super::error::CodecError;
use folder::Folder;

/// One expected file compared with what was made.
struct Comparison {
    /// The expected file.
    file: PathBuf,
    operation: &'static str,
    level: Level,
    /// Frames, or samples where there are none.
    frames: usize,
    /// Where and how the first difference is, if there is one.
    difference: Option<String>,
}

/// What the recognisers of one level add to.
struct Report {
    level: Level,
    comparisons: Vec<Comparison>,
}

impl Report {
    /// Compares one output, in `unit`s that `per_frame` make a frame.
    fn compare<T: PartialEq + Copy + fmt::LowerHex>(&mut self, work: &Work<'_>, actual: &[T], expected: &[T]) {
        self.compare_calls(work, std::slice::from_ref(&actual), expected);
    }

    /// Compares the outputs of several calls with the same expected one.
    fn compare_calls<T, C>(&mut self, work: &Work<'_>, calls: &[C], expected: &[T])
    where
        T: PartialEq + Copy + fmt::LowerHex,
        C: AsRef<[T]>,
    {
        let difference = calls.iter().enumerate().find_map(|(call, actual)| {
            let (at, actual, expected) = first_difference(actual.as_ref(), expected)?;
            let show = |value: Option<T>| value.map_or("nothing".to_owned(), |value| format!("{value:#x}"));
            let frame = at / work.per_frame;
            let (actual, expected) = (show(actual), show(expected));
            Some(format!("frame {frame}, {} {at}: {actual}, not {expected} (call {call})", work.unit))
        });
        self.comparisons.push(Comparison {
            file: work.file.clone(),
            operation: work.operation,
            level: self.level,
            frames: expected.len() / work.per_frame,
            difference,
        });
    }
}

/// What is compared.
struct Work<'a> {
    file: PathBuf,
    operation: &'static str,
    /// What the elements are.
    unit: &'a str,
    per_frame: usize,
}

type Difference<T> = (usize, Option<T>, Option<T>);

/// The first place where two sequences differ; a missing element is a difference.
fn first_difference<T: PartialEq + Copy>(actual: &[T], expected: &[T]) -> Option<Difference<T>> {
    let at = |i: usize| (i, actual.get(i).copied(), expected.get(i).copied());
    (0..actual.len().max(expected.len())).map(at).find(|(_, actual, expected)| actual != expected)
}

/// Runs all that is known and prints the table.
pub(super) fn run(path: &Path, level: Option<Level>) -> Result<(), CodecError> {
    let folders = Folder::all_below(path)?;
    let mut comparisons = Vec::new();
    for level in Level::available().filter(|available| level.is_none_or(|level| level == *available)) {
        for folder in &folders {
            let mut report = Report { level, comparisons: Vec::new() };
            g711::compare(folder, &mut report)?;
            g722::compare(folder, &mut report)?;
            g729::compare(folder, &mut report)?;
            comparisons.append(&mut report.comparisons);
        }
    }
    if comparisons.is_empty() {
        return Err(CodecError::NothingFound { path: path.to_owned() });
    }
    // Stable: the levels of one comparison stay in their order.
    comparisons.sort_by(|a, b| (&a.file, a.operation).cmp(&(&b.file, b.operation)));
    print(path, &comparisons);
    let (total, count) = (comparisons.len(), comparisons.iter().filter(|one| one.difference.is_some()).count());
    if count > 0 { Err(CodecError::Different { count, total }) } else { Ok(()) }
}

fn print(root: &Path, comparisons: &[Comparison]) {
    let name =
        |comparison: &Comparison| comparison.file.strip_prefix(root).unwrap_or(&comparison.file).display().to_string();
    let width = comparisons.iter().map(|comparison| name(comparison).len()).max().unwrap_or(0).max(4);
    let row = |file: &dyn Display, operation: &str, level: &str, frames: &dyn Display, result: &str| {
        println!("{file:width$}  {operation:28}  {level:11}  {frames:>7}  {result}");
    };
    row(&"file", "operation", "level", &"frames", "first difference");
    for comparison in comparisons {
        let result = comparison.difference.as_deref().unwrap_or("exact");
        row(&name(comparison), comparison.operation, comparison.level.name(), &comparison.frames, result);
    }
}

/// Calls that run a vector side by side: more than any vector has lanes, or few where there is one lane.
fn calls(level: Level) -> usize {
    if level == Level::Scalar { 2 } else { 35 }
}

/// Runs `calls` calls of `packets` packets each, call `c` beginning `c % 5` turns late. `each` gets the packets that are due in one turn, as
/// (call, packet).
fn in_turns<E>(
    calls: usize,
    packets: usize,
    mut each: impl FnMut(&[(usize, usize)]) -> Result<(), E>,
) -> Result<(), E> {
    for turn in 0..packets + 4 {
        let due: Vec<(usize, usize)> = (0..calls)
            .filter_map(|call| Some((call, turn.checked_sub(call % 5)?)))
            .filter(|(_, packet)| *packet < packets)
            .collect();
        each(&due)?;
    }
    Ok(())
}
