//! SIP over WebSocket (RFC 7118), the server's side.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tandem_call::ConnectionId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use super::connection::{WRITE_PATIENCE, given_up};
use super::{Arrival, Outbox};

/// The subprotocol (RFC 7118 §4.1).
const SIP: &str = "sip";
/// The longest message.
const MAX_MESSAGE_BYTES: usize = 65_535;
/// How long the last messages may take after the far end has ended.
const LINGER: Duration = Duration::from_secs(5);

/// Shakes hands, then carries messages.
pub(super) async fn serve<S>(connection: ConnectionId, stream: S, mut outbox: Outbox, arrivals: Sender<Arrival>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limits =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE_BYTES)).max_frame_size(Some(MAX_MESSAGE_BYTES));
    let shaken = tokio::select! {
        shaken = accept_hdr_async_with_config(stream, choose_sip, Some(limits)) => shaken.ok(),
        () = given_up(&mut outbox) => None,
    };
    if let Some(socket) = shaken {
        let _ = arrivals.send(Arrival::Opened(connection)).await;
        carry(connection, socket, outbox, &arrivals).await;
    }
    let _ = arrivals.send(Arrival::Closed(connection)).await;
}

/// A client that does not offer `sip` speaks something else, and is told so.
#[expect(clippy::result_large_err, reason = "the library's callback wants it so")]
fn choose_sip(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let names = offered.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    if names.map(str::trim).any(|name| name.eq_ignore_ascii_case(SIP)) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SIP));
        return Ok(response);
    }
    let mut refusal = ErrorResponse::new(Some("the WebSocket subprotocol sip is wanted\n".to_owned()));
    *refusal.status_mut() = StatusCode::BAD_REQUEST;
    Err(refusal)
}

async fn carry<S>(connection: ConnectionId, socket: WebSocketStream<S>, mut outbox: Outbox, arrivals: &Sender<Arrival>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, mut source) = socket.split();
    let reading = async {
        while let Some(Ok(message)) = source.next().await {
            let bytes: Bytes = match message {
                Message::Text(text) => text.into(),
                Message::Binary(bytes) => bytes,
                Message::Close(_) => return,
                // The library answers pings.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            if arrivals.send(Arrival::Message(connection, bytes.to_vec())).await.is_err() {
                return;
            }
        }
    };
    let writing = async {
        while let Some(bytes) = outbox.next().await {
            // RFC 7118 §5: either kind of frame; text is what browsers' libraries read best.
            let bytes = Bytes::from(bytes);
            let text = Utf8Bytes::try_from(bytes.clone());
            let message = text.map_or_else(|_| Message::Binary(bytes), Message::Text);
            if !matches!(timeout(WRITE_PATIENCE, sink.send(message)).await, Ok(Ok(()))) {
                return;
            }
        }
        let _ = timeout(LINGER, sink.close()).await;
    };
    tokio::pin!(reading, writing);
    tokio::select! {
        () = &mut reading => {
            let _ = arrivals.send(Arrival::Closed(connection)).await;
            let _ = timeout(LINGER, writing).await;
        }
        () = &mut writing => {}
    }
}
