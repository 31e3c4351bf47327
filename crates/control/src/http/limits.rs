//! How much is taken on.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tandem_config::Limits;

use super::Refused;
use crate::node::Node;
use crate::order::Request;

/// Limits, and what there is of what they limit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LimitsView {
    #[serde(flatten)]
    pub(crate) limits: Limits,
    pub(crate) calls: u64,
}

/// What is to change of them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLimits {
    #[serde(default)]
    max_calls: Option<u32>,
    #[serde(default)]
    retry_after_s: Option<u32>,
    #[serde(default)]
    max_call_s: Option<u32>,
}

impl NewLimits {
    /// Changes what is given.
    pub(crate) fn apply(self, limits: &mut Limits) {
        limits.max_calls = self.max_calls.unwrap_or(limits.max_calls);
        limits.retry_after_s = self.retry_after_s.unwrap_or(limits.retry_after_s);
        limits.max_call_s = self.max_call_s.unwrap_or(limits.max_call_s);
    }
}

pub(super) async fn show(State(node): State<Arc<Node>>) -> Result<Response, Refused> {
    Ok(Json(node.ask(Request::Limits).await?).into_response())
}

pub(super) async fn change(
    State(node): State<Arc<Node>>,
    wanted: Result<Json<NewLimits>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(wanted) = wanted.map_err(|wrong| Refused(StatusCode::BAD_REQUEST, wrong.body_text()))?;
    let limits = node.ask(|answer| Request::SetLimits(wanted, answer)).await?;
    let limits = limits.map_err(|why| Refused(StatusCode::CONFLICT, why))?;
    Ok(Json(limits).into_response())
}
