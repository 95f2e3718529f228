//! The description of the control API is valid and true: the server accepts, refuses and answers as it says.

mod document;

use std::collections::BTreeSet;

use messenger_sim::Server;
use messenger_sim::server::{Builder, Config, InstagramConfig};
use serde_json::{Value, json};
use wiremock::MockServer;

use self::document::{Document, Operation};
use super::Http;
use super::steering::accepts_handshakes;

/// The default world with an Instagram account.
async fn world() -> (Server, Http) {
    let mut config = Config::default();
    config.pages[0].instagram = Some(InstagramConfig::Id(17_841_400_000_000_001_u64.into()));
    let server = Builder::from_config(&config).unwrap().start().await.unwrap();
    let http = Http::new(&server);
    (server, http)
}

async fn document() -> Document {
    let (_server, http) = world().await;
    let (status, document) = http.ask("GET", "_sim/openapi.json", None).await;
    assert_eq!(status, 200);
    Document(document)
}

/// A world in which the examples of an operation make sense.
async fn ready_for(operation: &Operation) -> (Server, Http, Option<MockServer>) {
    let (server, http) = world().await;
    let (page, user) = (987_654_321_098_765_u64, 1_234_567_890_123_456_u64);
    http.steer("POST", &format!("pages/{page}/people/{user}/messages"), json!({"text": "hello"})).await;
    let mut app = None;
    match operation.id.as_str() {
        "leadEnds" => drop(http.steer("POST", &format!("pages/{page}/lead/{user}/begin"), json!({})).await),
        "aiAnswers" | "aiLeaves" => {
            http.steer("POST", &format!("pages/{page}/ai/{user}/take"), json!({})).await;
        }
        "verifyCallback" => {
            let verified = MockServer::start().await;
            accepts_handshakes(&verified).await;
            http.steer("PATCH", "apps/999", json!({"callback_url": verified.uri()})).await;
            app = Some(verified);
        }
        _ => {}
    }
    (server, http, app)
}

#[tokio::test]
async fn openapi_is_a_valid_document() {
    let document = document().await;
    document.check();
    assert_eq!(document.0["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// With the examples, each operation does what it says and answers as described.
#[tokio::test]
async fn openapi_examples_are_accepted() {
    let document = document().await;
    for operation in document.operations() {
        let mut bodies: Vec<_> = operation.examples().into_iter().map(Some).collect();
        if operation.body.is_none() || !operation.needs_body() {
            bodies.push(None);
        }
        for body in bodies {
            let (_server, http, _app) = ready_for(&operation).await;
            let name = format!("{} {} {body:?}", operation.method, operation.path);
            let (status, answer) = http.ask(&operation.method, &operation.path, body).await;
            assert_eq!(status, 200, "{name}: {answer}");
            document.matches(&operation.answer("200"), &answer).expect(&name);
        }
    }
}

/// Unknown fields, missing fields and unknown names are refused, and the refusals list the described ones.
#[tokio::test]
async fn openapi_names_every_field() {
    let document = document().await;
    for operation in document.operations() {
        let (_server, http, _app) = ready_for(&operation).await;
        let refused = async |body: Option<Value>, why: &str| -> String {
            let name = format!("{} {}, {why}", operation.method, operation.path);
            let (status, answer) = http.ask(&operation.method, &operation.path, body).await;
            assert_eq!(status, 400, "{name}: {answer}");
            document.matches(&operation.answer("4XX"), &answer).expect(&name);
            answer["error"]["message"].as_str().unwrap().to_owned()
        };
        if operation.needs_body() {
            refused(None, "no body").await;
        }
        for example in operation.examples() {
            let schema = operation.schema().unwrap();
            for (place, object) in document.objects(&schema, &example) {
                let at = |field: &str, value: Value| {
                    let mut changed = example.clone();
                    changed.pointer_mut(&place).unwrap()[field] = value;
                    Some(changed)
                };
                let message = refused(at("nothing_of_this_name", json!(1)), "an unknown field").await;
                let properties = object["properties"].as_object().unwrap();
                let described = properties.iter().filter(|(_, schema)| schema.get("const").is_none());
                let described: BTreeSet<_> = described.map(|(name, _)| name.clone()).collect();
                assert_eq!(expected_by(&message), described, "{} {place}: {message}", operation.path);

                for field in object["required"].as_array().into_iter().flatten() {
                    let mut changed = example.clone();
                    let without = changed.pointer_mut(&place).unwrap().as_object_mut().unwrap();
                    without.remove(field.as_str().unwrap());
                    refused(Some(changed), &format!("without {field}")).await;
                }
                for (field, schema) in properties {
                    let schema = document.resolved(schema);
                    let Some(names) = schema["enum"].as_array() else { continue };
                    let message = refused(at(field, json!("nothing")), field).await;
                    if names.iter().all(|name| name.is_string() || name.is_null()) {
                        let names: BTreeSet<_> =
                            names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
                        assert_eq!(expected_by(&message), names, "{field}: {message}");
                    }
                }
            }
        }
    }
}

/// The names that a refusal lists: "unknown field `x`, expected `a` or `b`".
fn expected_by(message: &str) -> BTreeSet<String> {
    let expected = message.split_once("expected").map_or("", |(_, expected)| expected);
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[tokio::test]
async fn openapi_describes_refusals() {
    let document = document().await;
    let operations = document.operations();
    let named = |id: &str| operations.iter().find(|operation| operation.id == id).unwrap();
    let (_server, http) = world().await;
    for (id, body, status) in [
        ("expect", Some(json!({"page": "987654321098765", "user": "1", "read": "x", "within_ms": 1})), 417),
        ("verifyCallback", None, 422),
    ] {
        let operation = named(id);
        let (told, answer) = http.ask(&operation.method, &operation.path, body).await;
        assert_eq!(told, status, "{answer}");
        document.matches(&operation.answer(&status.to_string()), &answer).unwrap();
    }
    for query in ["settled?within_ms=1", "transcript?after=0"] {
        assert_eq!(http.ask("GET", &format!("_sim/{query}"), None).await.0, 200);
    }
}
