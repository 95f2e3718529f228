//! Tests of the platform's odd answers over HTTP, from the configuration and by `PATCH`.

use messenger_sim::server::{Builder, Config};
use serde_json::{Value, json};

use super::{Http, WORLD, message, to, world};

#[tokio::test]
async fn states_of_people_and_pages_change_while_it_runs() {
    let (_server, http) = world().await;
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    let send = async || {
        let (status, answer) = http.graph("BOT", "me/messages", message("77", "hi")).await;
        (status, answer["error"]["code"].clone(), answer["error"]["error_subcode"].clone())
    };
    for (availability, status, code, subcode) in [
        ("blocked", 403, 200, Value::Null),
        ("not_receiving", 400, 10, Value::Null),
        ("unavailable", 400, 551, Value::Null),
        ("invalid_id", 400, 100, Value::Null),
        ("archived", 400, 100, json!(2_534_001)),
    ] {
        http.steer("PATCH", "pages/10/people/77", json!({"availability": availability})).await;
        assert_eq!(send().await, (status, json!(code), subcode), "{availability}");
        let world = http.ask("GET", "_sim/world", None).await.1;
        assert_eq!(world["pages"][0]["people"][0]["availability"], availability);
    }
    http.steer("PATCH", "pages/10/people/77", json!({"availability": "available"})).await;
    assert_eq!(send().await.0, 200);

    for (restriction, code) in [("policy_block", 368), ("temporary", 10), ("messaging", 100)] {
        http.steer("PATCH", "pages/10", json!({"restriction": restriction})).await;
        assert_eq!(send().await.1, code);
    }
    http.steer("PATCH", "pages/10", json!({"hides_thread_owner": true, "ai_app": "622851382610562"})).await;
    assert_eq!(send().await.0, 400, "what is not named stays");
    http.steer("PATCH", "pages/10", json!({"restriction": null})).await;
    assert_eq!(send().await.0, 200);
    let owner = http.ask("GET", "10/thread_owner?recipient=77&access_token=BOT", None).await;
    assert_eq!((owner.0, &owner.1["error"]["code"]), (400, &json!(100)));
    http.steer("POST", "pages/10/ai/77/take", json!({})).await;
    assert_eq!(http.ask("GET", "_sim/threads/10/77", None).await.1["owner"], "622851382610562");

    for (path, body) in [
        ("pages/10/people/77", json!({"availability": "gone"})),
        ("pages/10/people/77", json!({})),
        ("pages/10", json!({"restriction": "none"})),
        ("pages/10", json!({"ai_app": ""})),
        ("apps/999", json!({"instagram_fields": ["messaging_handovers"]})),
        ("switches", json!({"take_by_owner": "code_28"})),
        ("switches", json!({"policy_key": 1})),
    ] {
        let told = http.ask("PATCH", &format!("_sim/{path}"), Some(body)).await;
        assert_eq!(told.0, 400, "{path}: {}", told.1);
    }
    let nobody = http.ask("PATCH", "_sim/pages/11/people/77", Some(json!({"availability": "blocked"}))).await;
    assert_eq!(nobody.0, 404);
    http.steer("POST", "reset", json!({})).await;
    let world = http.ask("GET", "_sim/world", None).await.1;
    assert_eq!(world["pages"][0]["hides_thread_owner"], false, "a reset restores the settings");
}

#[tokio::test]
async fn odd_answers_can_be_configured() {
    let mut config: Value = serde_json::from_str(WORLD).unwrap();
    config["apps"][0]["instagram_fields"] = json!(["messages", "messaging_handover"]);
    let page = &mut config["pages"][0];
    page["restriction"] = json!("temporary");
    page["hides_thread_owner"] = json!(true);
    page["ai_app"] = json!("622851382610562");
    page["people"][0]["availability"] = json!("blocked");
    config["switches"] = json!({"take_by_owner": "code_27"});
    let read = Config::from_json(&config.to_string()).unwrap();
    let server = Builder::from_config(&read).unwrap().start().await.unwrap();
    let http = Http::new(&server);
    let refused = http.graph("BOT", "me/messages", message("77", "hi")).await.1;
    assert_eq!(refused["error"]["error_subcode"], 1_893_063);
    assert_eq!(http.graph("BOT", "me/take_thread_control", to("77")).await.1["error"]["code"], 200);
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    assert_eq!(http.graph("BOT", "me/take_thread_control", to("77")).await.1["error"]["code"], 27);
    assert_eq!(http.ask("GET", "10/thread_owner?recipient=77&access_token=BOT", None).await.0, 400);

    config["apps"][0]["instagram_fields"] = json!(["message_edits"]);
    let told = Config::from_json(&config.to_string()).unwrap_err().to_string();
    assert!(told.contains("apps[0].instagram_fields: message_edits is not"), "{told}");
}
