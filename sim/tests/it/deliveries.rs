//! Tests of deliveries: their order, their retries, and what a slow or failing receiver holds up.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wiremock::matchers::{body_string_contains, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{Http, message, received, world};

const ANA: &str = "77";

async fn write(http: &Http, user: &str, text: &str) {
    http.steer("POST", &format!("pages/10/people/{user}/messages"), json!({ "text": text })).await;
}

/// The texts in these deliveries, in order.
fn texts(bodies: &[Value]) -> Vec<String> {
    let items = bodies.iter().flat_map(|body| body["entry"].as_array().unwrap()).flat_map(|entry| {
        let items = entry.get("messaging").or_else(|| entry.get("standby"));
        items.unwrap().as_array().unwrap()
    });
    items.filter_map(|item| item["message"]["text"].as_str().map(str::to_owned)).collect()
}

/// A receiver that answers 500 to bodies with this text.
async fn receiver_that_fails_on(text: &str) -> MockServer {
    let server = MockServer::start().await;
    let fails = Mock::given(method("POST")).and(body_string_contains(text));
    fails.respond_with(ResponseTemplate::new(500)).with_priority(1).mount(&server).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    server
}

#[tokio::test]
async fn a_webhook_that_fails_is_repeated_beside_its_conversation() {
    let (server, http) = world().await;
    let bot = receiver_that_fails_on("standby").await;
    http.steer("PATCH", "apps/999", json!({"callback_url": bot.uri()})).await;
    write(&http, ANA, "hello").await;
    assert_eq!(http.graph("BOT", "me/pass_thread_control", control(ANA, Some("888"))).await.0, 200);
    write(&http, ANA, "on standby").await;
    assert_eq!(http.graph("DESK", "me/pass_thread_control", control(ANA, Some("999"))).await.0, 200);
    write(&http, ANA, "are you there?").await;
    write(&http, "another", "and I?").await;
    let arrived = |bodies: &[Value]| {
        let accepted: Vec<_> =
            bodies.iter().filter(|body| !body.to_string().contains("standby")).cloned().collect();
        texts(&accepted)
    };
    let begun = Instant::now();
    while arrived(&received(&bot).await).len() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", received(&bot).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let bodies = received(&bot).await;
    assert!(bodies.iter().any(|body| body.to_string().contains("pass_thread_control")));
    let of_ana = arrived(&bodies).into_iter().filter(|text| text != "and I?").collect::<Vec<_>>();
    assert_eq!(of_ana, ["hello", "are you there?"]);

    // It is given up after an hour, and the app stays subscribed, because it accepts others.
    let settled = async || http.ask("GET", "_sim/settled?within_ms=1", None).await.1;
    assert_eq!(settled().await["pending"], 1);
    http.steer("POST", "clock", json!({"advance_ms": 3_600_000})).await;
    let begun = Instant::now();
    while settled().await["pending"] != 0 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        write(&http, ANA, "still here").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(settled().await["dropped"], 1);
    assert!(!server.transcript(0).iter().any(|line| line.contains("\"kind\":\"unsubscribed\"")));
}

#[tokio::test]
async fn conversations_are_delivered_in_parallel_and_each_in_order() {
    let (_server, http) = world().await;
    let bot = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_millis(50));
    Mock::given(method("POST")).respond_with(slow).mount(&bot).await;
    http.steer("PATCH", "apps/999", json!({"callback_url": bot.uri()})).await;
    let people: Vec<String> = (0..40).map(|person| format!("p{person}")).collect();
    let begun = Instant::now();
    for number in 0..5 {
        for person in &people {
            write(&http, person, &format!("{person} {number}")).await;
        }
    }
    assert_eq!(http.ask("GET", "_sim/settled?within_ms=9000", None).await.1["settled"], true);
    assert!(begun.elapsed() < Duration::from_secs(8), "one after the other takes 10 s");
    let texts = texts(&received(&bot).await);
    assert_eq!(texts.len(), 200);
    for person in &people {
        let own: Vec<_> = texts.iter().filter(|text| text.starts_with(&format!("{person} "))).collect();
        assert!(own.is_sorted() && own.len() == 5, "{own:?}");
    }
}

#[tokio::test]
async fn several_events_share_a_delivery_where_the_switch_says_so() {
    let (_server, http) = world().await;
    // Slow, so that events gather behind the first.
    let bot = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_millis(500));
    Mock::given(method("POST")).respond_with(slow).mount(&bot).await;
    http.steer("PATCH", "apps/999", json!({"callback_url": bot.uri()})).await;
    http.steer("PATCH", "switches", json!({"events_per_delivery": 100})).await;
    write(&http, ANA, "1").await;
    write(&http, "another", "2").await;
    http.graph("BOT", "me/pass_thread_control", control(ANA, Some("888"))).await;
    write(&http, ANA, "3").await;
    http.steer("POST", "pages/20/people/78/messages", json!({"text": "on Instagram"})).await;
    assert_eq!(http.ask("GET", "_sim/settled", None).await.1["settled"], true);
    let bodies = received(&bot).await;
    let sizes: Vec<_> = bodies.iter().map(|body| body["entry"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [1, 2, 1], "the first, what gathered behind it, and Instagram's");
    let (instagram, pages): (Vec<Value>, Vec<Value>) =
        bodies.into_iter().partition(|body| body["object"] == "instagram");
    assert_eq!(instagram.len(), 1, "one delivery is about one kind of object");
    let mut all = texts(&pages);
    all.sort();
    assert_eq!(all, ["1", "2", "3"]);
    let channels = pages.iter().flat_map(|body| body["entry"].as_array().unwrap());
    assert!(channels.into_iter().any(|entry| entry.get("standby").is_some()));
}

#[tokio::test]
async fn an_app_without_a_callback_is_in_the_transcript_too() {
    let (server, http) = world().await;
    write(&http, ANA, "hello").await;
    let kinds: Vec<Value> =
        server.transcript(0).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let unsent: Vec<_> = kinds.iter().filter(|line| line["kind"] == "webhook_unsent").collect();
    assert_eq!(unsent.len(), 2);
    assert_eq!((&unsent[0]["app"], &unsent[0]["user"]), (&json!("888"), &json!("77")));
    assert_eq!(unsent[1]["item"]["message"]["text"], "hello");
}

#[tokio::test]
async fn callbacks_survive_a_reset_unless_it_names_them() {
    let (_server, http) = world().await;
    let callback = async || {
        let (_, world) = http.ask("GET", "_sim/world", None).await;
        world["apps"].as_array().unwrap().iter().find(|app| app["id"] == "999").unwrap()["callback_url"]
            .clone()
    };
    http.steer("PATCH", "apps/999", json!({"callback_url": "http://127.0.0.1:9/"})).await;
    http.steer("POST", "reset", json!({})).await;
    assert_eq!(callback().await, "http://127.0.0.1:9/");
    http.steer("POST", "reset", json!({"callbacks": true})).await;
    assert_eq!(callback().await, Value::Null);
    assert_eq!(http.ask("POST", "_sim/reset", Some(json!({"callback": true}))).await.0, 400);
}

fn control(user: &str, target: Option<&str>) -> Value {
    let mut call = message(user, "x");
    call.as_object_mut().unwrap().remove("message");
    call["target_app_id"] = json!(target);
    call
}
