//! Payload fixtures: ours with their expected rows, a folder of recorded ones, and damaged variants of both.

use std::fs;
use std::path::{Path, PathBuf};

use messenger_handover::call::{FailureKind, ThreadOwner};
use messenger_handover::control::HandoverClient;
use messenger_handover::event::Event;
use messenger_handover::graph::GraphClient;
use messenger_handover::id::AppId;
use messenger_handover::webhook::{Delivery, Item, ParseError, dangerous_parse_unverified};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::world::thread;

#[path = "../../examples/webhook_inspect/rows.rs"]
mod rows;

fn json_files(dir: &Path) -> Vec<(PathBuf, Value)> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect();
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, value)
    };
    files.into_iter().map(read).collect()
}

fn own_fixtures() -> Vec<(PathBuf, Value)> {
    json_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/webhooks"))
}

/// Removes absent fields.
fn dense(row: &Value) -> Value {
    let set = row.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
    Value::Object(set.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn rows_of(payload: &Value, app: Option<&AppId>) -> Vec<Value> {
    let rows = rows::of(payload.to_string().as_bytes(), app).unwrap();
    rows.iter().map(|row| serde_json::to_value(row).unwrap()).collect()
}

#[test]
fn payloads_of_fixtures_give_their_rows() {
    let fixtures = own_fixtures();
    assert!(fixtures.len() >= 70);
    for (path, fixture) in fixtures {
        let app: AppId = serde_json::from_value(fixture["app"].clone()).unwrap();
        let mut rows = rows_of(&fixture["payload"], Some(&app));
        for row in &mut rows {
            let why = row.as_object_mut().unwrap().remove("why");
            assert_eq!(why.is_some(), row["kind"] == "unknown", "{}: {row}", path.display());
        }
        let dense: Vec<_> = rows.iter().map(dense).collect();
        assert_eq!(json!(dense), fixture["rows"], "{}", path.display());
        for (row, mut without_app) in rows.iter().zip(rows_of(&fixture["payload"], None)) {
            without_app.as_object_mut().unwrap().remove("why");
            assert_eq!(row.as_object().unwrap().len(), 11, "every key is always there");
            assert_eq!(without_app["holds_control"], Value::Null);
            let told = json!({"holds_control": row["holds_control"]});
            let mut with_told = without_app.clone();
            with_told.as_object_mut().unwrap().extend(told.as_object().unwrap().clone());
            assert_eq!(*row, with_told, "our app changes nothing else");
        }
    }
}

/// Converts keys to snake case, because some projects store them in camel case.
fn snake_case(value: Value) -> Value {
    let snake = |key: String| {
        let mut out = String::new();
        for c in key.chars() {
            if c.is_ascii_uppercase() {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
        }
        out
    };
    match value {
        Value::Object(map) => map.into_iter().map(|(key, value)| (snake(key), snake_case(value))).collect(),
        Value::Array(list) => list.into_iter().map(snake_case).collect(),
        other => other,
    }
}

/// The event kind that an element of a delivery must be parsed as, by the name of its body.
fn kind_of(element: &Value) -> &'static str {
    match () {
        () if element["message"]["is_echo"] == true => "echo",
        () if element["message"].is_object() => "message",
        () => [
            "postback",
            "read",
            "delivery",
            "pass_thread_control",
            "take_thread_control",
            "request_thread_control",
            "app_roles",
        ]
        .into_iter()
        .find(|kind| !element[kind].is_null())
        .unwrap_or("unknown"),
    }
}

/// Parses a response of the API through the client.
async fn read_answer(body: &Value) {
    let server = MockServer::start().await;
    let status = if body["error"].is_object() { 400 } else { 200 };
    let answer = ResponseTemplate::new(status).set_body_json(body);
    Mock::given(wiremock::matchers::any()).respond_with(answer).mount(&server).await;
    let builder = GraphClient::builder().base_url(server.uri().parse().unwrap());
    let graph = builder.page(thread().page, "token".into()).build().unwrap();
    let read = graph.thread_owner(&thread()).await;
    if body["error"].is_object() {
        assert_ne!(read.unwrap_err().kind(), FailureKind::Protocol, "{body}");
    } else {
        assert!(matches!(read.unwrap(), ThreadOwner::App { .. }), "{body}");
    }
}

/// Checks recorded payloads of other projects, if `HANDOVER_FIXTURES` names a folder of them.
#[tokio::test]
async fn payloads_recorded_in_a_folder_are_read() {
    let Ok(dir) = std::env::var("HANDOVER_FIXTURES") else {
        eprintln!("HANDOVER_FIXTURES names no folder of recorded payloads: there is nothing to do");
        return;
    };
    let mut seen = 0;
    for (path, file) in json_files(Path::new(&dir)) {
        let Some(payload) = file.get("payload").cloned().map(snake_case) else { continue };
        seen += 1;
        if payload.get("entry").is_none() && payload.get("recipient").is_none() {
            read_answer(&payload).await;
            continue;
        }
        let envelope = match payload.get("entry") {
            Some(_) => payload,
            None => json!({"object": "page", "entry": [{"messaging": [payload]}]}),
        };
        let elements = |entry: &Value| {
            let of = |array| entry[array].as_array().cloned().unwrap_or_default();
            [of("messaging"), of("standby")].concat()
        };
        let elements: Vec<_> = envelope["entry"].as_array().unwrap().iter().flat_map(elements).collect();
        let expected: Vec<_> = elements.iter().map(kind_of).collect();
        let rows = rows_of(&envelope, None);
        let kinds: Vec<_> = rows.iter().map(|row| row["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, expected, "{}", path.display());
    }
    assert!(seen > 0, "{dir} holds no payloads");
}

/// Picks a place in a JSON value by a number.
fn place(mut value: &mut Value, mut choice: usize) -> &mut Value {
    loop {
        let children = match value {
            Value::Object(map) => map.len(),
            Value::Array(list) => list.len(),
            _ => 0,
        };
        // Stops at this node with a probability of 1 / (children + 1).
        let next = choice % (children + 1);
        if next == children {
            return value;
        }
        choice /= children + 1;
        value = match value {
            Value::Object(map) => map.values_mut().nth(next).unwrap(),
            Value::Array(list) => &mut list[next],
            _ => unreachable!("it has no children"),
        };
    }
}

fn damage(value: &mut Value, how: u8, choice: usize) {
    let at = place(value, choice);
    *at = match (how % 11, at.take()) {
        (0, _) => Value::Null,
        (1, Value::Number(number)) => json!(number.to_string()),
        (1, Value::String(text)) => text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number)),
        (2, old) => json!([old]),
        (3, _) => json!({}),
        (4, _) => json!(true),
        (5, _) => json!(-1.5e300),
        (6, _) => json!(u64::MAX),
        (7, _) => json!(""),
        (8, _) => json!("\u{0}\u{202e}\n"),
        (9, Value::Array(mut list)) => {
            list.extend(list.clone());
            list.reverse();
            Value::Array(list)
        }
        (10, Value::Object(map)) => map.into_iter().skip(1).collect::<Map<_, _>>().into(),
        (_, old) => old,
    };
}

fn events(delivery: &Delivery) -> impl Iterator<Item = &Event> {
    delivery.items.iter().filter_map(|item| match item {
        Item::Event { event, .. } => Some(event),
        _ => None,
    })
}

fn a_fixture() -> impl Strategy<Value = Value> {
    let payloads: Vec<_> =
        own_fixtures().into_iter().map(|(_, fixture)| fixture["payload"].clone()).collect();
    prop::sample::select(payloads)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A payload with any number of damaged places is parsed or refused; every parsed event survives a round trip through
    /// its record; and the formatting of the JSON does not matter.
    #[test]
    fn payloads_with_damaged_values_are_read_or_refused(
        mut payload in a_fixture(),
        damages in prop::collection::vec((any::<u8>(), any::<usize>()), 0..6),
    ) {
        for (how, choice) in damages {
            damage(&mut payload, how, choice);
        }
        let body = serde_json::to_vec(&payload).unwrap();
        let delivery = match dangerous_parse_unverified(&body) {
            Ok(delivery) => delivery,
            Err(ParseError::NotJson(error)) => panic!("it is JSON: {error}"),
            Err(_) => {
                prop_assert!(payload.get("entry").and_then(Value::as_array).is_none());
                return Ok(());
            }
        };
        let entries = payload["entry"].as_array().unwrap().len();
        prop_assert!(delivery.items.len() >= entries, "nothing disappears without a word");
        for event in events(&delivery) {
            let saved = serde_json::to_string(event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Event>(&saved).unwrap(), event);
        }
        let pretty = serde_json::to_vec_pretty(&payload).unwrap();
        prop_assert_eq!(&dangerous_parse_unverified(&pretty).unwrap(), &delivery);
        // Meta escapes every character beyond ASCII (docs/protocol.md#signatures).
        let escaped: String = String::from_utf8(body).unwrap().encode_utf16().map(|unit| match unit {
            0..0x80 => char::from(u8::try_from(unit).unwrap()).to_string(),
            _ => format!("\\u{unit:04x}"),
        }).collect();
        prop_assert_eq!(dangerous_parse_unverified(escaped.as_bytes()).unwrap(), delivery);
        let _ = rows_of(&payload, Some(&AppId::from(1)));
    }

    /// Truncated or changed bytes never cause a panic, and invalid JSON is refused.
    #[test]
    fn payloads_with_damaged_bytes_never_panic(
        payload in a_fixture(),
        changes in prop::collection::vec((any::<usize>(), any::<u8>()), 0..8),
        cut in prop::option::of(any::<usize>()),
    ) {
        let mut body = payload.to_string().into_bytes();
        for (at, byte) in changes {
            let at = at % body.len();
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut % body.len());
        }
        let read = dangerous_parse_unverified(&body);
        if let (Err(error), true) = (serde_json::from_slice::<Value>(&body), read.is_ok()) {
            // In ignored fields we accept a lone surrogate or an out-of-range number, which serde_json refuses.
            let is_number = error.to_string().starts_with("number out of range");
            prop_assert!(is_number || body.windows(3).any(|bytes| bytes.eq_ignore_ascii_case(b"\\ud")));
        }
    }
}
