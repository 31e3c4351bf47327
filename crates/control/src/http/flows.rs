//! Flows without a call over HTTP: installed and removed for measurements of the media plane alone.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tandem_call::{CryptoLine, FlowLeg, FlowNumber, FlowsRefused, InstalledFlow, RemovedFlow};
use tandem_config::CodecName;
use tandem_contract::{Codec, Format, LegCrypto, PayloadType};

use crate::flows::LegView;
use crate::node::{Node, SwitchSilent};
use crate::order::Request;

/// Flows in one request, at most: a worker's ring takes them at once.
const MOST_FLOWS: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    flows: Vec<WantedFlow>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedFlow {
    legs: [WantedLeg; 2],
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedLeg {
    remote: SocketAddr,
    codec: CodecName,
    #[serde(default)]
    payload_type: Option<u8>,
    #[serde(default = "usual_ptime")]
    ptime_ms: u8,
    #[serde(default)]
    crypto: Option<WantedCrypto>,
}

/// Values of `a=crypto` (RFC 4568), as the gateway's side of the leg would write and read them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedCrypto {
    send: String,
    receive: String,
}

impl std::fmt::Debug for WantedCrypto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WantedCrypto(..)")
    }
}

const fn usual_ptime() -> u8 {
    20
}

#[derive(Debug, Serialize)]
struct Installed {
    flows: Vec<InstalledView>,
}

#[derive(Debug, Serialize)]
struct InstalledView {
    number: FlowNumber,
    worker: u16,
    local: [SocketAddr; 2],
}

#[derive(Debug, Serialize)]
struct Removed {
    flows: Vec<RemovedView>,
}

#[derive(Debug, Serialize)]
struct RemovedView {
    number: FlowNumber,
    legs: [LegView; 2],
}

impl From<InstalledFlow> for InstalledView {
    fn from(flow: InstalledFlow) -> Self {
        Self { number: flow.number, worker: flow.worker.0, local: flow.local }
    }
}

impl From<RemovedFlow> for RemovedView {
    fn from(flow: RemovedFlow) -> Self {
        Self { number: flow.number, legs: flow.counters.map(LegView::from) }
    }
}

/// `POST /v1/flows`
pub(super) async fn install(State(node): State<Arc<Node>>, body: Bytes) -> Result<Response, SwitchSilent> {
    let wanted = match parse(&body) {
        Ok(wanted) => wanted,
        Err(error) => return Ok((StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response()),
    };
    let refused = match node.ask(|answer| Request::InstallFlows(wanted, answer)).await? {
        Ok(flows) => {
            let flows = flows.into_iter().map(InstalledView::from).collect();
            return Ok(Json(Installed { flows }).into_response());
        }
        Err(refused) => refused,
    };
    let status = match refused {
        FlowsRefused::Worker { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok((status, Json(json!({ "error": refused.to_string() }))).into_response())
}

/// `DELETE /v1/flows/{numbers}`
pub(super) async fn remove(
    State(node): State<Arc<Node>>,
    Path(numbers): Path<String>,
) -> Result<Response, SwitchSilent> {
    let Some(range) = range(&numbers) else {
        let error = format!(
            "'{numbers}' is neither a flow's number nor a range of at most {MOST_FLOWS}, such as 17 or 1000-1999"
        );
        return Ok((StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response());
    };
    let removed = node.ask(|answer| Request::RemoveFlows(range, answer)).await?;
    if removed.is_empty() {
        let error = format!("there is no flow {numbers}");
        return Ok((StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response());
    }
    let flows = removed.into_iter().map(RemovedView::from).collect();
    Ok(Json(Removed { flows }).into_response())
}

/// `DELETE /v1/flows`
pub(super) async fn remove_all(State(node): State<Arc<Node>>) -> Result<Response, SwitchSilent> {
    let all = FlowNumber(0)..=FlowNumber(u64::MAX);
    let removed = node.ask(|answer| Request::RemoveFlows(all, answer)).await?;
    tracing::info!(flows = removed.len(), "all flows without a call removed, as the operator asked");
    Ok(Json(json!({ "removed": removed.len() })).into_response())
}

fn range(text: &str) -> Option<RangeInclusive<FlowNumber>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    let is_short = last.checked_sub(first)? < MOST_FLOWS as u64;
    is_short.then_some(FlowNumber(first)..=FlowNumber(last))
}

/// An error says which field is wrong.
fn parse(body: &[u8]) -> Result<Vec<[FlowLeg; 2]>, String> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let wanted: Wanted = serde_path_to_error::deserialize(&mut json).map_err(|error| error.to_string())?;
    json.end().map_err(|error| error.to_string())?;
    if wanted.flows.is_empty() || wanted.flows.len() > MOST_FLOWS {
        return Err(format!("flows: 1 to {MOST_FLOWS} in one request, not {}", wanted.flows.len()));
    }
    wanted.flows.iter().zip(0..).map(|(flow, position)| legs(flow, position)).collect()
}

fn legs(flow: &WantedFlow, position: usize) -> Result<[FlowLeg; 2], String> {
    let [a, b] = &flow.legs;
    let leg = |leg, number| leg_of(leg).map_err(|error| format!("flows[{position}].legs[{number}].{error}"));
    Ok([leg(a, 0)?, leg(b, 1)?])
}

fn leg_of(wanted: &WantedLeg) -> Result<FlowLeg, String> {
    let codec = match wanted.codec {
        CodecName::Pcmu => Codec::Pcmu,
        CodecName::Pcma => Codec::Pcma,
        CodecName::G722 => Codec::G722,
        CodecName::G729 => Codec::G729,
    };
    if wanted.remote.port() == 0 || wanted.remote.ip().is_unspecified() {
        return Err(format!("remote: nobody is at {}", wanted.remote));
    }
    if !(10..=60).contains(&wanted.ptime_ms) || !wanted.ptime_ms.is_multiple_of(10) {
        return Err(format!("ptime_ms: 10 to 60 in steps of 10, not {}", wanted.ptime_ms));
    }
    let payload_type = match wanted.payload_type {
        None => codec.static_payload_type(),
        Some(number) => PayloadType::new(number),
    };
    let payload_type = payload_type.ok_or_else(|| "payload_type: 0 to 127".to_owned())?;
    Ok(FlowLeg {
        remote: wanted.remote,
        crypto: wanted.crypto.as_ref().map(keys).transpose()?,
        format: Format { ptime_ms: wanted.ptime_ms, ..Format::new(codec, payload_type) },
    })
}

fn keys(wanted: &WantedCrypto) -> Result<LegCrypto, String> {
    let key = |field: &str, value: &str| {
        let line = CryptoLine::parse(value);
        line.map(|line| line.key).map_err(|error| format!("crypto.{field}: {error}; write 1 SUITE inline:KEY"))
    };
    let (send, receive) = (key("send", &wanted.send)?, key("receive", &wanted.receive)?);
    if send.suite() != receive.suite() {
        return Err("crypto: one suite for both directions".to_owned());
    }
    Ok(LegCrypto { send, receive })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEG: &str = r#"{"remote":"10.0.0.2:4000","codec":"PCMU"}"#;

    /// RFC 4568 §6.1.
    const KEY: &str = "1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    fn refused(legs: &str) -> String {
        parse(format!(r#"{{"flows":[{{"legs":[{legs}]}}]}}"#).as_bytes()).expect_err(legs)
    }

    #[test]
    fn an_error_names_the_field() {
        for (legs, starts) in [
            (LEG.to_owned(), "flows[0].legs: invalid length 1"),
            (
                format!(r#"{LEG},{{"remote":"10.0.0.2","codec":"PCMU"}}"#),
                "flows[0].legs[1].remote: invalid socket address",
            ),
            (format!(r#"{LEG},{{"remote":"10.0.0.2:0","codec":"PCMU"}}"#), "flows[0].legs[1].remote: nobody"),
            (
                format!(r#"{LEG},{{"remote":"10.0.0.2:1","codec":"EVS"}}"#),
                "flows[0].legs[1].codec: unknown variant `EVS`",
            ),
            (
                format!(r#"{LEG},{{"remote":"10.0.0.2:1","codec":"G729","ptime_ms":15}}"#),
                "flows[0].legs[1].ptime_ms: 10 to 60",
            ),
            (
                format!(r#"{LEG},{{"remote":"10.0.0.2:1","codec":"G729","ptime":20}}"#),
                "flows[0].legs[1].ptime: unknown field",
            ),
            (
                format!(r#"{LEG},{{"remote":"10.0.0.2:1","codec":"G729","payload_type":128}}"#),
                "flows[0].legs[1].payload_type: 0 to 127",
            ),
        ] {
            let error = refused(&legs);
            assert!(error.starts_with(starts), "{error}");
        }
        let with_keys = |send: &str, receive: &str| {
            refused(&format!(
                r#"{LEG},{{"remote":"10.0.0.2:1","codec":"PCMU","crypto":{{"send":"{send}","receive":"{receive}"}}}}"#
            ))
        };
        let unusable = with_keys(KEY, "1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0");
        assert_eq!(
            unusable,
            "flows[0].legs[1].crypto.receive: its key does not fit the suite; write 1 SUITE inline:KEY"
        );
        let mixed = with_keys(KEY, &KEY.replace("_80", "_32"));
        assert_eq!(mixed, "flows[0].legs[1].crypto: one suite for both directions");
        assert!(parse(br#"{"flows":[]}"#).expect_err("none").starts_with("flows: 1 to 1000"));
        assert!(parse(br#"{"flows":[]} {}"#).expect_err("more behind").starts_with("trailing characters"));
    }

    #[test]
    fn a_leg_has_the_usual_number_and_packet_time_where_nothing_is_said() {
        let text = format!(
            r#"{{"flows":[{{"legs":[{LEG},{{"remote":"[::1]:9","codec":"G722","payload_type":96,"ptime_ms":40}}]}}]}}"#
        );
        let flows = parse(text.as_bytes()).expect("right");
        let [a, b] = &flows[0];
        assert_eq!((a.format.payload_type.get(), a.format.ptime_ms), (0, 20));
        assert_eq!((b.format.payload_type.get(), b.format.ptime_ms), (96, 40));
        assert!(a.crypto.is_none() && b.crypto.is_none());
    }

    #[test]
    fn keys_are_taken_as_a_session_description_has_them_and_never_shown() {
        let leg = format!(r#"{{"remote":"10.0.0.2:1","codec":"PCMU","crypto":{{"send":"{KEY}","receive":"{KEY}"}}}}"#);
        let text = format!(r#"{{"flows":[{{"legs":[{LEG},{leg}]}}]}}"#);
        let crypto = parse(text.as_bytes()).expect("right")[0][1].crypto.expect("keys");
        assert_eq!(crypto.send.key(), b"wDfvg&T+)xG7@fb5");
        let wanted: Wanted = serde_json::from_str(&text).expect("right");
        assert!(!format!("{wanted:?}").contains("inline"));
    }

    #[test]
    fn a_range_of_numbers_is_bounded() {
        assert_eq!(range("7"), Some(FlowNumber(7)..=FlowNumber(7)));
        assert_eq!(range("1000-1999"), Some(FlowNumber(1_000)..=FlowNumber(1_999)));
        for wrong in ["", "-", "x", "1-", "9-8", "0-1000", "1-2-3"] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
    }
}
