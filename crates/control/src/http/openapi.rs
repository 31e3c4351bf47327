//! The interface as an OpenAPI 3.1 document, made from the table that the manual's is made from.

use serde_json::{Map, Value, json};

use super::ROUTES;

/// What may be open to whoever asks: the page, and monitoring where `http.open_monitoring` is set.
const OPEN: [&str; 4] = ["/", "/metrics", "/healthz", "/readyz"];

fn error(description: &str) -> Value {
    json!({
        "description": description,
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    })
}

/// The document.
pub(super) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for (method, path, meaning) in ROUTES {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let in_path = path.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name));
        let in_query = query.split('&').filter_map(|pair| pair.split_once('=').map(|(name, _)| name));
        let parameter = |name: &str, place: &str| json!({ "name": name, "in": place, "required": place == "path", "schema": { "type": "string" } });
        let parameters: Vec<Value> =
            in_path.map(|name| parameter(name, "path")).chain(in_query.map(|name| parameter(name, "query"))).collect();
        let mut operation = json!({
            "summary": meaning,
            "parameters": parameters,
            "responses": {
                "200": { "description": "done" },
                "default": error("not done, and why"),
            },
        });
        if OPEN.contains(&path) {
            operation["security"] = json!([{}, { "token": [] }, { "certificate": [] }]);
        } else {
            operation["responses"]["401"] = json!({ "$ref": "#/components/responses/Unauthorised" });
            if *method != "GET" {
                operation["responses"]["403"] = json!({ "$ref": "#/components/responses/Forbidden" });
            }
        }
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[method.to_ascii_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Tandem", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "security": [{ "token": [] }, { "certificate": [] }],
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "one of `http.tokens`; its `scope` is `read`, which allows GET, or `full`. Where neither tokens nor \
                                    certificates are configured, nothing is asked, and the interface is on loopback alone",
                },
                "certificate": {
                    "type": "mutualTLS",
                    "description": "a client certificate of `http.tls.client_ca`'s; it allows everything",
                },
            },
            "responses": {
                "Unauthorised": error("no valid token and no certificate"),
                "Forbidden": error("the token is for reading alone"),
            },
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": { "error": { "type": "string", "description": "what, where, what to do" } },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_an_operation_with_its_parameters() {
        let document = document();
        let count: usize =
            document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(count, ROUTES.len());
        let fork = &document["paths"]["/v1/calls/{number}/fork"]["post"];
        let names: Vec<_> =
            fork["parameters"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["number", "leg", "to"]);
    }
}
