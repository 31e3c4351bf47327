//! What needs no gateway: comparisons, pages, plans.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use tandem_capacity::compare::Comparison;
use tandem_capacity::page::{comparison_page, report_page, sizing_page};
use tandem_capacity::report::{Instance, Report};
use tandem_capacity::sizing::{Need, Sizing};

use super::{CompareArguments, Format, files, machine};
use crate::ctl::Table;
use crate::exit::Failure;

#[derive(Args)]
pub(crate) struct PlanArguments {
    /// Concurrent calls of a mix that reports have measured: `g711-g729=3000`. Several add up.
    #[arg(long = "calls", required = true, value_name = "MIX=CALLS")]
    calls: Vec<String>,
    /// Capacity reports to plan from.
    #[arg(required = true, num_args = 1..)]
    reports: Vec<PathBuf>,
    /// Availability zones to spread over.
    #[arg(long, default_value_t = 3)]
    zones: u64,
    /// How full instances may be, in per cent of what held, also after what is planned for has failed.
    #[arg(long, value_name = "PERCENT", default_value_t = 80.0)]
    fill: f64,
    /// Prices (configs/prices.example.yaml shows how).
    #[arg(long, value_name = "FILE", default_value = "configs/prices.example.yaml")]
    prices: PathBuf,
    /// The instance type of a report that does not say one.
    #[arg(long = "instance", value_name = "FILE=TYPE")]
    instances: Vec<String>,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Where to write it; standard output if left out.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn compare(arguments: &CompareArguments) -> Result<(), Failure> {
    let reports = files::reports(&arguments.reports)?;
    let prices = arguments.prices.as_deref().map(files::prices).transpose()?;
    let comparison = Comparison::of(&reports, prices.as_ref());
    let text = match arguments.format {
        Format::Json => json(&comparison)?,
        Format::Html => comparison_page(&comparison),
        Format::Text => {
            let mut text = String::new();
            for group in &comparison.groups {
                text += &format!("{}, {}\n{}\n", group.name, group.quantity.name(), table(&comparison.rows(group)));
            }
            for line in comparison.cautions.iter().chain(&comparison.prices) {
                text += &format!("{line}\n");
            }
            text
        }
    };
    Ok(files::tell(arguments.out.as_deref(), &text)?)
}

pub(super) fn page(report: &Path, out: &Path) -> Result<(), Failure> {
    let report = files::report(report)?;
    Ok(files::write(out, &report_page(&report))?)
}

pub(super) fn machine(name: Option<String>) -> Result<(), Failure> {
    let facts = machine::facts(Path::new("/"), name);
    print!("{}", json(&facts)?);
    Ok(())
}

/// `tandem plan`.
pub(crate) fn plan(arguments: &PlanArguments) -> Result<(), Failure> {
    let mut reports = files::reports(&arguments.reports)?;
    for given in &arguments.instances {
        let (file, kind) = given.split_once('=').ok_or_else(|| anyhow!("--instance {given}: write FILE=TYPE"))?;
        let report: &mut Report = reports
            .iter_mut()
            .find_map(|(name, report)| (name == file).then_some(report))
            .ok_or_else(|| anyhow!("--instance {given}: {file} is not among the reports"))?;
        report.machine.instance = Some(Instance { kind: kind.to_owned(), zone: String::new(), image: None });
    }
    let calls = arguments.calls.iter().map(|given| {
        let (mix, calls) = given.split_once('=').ok_or_else(|| anyhow!("--calls {given}: write MIX=CALLS"))?;
        let calls = calls.parse().with_context(|| format!("--calls {given}: not a number of calls"))?;
        Ok((mix.to_owned(), calls))
    });
    let need =
        Need { calls: calls.collect::<anyhow::Result<_>>()?, zones: arguments.zones, fill: arguments.fill / 100.0 };
    let prices = files::prices(&arguments.prices)?;
    let sizing = Sizing::of(&need, &reports, &prices).map_err(anyhow::Error::from)?;
    let text = match arguments.format {
        Format::Json => json(&sizing)?,
        Format::Html => sizing_page(&sizing),
        Format::Text => {
            let basis = sizing.options.iter().map(|choice| format!("  {}: {}\n", choice.kind, choice.basis));
            let notes = sizing.notes.iter().map(|note| format!("{note}\n"));
            format!("{}\n{}\n{}", table(&sizing.rows()), basis.collect::<String>(), notes.collect::<String>())
        }
    };
    Ok(files::tell(arguments.out.as_deref(), &text)?)
}

fn table(rows: &[Vec<String>]) -> Table {
    let mut rows = rows.iter();
    let heads: Vec<&str> = rows.next().into_iter().flatten().map(String::as_str).collect();
    let mut table = Table::new(&heads);
    rows.for_each(|row| table.row(row.iter().cloned()));
    table
}

fn json(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
