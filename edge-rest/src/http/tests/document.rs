//! The OpenAPI document: whole in itself, and true of what is served.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const BASE: &str = "https://doors.example:8443";

fn document() -> Value {
    let mut config = crate::config::sample();
    config.public.base_url = BASE.to_owned().try_into().expect("a URL");
    let text = openapi::document(&config.public);
    assert!(!String::from_utf8_lossy(&text).contains("edge.example"));
    serde_json::from_slice(&text).expect("JSON")
}

/// What a reference stands for.
fn whole<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.trim_start_matches('#'))
            .expect(reference),
        None => value,
    }
}

fn members(value: &Value) -> Vec<(&str, &Value)> {
    let object = value.as_object().expect("an object");
    object.iter().map(|(name, v)| (name.as_str(), v)).collect()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[][..], Vec::as_slice)
}

fn texts(value: &Value) -> BTreeSet<&str> {
    items(value).iter().filter_map(Value::as_str).collect()
}

/// Path, method, operation.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    members(&document["paths"])
        .into_iter()
        .flat_map(|(path, item)| {
            members(item)
                .into_iter()
                .map(move |(method, operation)| (path, method, operation))
        })
        .collect()
}

fn every(value: &Value, look: &mut dyn FnMut(&Value)) {
    look(value);
    match value {
        Value::Object(object) => object.values().for_each(|value| every(value, look)),
        Value::Array(items) => items.iter().for_each(|value| every(value, look)),
        _ => {}
    }
}

#[test]
fn it_is_whole_in_itself() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    assert_eq!(document["servers"][0]["url"], BASE);
    every(&document, &mut |value| {
        assert!(!whole(&document, value).is_null());
    });
    let schemes = &document["components"]["securitySchemes"];
    let flow = &schemes["oauth2"]["flows"]["clientCredentials"];
    assert_eq!(flow["tokenUrl"], format!("{BASE}{}", token::ROUTE));
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let name = operation["operationId"].as_str().expect(path);
        assert!(ids.insert(name), "{name} twice");
        assert!(operation["summary"].is_string(), "{name}");
        let in_path: BTreeSet<&str> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        let parameters = items(&operation["parameters"])
            .iter()
            .map(|parameter| whole(&document, parameter))
            .filter(|parameter| parameter["in"] == "path" && parameter["required"] == true)
            .filter_map(|parameter| parameter["name"].as_str());
        assert_eq!(parameters.collect::<BTreeSet<_>>(), in_path, "{name}");
        for (scheme, scopes) in items(&operation["security"]).iter().flat_map(members) {
            assert!(schemes[scheme].is_object(), "{name}: {scheme}");
            for scope in texts(scopes) {
                assert!(flow["scopes"][scope].is_string(), "{name}: {scope}");
            }
        }
        assert_eq!(operation["requestBody"].is_object(), method == "post");
        if method == "post" {
            for (media, content) in members(&operation["requestBody"]["content"]) {
                assert!(content["schema"].is_object(), "{name}: {media}");
                assert!(content["examples"].is_object(), "{name}: {media}");
            }
        }
        for (status, response) in members(&operation["responses"]) {
            let response = whole(&document, response);
            is_whole(&document, response, status, name);
        }
    }
}

fn is_whole(document: &Value, response: &Value, status: &str, name: &str) {
    assert!(response["description"].is_string(), "{name}: {status}");
    for (header, told) in members(&response["headers"]) {
        let told = whole(document, told);
        assert!(told["schema"].is_object(), "{name}: {status}: {header}");
    }
    let problem = &response["content"]["application/problem+json"];
    if problem.is_null() {
        return;
    }
    let narrowed = &problem["schema"]["allOf"][1]["properties"];
    assert_eq!(narrowed["status"]["const"].to_string(), status, "{name}");
    let examples = members(&problem["examples"]);
    let codes: BTreeSet<&str> = examples.iter().map(|(code, _)| *code).collect();
    assert_eq!(texts(&narrowed["code"]["enum"]), codes, "{name}: {status}");
}

#[tokio::test]
async fn it_tells_every_route_and_no_other() {
    let document = document();
    let mut told: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (path, method, _) in operations(&document) {
        told.entry(path).or_default().insert(method);
    }
    let routes = routes();
    let served: BTreeSet<&str> = routes.iter().map(|(path, _)| *path).collect();
    assert_eq!(told.keys().copied().collect::<BTreeSet<_>>(), served);
    let (_, router) = edge();
    for (path, methods) in told {
        for method in ["get", "put", "post", "delete", "options", "patch"] {
            let request = Request::builder()
                .method(method.to_uppercase().as_str())
                .uri(filled(path))
                .body(Body::empty())
                .expect("a request");
            let answer = ask(&router, request).await;
            let taken = answer.status() != 405;
            assert_eq!(taken, methods.contains(method), "{method} {path}");
        }
    }
}

fn filled(path: &str) -> String {
    path.replace("{device_id}", "d")
        .replace("{opening_id}", "o")
}

#[tokio::test]
async fn what_it_gives_as_an_example_is_taken() {
    let document = document();
    let (_, router) = edge();
    let mut asked = 0;
    for (path, _, operation) in operations(&document) {
        let contents = operation["requestBody"]["content"].as_object();
        for (media, content) in contents.into_iter().flatten() {
            for (name, example) in members(&content["examples"]) {
                let value = &whole(&document, example)["value"];
                let body = if media == "application/json" {
                    value.to_string()
                } else {
                    form(value)
                };
                let mut request = post(&filled(path), media, body);
                if path.starts_with(token::PREFIX) {
                    request.headers_mut().remove("authorization");
                }
                let answer = ask(&router, request).await;
                // 404 is the stand-in's word for what it was asked well.
                assert!(
                    [200, 202, 404].contains(&answer.status()),
                    "{path} {name}: {} {}",
                    answer.status(),
                    answer.body
                );
                if answer.status() == 202 {
                    assert_ne!(answer.body["accepted"], 0, "{path} {name}");
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 10, "only {asked} examples");
}

fn form(value: &Value) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in members(value) {
        form.append_pair(name, value.as_str().expect("a text"));
    }
    form.finish()
}

#[tokio::test]
async fn answers_have_the_members_that_it_tells() {
    let document = document();
    let (_, router) = edge();
    let get = |path: &str| Request::get(path).body(Body::empty()).expect("a request");
    let event = r#"{"key_id":"k","opened_at":"2026-11-24T06:00:00Z"}"#;
    for (schema, request) in [
        ("Token", token(CLIENT)),
        (
            "Accepted",
            post(
                "/v1/webhooks/intercom/key-openings",
                "application/json",
                event,
            ),
        ),
        (
            "ServerMetadata",
            get("/.well-known/oauth-authorization-server"),
        ),
        ("KeySet", get("/.well-known/jwks.json")),
        (
            "OAuthError",
            token("grant_type=client_credentials&client_id=a"),
        ),
        ("Problem", get("/nowhere")),
    ] {
        let answer = ask(&router, request).await;
        let schema = &document["components"]["schemas"][schema];
        let names: BTreeSet<&str> = members(&answer.body).into_iter().map(|m| m.0).collect();
        let known: BTreeSet<&str> = members(&schema["properties"])
            .into_iter()
            .map(|m| m.0)
            .collect();
        assert!(texts(&schema["required"]).is_subset(&names), "{names:?}");
        assert!(names.is_subset(&known), "{names:?}");
    }
}

#[tokio::test]
async fn it_is_served_where_the_metadata_says() {
    let (_, router) = edge();
    let get = |path: &str| Request::get(path).body(Body::empty()).expect("a request");
    let metadata = ask(&router, get("/.well-known/oauth-authorization-server")).await;
    assert_eq!(
        metadata.body["service_documentation"],
        "https://edge.example/openapi.json"
    );
    let answer = ask(&router, get("/openapi.json")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    assert_eq!(answer.body["servers"][0]["url"], "https://edge.example");
}
