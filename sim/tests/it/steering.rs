//! Tests of what a tester's program steers and expects: tokens, subscriptions, the handshake, expectations, the program's port.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use messenger_sim::Expectation;
use serde_json::{Value, json};
use wiremock::matchers::{method, query_param};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{message, received, receiver, world};

#[tokio::test]
async fn a_token_ends_and_its_permissions_change() {
    let (_server, http) = world().await;
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    let send = async || http.graph("BOT", "me/messages", message("77", "hi")).await;
    assert_eq!(send().await.0, 200);
    http.steer("PATCH", "pages/10/tokens/999", json!({"ended": 463})).await;
    let (status, body) = send().await;
    assert_eq!(
        (status, &body["error"]["code"], &body["error"]["error_subcode"]),
        (400, &json!(190), &json!(463))
    );
    http.steer("PATCH", "pages/10/tokens/999", json!({"ended": null, "scopes": ["pages_manage_metadata"]}))
        .await;
    assert_eq!(send().await.1["error"]["code"], 230);
    http.steer("PATCH", "pages/10/tokens/999", json!({"scopes": ["pages_messaging"]})).await;
    assert_eq!(send().await.0, 200);
    for (path, body, status) in [
        ("pages/10/tokens/111", json!({}), 404),
        ("pages/11/tokens/999", json!({}), 404),
        ("pages/10/tokens/999", json!({"ended": 1}), 400),
        ("pages/10/tokens/999", json!({"end": 463}), 400),
    ] {
        assert_eq!(http.ask("PATCH", &format!("_sim/{path}"), Some(body)).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn an_app_is_unsubscribed_and_subscribed_again() {
    let (_server, http) = world().await;
    let bot = receiver().await;
    http.steer("PATCH", "apps/999", json!({"callback_url": bot.uri()})).await;
    let fields =
        async || http.ask("GET", "_sim/world", None).await.1["pages"][0]["subscriptions"]["999"].clone();
    assert!(fields().await.to_string().contains("standby"));
    for (subscribed, webhooks) in [(false, 0), (true, 1)] {
        http.steer("PATCH", "pages/10/apps/999", json!({ "subscribed": subscribed })).await;
        assert_eq!(fields().await == json!([]), !subscribed);
        http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
        assert_eq!(http.ask("GET", "_sim/settled", None).await.1["settled"], true);
        assert_eq!(received(&bot).await.len(), webhooks);
    }
    assert_eq!(http.ask("PATCH", "_sim/pages/10/apps/1", Some(json!({"subscribed": true}))).await.0, 404);
}

/// Makes an endpoint repeat the challenges of handshakes.
pub(super) async fn accepts_handshakes(app: &MockServer) {
    let challenge = |request: &Request| {
        let (_, challenge) = request.url.query_pairs().find(|(name, _)| name == "hub.challenge").unwrap();
        ResponseTemplate::new(200).set_body_string(challenge)
    };
    let handshake = Mock::given(method("GET")).and(query_param("hub.verify_token", "V"));
    handshake.respond_with(challenge).mount(app).await;
}

#[tokio::test]
async fn the_handshake_is_made_when_a_test_asks_for_it() {
    let (_server, http) = world().await;
    let handshake = async || http.ask("POST", "_sim/apps/999/handshake", None).await;
    assert_eq!(handshake().await.0, 422, "no callback");
    let bot = MockServer::start().await;
    http.steer("PATCH", "apps/999", json!({"callback_url": bot.uri()})).await;
    let (status, body) = handshake().await;
    assert_eq!((status, &body["error"]["message"]), (422, &json!("the callback answered with status 404")));
    accepts_handshakes(&bot).await;
    assert_eq!(handshake().await, (200, json!({"verified": true})));
}

#[tokio::test]
async fn a_test_waits_for_what_it_expects_and_sees_what_came_instead() {
    let (server, http) = world().await;
    let expect = async |mut expected: Value| {
        expected["page"] = json!("10");
        expected["user"] = json!("77");
        http.ask("POST", "_sim/expect", Some(expected)).await
    };
    assert_eq!(expect(json!({"owner": null})).await, (200, json!({"met": true})));
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;

    // It waits.
    let later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(http.graph("BOT", "me/messages", message("77", "Hi, I am a bot")).await.0, 200);
    };
    let hi = json!({"read": "Hi, I am a bot", "by": "999", "times": 1, "owner": "999"});
    assert_eq!(tokio::join!(expect(hi), later).0, (200, json!({"met": true})));

    // It says what is missing, with a diagram.
    for (unmet, why) in [
        (
            json!({"read": "Good morning"}),
            "expected \"Good morning\" of any app at least once, the customer has read it 0 times",
        ),
        (json!({"read": "Hi, I am a bot", "by": "888"}), "of app 888 at least once"),
        (json!({"read": "Hi, I am a bot", "times": 2}), "2 times, the customer has read it 1 times"),
        (json!({"owner": "888"}), "expected app 888 to have control, app 999 has it"),
        (json!({"owner": null}), "expected nobody to have control"),
    ] {
        let mut expected = unmet.clone();
        expected["within_ms"] = json!(30);
        let (status, body) = expect(expected).await;
        let (words, diagram) = (body["error"]["message"].as_str().unwrap(), &body["error"]["diagram"]);
        assert!(status == 417 && words.contains(why), "{unmet}: {words}");
        assert!(words.contains(diagram.as_str().unwrap()) && words.contains("◄─messages───"), "{words}");
        assert!(words.contains("[Bot has control]") && words.contains("\"hello\""), "{words}");
    }

    // Nothing happens for an hour of the platform's clock, which a fast clock passes at once.
    http.steer("POST", "clock", json!({"speed": 100_000.0})).await;
    let begun = Instant::now();
    assert_eq!(expect(json!({"owner": "999", "nothing_for_ms": 3_600_000})).await.0, 200);
    assert!(begun.elapsed() < Duration::from_secs(3));
    http.steer("POST", "clock", json!({"speed": 1.0})).await;
    let writes = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        http.steer("POST", "pages/10/people/77/messages", json!({"text": "are you there?"})).await;
    };
    let (silence, ()) = tokio::join!(expect(json!({"nothing_for_ms": 3_000})), writes);
    assert_eq!(silence.0, 417);
    assert!(silence.1["error"]["why"].as_str().unwrap().contains("are you there?"), "{silence:?}");
    let (status, body) = expect(json!({"nothing_for_ms": 60_000, "within_ms": 30})).await;
    assert!(status == 417 && body["error"]["why"].as_str().unwrap().contains("did not pass"), "{body}");

    // Bad input.
    for wrong in [json!({"owner": 1.5}), json!({"red": "x"}), json!({"within_ms": -1})] {
        assert_eq!(expect(wrong.clone()).await.0, 400, "{wrong}");
    }
    let elsewhere = json!({"page": "11", "user": "77"});
    assert_eq!(http.ask("POST", "_sim/expect", Some(elsewhere)).await.0, 404);

    // The same in Rust.
    server.expect(Expectation::of(10, 77).read("Hi, I am a bot").by(999).owner(999)).await.unwrap();
    let unmet = server.expect(Expectation::of(10, 77).idle().within(Duration::from_millis(10))).await;
    assert!(unmet.unwrap_err().to_string().contains("app 999 has it"));
}

/// The program takes a free port and tells which, and prints nothing else.
#[test]
fn the_program_tells_its_port_in_a_file() {
    let path = std::env::temp_dir().join(format!("messenger-sim-{}.json", std::process::id()));
    let mut program = Command::new(env!("CARGO_BIN_EXE_messenger-sim"));
    program.args(["--port", "0", "--quiet", "--ready-file"]).arg(&path).stdout(Stdio::piped());
    let mut program = program.spawn().unwrap();
    let begun = Instant::now();
    let ready = loop {
        if let Ok(text) = std::fs::read_to_string(&path) {
            break text;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it never gets ready");
        std::thread::sleep(Duration::from_millis(10));
    };
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let port = u16::try_from(ready["port"].as_u64().unwrap()).unwrap();
    assert_eq!(ready["url"], format!("http://127.0.0.1:{port}"));
    let reached = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    program.kill().unwrap();
    let printed = program.wait_with_output().unwrap().stdout;
    std::fs::remove_file(&path).unwrap();
    assert!(reached && printed.is_empty());
}
