//! Tests of the customer's acts over HTTP: their webhooks, and the refusal of what makes no sense.

use messenger_sim::platform::InvalidAct;
use messenger_sim::{CustomerMessage, OptIn, PolicyAction, Referral};
use serde_json::{Value, json};

use super::{Http, received, receiver, world};

const FIELDS: [&str; 8] = [
    "messages",
    "messaging_postbacks",
    "messaging_referrals",
    "messaging_optins",
    "messaging_policy_enforcement",
    "message_edits",
    "messaging_handovers",
    "standby",
];

/// The transcript's lines of the customer and of Meta's policy.
async fn acts(http: &Http) -> Vec<Value> {
    let lines = http.ask("GET", "_sim/transcript", None).await.1;
    let lines = lines.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap());
    let kinds = ["customer", "customer_act", "policy"];
    lines.filter(|line: &Value| kinds.contains(&line["kind"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn the_customers_acts_arrive_and_are_written_down() {
    let (_server, http) = world().await;
    let bot = receiver().await;
    http.steer("PATCH", "apps/999", json!({"callback_url": bot.uri(), "fields": FIELDS})).await;
    let person = "pages/10/people/77";
    let url = "https://example.com/1.png";
    let photos = json!({"text": "look", "attachments": [{"type": "image", "url": url}, {"type": "image", "url": url}]});
    let mid = http.steer("POST", &format!("{person}/messages"), photos).await["mid"].clone();
    http.steer("POST", &format!("{person}/messages"), json!({"sticker_id": 5})).await;
    let reply = json!({"text": "Red", "quick_reply": "RED", "reply_to": mid});
    http.steer("POST", &format!("{person}/messages"), reply).await;
    let edit = json!({"mid": mid, "text": "look here"});
    assert_eq!(http.steer("POST", &format!("{person}/edits"), edit).await["num_edit"], 1);
    http.steer("POST", &format!("{person}/referrals"), json!({"ref": "spring-flyer"})).await;
    http.steer("POST", &format!("{person}/optins"), json!({"type": "plugin", "ref": "newsletter"})).await;
    let ad = json!({"title": "Start", "payload": "S", "referral": {"ad_id": "120"}});
    http.steer("POST", &format!("{person}/postbacks"), ad).await;
    // An event about the Page comes beside the conversation.
    http.ask("GET", "_sim/settled", None).await;
    http.steer("POST", "pages/10/policy", json!({"action": "warning", "reason": "spam"})).await;
    http.ask("GET", "_sim/settled", None).await;
    let items: Vec<Value> =
        received(&bot).await.iter().map(|body| body["entry"][0]["messaging"][0].clone()).collect();
    assert_eq!(items[0]["message"]["attachments"].as_array().unwrap().len(), 2);
    assert_eq!(items[1]["message"]["attachments"][0]["payload"]["sticker_id"], 5);
    assert_eq!(items[2]["message"]["quick_reply"], json!({"payload": "RED"}));
    assert_eq!(items[2]["message"]["reply_to"]["mid"], mid);
    assert_eq!(items[3]["message_edit"], json!({"mid": mid, "text": "look here", "num_edit": 1}));
    assert_eq!(items[4]["referral"]["source"], "SHORTLINK");
    assert_eq!(items[5]["optin"], json!({"ref": "newsletter"}));
    assert_eq!(items[6]["postback"]["referral"]["source"], "ADS");
    assert_eq!(items[7]["policy_enforcement"], json!({"action": "warning", "reason": "spam"}));

    let said: Vec<_> = acts(&http)
        .await
        .iter()
        .map(|line| {
            let text = [&line["text"], &line["act"], &line["action"]];
            let text = text.into_iter().find_map(Value::as_str).unwrap();
            format!(
                "{} {text} {}",
                line["kind"].as_str().unwrap(),
                line["detail"].as_str().unwrap_or_default()
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            "customer look [image] [image] ",
            "customer [sticker] ",
            "customer Red ",
            "customer_act edit ",
            "customer_act referral SHORTLINK spring-flyer",
            "customer_act optin plugin",
            "customer Start ",
            "policy warning ",
        ]
    );
    let thread = http.ask("GET", "_sim/threads/10/77", None).await.1;
    assert_eq!(
        (&thread["messages"][0]["text"], &thread["messages"][0]["edits"]),
        (&json!("look here"), &json!(1))
    );
}

/// Under Instagram Login each event comes as a change with Instagram's field.
#[tokio::test]
async fn on_instagram_the_acts_have_its_shapes_and_fields() {
    let (_server, http) = world().await;
    let bot = receiver().await;
    http.steer("PATCH", "apps/999", json!({"callback_url": bot.uri(), "fields": ["messages"]})).await;
    let fields = ["messages", "message_edit", "messaging_referral", "messaging_handover", "standby"];
    http.steer("PATCH", "apps/999", json!({"instagram_fields": fields})).await;
    let person = "pages/20/people/78";
    let story = json!({"text": "nice", "reply_to_story": {"id": "17", "url": "https://example.com/17"}});
    let mid = http.steer("POST", &format!("{person}/messages"), story).await["mid"].clone();
    http.steer("POST", &format!("{person}/messages"), json!({"unsupported": true})).await;
    http.steer("POST", &format!("{person}/messages"), json!({"shared_post": {"url": "u"}})).await;
    http.steer("POST", &format!("{person}/edits"), json!({"mid": mid, "text": "nicer"})).await;
    http.steer("POST", &format!("{person}/messages_as_edits"), json!({"text": "hola"})).await;
    http.steer("POST", &format!("{person}/messages_as_edits"), json!({"text": "hola", "parties": false}))
        .await;
    http.steer("POST", &format!("{person}/referrals"), json!({"ref": "flyer"})).await;
    http.steer("POST", &format!("{person}/unsends"), json!({"mid": mid})).await;
    // The inbox takes control from the bot, which gets a control event.
    http.steer("POST", "pages/20/inbox/78/move", json!({})).await;
    http.ask("GET", "_sim/settled", None).await;
    let changes: Vec<Value> =
        received(&bot).await.iter().map(|body| body["entry"][0]["changes"][0].clone()).collect();
    let fields: Vec<_> = changes.iter().map(|change| change["field"].as_str().unwrap()).collect();
    let edit = "message_edit";
    let expected = [
        "messages",
        "messages",
        "messages",
        edit,
        edit,
        edit,
        "messaging_referral",
        "messages",
        "messaging_handover",
    ];
    assert_eq!(fields, expected);
    let value = |index: usize, key: &str| changes[index]["value"][key].clone();
    assert_eq!(value(0, "message")["reply_to"]["story"]["id"], "17");
    assert_eq!(value(1, "message")["is_unsupported"], true);
    assert_eq!(value(2, "message")["attachments"][0]["type"], "share");
    assert_eq!((value(4, edit)["num_edit"].clone(), value(4, "sender")), (json!(0), json!({"id": "78"})));
    assert_eq!((value(5, edit)["num_edit"].clone(), value(5, "sender")), (json!(0), Value::Null));
    assert_eq!(value(7, "message"), json!({"mid": mid, "is_deleted": true}));
    assert!(value(8, "take_thread_control").is_object());
}

#[tokio::test]
async fn acts_that_make_no_sense_are_refused() {
    let (server, http) = world().await;
    for (method, path, body, status) in [
        ("POST", "pages/10/people/77/messages", json!({}), 400),
        ("POST", "pages/10/people/77/messages", json!({"unsupported": true}), 400),
        ("POST", "pages/10/people/77/messages", json!({"text": "x", "reply_to": "m_9"}), 404),
        ("POST", "pages/10/people/77/messages", json!({"attachments": [{"url": "u"}]}), 400),
        ("POST", "pages/10/people/77/messages", json!({"sticker_id": "many"}), 400),
        ("POST", "pages/10/people/77/messages", json!({"text": "x", "referral": {"reff": "x"}}), 400),
        ("POST", "pages/10/people/77/messages_as_edits", json!({"text": "x"}), 400),
        ("POST", "pages/10/people/77/edits", json!({"mid": "m_9", "text": "x"}), 404),
        ("POST", "pages/10/people/77/referrals", json!({"ref": "x"}), 400),
        ("POST", "pages/10/people/77/optins", json!({"ref": "x"}), 400),
        ("POST", "pages/10/people/77/optins", json!({"type": "plugin", "ref": "x", "more": 1}), 400),
        ("POST", "pages/20/people/78/optins", json!({"type": "plugin", "ref": "x"}), 400),
        ("POST", "pages/20/policy", json!({"action": "block"}), 400),
        ("POST", "pages/10/policy", json!({"action": "ban"}), 400),
        ("POST", "pages/11/policy", json!({"action": "block"}), 404),
    ] {
        let told = http.ask(method, &format!("_sim/{path}"), Some(body.clone())).await;
        assert_eq!(told.0, status, "{path} {body}: {}", told.1);
        assert!(told.1["error"]["message"].is_string(), "{path}: {}", told.1);
    }
    assert!(server.conversation(&10.into(), &77.into()).is_empty());
    assert!(acts(&http).await.is_empty(), "what is refused is not written down");
}

#[tokio::test]
async fn a_test_in_rust_makes_the_same_acts() {
    let (server, http) = world().await;
    let (page, user, account, igsid) = (10.into(), 77.into(), 20.into(), 78.into());
    let mid = server.customer_sends(&page, &user, &CustomerMessage::quick_reply("Red", "RED")).unwrap();
    server.customer_sends(&page, &user, &CustomerMessage::sticker(5)).unwrap();
    assert_eq!(server.customer_edits(&page, &user, &mid, "Blue"), Ok(1));
    server.customer_follows(&page, &user, &Referral::ad("120")).unwrap();
    server.customer_starts(&page, &user, "Start", "S", &Referral::link("flyer"));
    server.customer_opts_in(&page, &user, &OptIn::Plugin { reference: "x".to_owned() }).unwrap();
    server.customer_writes_as_edit(&account, &igsid, "hola", true).unwrap();
    server.enforce_policy(&page, PolicyAction::Unblock, None).unwrap();
    assert_eq!(server.customer_sends(&page, &user, &CustomerMessage::default()), Err(InvalidAct::Content));
    let said: Vec<_> =
        server.conversation(&page, &user).iter().map(|said| said.text().map(str::to_owned)).collect();
    assert_eq!(said, [Some("Blue".to_owned()), None, Some("Start".to_owned())]);
    assert_eq!(acts(&http).await.len(), 8, "the refused one is not written down");
}
