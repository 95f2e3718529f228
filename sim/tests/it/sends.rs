//! The limits of the Send API, the bytes of refusals, and blocked people.

use serde_json::{Value, json};

use super::{Http, message, received, receiver, world};

async fn code(http: &Http, body: Value) -> (u16, Value) {
    let (status, answer) = http.graph("BOT", "me/messages", body).await;
    (status, answer["error"]["code"].clone())
}

fn with(name: &str, value: Value) -> Value {
    let mut body = message("77", "hi");
    body[name] = value;
    body
}

#[tokio::test]
async fn sends_are_as_strict_as_graph() {
    let (server, http) = world().await;
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    let refused = (400, json!(100));
    for body in [
        with("messaging_type", json!("NON_PROMOTIONAL_SUBSCRIPTION")),
        with("messaging_type", json!("MESSAGE_TAG")),
        with("messaging_type", json!(7)),
        with("message", json!({"text": "x", "metadata": "y".repeat(1001)})),
        with(
            "message",
            json!({"text": "x", "quick_replies": vec![json!({"content_type": "text", "title": "t"}); 14]}),
        ),
        with("message", json!({"attachment": {"type": "picture", "payload": {"url": "https://a.example/"}}})),
        json!({"recipient": {"id": "77"}, "sender_action": "typing"}),
    ] {
        assert_eq!(code(&http, body.clone()).await, refused, "{body}");
    }
    assert_eq!(server.conversation(&10.into(), &77.into()).len(), 1);
    for action in ["typing_on", "typing_off", "mark_seen", "react", "unreact"] {
        assert_eq!(
            code(&http, json!({"recipient": {"id": "77"}, "sender_action": action})).await.0,
            200,
            "{action}"
        );
    }
    let mut tagged = with("messaging_type", json!("MESSAGE_TAG"));
    tagged["tag"] = json!("HUMAN_AGENT");
    assert_eq!(code(&http, tagged).await.0, 200);
}

/// The keys of a refusal are in Graph's order, alone and in a batch.
#[tokio::test]
async fn sends_that_are_refused_have_bodies_in_graphs_order() {
    let (_server, http) = world().await;
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    let answer = http.client.post(format!("{}/me/messages?access_token=DESK", http.url));
    let answer = answer.header("content-type", "application/json").body(message("77", "x").to_string());
    let text = answer.send().await.unwrap().text().await.unwrap();
    let begin = concat!(
        r#"{"error":{"message":"(#10) Message failed to send because another app is controlling this thread now.","#,
        r#""type":"OAuthException","code":10,"error_subcode":2018300,"fbtrace_id":"A"#
    );
    assert!(text.starts_with(begin), "{text}");
    let batch = json!({"batch": [{"method": "POST", "relative_url": "me/messages"}]});
    let answers = http.graph("DESK", "", batch).await.1;
    assert!(answers[0]["body"].as_str().unwrap().starts_with(r#"{"error":{"message":"#), "{answers}");
}

#[tokio::test]
async fn sends_echo_what_webhooks_show() {
    let (_server, http) = world().await;
    let bot = receiver().await;
    http.steer("PATCH", "apps/999", json!({"callback_url": bot.uri()})).await;
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    let elements =
        json!([{"title": "Welcome!", "buttons": [{"type": "postback", "title": "Go", "payload": "GO"}]}]);
    let payload = json!({"template_type": "generic", "elements": elements});
    let template = json!({"attachment": {"type": "template", "payload": payload}, "metadata": "k"});
    let replies =
        json!({"text": "Red?", "quick_replies": [{"content_type": "text", "title": "Red", "payload": "R"}]});
    for body in [with("message", template), with("message", replies)] {
        assert_eq!(http.graph("BOT", "me/messages", body).await.0, 200);
    }
    http.ask("GET", "_sim/settled", None).await;
    let bodies = received(&bot).await;
    let mut echoes: Vec<Value> =
        bodies[1..].iter().map(|body| body["entry"][0]["messaging"][0]["message"].clone()).collect();
    for echo in &mut echoes {
        assert!(echo["mid"].take().is_string());
    }
    let shown = json!([{"type": "template", "title": "Welcome!", "url": null, "payload": payload}]);
    assert_eq!(
        echoes[0],
        json!({"mid": null, "is_echo": true, "app_id": 999, "metadata": "k", "attachments": shown})
    );
    assert_eq!(echoes[1], json!({"mid": null, "is_echo": true, "app_id": 999, "text": "Red?"}));
}

#[tokio::test]
async fn sends_to_blocked_people_are_refused() {
    let (_server, http) = world().await;
    for (page, person) in [("10", "77"), ("20", "78")] {
        http.steer("POST", &format!("pages/{page}/people/{person}/messages"), json!({"text": "hello"})).await;
    }
    let moderate = async |actions: Value, users: Value| {
        http.graph("BOT", "10/moderate_conversations", json!({"actions": actions, "user_ids": users})).await
    };
    let ana = json!([{"id": "77"}]);
    for (actions, users) in [
        (json!([]), ana.clone()),
        (json!(["block"]), ana.clone()),
        (json!(["block_user", "unblock_user"]), ana.clone()),
        (json!(["block_user"]), json!([])),
        (json!(["block_user"]), json!(["77", "5"])),
        (json!(["block_user"]), json!(vec!["77"; 11])),
        (json!("block_user"), ana.clone()),
    ] {
        assert_eq!(
            moderate(actions.clone(), users.clone()).await.1["error"]["code"],
            100,
            "{actions} {users}"
        );
    }
    assert_eq!(http.graph("BOT", "me/messages", message("77", "x")).await.0, 200, "nobody was blocked");
    let done = (200, json!({"success": true}));
    assert_eq!(
        moderate(json!(["block_user", "move_to_spam"]), json!([{"id": "77"}, {"id": 78}])).await,
        done
    );
    for person in ["77", "78"] {
        assert_eq!(http.graph("BOT", "me/messages", message(person, "x")).await.1["error"]["code"], 551);
    }
    assert_eq!(moderate(json!(["UNBLOCK_USER"]), json!(["77"])).await, done);
    assert_eq!(http.graph("BOT", "me/messages", message("77", "x")).await.0, 200);
}
