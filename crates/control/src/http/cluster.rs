//! The cluster: who has the floating addresses, why, and how an operator moves them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tandem_cluster::OrderError;

use crate::cluster::{ClusterHandle, ClusterRequest};
use crate::node::Node;

/// Why nothing was done.
pub(super) enum Refused {
    /// The configuration has no cluster.
    None,
    /// Its thread does not answer.
    Silent,
    /// It says so.
    Order(OrderError),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::None => {
                (StatusCode::NOT_FOUND, "this node is in no cluster (cluster.members, cluster.discover)".to_owned())
            }
            Self::Silent => (StatusCode::SERVICE_UNAVAILABLE, "the cluster's thread does not answer".to_owned()),
            Self::Order(error @ OrderError::UnknownMember) => (StatusCode::NOT_FOUND, error.to_string()),
            Self::Order(error) => (StatusCode::CONFLICT, error.to_string()),
        };
        (status, Json(json!({ "error": error }))).into_response()
    }
}

fn handle(node: &Node) -> Result<&ClusterHandle, Refused> {
    node.cluster.as_ref().ok_or(Refused::None)
}

pub(super) async fn show(State(node): State<Arc<Node>>) -> Result<Response, Refused> {
    let view = handle(&node)?.ask(ClusterRequest::View).await.ok_or(Refused::Silent)?;
    Ok(Json(view).into_response())
}

/// What `POST /v1/cluster/failover` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failover {
    to: Option<String>,
    #[serde(default)]
    force: bool,
}

pub(super) async fn fail_over(
    State(node): State<Arc<Node>>,
    Query(wanted): Query<Failover>,
) -> Result<Response, Refused> {
    let cluster = handle(&node)?;
    let to = wanted.to.clone();
    let outcome = if wanted.force {
        cluster.ask(ClusterRequest::Force).await
    } else {
        cluster.ask(|answer| ClusterRequest::SwitchOver(to, answer)).await
    };
    outcome.ok_or(Refused::Silent)?.map_err(Refused::Order)?;
    tracing::info!(to = wanted.to, force = wanted.force, "the floating addresses move, as the operator asked");
    Ok(Json(json!({ "moving": true, "to": wanted.to })).into_response())
}

pub(super) async fn begin_maintenance(State(node): State<Arc<Node>>) -> Result<Response, Refused> {
    maintenance(&node, true).await
}

pub(super) async fn end_maintenance(State(node): State<Arc<Node>>) -> Result<Response, Refused> {
    maintenance(&node, false).await
}

async fn maintenance(node: &Node, on: bool) -> Result<Response, Refused> {
    handle(node)?.ask(|answer| ClusterRequest::Maintenance(on, answer)).await.ok_or(Refused::Silent)?;
    tracing::info!(on, "maintenance, as the operator asked");
    Ok(Json(json!({ "maintenance": on })).into_response())
}
