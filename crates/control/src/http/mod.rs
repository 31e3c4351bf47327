//! Metrics, health and the control interface.
//!
//! Who may ask what is [`access`]'s; where the configuration asks nobody, the address is loopback. A request that changes something
//! is refused when it comes from a web page, which a browser marks with `Origin`.

mod access;
mod bans;
mod cluster;
mod flows;
mod functions;
mod limits;
mod listener;
mod openapi;
mod routing;
mod users;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, Request as HttpRequest, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tandem_call::CallNumber;
use tandem_config::{Cidr, HttpTls};
use tandem_contract::{WorkerCounters, WorkerId};
use tokio::sync::{oneshot, watch};
use tokio_rustls::rustls::ServerConfig;

use crate::addresses::AddressError;
use crate::metrics;
use crate::node::{Node, SwitchSilent};
use crate::order::Request;
use crate::tls::{self, TlsError};
pub(crate) use access::Gate;
pub use access::TokenError;
pub(crate) use limits::{LimitsView, NewLimits};
pub(crate) use users::Subscribers;

/// What there is to ask: method, path, meaning.
const ROUTES: &[(&str, &str, &str)] = &[
    ("GET", "/", "a page for people, renewed each second: calls and their quality, cores, drops"),
    ("GET", "/metrics", "metrics, in the text format of OpenMetrics, which Prometheus reads"),
    ("GET", "/healthz", "200 while the process handles calls; 503 when it should be restarted"),
    ("GET", "/readyz", "200 while the node takes calls; 503 and the reasons, one per line, when it does not"),
    ("GET", "/v1/calls", "every call"),
    ("GET", "/v1/flows", "every call with the counters of its media"),
    ("GET", "/v1/stats", "everything that is counted, with quantiles of added latency"),
    (
        "GET",
        "/v1/stops",
        "when something else had a worker's core, the last 1,024 times of each worker, in nanoseconds on the workers' clock, and what that shows",
    ),
    ("DELETE", "/v1/calls/{number}", "ends a call; 404 where there is none of that number"),
    ("GET", "/v1/addresses", "the media ports' addresses"),
    (
        "POST",
        "/v1/addresses",
        "gives a media port (`\"port\"`, else the first) an address, `{\"address\": \"10.0.0.20/24\"}`, with `\"gateway\"` where it is \
         not the port's; announces it; 409 where there is no room or no such port",
    ),
    (
        "DELETE",
        "/v1/addresses/{address}",
        "takes an address from its media port; calls that use it end within about a second",
    ),
    ("POST", "/v1/flows", "installs flows without a call, for measurements of the media plane; see \"Load\""),
    ("DELETE", "/v1/flows/{number}", "removes such a flow, or those of a range `{first}-{last}`; their counters"),
    ("DELETE", "/v1/flows", "removes all such flows"),
    (
        "POST",
        "/v1/calls/{number}/record",
        "records a call to files in `recording.directory`; they are named in the answer",
    ),
    ("DELETE", "/v1/calls/{number}/record", "completes the files; the end of the call does so too"),
    (
        "POST",
        "/v1/calls/{number}/play?leg=LEG&repeat=false",
        "lets a leg, `caller` or `callee`, hear the WAV in the request's body in place of the other party; `repeat=true` again and again",
    ),
    ("DELETE", "/v1/calls/{number}/play?leg=LEG", "ends that"),
    (
        "POST",
        "/v1/calls/{number}/fork?leg=LEG&to=ADDRESS:PORT",
        "sends a copy of what that leg says to another RTP address",
    ),
    ("DELETE", "/v1/calls/{number}/fork?leg=LEG", "ends that"),
    ("GET", "/v1/bans", "addresses that are not heard, with what they did and for how long yet"),
    ("POST", "/v1/bans", "does not hear an address: `{\"source\": \"192.0.2.1\", \"seconds\": 600}`; 409 for a peer's"),
    ("DELETE", "/v1/bans/{source}", "hears it again; 404 where it is not banned"),
    (
        "POST",
        "/v1/takeover",
        "takes the floating addresses and goes on with the calls of another node, `{\"node\": \"edge-1\"}`, or of every other node, `{}`",
    ),
    (
        "POST",
        "/v1/release",
        "lets go of the floating addresses and of every call without a word to their peers: another node goes on with them",
    ),
    ("GET", "/v1/trunks", "every peer: whether it is in service and why not, its calls, answers and failures"),
    ("GET", "/v1/routes", "the routing table, as the configuration has it, in the order in which routes are asked"),
    (
        "GET",
        "/v1/routes/explain?number=NUMBER&from=PEER&caller=NUMBER&codecs=PCMA,G722&identity=verified",
        "which route takes such a call now, why those before it do not, and who would be called; all but `number` may be left out",
    ),
    ("GET", "/v1/limits", "`limits` as they are, and how many calls and transactions there are"),
    (
        "PUT",
        "/v1/limits",
        "other limits until the configuration is read again: any of `{\"max_calls\": 500, \"retry_after_s\": 10, \"max_call_s\": 3600}`; \
         409 where they are not possible",
    ),
    (
        "POST",
        "/v1/reload",
        "reads the configuration file, certificates and tokens again, as SIGHUP does; what was applied, what needs a restart, which files \
         could not be read and stay as they were; 409 and the reason where it cannot be",
    ),
    (
        "GET",
        "/v1/cluster",
        "the members of the cluster, who has the floating addresses, and who would take them over and why; 404 without a cluster",
    ),
    (
        "POST",
        "/v1/cluster/failover?to=MEMBER",
        "moves the floating addresses and their calls to that member, or to the best; `force=true` takes them here though the \
         other of two members is silent",
    ),
    ("POST", "/v1/cluster/maintenance", "hands the floating addresses over and takes none"),
    ("DELETE", "/v1/cluster/maintenance", "ends that"),
    ("GET", "/v1/subscribers", "names of those who may register"),
    (
        "PUT",
        "/v1/subscribers/{name}",
        "adds a subscriber or gives it another password: `{\"password\": \"…\"}`, of which only hashes are kept, or hashes themselves, \
         `{\"hashes\": {\"MD5\": \"…\"}}`, of `name:realm:password` in hexadecimal",
    ),
    ("DELETE", "/v1/subscribers/{name}", "removes a subscriber and its registrations; 404 where there is none"),
    ("GET", "/v1/registrations", "who is registered, and where"),
    ("DELETE", "/v1/registrations/{name}", "forgets where a subscriber is; 404 where it is nowhere"),
    ("GET", "/v1/openapi.json", "this table as an OpenAPI 3.1 document"),
    ("POST", "/v1/drain", "takes no new calls from now on; those that are up go on"),
];

/// The manual's table of what can be asked, in Markdown.
pub fn routes_markdown() -> String {
    let rows = ROUTES.iter().map(|(method, path, meaning)| format!("| `{method} {path}` | {meaning} |\n"));
    "| request | answer |\n| --- | --- |\n".to_owned() + &rows.collect::<String>()
}

/// HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address.
    #[error("http.listen: cannot bind TCP {address}: {source}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// Certificates, keys or authorities.
    #[error("http: {0}")]
    Tls(#[from] TlsError),
    /// A token.
    #[error("http.tokens: `{name}`: {error}")]
    Token {
        /// Whose.
        name: String,
        /// What is wrong.
        error: TokenError,
    },
}

impl From<(String, TokenError)> for HttpError {
    fn from((name, error): (String, TokenError)) -> Self {
        Self::Token { name, error }
    }
}

/// The certificates that are shown to connections from now on; `None` where it is HTTP without TLS.
pub(crate) type Certificates = Option<watch::Sender<Arc<ServerConfig>>>;

/// What HTTP needs before it is served.
pub(crate) struct Prepared {
    socket: TcpListener,
    pub(crate) gate: Gate,
    pub(crate) certificates: Certificates,
}

impl Prepared {
    /// Reads tokens and certificates, and binds the socket.
    pub(crate) fn new(config: &tandem_config::Http) -> Result<Self, HttpError> {
        let gate = Gate::new(config)?;
        let certificates = config.tls.as_ref().map(tls::http_server).transpose()?;
        if certificates.is_none() && !config.listen.ip().is_loopback() {
            tracing::warn!(
                listen = %config.listen,
                "tokens cross HTTP in the clear: whoever can read that can end calls; `http.tls` hides them"
            );
        }
        let address = config.listen;
        let open = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let socket = open().map_err(|source| HttpError::Bind { address, source })?;
        Ok(Self { socket, gate, certificates: certificates.map(|config| watch::channel(config).0) })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// What [`serve`] takes, beside what can be changed while it serves.
    pub(crate) fn split(self) -> (Door, Gate, Certificates) {
        let reader = self.certificates.as_ref().map(watch::Sender::subscribe);
        ((self.socket, reader), self.gate, self.certificates)
    }
}

/// Where connections come in, and the certificates of those that come next, where it is HTTPS.
pub(crate) type Door = (TcpListener, Option<watch::Receiver<Arc<ServerConfig>>>);

/// Reads certificates again, for connections from now on. Where that fails, the old ones stay.
pub(crate) fn reload_certificates(certificates: &Certificates, tls: Option<&HttpTls>) -> Result<(), TlsError> {
    if let (Some(sender), Some(files)) = (certificates, tls) {
        sender.send_replace(tls::http_server(files)?);
        tracing::info!("certificates of HTTP read again");
    }
    Ok(())
}

/// Serves until `stop` is sent or dropped; on a thread of its own.
pub(crate) fn serve((socket, certificates): Door, node: Arc<Node>, stop: oneshot::Receiver<()>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let service = router(node).into_make_service_with_connect_info::<access::Caller>();
        let serving: std::pin::Pin<Box<dyn Future<Output = io::Result<()>>>> = match certificates {
            None => Box::pin(axum::serve(socket, service).into_future()),
            Some(certificates) => {
                Box::pin(axum::serve(listener::TlsListener::new(socket, certificates)?, service).into_future())
            }
        };
        tokio::select! {
            ended = serving => ended,
            _ = stop => Ok(()),
        }
    })
}

fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/v1/calls", get(calls))
        .route("/v1/calls/{number}", delete(hang_up))
        .route("/v1/calls/{number}/record", post(functions::start_recording).delete(functions::stop_recording))
        .route(
            "/v1/calls/{number}/play",
            post(functions::play).layer(DefaultBodyLimit::max(functions::MAX_WAV)).delete(functions::stop_playing),
        )
        .route("/v1/calls/{number}/fork", post(functions::fork).delete(functions::stop_fork))
        .route("/v1/flows", get(flows).post(flows::install).delete(flows::remove_all))
        .route("/v1/flows/{numbers}", delete(flows::remove))
        .route("/v1/stats", get(stats))
        .route("/v1/stops", get(stops))
        .route("/v1/addresses", get(addresses).post(add_address))
        .route("/v1/addresses/{address}", delete(remove_address))
        .route("/v1/bans", get(bans::list).post(bans::add))
        .route("/v1/bans/{source}", delete(bans::remove))
        .route("/v1/trunks", get(routing::trunks))
        .route("/v1/routes", get(routing::routes))
        .route("/v1/routes/explain", get(routing::explain))
        .route("/v1/limits", get(limits::show).put(limits::change))
        .route("/v1/reload", post(routing::reload))
        .route("/v1/subscribers", get(users::list))
        .route("/v1/subscribers/{name}", put(users::put).delete(users::remove))
        .route("/v1/registrations", get(users::registrations))
        .route("/v1/registrations/{name}", delete(users::remove_registrations))
        .route("/v1/openapi.json", get(|| async { Json(openapi::document()) }))
        .route("/v1/drain", post(drain))
        .route("/v1/takeover", post(take_over))
        .route("/v1/release", post(release))
        .route("/v1/cluster", get(cluster::show))
        .route("/v1/cluster/failover", post(cluster::fail_over))
        .route("/v1/cluster/maintenance", post(cluster::begin_maintenance).delete(cluster::end_maintenance))
        .layer(middleware::from_fn(refuse_web_pages))
        .layer(middleware::from_fn_with_state(node.clone(), access::authorise))
        .with_state(node)
}

async fn refuse_web_pages(request: HttpRequest, next: Next) -> Response {
    if !request.method().is_safe() && request.headers().contains_key(header::ORIGIN) {
        return (StatusCode::FORBIDDEN, Json(json!({ "error": "not from a web page" }))).into_response();
    }
    next.run(request).await
}

/// Why it was not done: a status and words.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<SwitchSilent> for Refused {
    fn from(silent: SwitchSilent) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, silent.to_string())
    }
}

impl IntoResponse for SwitchSilent {
    fn into_response(self) -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

/// One file without anything from elsewhere; what it shows it asks of this interface.
async fn page() -> Response {
    const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(include_str!("page.html"))).into_response()
}

async fn metrics(State(node): State<Arc<Node>>) -> Response {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics::encode(node.scrape().await) {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn healthz(State(node): State<Arc<Node>>) -> Result<&'static str, SwitchSilent> {
    node.ask(Request::Status).await.map(|_| "ok\n")
}

async fn readyz(State(node): State<Arc<Node>>) -> Response {
    let not_ready = match node.ask(Request::Status).await {
        Ok(status) => status.not_ready,
        Err(silent) => vec![silent.to_string()],
    };
    if not_ready.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, not_ready.join("\n") + "\n").into_response()
}

async fn calls(State(node): State<Arc<Node>>) -> Result<Response, SwitchSilent> {
    Ok(Json(node.ask(Request::Calls).await?).into_response())
}

async fn flows(State(node): State<Arc<Node>>) -> Result<Response, SwitchSilent> {
    Ok(Json(node.ask(Request::Flows).await?).into_response())
}

async fn stats(State(node): State<Arc<Node>>) -> Result<Response, SwitchSilent> {
    let status = node.ask(Request::Status).await?;
    Ok(Json(node.stats(status)).into_response())
}

async fn stops(State(node): State<Arc<Node>>) -> Response {
    let of = |(worker, counters): &(WorkerId, Arc<WorkerCounters>)| {
        let stops = &counters.stops;
        let last: Vec<[u64; 2]> = stops.recent().iter().map(|stop| [stop.from.0, stop.until.0]).collect();
        json!({ "worker": worker.0, "clock_ns": stops.clock().0, "count": stops.count(), "stopped_ns": stops.ns(), "last": last })
    };
    let workers: Vec<serde_json::Value> = node.workers.iter().map(of).collect();
    Json(json!({ "workers": workers })).into_response()
}

async fn hang_up(State(node): State<Arc<Node>>, Path(number): Path<u64>) -> Result<Response, SwitchSilent> {
    let found = node.ask(|answer| Request::HangUp(CallNumber(number), answer)).await?;
    if found {
        tracing::info!(call = number, "call ended by the operator");
        return Ok(Json(json!({ "ended": number })).into_response());
    }
    let error = format!("there is no call {number}");
    Ok((StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response())
}

async fn drain(State(node): State<Arc<Node>>) -> Result<Response, SwitchSilent> {
    let calls = node.ask(Request::Drain).await?;
    tracing::info!(calls, "draining, as the operator asked: no new calls");
    Ok(Json(json!({ "draining": true, "calls": calls })).into_response())
}

/// What `POST /v1/takeover` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Takeover {
    #[serde(default)]
    node: Option<String>,
}

async fn take_over(
    State(node): State<Arc<Node>>,
    wanted: Result<Json<Takeover>, JsonRejection>,
) -> Result<Response, SwitchSilent> {
    let wanted = match wanted {
        Ok(Json(wanted)) => wanted,
        Err(wrong) => return Ok((StatusCode::BAD_REQUEST, Json(json!({ "error": wrong.body_text() }))).into_response()),
    };
    // In a cluster its votes move the addresses.
    let by_hand = node.aws.as_ref().filter(|_| node.cluster.is_none());
    let moved = async {
        match by_hand {
            Some(aws) => aws.move_by_hand().await,
            None => Ok(()),
        }
    };
    let (taken, moved) = tokio::join!(node.ask(|answer| Request::TakeOver(wanted.node, answer)), moved);
    let taken = taken?;
    Ok(match moved {
        Ok(()) => Json(taken).into_response(),
        Err(error) => {
            let error = format!("{} calls go on here, but EC2 did not move the addresses: {error}", taken.calls);
            (StatusCode::BAD_GATEWAY, Json(json!({ "error": error }))).into_response()
        }
    })
}

async fn release(State(node): State<Arc<Node>>) -> Result<Response, SwitchSilent> {
    Ok(Json(node.ask(Request::Release).await?).into_response())
}

async fn addresses(State(node): State<Arc<Node>>) -> Result<Response, SwitchSilent> {
    Ok(Json(node.ask(Request::Addresses).await?).into_response())
}

/// What `POST /v1/addresses` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAddress {
    #[serde(default)]
    port: Option<String>,
    address: Cidr,
    #[serde(default)]
    gateway: Option<IpAddr>,
}

async fn add_address(
    State(node): State<Arc<Node>>,
    new: Result<Json<NewAddress>, JsonRejection>,
) -> Result<Response, SwitchSilent> {
    let new = match new {
        Ok(Json(new)) => new,
        Err(wrong) => return Ok((StatusCode::BAD_REQUEST, Json(json!({ "error": wrong.body_text() }))).into_response()),
    };
    let outcome = node
        .ask(|answer| Request::AddAddress { port: new.port, cidr: new.address, gateway: new.gateway, answer })
        .await?;
    Ok(changed(outcome, StatusCode::CONFLICT, json!({ "added": new.address })))
}

async fn remove_address(State(node): State<Arc<Node>>, Path(address): Path<IpAddr>) -> Result<Response, SwitchSilent> {
    let outcome = node.ask(|answer| Request::RemoveAddress(address, answer)).await?;
    Ok(changed(outcome, StatusCode::NOT_FOUND, json!({ "removed": address })))
}

fn changed(outcome: Result<(), AddressError>, refused: StatusCode, done: serde_json::Value) -> Response {
    match outcome {
        Ok(()) => Json(done).into_response(),
        Err(error) => (refused, Json(json!({ "error": error.to_string() }))).into_response(),
    }
}
