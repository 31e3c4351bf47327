//! One HTTP request at a time.

use std::time::Duration;

use serde_json::Value;
use ureq::http::StatusCode;

use crate::api::Api;
use crate::exit::Failure;

/// Longer than the gateway waits for its own threads.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A running gateway.
pub(crate) struct Client {
    api: Api,
    agent: ureq::Agent,
}

impl Client {
    pub(crate) fn new(api: Api) -> Self {
        Self { agent: api.agent(TIMEOUT), api }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json(self.agent.get(self.url(path)).call())
    }

    /// With a query, whose values may hold anything.
    pub(crate) fn get_with(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        self.json(self.agent.get(self.url(path)).query_pairs(query.iter().copied()).call())
    }

    pub(crate) fn get_text(&self, path: &str) -> Result<String, Failure> {
        self.body(self.agent.get(self.url(path)).call())
    }

    pub(crate) fn post(&self, path: &str) -> Result<Value, Failure> {
        self.json(self.agent.post(self.url(path)).send_empty())
    }

    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.agent.post(self.url(path)).header("content-type", "application/json");
        self.json(request.send(body.to_string()))
    }

    pub(crate) fn put_json(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.agent.put(self.url(path)).header("content-type", "application/json");
        self.json(request.send(body.to_string()))
    }

    pub(crate) fn post_octets(&self, path: &str, octets: &[u8]) -> Result<Value, Failure> {
        self.json(self.agent.post(self.url(path)).content_type("audio/wav").send(octets))
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.json(self.agent.delete(self.url(path)).call())
    }

    fn url(&self, path: &str) -> String {
        self.api.url(path)
    }

    fn json(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, Failure> {
        let body = self.body(answer)?;
        serde_json::from_str(&body)
            .map_err(|_| Failure::Remote(format!("{} does not answer as a gateway", self.api.address)))
    }

    fn body(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<String, Failure> {
        let no_answer = |error: ureq::Error| {
            Failure::Remote(format!(
                "no gateway answers at {} ({error}); `--server` takes the address that its configuration has as http.listen",
                self.api.address
            ))
        };
        let mut answer = answer.map_err(no_answer)?;
        let body = answer.body_mut().with_config().limit(1 << 30).read_to_string().map_err(no_answer)?;
        if answer.status() == StatusCode::OK {
            return Ok(body);
        }
        let said: Option<String> =
            serde_json::from_str::<Value>(&body).ok().and_then(|value| Some(value["error"].as_str()?.to_owned()));
        Err(Failure::Remote(said.unwrap_or_else(|| body.trim_end().to_owned())))
    }
}
