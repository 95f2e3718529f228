//! Reads: the parameter `fields`, conversations, messages, the Pages of an app, tokens of an app.

use serde_json::{Value, json};

use super::{Http, message, world};

impl Http {
    async fn read(&self, path: &str) -> Value {
        let (status, answer) = self.ask("GET", path, None).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}

#[tokio::test]
async fn nodes_have_the_fields_that_are_asked_for() {
    let (_server, http) = world().await;
    for (path, node) in [
        ("me?", json!({"id": "10", "name": "10"})),
        ("10?fields=name&", json!({"id": "10", "name": "10"})),
        ("me?fields=id&", json!({"id": "10"})),
        ("me?fields=about,picture{url}&", json!({"id": "10"})),
        (
            "me?fields=instagram_business_account{id}&",
            json!({"id": "10", "instagram_business_account": {"id": "20"}}),
        ),
        ("me?fields=access_token&", json!({"id": "10", "access_token": "BOT"})),
        ("77?", json!({"id": "77", "first_name": "Ana", "last_name": "Lopez"})),
        ("77?fields=name,locale&", json!({"id": "77", "name": "Ana Lopez"})),
        ("78?fields=username&", json!({"id": "78", "username": "somebody"})),
    ] {
        assert_eq!(http.read(&format!("{path}access_token=BOT")).await, node, "{path}");
    }
    let both = http.read("me?fields=name,messaging_feature_status&access_token=BOT").await;
    assert!(both["name"] == "10" && both["messaging_feature_status"]["hop_v2"] == true, "{both}");
    for wrong in ["me?fields=a{", "77?fields=,", "me/conversations?fields=a}", "t_77?fields=-"] {
        let (status, answer) = http.ask("GET", &format!("{wrong}&access_token=BOT"), None).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(2500)), "{wrong}");
    }
}

#[tokio::test]
async fn nodes_of_conversations_and_messages() {
    let (_server, http) = world().await;
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    let sent = http.graph("BOT", "me/messages", message("77", "hi")).await.1;
    let photo = json!({"type": "image", "url": "https://a.example/1.png"});
    http.steer("POST", "pages/10/people/77/attachments", photo).await;
    http.steer("POST", "pages/20/people/78/messages", json!({"text": "hola"})).await;

    let ana = json!({"id": "77", "name": "Ana Lopez", "email": "77@facebook.com"});
    let page = json!({"id": "10", "name": "10", "email": "10@facebook.com"});
    let list = http.read("me/conversations?access_token=BOT").await;
    let list = list["data"].as_array().unwrap();
    assert_eq!((list.len(), &list[0]["id"]), (1, &json!("t_77")));
    let written = list[0]["updated_time"].as_str().unwrap();
    assert!(written.len() == 24 && written.ends_with("+0000"), "{written}");

    let fields = "id,participants,can_reply,messages.limit(2){message,from,to{id}}";
    for path in ["me/conversations?", "me/conversations?user_id=77&", "t_77?"] {
        let answer = http.read(&format!("{path}fields={fields}&access_token=BOT")).await;
        let found = if path == "t_77?" { &answer } else { &answer["data"][0] };
        assert_eq!(found["participants"], json!({"data": [ana, page]}), "{path}");
        assert_eq!(found["can_reply"], true);
        let messages = found["messages"]["data"].as_array().unwrap();
        assert_eq!(messages.len(), 2);
        let hi =
            json!({"id": sent["message_id"], "message": "hi", "from": page, "to": {"data": [{"id": "77"}]}});
        assert_eq!(messages[1], hi);
        assert_eq!((&messages[0]["message"], &messages[0]["from"]["id"]), (&json!(""), &json!("77")));
    }
    let messages = http.read("v22.0/t_77/messages?limit=1&fields=attachments&access_token=BOT").await;
    let messages = messages["data"].as_array().unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["attachments"]["data"][0]["image_data"]["url"], "https://a.example/1.png");
    assert_eq!(http.read("t_77/messages?access_token=BOT").await["data"].as_array().unwrap().len(), 3);

    let mid = sent["message_id"].as_str().unwrap();
    let one = http.read(&format!("{mid}?access_token=BOT")).await;
    assert!(
        one["id"] == mid && one["created_time"].is_string() && one.as_object().unwrap().len() == 2,
        "{one}"
    );
    let one = http.read(&format!("{mid}?fields=message,from{{name}}&access_token=DESK")).await;
    assert_eq!(one, json!({"id": mid, "message": "hi", "from": {"id": "10", "name": "10"}}));

    let instagram =
        http.read("me/conversations?platform=instagram&fields=participants&access_token=BOT").await;
    assert_eq!(instagram["data"][0]["participants"]["data"][0], json!({"id": "78", "username": "somebody"}));
    assert_eq!(
        http.read("t_78?fields=messages{message}&access_token=BOT").await["messages"]["data"][0]["message"],
        "hola"
    );
}

#[tokio::test]
async fn nodes_that_do_not_exist() {
    let (_server, http) = world().await;
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    for path in ["t_5", "t_78", "t_", "t_77/nothing", "m_99", "m_1/nothing", "5", "t_5/messages"] {
        let (status, answer) = http.ask("GET", &format!("{path}?access_token=BOT"), None).await;
        assert_eq!((status, &answer["error"]["error_subcode"]), (400, &json!(33)), "{path}: {answer}");
    }
    assert_eq!(http.ask("GET", "t_77/messages?limit=x&access_token=BOT", None).await.0, 400);
    assert_eq!(http.ask("GET", "t_77?access_token=nobody", None).await.1["error"]["code"], 190);
    // The account's own token reads nothing of the Page.
    assert_eq!(http.ask("GET", "m_1?access_token=IG", None).await.1["error"]["error_subcode"], 33);
}

#[tokio::test]
async fn nodes_of_an_app() {
    let (_server, http) = world().await;
    let tasks = json!(["ADVERTISE", "ANALYZE", "CREATE_CONTENT", "MANAGE", "MESSAGING", "MODERATE"]);
    for token in ["BOT", "999|bot secret"] {
        let accounts = http.read(&format!("me/accounts?access_token={token}")).await;
        assert_eq!(
            accounts,
            json!({"data": [{"id": "10", "name": "10", "access_token": "BOT", "tasks": tasks}]})
        );
    }
    let accounts = http.read("me/accounts?access_token=DESK").await;
    assert_eq!(accounts["data"][0]["access_token"], "DESK");
    assert!(!accounts.to_string().contains("BOT"));
    let accounts = http.read("me/accounts?fields=name&access_token=DESK").await;
    assert_eq!(accounts, json!({"data": [{"id": "10", "name": "10"}]}));
    assert_eq!(http.ask("GET", "me/accounts?access_token=nobody", None).await.1["error"]["code"], 190);
}

#[tokio::test]
async fn tokens_of_an_app() {
    let (_server, http) = world().await;
    let ask = async |query: &str| http.ask("GET", &format!("oauth/access_token?{query}"), None).await;
    let client = "client_id=999&client_secret=bot secret";
    let own = json!({"access_token": "999|bot secret", "token_type": "bearer"});
    assert_eq!(ask(&format!("{client}&grant_type=client_credentials")).await, (200, own.clone()));
    let body = json!({"client_id": 999, "client_secret": "bot secret", "grant_type": "client_credentials"});
    assert_eq!(http.ask("POST", "v22.0/oauth/access_token", Some(body)).await, (200, own));
    let (status, exchanged) =
        ask(&format!("{client}&grant_type=fb_exchange_token&fb_exchange_token=BOT")).await;
    assert_eq!(
        (status, &exchanged["access_token"], &exchanged["token_type"]),
        (200, &json!("BOT"), &json!("bearer"))
    );
    assert!(exchanged["expires_in"].is_u64());
    for (query, code) in [
        ("", 100),
        ("client_id=5&client_secret=x&grant_type=client_credentials", 101),
        ("client_id=999&client_secret=x&grant_type=client_credentials", 1),
        ("client_id=999&client_secret=bot secret", 100),
        ("client_id=999&client_secret=bot secret&grant_type=code", 100),
        ("client_id=999&client_secret=bot secret&grant_type=fb_exchange_token", 100),
        ("client_id=999&client_secret=bot secret&grant_type=fb_exchange_token&fb_exchange_token=DESK", 190),
        ("client_id=999&client_secret=bot secret&grant_type=fb_exchange_token&fb_exchange_token=x", 190),
    ] {
        let (status, answer) = ask(query).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{query}: {answer}");
    }
    let lines = http.ask("GET", "_sim/transcript", None).await.1;
    assert!(!lines.as_str().unwrap().contains("bot secret"));
}
