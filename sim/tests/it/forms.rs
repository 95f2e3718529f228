//! The forms in which programs send parameters: the spelling of Meta's samples, JSON in forms, multipart bodies with files.

use serde_json::{Value, json};

use super::{Http, message, received, receiver, world};

const FORM: &str = "application/x-www-form-urlencoded";

impl Http {
    /// Posts a body of any kind.
    async fn post(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.client.post(format!("{}/{path}", self.url)).header("content-type", content_type);
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    async fn hello(&self) {
        self.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    }
}

#[tokio::test]
async fn forms_in_the_spelling_of_samples() {
    let (server, http) = world().await;
    http.hello().await;
    let texts = [
        (r"recipient={'id':'77'}&message={'text':'one'}", "one"),
        (r"recipient={id:77}&messaging_type=RESPONSE&message={text:'two'}", "two"),
        (r#"recipient={'id':77}&message={"text":"it's three"}"#, "it's three"),
        (r#"recipient={'id':'77'}&message={'text':"it's four"}"#, "it's four"),
        (r"recipient=%7B%27id%27%3A%2777%27%7D&message=%7B%27text%27%3A%27f+i+v+e%27%7D", "f i v e"),
    ];
    for (form, text) in texts {
        // In a form and in the address.
        let (status, answer) = http.post("me/messages", FORM, format!("{form}&access_token=BOT")).await;
        assert_eq!(status, 200, "{form}: {answer}");
        assert_eq!(server.conversation(&10.into(), &77.into()).last().unwrap().text(), Some(text));
    }
    let address = "v22.0/me/messages?recipient={'id':'77'}&message={'text':'address'}&access_token=BOT";
    assert_eq!(http.post(address, FORM, "").await.0, 200);
    for wrong in [
        "recipient=77&message={text:hi}",
        "recipient={'id':'77'&message={text:hi}",
        "recipient={'id':'77'}&message=hi",
    ] {
        let (status, answer) = http.post("me/messages", FORM, format!("{wrong}&access_token=BOT")).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(100)), "{wrong}");
    }
}

#[tokio::test]
async fn forms_with_lists() {
    let (_server, http) = world().await;
    for list in
        ["['messages', 'standby']", r#"["messages","standby"]"#, "messages, standby", "[messages,standby]"]
    {
        let body = format!("access_token=BOT&subscribed_fields={list}");
        assert_eq!(
            http.post("me/subscribed_apps", FORM, body).await,
            (200, json!({"success": "true"})),
            "{list}"
        );
        let all = http.ask("GET", "me/subscribed_apps?access_token=BOT", None).await.1;
        let own = all["data"].as_array().unwrap().iter().find(|app| app["id"] == "999").unwrap();
        assert_eq!(own["subscribed_fields"], json!(["messages", "standby"]), "{list}");
    }
    for wrong in ["['messages', 'messaging_handover']", "[1]", "{'a':1}"] {
        let body = format!("access_token=BOT&subscribed_fields={wrong}");
        assert_eq!(http.post("me/subscribed_apps", FORM, body).await.0, 400, "{wrong}");
    }
    // Every field of Meta's list is accepted.
    let all = messenger_sim::platform::KNOWN_FIELDS.join(",");
    let body = format!("access_token=BOT&subscribed_fields={all}");
    assert_eq!(http.post("me/subscribed_apps", FORM, body).await.0, 200);
    let batch = "access_token=BOT&batch=[{'method':'GET','relative_url':'me'}]";
    assert_eq!(http.post("", FORM, batch).await.1[0]["code"], 200);
}

/// A body of `multipart/form-data` as curl writes it.
fn multipart(fields: &[(&str, &str)], file: Option<&[u8]>) -> (&'static str, Vec<u8>) {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!(
            "--{}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n",
            "-".repeat(24)
        );
        body.extend(part.bytes());
    }
    if let Some(file) = file {
        let head = "Content-Disposition: form-data; name=\"filedata\"; filename=\"shirt.png\"\r\nContent-Type: image/png";
        body.extend(format!("--{}\r\n{head}\r\n\r\n", "-".repeat(24)).bytes());
        body.extend(file);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{}--\r\n", "-".repeat(24)).bytes());
    ("multipart/form-data; boundary=------------------------", body)
}

#[tokio::test]
async fn forms_with_files() {
    let (server, http) = world().await;
    let bot = receiver().await;
    http.steer("PATCH", "apps/999", json!({"callback_url": bot.uri()})).await;
    http.hello().await;
    let token = ("access_token", "BOT");
    let file = b"\x89PNG\r\n\r\n\x00\xff".as_slice();
    let image = r#"{"attachment":{"type":"image","payload":{"is_reusable":true}}}"#;

    let (kind, body) = multipart(&[token, ("message", image)], Some(file));
    let (status, answer) = http.post("v22.0/me/message_attachments", kind, body).await;
    assert_eq!(status, 200, "{answer}");
    let uploaded = answer["attachment_id"].as_str().unwrap().to_owned();
    assert!(uploaded.bytes().all(|byte| byte.is_ascii_digit()) && answer.as_object().unwrap().len() == 1);

    let to = ("recipient", "{'id':'77'}");
    let (kind, body) = multipart(&[token, to, ("message", "{'attachment':{'type':'image'}}")], Some(file));
    let (status, answer) = http.post("me/messages", kind, body).await;
    assert_eq!((status, &answer["recipient_id"]), (200, &json!("77")), "{answer}");
    assert!(answer["message_id"].is_string());
    let sent = answer["attachment_id"].as_str().unwrap().to_owned();
    let stored = server.conversation(&10.into(), &77.into()).last().unwrap().message.clone();
    assert_eq!(
        stored["attachment"]["payload"]["filedata"],
        json!({"name": "shirt.png", "type": "image/png", "size": file.len()})
    );

    // Both can be sent again, as text or number.
    for id in [json!(uploaded), json!(sent.parse::<u64>().unwrap())] {
        let again = json!({"recipient": {"id": "77"},
            "message": {"attachment": {"type": "image", "payload": {"attachment_id": id}}}});
        let (status, answer) = http.graph("BOT", "me/messages", again).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer.get("attachment_id").is_none());
    }
    for (kind, id) in [("image", json!("123")), ("video", json!(sent)), ("image", json!({}))] {
        let wrong = json!({"recipient": {"id": "77"},
            "message": {"attachment": {"type": kind, "payload": {"attachment_id": id}}}});
        assert_eq!(http.graph("BOT", "me/messages", wrong).await.1["error"]["code"], 100);
    }
    http.ask("GET", "_sim/settled", None).await;
    let echoes: Vec<Value> =
        received(&bot).await.iter().map(|body| body["entry"][0]["messaging"][0]["message"].clone()).collect();
    let shown = echoes.last().unwrap()["attachments"].clone();
    assert_eq!(shown[0]["type"], "image");
    assert!(shown[0]["payload"]["url"].as_str().unwrap().ends_with(&sent), "{shown}");
}

#[tokio::test]
async fn forms_upload_by_address_too() {
    let (_server, http) = world().await;
    http.hello().await;
    let by_url = |reusable: bool| {
        json!({"recipient": {"id": "77"}, "message": {"attachment": {"type": "image",
        "payload": {"url": "https://a.example/1.png", "is_reusable": reusable}}}})
    };
    assert!(http.graph("BOT", "me/messages", by_url(true)).await.1["attachment_id"].is_string());
    assert!(http.graph("BOT", "me/messages", by_url(false)).await.1.get("attachment_id").is_none());
    assert!(http.graph("BOT", "10/message_attachments", by_url(true)).await.1["attachment_id"].is_string());
    for message in [
        json!({"text": "x"}),
        json!({"attachment": {"type": "template"}}),
        json!({"attachment": {"type": "image"}}),
        json!("x"),
    ] {
        let (status, answer) = http.graph("BOT", "me/message_attachments", json!({"message": message})).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(100)), "{message}");
    }
}

/// A body that is cut, too large or of another kind gets a 4xx.
#[tokio::test]
async fn forms_that_are_wrong_are_refused() {
    let (_server, http) = world().await;
    http.hello().await;
    let address = "me/messages?access_token=BOT";
    let (kind, whole) = multipart(&[("recipient", "{id:77}"), ("message", "{text:hi}")], None);
    assert_eq!(http.post(address, kind, whole.clone()).await.0, 200);
    for cut in [whole[..whole.len() / 2].to_vec(), b"--".to_vec(), b"{}".to_vec()] {
        assert_eq!(http.post(address, kind, cut).await.0, 400);
    }
    assert_eq!(http.post(address, "multipart/form-data", whole.clone()).await.0, 400);
    assert_eq!(http.post(address, "multipart/mixed; boundary=x", whole).await.0, 400);
    let (kind, large) = multipart(
        &[("recipient", "{id:77}"), ("message", "{attachment:{type:image}}")],
        Some(&vec![0; 2 << 20]),
    );
    assert_eq!(http.post(address, kind, large).await.0, 413);
    assert_eq!(http.graph("BOT", "me/messages", message("77", "still there")).await.0, 200);
}
