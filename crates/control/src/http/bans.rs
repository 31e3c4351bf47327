//! Sources that are not heard.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use crate::node::{Node, SwitchSilent};
use crate::order::Request;

/// What `POST /v1/bans` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBan {
    source: IpAddr,
    seconds: u32,
}

pub(super) async fn list(State(node): State<Arc<Node>>) -> Result<Response, SwitchSilent> {
    Ok(Json(node.ask(Request::Bans).await?).into_response())
}

pub(super) async fn add(
    State(node): State<Arc<Node>>,
    new: Result<Json<NewBan>, JsonRejection>,
) -> Result<Response, SwitchSilent> {
    let NewBan { source, seconds } = match new {
        Ok(Json(new)) => new,
        Err(wrong) => return Ok((StatusCode::BAD_REQUEST, Json(json!({ "error": wrong.body_text() }))).into_response()),
    };
    if node.ask(|answer| Request::Ban(source, seconds, answer)).await? {
        tracing::info!(%source, seconds, "banned by the operator");
        return Ok(Json(json!({ "banned": source })).into_response());
    }
    let error = format!("{source} is a configured peer's: peers are always heard");
    Ok((StatusCode::CONFLICT, Json(json!({ "error": error }))).into_response())
}

pub(super) async fn remove(
    State(node): State<Arc<Node>>,
    Path(source): Path<IpAddr>,
) -> Result<Response, SwitchSilent> {
    if node.ask(|answer| Request::Unban(source, answer)).await? {
        return Ok(Json(json!({ "lifted": source })).into_response());
    }
    let error = format!("{source} is not banned");
    Ok((StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response())
}
