//! Subscribers and registrations.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tandem_sip::digest::Algorithm;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::Refused;
use crate::database::{Ask, hashes_of, row_of};
use crate::node::{Node, SwitchSilent};
use crate::order::Request;

/// Octets of a subscriber's name.
const MAX_NAME: usize = 64;

/// What changing subscribers takes.
#[derive(Debug)]
pub(crate) struct Subscribers {
    pub(crate) asks: UnboundedSender<Ask>,
    pub(crate) realm: String,
    pub(crate) algorithms: Vec<Algorithm>,
}

fn subscribers_of(node: &Node) -> Result<&Subscribers, Refused> {
    let none =
        || Refused(StatusCode::CONFLICT, "nobody registers here: the configuration has no registrar.realm".to_owned());
    node.subscribers.as_ref().ok_or_else(none)
}

async fn ask<T>(
    subscribers: &Subscribers,
    ask: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Ask,
) -> Result<T, Refused> {
    let (answer, answered) = oneshot::channel();
    let gone = || Refused(StatusCode::SERVICE_UNAVAILABLE, "the store's thread has ended".to_owned());
    subscribers.asks.send(ask(answer)).map_err(|_| gone())?;
    answered.await.map_err(|_| gone())?.map_err(|error| Refused(StatusCode::SERVICE_UNAVAILABLE, error))
}

pub(super) async fn list(State(node): State<Arc<Node>>) -> Result<Response, Refused> {
    let subscribers = subscribers_of(&node)?;
    let names = ask(subscribers, |answer| Ask::Subscribers(subscribers.realm.clone(), answer)).await?;
    Ok(Json(names).into_response())
}

/// What `PUT /v1/subscribers/{name}` takes: one of both.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    #[serde(default)]
    password: Option<String>,
    /// Hexadecimal by algorithm, as `htdigest` and other servers keep them.
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

pub(super) async fn put(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    secret: Result<Json<Secret>, JsonRejection>,
) -> Result<Response, Refused> {
    let subscribers = subscribers_of(&node)?;
    let bad = |text: &str| Refused(StatusCode::BAD_REQUEST, text.to_owned());
    let Json(secret) = secret.map_err(|wrong| bad(&wrong.body_text()))?;
    if !is_name(&name) {
        return Err(bad(
            "a subscriber's name has 1 to 64 printable characters, without space, quotes, `\\`, `@`, `:` and `/`",
        ));
    }
    let realm = &subscribers.realm;
    let row = match secret.password {
        Some(password) if secret.hashes.is_empty() && !password.is_empty() => {
            row_of(&name, realm, &password, &subscribers.algorithms)
        }
        None => {
            let given: Option<Vec<_>> =
                secret.hashes.into_iter().map(|(name, hash)| Some((Algorithm::lookup(&name)?, hash))).collect();
            given
                .and_then(|given| hashes_of(&name, realm, &given))
                .ok_or_else(|| bad("hashes: MD5, SHA-256 or SHA-512-256 of name:realm:password in hexadecimal"))?
        }
        Some(_) => return Err(bad("either a password that is not empty, or hashes")),
    };
    let is_new = ask(subscribers, |answer| Ask::PutSubscriber(row, answer)).await?;
    tracing::info!(subscriber = name, is_new, "subscriber written, as the operator asked");
    Ok(Json(json!({ "subscriber": name, "added": is_new })).into_response())
}

pub(super) async fn remove(State(node): State<Arc<Node>>, Path(name): Path<String>) -> Result<Response, Refused> {
    let subscribers = subscribers_of(&node)?;
    let was_there =
        ask(subscribers, |answer| Ask::RemoveSubscriber(subscribers.realm.clone(), name.clone(), answer)).await?;
    if !was_there {
        return Err(Refused(StatusCode::NOT_FOUND, format!("there is no subscriber {name}")));
    }
    tracing::info!(subscriber = name, "subscriber removed, as the operator asked");
    Ok(Json(json!({ "removed": name })).into_response())
}

pub(super) async fn registrations(State(node): State<Arc<Node>>) -> Result<Response, SwitchSilent> {
    Ok(Json(node.ask(Request::Registrations).await?).into_response())
}

pub(super) async fn remove_registrations(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    let count = node.ask(|answer| Request::RemoveRegistrations(name.clone(), answer)).await?;
    if count == 0 {
        return Err(Refused(StatusCode::NOT_FOUND, format!("{name} is not registered")));
    }
    tracing::info!(subscriber = name, count, "registrations removed, as the operator asked");
    Ok(Json(json!({ "removed": count })).into_response())
}

fn is_name(name: &str) -> bool {
    let is_odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '"' | '\\' | '@' | ':' | '/');
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(is_odd)
}
