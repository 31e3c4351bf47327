//! `tandem docs`: what the manual takes from the program, so that the two cannot disagree.

use clap::{Args, ValueEnum};

use crate::exit::{self, Failure};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Which part.
    part: Part,
}

/// A part of the manual.
#[derive(Clone, Copy, ValueEnum)]
enum Part {
    /// A configuration file with every field, commented (configs/reference.yaml).
    Reference,
    /// The configuration's JSON schema (configs/tandem.schema.json).
    Schema,
    /// Tables of the configuration's fields.
    Fields,
    /// Table of metrics.
    Metrics,
    /// Table of the stages that a worker's time is split into.
    Stages,
    /// Table of drop reasons.
    DropReasons,
    /// Table of HTTP requests.
    Http,
    /// Exit codes.
    ExitCodes,
    /// What SIGHUP applies.
    Changeable,
}

impl Part {
    fn text(self) -> String {
        match self {
            Self::Reference => tandem_config::reference_yaml(),
            Self::Schema => tandem_config::json_schema(),
            Self::Fields => tandem_config::reference_markdown(),
            Self::Metrics => tandem_control::metrics_markdown(),
            Self::Stages => tandem_control::stages_markdown(),
            Self::DropReasons => tandem_control::drop_reasons_markdown(),
            Self::Http => tandem_control::routes_markdown(),
            Self::ExitCodes => exit_codes(),
            Self::Changeable => {
                tandem_config::CHANGEABLE.iter().map(|field| format!("- `{field}`\n")).collect::<String>()
            }
        }
    }
}

fn exit_codes() -> String {
    let rows = exit::HELP.lines().skip(1).filter_map(|line| line.trim().split_once("  "));
    let rows = rows.map(|(code, meaning)| format!("| {code} | {meaning} |\n"));
    "| code | meaning |\n| --- | --- |\n".to_owned() + &rows.collect::<String>()
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    print!("{}", arguments.part.text());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANUAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPERATING.md");

    /// Puts each part between its markers, `<!-- tandem docs metrics -->` and `<!-- end -->`.
    fn with_parts(manual: &str) -> String {
        let mut text = String::new();
        let mut inside = false;
        for line in manual.lines() {
            let name = line.strip_prefix("<!-- tandem docs ").and_then(|rest| rest.strip_suffix(" -->"));
            inside &= line != "<!-- end -->";
            if !inside {
                text += line;
                text.push('\n');
            }
            if let Some(name) = name {
                let part = Part::from_str(name, false).expect("a marker names a part");
                text += "\n";
                text += part.text().trim_end();
                text += "\n\n";
                inside = true;
            }
        }
        text
    }

    #[test]
    fn the_manuals_tables_are_those_of_the_program() {
        let manual = std::fs::read_to_string(MANUAL).unwrap();
        let made = with_parts(&manual);
        if std::env::var_os("TANDEM_BLESS").is_some_and(|value| value == "1") {
            std::fs::write(MANUAL, &made).unwrap();
        } else {
            assert!(
                manual == made,
                "docs/OPERATING.md is out of date: run `TANDEM_BLESS=1 cargo test -p tandem-gateway`"
            );
        }
        for part in ["fields", "metrics", "stages", "drop-reasons", "http", "exit-codes", "changeable"] {
            assert!(made.contains(&format!("<!-- tandem docs {part} -->")), "the manual has no part {part}");
        }
    }
}
