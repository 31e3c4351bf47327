//! Where calls go: peers' service, which route takes a call, the configuration read again.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tandem_call::{Enquiry, IdentityVerdict};
use tandem_contract::Codec;

use crate::node::{Node, SwitchSilent};
use crate::order::Request;

pub(super) async fn trunks(State(node): State<Arc<Node>>) -> Result<Response, SwitchSilent> {
    Ok(Json(node.ask(Request::Trunks).await?).into_response())
}

pub(super) async fn routes(State(node): State<Arc<Node>>) -> Result<Response, SwitchSilent> {
    Ok(Json(node.ask(Request::Routes).await?).into_response())
}

/// What `GET /v1/routes/explain` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    number: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    caller: String,
    /// What is known of the caller's identity.
    #[serde(default)]
    identity: IdentityVerdict,
    /// Encoding names, separated by commas.
    #[serde(default)]
    codecs: Option<String>,
}

pub(super) async fn explain(
    State(node): State<Arc<Node>>,
    question: Result<Query<Question>, QueryRejection>,
) -> Result<Response, SwitchSilent> {
    let question = match question {
        Ok(Query(question)) => question,
        Err(wrong) => return Ok(refused(StatusCode::BAD_REQUEST, &wrong.body_text())),
    };
    let named = |name: &str| Codec::ALL.into_iter().find(|codec| codec.encoding_name().eq_ignore_ascii_case(name));
    let mut offered = question.codecs.as_ref().map(|_| Vec::new());
    for name in question.codecs.iter().flat_map(|names| names.split(',')) {
        match named(name.trim()) {
            Some(codec) => offered.iter_mut().for_each(|offered| offered.push(codec)),
            None => return Ok(refused(StatusCode::BAD_REQUEST, &format!("no codec is called `{name}`"))),
        }
    }
    let Question { number, from, caller, identity, .. } = question;
    let enquiry = Enquiry { number, from, caller, identity, offered };
    Ok(match node.ask(|answer| Request::Explain(enquiry, answer)).await? {
        Ok(explanation) => Json(explanation).into_response(),
        Err(error) => refused(StatusCode::BAD_REQUEST, &error.to_string()),
    })
}

pub(super) async fn reload(State(node): State<Arc<Node>>) -> Result<Response, SwitchSilent> {
    Ok(match node.ask(Request::Reload).await? {
        Ok(reloaded) => Json(reloaded).into_response(),
        Err(why) => refused(StatusCode::CONFLICT, &why),
    })
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}
