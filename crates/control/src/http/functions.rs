//! What can be done with a call's media: recorded, forked, replaced by a clip.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tandem_call::{CallNumber, CallSnapshot};
use tandem_contract::{Function, LegSide, Refusal};

use super::Refused;
use crate::clips;
use crate::flows::key_of;
use crate::functions::{Asked, Denied, fork_to};
use crate::node::Node;
use crate::order::Request;
use crate::recorder::Plan;

/// The longest WAV that is taken: ten minutes of 48 kHz in stereo.
pub(super) const MAX_WAV: usize = 128 << 20;

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        let status = match denied {
            Denied::NoCall | Denied::Refused(Refusal::UnknownFlow) => StatusCode::NOT_FOUND,
            Denied::NoPlaceForClip | Denied::Refused(Refusal::FunctionsExhausted) => StatusCode::SERVICE_UNAVAILABLE,
            Denied::Refused(_) => StatusCode::CONFLICT,
        };
        Self(status, denied.to_string())
    }
}

/// A leg by who is on it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Leg {
    Caller,
    Callee,
}

impl From<Leg> for LegSide {
    fn from(leg: Leg) -> Self {
        match leg {
            Leg::Caller => Self::A,
            Leg::Callee => Self::B,
        }
    }
}

async fn call(node: &Node, number: u64) -> Result<CallSnapshot, Refused> {
    let call = node.ask(|answer| Request::Call(CallNumber(number), answer)).await?;
    call.ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("there is no call {number}")))
}

async fn ask(node: &Node, number: u64, asked: Asked) -> Result<(), Refused> {
    let outcome = node.ask(|answer| Request::Function(CallNumber(number), asked, answer)).await?;
    outcome.map_err(|denied| match denied {
        Denied::NoCall => Refused(StatusCode::NOT_FOUND, format!("there is no call {number}")),
        other => other.into(),
    })
}

pub(super) async fn start_recording(
    State(node): State<Arc<Node>>,
    Path(number): Path<u64>,
) -> Result<Response, Refused> {
    let (Some(recorder), Some(directory)) = (&node.recorder, &node.recording.directory) else {
        let nowhere = "the configuration has no recording.directory";
        return Err(Refused(StatusCode::CONFLICT, nowhere.to_owned()));
    };
    let call = call(&node, number).await?;
    if recorder.state.active.load(Relaxed) >= node.recording.max_calls.into() {
        let busy = format!("{} calls are being recorded already (recording.max_calls)", node.recording.max_calls);
        return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, busy));
    }
    let plan = Plan::of(&call, &node.recording, directory);
    let files: Vec<String> = plan.files().iter().map(|file| file.display().to_string()).collect();
    let key = key_of(&call);
    recorder.begin(key, plan).await.map_err(|error| {
        let status = if error.kind() == std::io::ErrorKind::ResourceBusy {
            StatusCode::CONFLICT
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        Refused(status, format!("{}: {error}", directory.display()))
    })?;
    if let Err(refused) = ask(&node, number, Asked::Record { files: files.clone() }).await {
        recorder.finish(key);
        return Err(refused);
    }
    tracing::info!(call = number, files = files.join(", "), "call is recorded, as the operator asked");
    Ok(Json(json!({ "call": number, "files": files })).into_response())
}

pub(super) async fn stop_recording(
    State(node): State<Arc<Node>>,
    Path(number): Path<u64>,
) -> Result<Response, Refused> {
    let call = call(&node, number).await?;
    ask(&node, number, Asked::Plain(Function::Record { on: false })).await?;
    if let Some(recorder) = &node.recorder {
        recorder.finish(key_of(&call));
    }
    tracing::info!(call = number, "call is no longer recorded, as the operator asked");
    Ok(Json(json!({ "call": number, "files": call.recordings })).into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct Play {
    leg: Leg,
    #[serde(default)]
    repeat: bool,
}

pub(super) async fn play(
    State(node): State<Arc<Node>>,
    Path(number): Path<u64>,
    Query(Play { leg, repeat }): Query<Play>,
    wav: Bytes,
) -> Result<Response, Refused> {
    let read = tokio::task::spawn_blocking(move || clips::read(&wav[..])).await;
    let clip = match read {
        Ok(Ok(clip)) => Arc::new(clip),
        Ok(Err(error)) => return Err(Refused(StatusCode::BAD_REQUEST, error.to_string())),
        Err(error) => return Err(Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    };
    let duration_ms = clip.duration_ms();
    ask(&node, number, Asked::Play { leg: leg.into(), clip, repeat }).await?;
    Ok(Json(json!({ "call": number, "duration_ms": duration_ms })).into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct OneLeg {
    leg: Leg,
}

pub(super) async fn stop_playing(
    State(node): State<Arc<Node>>,
    Path(number): Path<u64>,
    Query(OneLeg { leg }): Query<OneLeg>,
) -> Result<Response, Refused> {
    ask(&node, number, Asked::Plain(Function::StopPlaying { leg: leg.into() })).await?;
    Ok(Json(json!({ "call": number })).into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct Fork {
    leg: Leg,
    to: SocketAddr,
}

pub(super) async fn fork(
    State(node): State<Arc<Node>>,
    Path(number): Path<u64>,
    Query(Fork { leg, to }): Query<Fork>,
) -> Result<Response, Refused> {
    let target = fork_to(to).map_err(|error| Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    ask(&node, number, Asked::Plain(Function::Fork { leg: leg.into(), to: Some(target) })).await?;
    tracing::info!(call = number, %to, "packets of the call are copied, as the operator asked");
    Ok(Json(json!({ "call": number, "ssrc": target.ssrc })).into_response())
}

pub(super) async fn stop_fork(
    State(node): State<Arc<Node>>,
    Path(number): Path<u64>,
    Query(OneLeg { leg }): Query<OneLeg>,
) -> Result<Response, Refused> {
    ask(&node, number, Asked::Plain(Function::Fork { leg: leg.into(), to: None })).await?;
    Ok(Json(json!({ "call": number })).into_response())
}
