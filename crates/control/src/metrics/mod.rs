//! What the node tells Prometheus, and the manual's tables of it.

mod encode;
mod latency;
mod table;

use std::fmt::Write as _;

use tandem_contract::{DropReason, Stage};

pub(crate) use encode::{Scrape, encode};
pub(crate) use latency::{Latency, Quantiles};

use table::{METRICS, Value};

/// The manual's table of metrics, in Markdown.
pub fn metrics_markdown() -> String {
    let mut text = "| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for metric in METRICS {
        let (kind, suffix) = match metric.value {
            Value::Histogram => ("histogram", ""),
            _ if metric.is_gauge => ("gauge", ""),
            _ => ("counter", "_total"),
        };
        let labels = match metric.value {
            Value::Node(_) | Value::Told(_) | Value::Switch(_) => "",
            Value::Trunk(_) => "`peer`",
            Value::Worker(_) | Value::Histogram => "`worker`",
            Value::Drops => "`worker`, `reason`",
            Value::Stages => "`worker`, `stage`",
            Value::Ports => "`port`, `counter`",
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "| `{}{suffix}` | {kind} | {labels} | {} |", metric.name, metric.help);
    }
    text
}

/// The manual's table of the stages that a worker's time is split into, in Markdown.
pub fn stages_markdown() -> String {
    let mut text = "| stage | what the time goes into |\n| --- | --- |\n".to_owned();
    for stage in Stage::ALL {
        let _ = writeln!(text, "| `{}` | {} |", stage.label(), stage.meaning());
    }
    text
}

/// The manual's table of drop reasons, in Markdown.
pub fn drop_reasons_markdown() -> String {
    let mut text = "| reason | meaning |\n| --- | --- |\n".to_owned();
    for reason in DropReason::ALL {
        let _ = writeln!(text, "| `{}` | {} |", reason.label(), reason.meaning());
    }
    text
}
