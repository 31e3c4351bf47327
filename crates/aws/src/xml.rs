//! Answers in XML.

use serde::Deserialize;

use crate::action::Action;
use crate::client::CallError;

/// A list of EC2's.
#[derive(Deserialize)]
pub(crate) struct Set<T> {
    #[serde(default = "Vec::new")]
    pub(crate) item: Vec<T>,
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self { item: Vec::new() }
    }
}

pub(crate) fn read<'a, T: Deserialize<'a>>(action: Action, xml: &'a str) -> Result<T, CallError> {
    quick_xml::de::from_str(xml).map_err(|error| CallError::Failed {
        action: action.to_string(),
        why: format!("its answer is unreadable: {error}"),
    })
}
