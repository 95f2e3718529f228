//! Tests of faults, resets and the transcript.

use std::time::Duration;

use messenger_sim::{Fault, FaultAction};
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{message, received, receiver, world};

#[tokio::test]
async fn calls_go_wrong_as_they_were_told_to() {
    let (server, http) = world().await;
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    let said = || server.conversation(&10.into(), &77.into()).len();
    for (action, extra, status, sent) in [
        ("refuse", json!({"error": {"code": 2_018_321, "status": 500}}), 500, false),
        ("rate_limit", json!({}), 400, false),
        ("status_500", json!({}), 500, false),
        ("html", json!({}), 502, false),
        ("empty", json!({}), 200, false),
        ("timeout_before", json!({"ms": 5}), 504, false),
        ("timeout_after", json!({"ms": 5}), 504, true),
        ("delay", json!({"ms": 5}), 200, true),
    ] {
        let mut fault = json!({"on": "call:messages", "do": action, "times": 1, "app": "999"});
        fault.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        http.steer("POST", "faults", fault).await;
        let before = said();
        assert_eq!(http.graph("DESK", "me/messages", message("77", "x")).await.0, 400, "not for this app");
        let (got, body) = http.graph("BOT", "me/messages", message("77", action)).await;
        assert_eq!((got, said() > before), (status, sent), "{action}: {body}");
        match action {
            "refuse" => assert_eq!(body["error"]["code"], 2_018_321),
            "rate_limit" => assert_eq!(body["error"]["code"], 613),
            "html" => assert!(body.as_str().unwrap().contains("<html>")),
            "empty" => assert_eq!(body, ""),
            _ => {}
        }
        assert_eq!(http.ask("GET", "_sim/faults", None).await.1, json!([]), "once");
    }
}

/// A call that a fault suppresses changes nothing, not even an unsubscription.
#[tokio::test]
async fn an_app_that_fails_to_unsubscribe_is_still_told() {
    let (_server, http) = world().await;
    let subscribed = async || {
        let (_, answer) = http.ask("GET", "me/subscribed_apps?access_token=DESK", None).await;
        answer["data"].as_array().unwrap().iter().any(|app| app["id"] == "999")
    };
    http.steer(
        "POST",
        "faults",
        json!({"on": "call:subscribed_apps", "do": "timeout_before", "ms": 5,
        "times": 1, "app": "999"}),
    )
    .await;
    for (status, still) in [(504, true), (200, false)] {
        let (got, _) = http.ask("DELETE", "me/subscribed_apps?access_token=BOT", None).await;
        assert_eq!((got, subscribed().await), (status, still));
    }
}

#[tokio::test]
async fn webhooks_go_wrong_as_they_were_told_to() {
    let (server, http) = world().await;
    let bot = receiver().await;
    http.steer("PATCH", "apps/999", json!({"callback_url": bot.uri()})).await;
    let texts = async || -> Vec<String> {
        let text =
            |body: &Value| body["entry"][0]["messaging"][0]["message"]["text"].as_str().unwrap().to_owned();
        received(&bot).await.iter().map(text).collect()
    };
    let write = async |text: &str| {
        http.steer("POST", "pages/10/people/77/messages", json!({ "text": text })).await;
    };
    let fault = |action| Fault::new("webhook:message", action).times(1);
    server.add_fault(fault(FaultAction::Lose)).unwrap();
    write("lost").await;
    server.add_fault(fault(FaultAction::Duplicate)).unwrap();
    write("twice").await;
    server.add_fault(fault(FaultAction::Reorder)).unwrap();
    write("overtaken").await;
    write("faster").await;
    let mut delayed = fault(FaultAction::Delay);
    delayed.ms = Some(200);
    server.add_fault(delayed).unwrap();
    write("late").await;
    write("on time").await;
    let (_, settled) = http.ask("GET", "_sim/settled", None).await;
    assert_eq!(settled, json!({"settled": true, "pending": 0, "dropped": 0}));
    assert_eq!(texts().await, ["twice", "twice", "faster", "overtaken", "on time", "late"]);
    assert!(server.transcript(0).iter().any(|line| line.contains("webhook_lost")));
}

/// The host hangs during a reset: later webhooks arrive at once, earlier ones do not.
#[tokio::test]
async fn a_reset_ends_what_is_on_its_way() {
    let (server, http) = world().await;
    server.add_fault(Fault::new("webhook:postback", FaultAction::Delay)).unwrap();
    let slow = MockServer::start().await;
    let hangs = ResponseTemplate::new(500).set_delay(Duration::from_secs(4));
    Mock::given(method("POST")).respond_with(hangs).up_to_n_times(1).mount(&slow).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(200)).mount(&slow).await;
    http.steer("PATCH", "apps/999", json!({"callback_url": slow.uri()})).await;
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "before"})).await;
    http.steer("POST", "pages/10/people/77/postbacks", json!({"title": "T", "payload": "P"})).await;
    while slow.received_requests().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    http.steer("POST", "clock", json!({"advance_ms": 7_200_000})).await;
    http.steer("POST", "reset", json!({})).await;
    assert_eq!(http.ask("GET", "_sim/faults", None).await.1, json!([]), "there were none at the start");
    http.steer("PATCH", "apps/999", json!({"callback_url": slow.uri()})).await;
    let begun = std::time::Instant::now();
    let mid =
        http.steer("POST", "pages/10/people/77/messages", json!({"text": "after"})).await["mid"].clone();
    assert_ne!(mid, "m_1", "no id comes twice");
    assert_eq!(http.ask("GET", "_sim/settled", None).await.1["settled"], true);
    assert!(begun.elapsed() < Duration::from_secs(3), "it waits behind nothing");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let bodies = received(&slow).await;
    let texts: Vec<_> =
        bodies.iter().map(|body| &body["entry"][0]["messaging"][0]["message"]["text"]).collect();
    assert_eq!(texts, ["before", "after"]);
    assert!(!server.transcript(0).iter().any(|line| line.contains("unsubscribed")));
}

#[tokio::test]
async fn the_transcript_has_causes_before_effects_and_no_secret() {
    let (server, http) = world().await;
    let host = receiver().await;
    http.steer("PATCH", "apps/999", json!({"callback_url": host.uri()})).await;
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    http.ask("GET", "_sim/settled", None).await;
    let lines: Vec<Value> =
        server.transcript(0).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    // The desk has no callback.
    assert_eq!(kinds, ["customer", "owner", "webhook_unsent", "webhook", "webhook_answer"]);
    assert_eq!((&lines[4]["of"], &lines[4]["status"]), (&lines[3]["seq"], &json!(200)));

    // Wherever a client misplaces it.
    let secret = "bot secret";
    let (_, _) =
        http.ask("POST", "999/subscriptions", Some(json!({"access_token": format!("999|{secret}")}))).await;
    let (_, _) = http.ask("POST", &format!("me/messages?x={}", "bot%20secret"), None).await;
    let (_, _) = http.graph("BOT", "me/messages", message("77", secret)).await;
    let (_, _) = http.graph("BOT", secret, json!({"params": {"access_token": "BOT"}, secret: 1})).await;
    let all = server.transcript(0).join("\n");
    assert!(!all.contains(secret) && all.contains("[redacted]"), "{all}");
}
