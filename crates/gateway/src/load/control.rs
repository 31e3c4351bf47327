//! Flows on a gateway, set up and taken down through its control interface.

use std::net::SocketAddrV4;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tandem_contract::LegCrypto;
use tandem_loadgen::{LoadError, PlannedCall, RemoteLeg, SpeechCodec};
use tandem_sdp::CryptoLine;
use ureq::http::StatusCode;

use crate::api::Api;

/// Longer than the gateway waits for its own threads.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A little longer than a gateway lets ports rest by default.
const PORTS_REST: Duration = Duration::from_millis(2_500);
/// Flows in one request, as many as the gateway takes.
const FLOWS_PER_REQUEST: usize = 1_000;

/// The control interface of a gateway, and what it was asked to install.
pub(super) struct Control {
    api: Api,
    agent: ureq::Agent,
    installed: Vec<RangeInclusive<u64>>,
}

#[derive(Serialize)]
struct Wanted {
    flows: Vec<WantedFlow>,
}

#[derive(Serialize)]
struct WantedFlow {
    legs: [WantedLeg; 2],
}

#[derive(Serialize)]
struct WantedLeg {
    remote: SocketAddrV4,
    codec: &'static str,
    ptime_ms: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    crypto: Option<WantedCrypto>,
}

/// The gateway's side of a leg's keys, as an `a=crypto` line has them.
#[derive(Serialize)]
struct WantedCrypto {
    send: String,
    receive: String,
}

impl From<LegCrypto> for WantedCrypto {
    fn from(ours: LegCrypto) -> Self {
        let line = |key| CryptoLine { tag: 1, key }.value();
        Self { send: line(ours.receive), receive: line(ours.send) }
    }
}

#[derive(Deserialize)]
struct Installed {
    flows: Vec<InstalledFlow>,
}

#[derive(Deserialize)]
struct InstalledFlow {
    number: u64,
    local: [SocketAddrV4; 2],
}

impl Control {
    pub(super) fn new(api: Api) -> Self {
        Self { agent: api.agent(TIMEOUT), api, installed: Vec::new() }
    }

    /// Installs a flow for each call. Answers where its legs are on the gateway, with fresh keys for those that speak SRTP.
    pub(super) fn install(&mut self, calls: &[PlannedCall]) -> Result<Vec<[RemoteLeg; 2]>, LoadError> {
        let mut remotes = Vec::with_capacity(calls.len());
        for part in calls.chunks(FLOWS_PER_REQUEST) {
            let keys: Vec<_> = part.iter().map(|call| [0, 1].map(|side| call.keys(side))).collect();
            let leg = |call: &PlannedCall, side: usize, crypto: Option<LegCrypto>| WantedLeg {
                remote: call.local[side],
                codec: name(call.kind.legs[side].codec),
                ptime_ms: call.kind.legs[side].ptime_ms,
                crypto: crypto.map(WantedCrypto::from),
            };
            let flow = |(call, keys): (&PlannedCall, &[Option<LegCrypto>; 2])| WantedFlow {
                legs: [leg(call, 0, keys[0]), leg(call, 1, keys[1])],
            };
            let wanted = Wanted { flows: part.iter().zip(&keys).map(flow).collect() };
            let installed = self.install_part(&wanted)?;
            if let (Some(first), Some(last)) = (installed.flows.first(), installed.flows.last()) {
                self.installed.push(first.number..=last.number);
            }
            if installed.flows.len() != part.len() {
                return Err(LoadError::SetUp(format!("{} answers with another number of flows", self.api.address)));
            }
            let remote = |flow: InstalledFlow, keys: [Option<LegCrypto>; 2]| {
                [0, 1].map(|side| RemoteLeg { address: flow.local[side], crypto: keys[side] })
            };
            remotes.extend(installed.flows.into_iter().zip(keys).map(|(flow, keys)| remote(flow, keys)));
        }
        Ok(remotes)
    }

    /// Where there is no room, asks again for a while: ports of an earlier run rest before they are used anew.
    fn install_part(&self, wanted: &Wanted) -> Result<Installed, LoadError> {
        let until = Instant::now() + PORTS_REST;
        loop {
            let answer = self.agent.post(self.url("/v1/flows")).send_json(wanted);
            let is_full = answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE);
            if !is_full || Instant::now() > until {
                return self.read(answer);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Removes what was installed.
    pub(super) fn remove(&mut self) -> Result<(), LoadError> {
        for numbers in std::mem::take(&mut self.installed) {
            let url = self.url(&format!("/v1/flows/{}-{}", numbers.start(), numbers.end()));
            let answer = self.agent.delete(url).call();
            let _: serde::de::IgnoredAny = self.read(answer)?;
        }
        Ok(())
    }

    fn url(&self, path: &str) -> String {
        self.api.url(path)
    }

    fn read<T: serde::de::DeserializeOwned>(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, LoadError> {
        let silent = |error: ureq::Error| {
            LoadError::SetUp(format!(
                "no gateway answers at {} ({error}); --control takes the address that its configuration has as http.listen",
                self.api.address
            ))
        };
        let mut answer = answer.map_err(silent)?;
        let text = answer.body_mut().with_config().limit(1 << 26).read_to_string().map_err(silent)?;
        if answer.status() == StatusCode::OK {
            return serde_json::from_str(&text)
                .map_err(|_| LoadError::SetUp(format!("{} does not answer as a gateway", self.api.address)));
        }
        let said = serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|value| Some(value["error"].as_str()?.to_owned()));
        Err(LoadError::SetUp(said.unwrap_or_else(|| format!("{} answers {}", self.api.address, answer.status()))))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // What is left after an error; the gateway forgets flows without media by itself.
        let _ = self.remove();
    }
}

const fn name(codec: SpeechCodec) -> &'static str {
    match codec {
        SpeechCodec::Pcmu => "PCMU",
        SpeechCodec::Pcma => "PCMA",
        SpeechCodec::G722 => "G722",
        SpeechCodec::G729 => "G729",
    }
}
