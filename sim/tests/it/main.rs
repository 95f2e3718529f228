//! Tests of the simulator as other languages use it: over HTTP alone, and as a program.

mod deliveries;
mod faults;
mod forms;
mod nodes;
mod odd;
mod openapi;
mod people;
mod program;
mod sends;
mod steering;

use std::time::Duration;

use messenger_sim::Server;
use messenger_sim::server::{Builder, Config};
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const WORLD: &str = r#"{
    "apps": [
        {"id": "999", "name": "Bot", "secret": "bot secret", "may_take": true},
        {"id": "888", "name": "Desk", "fields": ["messages", "standby", "messaging_handovers"]}
    ],
    "pages": [{
        "id": "10", "default_app": "999", "tokens": {"999": "BOT", "888": "DESK"}, "people": [{"id": "77", "name": "Ana Lopez"}],
        "instagram": {"id": "20", "people": [{"id": "78"}], "tokens": {"999": "IG"}}
    }]
}"#;

/// A certificate of `localhost`, valid for a hundred years.
const CERTIFICATE: &str = include_str!("../../../tests/fixtures/tls/localhost.crt");
const KEY: &str = include_str!("../../../tests/fixtures/tls/localhost.key");

/// An HTTP client for the tests.
fn http() -> reqwest::ClientBuilder {
    // reqwest asks for the process's TLS provider, even for plain HTTP.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

struct Http {
    url: String,
    client: reqwest::Client,
}

impl Http {
    fn new(server: &Server) -> Self {
        Self { url: server.url(), client: http().build().unwrap() }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = method.parse().unwrap();
        let mut request = self.client.request(method, format!("{}/{path}", self.url));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Makes a steering call, which must succeed.
    #[track_caller]
    fn steer(&self, method: &'static str, path: &str, body: Value) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        let path = format!("_sim/{path}");
        async move {
            let (status, answer) = self.ask(method, &path, Some(body)).await;
            assert_eq!(status, 200, "{caller}: {answer}");
            answer
        }
    }

    async fn graph(&self, token: &str, edge: &str, mut body: Value) -> (u16, Value) {
        body["access_token"] = json!(token);
        self.ask("POST", edge, Some(body)).await
    }
}

async fn world() -> (Server, Http) {
    let server = Builder::from_config(&Config::from_json(WORLD).unwrap()).unwrap().start().await.unwrap();
    let http = Http::new(&server);
    (server, http)
}

fn to(user: &str) -> Value {
    json!({"recipient": {"id": user}})
}

fn message(user: &str, text: &str) -> Value {
    json!({"recipient": {"id": user}, "message": {"text": text}})
}

/// An app's endpoint that accepts everything.
async fn receiver() -> MockServer {
    let receiver = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(200)).mount(&receiver).await;
    receiver
}

async fn received(receiver: &MockServer) -> Vec<Value> {
    let read = |request: &Request| serde_json::from_slice(&request.body).unwrap();
    receiver.received_requests().await.unwrap().iter().map(read).collect()
}

#[tokio::test]
async fn a_conversation_is_steered_and_seen() {
    let (_server, http) = world().await;
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    http.steer("POST", "pages/10/people/77/postbacks", json!({"title": "Start", "payload": "S"})).await;
    http.steer("POST", "pages/10/people/77/reads", json!({})).await;
    assert_eq!(http.graph("BOT", "me/messages", message("77", "hi")).await.0, 200);
    let (status, refused) = http.graph("DESK", "10/messages", message("77", "hi")).await;
    assert_eq!((status, &refused["error"]["error_subcode"]), (400, &json!(2_018_300)));
    let thread = http.ask("GET", "_sim/threads/10/77", None).await.1;
    assert_eq!((&thread["state"], &thread["owner"]), (&json!("active"), &json!("999")));
    assert!(thread["expires_at_ms"].is_u64());
    let said = thread["messages"].as_array().unwrap();
    let said: Vec<_> =
        said.iter().map(|said| (said["from"].as_str().unwrap(), said["text"].as_str().unwrap())).collect();
    assert_eq!(said, [("customer", "hello"), ("customer", "Start"), ("999", "hi")]);

    http.steer("POST", "pages/10/inbox/77/messages", json!({"text": "a person"})).await;
    assert_eq!(http.ask("GET", "_sim/threads/10/77", None).await.1["owner"], "263902037430900");
    http.steer("POST", "clock", json!({"advance_ms": 86_400_000})).await;
    let thread = http.ask("GET", "_sim/threads/10/77", None).await.1;
    assert_eq!((&thread["state"], &thread["owner"]), (&json!("idle"), &Value::Null));
    http.steer("POST", "pages/10/inbox/77/move", json!({})).await;
    assert_eq!(http.ask("GET", "_sim/threads", None).await.1[0]["owner"], "263902037430900");

    let lines = http.ask("GET", "_sim/transcript", None).await.1;
    let lines: Vec<Value> =
        lines.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<_> = lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=lines.len() as u64).collect::<Vec<_>>());
    let kinds = lines.iter().map(|line| line["kind"].as_str().unwrap());
    let kinds: Vec<_> = kinds.filter(|kind| *kind != "webhook_unsent").collect();
    assert_eq!(kinds[..6], ["customer", "owner", "customer", "call", "reached", "call"]);
    assert!(!json!(lines).to_string().contains("\"BOT\""), "no token in it");
    let (_, rest) = http.ask("GET", &format!("_sim/transcript?after={}", lines.len() - 1), None).await;
    assert_eq!(rest["seq"], json!(lines.len()));

    http.steer("POST", "reset", json!({})).await;
    assert_eq!(http.ask("GET", "_sim/threads", None).await.1, json!([]));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let (server, http) = world().await;
    for (method, path, body, status) in [
        ("POST", "pages/11/people/77/messages", json!({"text": "x"}), 404),
        ("POST", "pages/10/people/77/messages", json!({"txt": "x"}), 400),
        ("POST", "pages/10/people/77/messages", json!([]), 400),
        ("POST", "pages/10/inbox/99/messages", json!({"text": "x"}), 400),
        ("PATCH", "pages/10", json!({"rules": "none"}), 400),
        ("PATCH", "pages/10", json!({"default_app": "5"}), 400),
        ("PATCH", "apps/5", json!({}), 404),
        ("PATCH", "apps/999", json!({"fields": ["messaging_handover"]}), 400),
        ("PATCH", "apps/999", json!({"callback_url": "localhost"}), 400),
        ("PATCH", "switches", json!({"echoes": "never"}), 400),
        ("POST", "clock", json!({"speed": -1}), 400),
        ("POST", "clock", json!({"advance_ms": -1}), 400),
        ("POST", "faults", json!({"on": "call:nothing", "do": "html"}), 400),
        ("POST", "faults", json!([{"on": "call", "do": "html"}, {"on": "call", "do": "lose"}]), 400),
        ("GET", "transcript?after=x", Value::Null, 400),
        ("GET", "nothing", Value::Null, 404),
        ("DELETE", "clock", Value::Null, 404),
    ] {
        let told = http.ask(method, &format!("_sim/{path}"), Some(body)).await;
        assert_eq!(told.0, status, "{method} {path}: {}", told.1);
        assert!(told.1["error"]["message"].is_string(), "{method} {path}: {}", told.1);
    }
    let large = json!({"text": "x".repeat(2 << 20)});
    let told = http.ask("POST", "_sim/pages/10/people/77/messages", Some(large)).await;
    assert!(told.0 == 413 && told.1["error"]["message"].is_string(), "{told:?}");
    let told = http.ask("GET", "_sim/threads/10/%FF", None).await;
    assert!(told.0 == 400 && told.1["error"]["message"].is_string(), "{told:?}");
    assert_eq!(http.ask("GET", "_sim/faults", None).await.1, json!([]));
    assert!(server.conversation(&10.into(), &77.into()).is_empty());
}

#[tokio::test]
async fn pages_apps_and_switches_change_while_it_runs() {
    let (_server, http) = world().await;
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    let request = async || http.graph("DESK", "me/request_thread_control", to("77")).await;
    assert_eq!(request().await.1["error"]["code"], 36_100);
    let all = http.steer("PATCH", "switches", json!({"request_under_default_app": "silent_success"})).await;
    assert_eq!(all["zero_config"], "observed");
    assert_eq!(request().await.0, 200);
    let take = async || http.graph("DESK", "me/take_thread_control", to("77")).await;
    assert_eq!(take().await.1["error"]["code"], 10);
    http.steer("PATCH", "pages/10", json!({"default_app": null})).await;
    assert_eq!(take().await.1["error"]["code"], 27);
    http.steer("PATCH", "pages/10", json!({"default_app": "999"})).await;
    http.steer("PATCH", "apps/888", json!({"may_take": true})).await;
    assert_eq!(take().await.0, 200);
    http.steer("PATCH", "pages/10", json!({"rules": "handover", "default_app": "888"})).await;
    let world = http.ask("GET", "_sim/world", None).await.1;
    let page = &world["pages"][0];
    assert_eq!((&page["rules"], &page["default_app"]), (&json!("handover"), &json!("888")));
    assert!(!world.to_string().contains("secret"), "{world}");
}

#[tokio::test]
async fn a_batch_answers_for_each_of_its_calls() {
    let (_server, http) = world().await;
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    let send = r#"recipient={"id":"77"}&message={"text":"from a batch"}"#;
    let batch = json!([
        {"method": "POST", "relative_url": "me/messages", "body": send},
        {"method": "GET", "relative_url": "v22.0/10/thread_owner?recipient=77"},
        {"relative_url": "77?fields=first_name"},
        {"method": "POST", "relative_url": "me/nothing"},
    ]);
    for path in ["", "v22.0/"] {
        let (status, answers) = http.graph("BOT", path, json!({"batch": batch})).await;
        assert_eq!(status, 200, "{answers}");
        let answers: Vec<(u64, Value)> = answers
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                (one["code"].as_u64().unwrap(), serde_json::from_str(one["body"].as_str().unwrap()).unwrap())
            })
            .collect();
        assert_eq!(answers.iter().map(|one| one.0).collect::<Vec<_>>(), [200, 200, 200, 400]);
        assert_eq!(answers[1].1["data"][0]["thread_owner"]["app_id"], 999);
        assert_eq!(answers[2].1["first_name"], "Ana");
    }
    for wrong in [json!([]), json!("x"), json!(1), json!(vec![json!({"relative_url": "me"}); 51])] {
        assert_eq!(http.graph("BOT", "", json!({"batch": wrong})).await.0, 400);
    }
    assert_eq!(http.graph("nobody", "", json!({"batch": batch})).await.1[0]["code"], 400);
}

/// Both signatures cover the exact bytes, with everything beyond ASCII escaped.
#[tokio::test]
async fn webhooks_are_signed_in_both_ways() {
    use hmac::{KeyInit, Mac};
    let (_server, http) = world().await;
    let bot = receiver().await;
    http.steer("PATCH", "apps/999", json!({"callback_url": bot.uri()})).await;
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "Grüße 😀"})).await;
    http.ask("GET", "_sim/settled", None).await;
    let requests = bot.received_requests().await.unwrap();
    let (body, headers) = (&requests[0].body, &requests[0].headers);
    assert!(String::from_utf8_lossy(body).contains("Gr\\u00fc\\u00dfe \\ud83d\\ude00"));
    let mut sha1 = hmac::Hmac::<sha1::Sha1>::new_from_slice(b"bot secret").unwrap();
    sha1.update(body);
    let sha1 = hex::encode(sha1.finalize().into_bytes());
    assert_eq!(headers["x-hub-signature"].to_str().unwrap(), format!("sha1={sha1}"));
    let sha256 = messenger_handover::webhook::sign(&"bot secret".into(), body);
    assert_eq!(headers["x-hub-signature-256"].to_str().unwrap(), sha256);
}

/// The Page's token also calls the account's people; under Instagram Login everything comes as `changes`.
#[tokio::test]
async fn an_instagram_account_differs_where_instagram_does() {
    let (_server, http) = world().await;
    let bot = receiver().await;
    http.steer("PATCH", "apps/999", json!({"callback_url": bot.uri()})).await;
    http.steer("POST", "pages/20/people/78/messages", json!({"text": "hola"})).await;
    assert_eq!(http.graph("BOT", "me/messages", message("78", "by the Page")).await.0, 200);
    assert_eq!(http.graph("IG", "me/messages", message("78", "by the account")).await.0, 200);
    assert_eq!(http.graph("BOT", "20/messages", message("78", "by its id")).await.0, 200);
    http.steer("POST", "pages/20/people/78/reads", json!({})).await;
    let (status, refused) = http.graph("DESK", "me/messages", message("78", "x")).await;
    assert_eq!((status, &refused["error"]["error_subcode"]), (400, &json!(2_534_037)));
    http.steer("POST", "clock", json!({"advance_ms": 90_000_000})).await;
    let (status, refused) = http.graph("IG", "me/messages", message("78", "x")).await;
    assert_eq!((status, &refused["error"]["error_subcode"]), (403, &json!(2_534_022)));
    assert_eq!(refused["error"]["type"], "IGApiException");
    http.steer("POST", "pages/20/inbox/78/move", json!({})).await;
    assert_eq!(http.ask("GET", "_sim/threads/20/78", None).await.1["owner"], "1217981644879628");

    http.ask("GET", "_sim/settled", None).await;
    let bodies = received(&bot).await;
    assert!(bodies.iter().all(|body| body["object"] == "instagram" && body["entry"][0]["id"] == "20"));
    let changes: Vec<_> = bodies.iter().map(|body| body["entry"][0]["changes"][0].clone()).collect();
    let fields: Vec<_> = changes.iter().map(|change| change["field"].as_str().unwrap()).collect();
    // Echoes come with messages; of reads it was not subscribed to `messaging_seen`.
    assert_eq!(fields, ["messages"; 4]);
    assert_eq!(changes[1]["value"]["message"]["is_echo"], true);
    // The crate parses it as on Messenger.
    let read =
        messenger_handover::webhook::dangerous_parse_unverified(bodies[0].to_string().as_bytes()).unwrap();
    assert!(matches!(read.items[..], [messenger_handover::webhook::Item::Event { .. }]), "{read:?}");
}

#[tokio::test]
async fn limits_are_told_by_headers_and_kept() {
    let mut config: Value = serde_json::from_str(WORLD).unwrap();
    config["limits"] = json!({"calls_per_hour": 4});
    let config = Config::from_json(&config.to_string()).unwrap();
    let server = Builder::from_config(&config).unwrap().start().await.unwrap();
    let http = Http::new(&server);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let request = http.client.get(format!("{}/me?fields=id&access_token=BOT", http.url));
        let answer = request.send().await.unwrap();
        let usage: Value = serde_json::from_str(answer.headers()["x-app-usage"].to_str().unwrap()).unwrap();
        let business = answer.headers()["x-business-use-case-usage"].to_str().unwrap().to_owned();
        let business: Value = serde_json::from_str(&business).unwrap();
        let regain = business["10"][0]["estimated_time_to_regain_access"].as_u64().unwrap();
        seen.push((answer.status().as_u16(), usage["call_count"].as_u64().unwrap(), regain));
    }
    assert_eq!(seen, [(200, 25, 0), (200, 50, 0), (200, 75, 0), (200, 100, 0), (400, 125, 60)]);
    server.advance(Duration::from_secs(61 * 60));
    assert_eq!(http.ask("GET", "me?access_token=BOT", None).await.0, 200);
}

/// The server has its own certificate, and the client trusts it.
#[tokio::test]
async fn it_speaks_tls() {
    let mut config: Value = serde_json::from_str(WORLD).unwrap();
    config["tls"] = json!({"certificate": CERTIFICATE, "key": KEY});
    let config = Config::from_json(&config.to_string()).unwrap();
    assert!(!format!("{config:?}").contains("PRIVATE KEY"));
    let server = Builder::from_config(&config).unwrap().start().await.unwrap();
    assert!(server.url().starts_with("https://"));
    let trusted = reqwest::Certificate::from_pem(CERTIFICATE.as_bytes()).unwrap();
    let client = http().tls_certs_only([trusted]).build().unwrap();
    let answer = client.get(format!("{}/me?access_token=BOT", server.url())).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    // A client without TLS does not block others.
    let plain = http().timeout(Duration::from_millis(200)).build().unwrap();
    assert!(plain.get(server.url().replace("https", "http")).send().await.is_err());
    assert!(client.get(format!("{}/me?access_token=BOT", server.url())).send().await.is_ok());

    let mut broken = config.clone();
    broken.tls.as_mut().unwrap().key = "no key".to_owned();
    assert!(Builder::from_config(&broken).unwrap().start().await.is_err());
}

/// Covers the forms in which clients send parameters (docs/protocol.md#call-parameters), and unknown edges.
#[tokio::test]
async fn parameters_come_in_every_form() {
    let (server, http) = world().await;
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    let owner = async |request: reqwest::RequestBuilder| -> Value {
        let answer = request.send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["data"][0]["thread_owner"]["app_id"].clone()
    };
    let get = |path: &str| http.client.get(format!("{}/{path}", http.url));
    assert_eq!(owner(get("me/thread_owner?recipient=77&access_token=BOT&unknown=1")).await, 999);
    assert_eq!(owner(get("v22.0/10/thread_owner?recipient=77").bearer_auth("BOT")).await, 999);
    let body = json!({"recipient": 77, "access_token": "BOT"}).to_string();
    let with_body = get("2.12/me/thread_owner").header("content-type", "application/json").body(body);
    assert_eq!(owner(with_body).await, 999, "a GET with a body");

    let forms = [
        r#"recipient={"id":"77"}&message={"text":"form"}&access_token=BOT"#,
        r"recipient={id:77}&message=%7B%22text%22%3A%22quoted%22%7D&access_token=BOT",
    ];
    for form in forms {
        let post = http.client.post(format!("{}/v26.0/me/messages", http.url));
        let post = post.header("content-type", "application/x-www-form-urlencoded").body(form);
        assert_eq!(post.send().await.unwrap().status(), 200, "{form}");
    }
    assert_eq!(server.conversation(&10.into(), &77.into()).len(), 3);
    for unknown in ["me/take_thread_contrl", "11/messages", "me/messages/x", "oauth/token"] {
        let (status, answer) = http.graph("BOT", unknown, message("77", "x")).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(100)), "{unknown}: {answer}");
        assert_eq!(answer["error"]["error_subcode"], 33);
    }
}

/// A route can give an app control for days, also for entries through the steering calls.
#[tokio::test]
async fn entry_points_go_where_they_are_routed() {
    let mut config: Value = serde_json::from_str(WORLD).unwrap();
    config["pages"][0]["routes"] = json!({"campaign": {"app": "888", "control_days": 7}, "link": "888"});
    let config = Config::from_json(&config.to_string()).unwrap();
    let server = Builder::from_config(&config).unwrap().start().await.unwrap();
    let http = Http::new(&server);
    for (psid, entry, owner) in [("1", "social", "999"), ("2", "link", "888"), ("3", "campaign", "888")] {
        let body = json!({"text": "hi", "entry": entry});
        http.steer("POST", &format!("pages/10/people/{psid}/messages"), body).await;
        assert_eq!(http.ask("GET", &format!("_sim/threads/10/{psid}"), None).await.1["owner"], owner);
    }
    http.steer("POST", "clock", json!({"advance_ms": 86_400_000})).await;
    let state =
        async |psid: &str| http.ask("GET", &format!("_sim/threads/10/{psid}"), None).await.1["state"].clone();
    assert_eq!([state("2").await, state("3").await], ["idle", "active"]);
}

/// Apps may make calls that are not about handovers, and a refused reply in the inbox changes no owner.
#[tokio::test]
async fn what_is_beside_the_point_is_taken() {
    let (_server, http) = world().await;
    let as_app = json!({"access_token": "999|bot secret", "object": "page", "verify_token": "V"});
    assert_eq!(http.ask("POST", "v26.0/999/subscriptions", Some(as_app)).await.1["success"], true);
    for (method, edge) in [
        ("POST", "messenger_profile"),
        ("GET", "messenger_profile"),
        ("GET", "conversations"),
        ("DELETE", "subscribed_apps"),
    ] {
        let (status, answer) = http.ask(method, &format!("me/{edge}?access_token=BOT"), None).await;
        assert_eq!(status, 200, "{method} {edge}: {answer}");
    }
    let (status, _) =
        http.ask("GET", "me?fields=[\"messaging_feature_status\"]&access_token=BOT", None).await;
    assert_eq!(status, 200);
    http.steer("POST", "pages/10/people/77/messages", json!({"text": "hello"})).await;
    let (status, _) = http.ask("POST", "_sim/pages/10/inbox/77/messages", Some(json!({"text": ""}))).await;
    assert_eq!(status, 400);
    assert_eq!(http.ask("GET", "_sim/threads/10/77", None).await.1["owner"], "999");
    // A fault also strikes reads.
    http.steer("POST", "faults", json!({"on": "call:node", "do": "html", "times": 1})).await;
    assert_eq!(http.ask("GET", "77?access_token=BOT", None).await.0, 502);
    assert_eq!(http.ask("GET", "77?access_token=BOT", None).await.1["first_name"], "Ana");
}
