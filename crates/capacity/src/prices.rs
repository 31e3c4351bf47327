//! What instances cost, from a file that people edit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A price file.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// The day the prices were looked up.
    pub as_of: String,
    /// The currency, as it is to be printed: `USD`.
    pub currency: String,
    /// Where they hold.
    pub region: String,
    /// What whoever uses them has to know.
    #[serde(default)]
    pub note: Option<String>,
    /// By instance type.
    pub instances: BTreeMap<String, Price>,
}

/// An instance type.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Per hour, on demand.
    pub per_hour: f64,
    /// Logical processors.
    pub vcpus: u32,
    /// Hardware threads per core.
    pub threads_per_core: u32,
}

/// A price file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {why}")]
pub struct PricesError {
    /// The file.
    pub file: String,
    /// Where and what.
    pub why: String,
}

impl Prices {
    /// Reads the text of a price file; `file` is what errors call it.
    ///
    /// # Errors
    /// It is not YAML, has other fields, or a price that is none.
    pub fn parse(file: &str, text: &str) -> Result<Self, PricesError> {
        let wrong = |why: String| PricesError { file: file.to_owned(), why };
        let prices: Self = serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
        for (kind, price) in &prices.instances {
            if !(price.per_hour > 0.0 && price.per_hour.is_finite()) {
                return Err(wrong(format!("instances.{kind}.per_hour: {} is not a price", price.per_hour)));
            }
            if price.vcpus == 0 || price.vcpus > 4096 || !(1..=8).contains(&price.threads_per_core) {
                return Err(wrong(format!("instances.{kind}: not a number of processors and threads per core")));
            }
        }
        Ok(prices)
    }

    /// The price of an instance type.
    pub fn of(&self, kind: &str) -> Option<&Price> {
        self.instances.get(kind)
    }
}

/// The family of an instance type: `c6in` of `c6in.2xlarge`.
pub(crate) fn family(kind: &str) -> &str {
    kind.split_once('.').map_or(kind, |(family, _)| family)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../configs/prices.example.yaml");

    #[test]
    fn the_example_is_a_price_file_with_what_was_promised() {
        let prices = Prices::parse("prices.example.yaml", EXAMPLE).unwrap();
        for kind in ["c5n.large", "c5n.metal", "c6in.metal", "c7i.metal-48xl", "c7gn.metal", "c7gn.16xlarge"] {
            assert!(prices.of(kind).is_some(), "{kind}");
        }
        assert!(prices.note.is_some_and(|note| note.contains("example")));
    }

    #[test]
    fn what_is_no_price_is_named() {
        let with = |line: &str| {
            let text = format!("as_of: x\ncurrency: USD\nregion: r\ninstances:\n  c5n.large: {line}\n");
            Prices::parse("p.yaml", &text).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(with("{per_hour: 0.1, vcpus: 2, threads_per_core: 2}"), Ok(()));
        assert!(with("{per_hour: -1, vcpus: 2, threads_per_core: 2}").unwrap_err().contains("c5n.large.per_hour"));
        assert!(with("{per_hour: 1, vcpus: 0, threads_per_core: 2}").is_err());
        assert!(with("{per_day: 1, vcpus: 1, threads_per_core: 2}").unwrap_err().contains("per_day"));
    }
}
