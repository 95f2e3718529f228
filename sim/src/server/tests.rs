//! Tests over real sockets, with a client and a webhook receiver that use nothing of this crate.

use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::platform::{ApiCall, App, Page};
use messenger_handover::secret::AppSecret;

const BOT: u64 = 1;
const DESK: u64 = 2;
/// The timeout of every wait, so that no failure hangs a test.
const SOON: Duration = Duration::from_secs(10);

fn page() -> PageId {
    PageId::from(7)
}

fn user() -> UserId {
    UserId::from(9)
}

fn platform(rules: Rules) -> Platform {
    Platform::new()
        .with_app(App::new(BOT, "Bot", "bot secret", "verify-bot"))
        .with_app(App::new(DESK, "Desk", "desk secret", "verify-desk"))
        .with_page(Page::new(7, rules).app(BOT, "bot-token").app(DESK, "desk-token"))
}

/// A host that stores its webhooks. It answers with `failures` first, then with 200.
#[derive(Default)]
struct Host {
    got: Mutex<Vec<Value>>,
    failures: Mutex<Vec<u16>>,
    bad_signatures: Mutex<u32>,
}

impl Host {
    async fn start(self: &Arc<Self>, secret: &'static str) -> String {
        let receive = move |State(host): State<Arc<Self>>, headers: HeaderMap, body: Bytes| async move {
            let signature = format!("sha256={}", deliver::sign(&AppSecret::new(secret), &body));
            if headers["x-hub-signature-256"] != signature.as_str() {
                *host.bad_signatures.lock().unwrap() += 1;
            }
            let status = host.failures.lock().unwrap().pop().unwrap_or(200);
            if status == 200 {
                assert!(body.is_ascii());
                host.got.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            }
            StatusCode::from_u16(status).unwrap()
        };
        let verify = |RawQuery(query): RawQuery| async move {
            let query = query.unwrap();
            let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let find = |name: &str| pairs.iter().find(|(key, _)| key == name).unwrap().1.clone();
            assert_eq!(find("hub.mode"), "subscribe");
            if find("hub.verify_token") == "verify-bot" {
                (StatusCode::OK, find("hub.challenge"))
            } else {
                (StatusCode::FORBIDDEN, String::new())
            }
        };
        let router = Router::new().route("/hook", post(receive).get(verify)).with_state(Arc::clone(self));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    /// The webhooks received, each as "channel label", in order.
    fn got(&self) -> Vec<String> {
        let got = self.got.lock().unwrap();
        got.iter()
            .map(|body| {
                let entry = &body["entry"][0];
                let (channel, items) = match (&entry["messaging"], &entry["standby"]) {
                    (Value::Null, items) => ("standby", items),
                    (items, _) => ("messaging", items),
                };
                let mut keys = items[0].as_object().unwrap().keys();
                let what = keys.find(|key| !["sender", "recipient", "timestamp"].contains(&key.as_str()));
                format!("{channel} {}", what.unwrap())
            })
            .collect()
    }
}

/// A client like that of another program.
struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    fn new(server: &Server) -> Self {
        Self { http: client().unwrap(), base: server.url() }
    }

    async fn post(&self, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.base)).body(body.to_string());
        let request = request.header("content-type", "application/json");
        Self::read(request.header("authorization", format!("Bearer {token}"))).await
    }

    async fn read(request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }
}

#[tokio::test]
async fn a_client_sends_and_passes_and_the_hosts_get_their_webhooks_in_order() {
    let seen: Arc<Mutex<Vec<Wire>>> = Arc::default();
    let keep = Arc::clone(&seen);
    let observer: Observer = Arc::new(move |wire| keep.lock().unwrap().push(wire));
    let server = Server::builder(platform(Rules::primary(BOT))).observer(observer).start().await.unwrap();
    let (bot, desk) = (Arc::new(Host::default()), Arc::new(Host::default()));
    server.set_callback(&AppId::from(BOT), bot.start("bot secret").await);
    server.set_callback(&AppId::from(DESK), desk.start("desk secret").await);
    let client = Client::new(&server);

    server.customer_writes(&page(), &user(), "Grüße 👋");
    let send = json!({"recipient": {"id": "9"}, "messaging_type": "RESPONSE", "message": {"text": "äöå"}});
    let (status, answer) = client.post("/v22.0/me/messages", "bot-token", &send).await;
    assert_eq!((status, &answer["recipient_id"]), (200, &json!("9")));
    assert!(answer["message_id"].is_string());
    let pass = json!({"recipient": {"id": 9}, "target_app_id": DESK, "metadata": "hi"});
    let answer = client.post("/2.12/7/pass_thread_control", "bot-token", &pass).await;
    assert_eq!(answer, (200, json!({"success": true})));
    let (status, answer) = client.post("/me/messages", "bot-token", &send).await;
    assert_eq!((status, &answer["error"]["error_subcode"]), (400, &json!(2_018_300)));

    assert!(server.settled(SOON).await);
    assert_eq!(bot.got(), ["messaging message", "messaging message"]);
    assert_eq!(desk.got(), ["standby message", "standby message", "messaging pass_thread_control"]);
    assert_eq!(*bot.bad_signatures.lock().unwrap() + *desk.bad_signatures.lock().unwrap(), 0);
    let first = bot.got.lock().unwrap()[0].clone();
    assert_eq!(first["object"], "page");
    assert_eq!(first["entry"][0]["id"], "7");
    assert_eq!(first["entry"][0]["messaging"][0]["message"]["text"], "Grüße 👋");
    let said = server.conversation(&page(), &user());
    assert_eq!(said.iter().map(|said| said.text().unwrap()).collect::<Vec<_>>(), ["Grüße 👋", "äöå"]);
    assert_eq!(server.owner(&page(), &user()), Some(AppId::from(DESK)));

    let seen = seen.lock().unwrap();
    let acts: Vec<String> = seen
        .iter()
        .filter_map(|wire| match wire {
            Wire::CustomerWrote { text, .. } => Some(format!("customer: {text}")),
            Wire::OwnerChanged { owner, .. } => Some(format!("owner: {owner:?}")),
            Wire::Reached { text, app, .. } => Some(format!("{app}: {text}")),
            Wire::Call { edge, detail, outcome, status, method, .. } => {
                let code = outcome.as_ref().err().map(|refusal| refusal.code);
                Some(format!("{method} {edge} {detail:?} {status} {code:?}"))
            }
            Wire::CustomerActed { .. }
            | Wire::CustomerCame { .. }
            | Wire::PolicyEnforced { .. }
            | Wire::Webhook { .. } => None,
        })
        .collect();
    assert_eq!(
        acts,
        [
            "customer: Grüße 👋",
            "owner: Some(AppId(1))",
            "POST messages Some(\"äöå\") 200 None",
            "1: äöå",
            "POST pass_thread_control Some(\"2\") 200 None",
            "owner: Some(AppId(2))",
            "POST messages Some(\"äöå\") 400 Some(10)",
        ]
    );
    assert_eq!(seen.iter().filter(|wire| matches!(wire, Wire::Webhook { .. })).count(), 5);
}

#[tokio::test]
async fn a_webhook_comes_again_until_it_is_answered_and_keeps_its_place() {
    let server = Server::start(platform(Rules::primary(BOT))).await.unwrap();
    let bot = Arc::new(Host::default());
    bot.failures.lock().unwrap().extend([500, 302]);
    server.set_callback(&AppId::from(BOT), bot.start("bot secret").await);
    server.customer_writes(&page(), &user(), "one");
    server.customer_writes(&page(), &user(), "two");
    assert!(server.settled(SOON).await);
    let texts: Vec<Value> = bot.got.lock().unwrap().iter().map(text_of).collect();
    assert_eq!(texts, ["one", "two"]);
    assert_eq!(server.dropped(), 0);

    // An hour of failing by the platform's clock ends the subscription (docs/protocol.md#redelivery).
    bot.failures.lock().unwrap().extend(vec![503; 1000]);
    server.customer_writes(&page(), &user(), "lost");
    server.customer_writes(&page(), &user(), "lost too");
    assert!(!server.settled(Duration::from_millis(300)).await, "it is tried again and again");
    server.advance(Duration::from_mins(61));
    assert!(server.settled(SOON).await);
    assert_eq!(server.dropped(), 2);
    bot.failures.lock().unwrap().clear();
    server.customer_writes(&page(), &user(), "not subscribed");
    assert!(server.settled(SOON).await);
    assert_eq!(bot.got.lock().unwrap().iter().map(text_of).collect::<Vec<_>>(), ["one", "two"]);
    let lines = server.transcript(0);
    assert!(lines.iter().any(|line| line.contains("\"kind\":\"unsubscribed\"")));

    // The app has to subscribe again itself.
    let call = ApiCall::Subscribe { fields: vec!["messages".to_owned()] };
    server.with_platform(|platform, now| platform.call(&AppId::from(BOT), &page(), &call, now).unwrap());
    server.customer_writes(&page(), &user(), "three");
    assert!(server.settled(SOON).await);
    assert_eq!(bot.got.lock().unwrap().iter().map(text_of).collect::<Vec<_>>(), ["one", "two", "three"]);
}

fn text_of(body: &Value) -> Value {
    body["entry"][0]["messaging"][0]["message"]["text"].clone()
}

#[tokio::test]
async fn parameters_come_in_every_shape_that_graph_reads() {
    let server = Server::start(platform(Rules::primary(BOT))).await.unwrap();
    server.customer_writes(&page(), &user(), "Hello?");
    let client = Client::new(&server);
    let query = |path: &str| client.http.post(format!("{}/me/{path}", server.url()));
    for recipient in ["{id:9}", "{\"id\":\"9\"}", "{%22id%22:9}", "{'id':'9'}"] {
        let ask = query(&format!("request_thread_control?recipient={recipient}&access_token=desk-token"));
        assert_eq!(Client::read(ask).await, (200, json!({"success": true})), "{recipient}");
    }
    let form =
        "recipient=%7B%22id%22%3A%229%22%7D&message=%7B%22text%22%3A%22hi%22%7D&access_token=bot-token";
    let ask = query("messages").header("content-type", "application/x-www-form-urlencoded").body(form);
    assert_eq!(Client::read(ask).await.0, 200);
    let typing = json!({"recipient": {"id": "9"}, "sender_action": "typing_on"});
    let answer = client.post("/me/messages", "bot-token", &typing).await;
    assert_eq!(answer, (200, json!({"recipient_id": "9"})));
    for (duration, status) in [(json!(60), 200), (json!("60"), 200), (json!(-1), 400), (json!(null), 400)] {
        let extend = json!({"recipient": {"id": "9"}, "duration": duration});
        assert_eq!(client.post("/me/extend_thread_control", "bot-token", &extend).await.0, status);
    }

    let get = |path: &str| client.http.get(format!("{}/v22.0/me/{path}", server.url()));
    let (status, answer) = Client::read(get("thread_owner?recipient=9&access_token=desk-token")).await;
    let owner = &answer["data"][0]["thread_owner"];
    assert_eq!((status, &owner["app_id"]), (200, &json!(1)));
    let left = owner["expiration"].as_u64().unwrap() - server.now().as_millis() / 1000;
    assert!((50..=60).contains(&left), "{left}");
    let (status, _) = Client::read(get("thread_owner?recipient={%22id%22:9}&access_token=desk-token")).await;
    assert_eq!(status, 400);
    let proof = deliver::sign(&AppSecret::new("bot secret"), b"bot-token");
    for (proof, status) in [(proof.as_str(), 200), ("00", 400)] {
        let path = format!("secondary_receivers?access_token=bot-token&appsecret_proof={proof}");
        assert_eq!(Client::read(get(&path)).await.0, status);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_as_graph_does() {
    let server = Server::start(platform(Rules::primary(BOT))).await.unwrap();
    server.customer_writes(&page(), &user(), "Hello?");
    let client = Client::new(&server);
    let good = json!({"recipient": {"id": "9"}});
    let refused = [
        ("/me/take_thread_control", "EAAforged", good.clone(), 190, Value::Null),
        ("/8/take_thread_control", "bot-token", good.clone(), 100, json!(33)),
        ("/me/no_such_edge", "bot-token", good.clone(), 100, json!(33)),
        ("/me", "bot-token", good.clone(), 100, json!(33)),
        ("/me/thread_owner", "bot-token", good.clone(), 100, json!(33)),
        ("/me/take_thread_control", "bot-token", json!({"recipient": "9"}), 100, Value::Null),
        ("/me/take_thread_control", "bot-token", json!({"recipient": {"id": ""}}), 100, Value::Null),
        ("/me/take_thread_control", "bot-token", json!({}), 100, Value::Null),
        ("/me/take_thread_control", "bot-token", json!([]), 100, Value::Null),
        ("/me/messages", "bot-token", good.clone(), 100, Value::Null),
        ("/me/take_thread_control", "bot-token", json!({"recipient": {"id": "404"}}), 100, json!(2_018_001)),
    ];
    for (path, token, body, code, subcode) in refused {
        let (status, answer) = client.post(path, token, &body).await;
        let error = &answer["error"];
        let got = (status, &error["code"], error.get("error_subcode").cloned().unwrap_or_default());
        assert_eq!(got, (400, &json!(code), subcode), "{path} {body}");
        assert!(!error["fbtrace_id"].as_str().unwrap().is_empty());
        assert!(!answer.to_string().contains("EAAforged"), "a token is never repeated");
    }
    let nobody = client.http.post(format!("{}/me/messages", server.url())).body("{");
    assert_eq!(Client::read(nobody).await.1["error"]["code"], 190);
    let (status, answer) = {
        let broken = client.http.post(format!("{}/me/messages?access_token=bot-token", server.url()));
        Client::read(broken.body("{")).await
    };
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(100)));
    let big = json!({"recipient": {"id": "9"}, "message": {"text": "x".repeat(1 << 20)}});
    assert_eq!(client.post("/me/messages", "bot-token", &big).await.0, 413);
}

#[tokio::test]
async fn the_handshake_and_the_clock() {
    let seen: Arc<Mutex<Vec<Wire>>> = Arc::default();
    let keep = Arc::clone(&seen);
    let observer: Observer = Arc::new(move |wire| keep.lock().unwrap().push(wire));
    let server = Server::builder(platform(Rules::primary(BOT))).observer(observer).start().await.unwrap();
    let (bot, desk) = (AppId::from(BOT), AppId::from(DESK));
    assert!(matches!(server.verify_webhook(&bot).await, Err(HandshakeError::NoCallback)));
    let url = Arc::new(Host::default()).start("bot secret").await;
    server.set_callback(&bot, url.clone());
    server.set_callback(&desk, url);
    server.verify_webhook(&bot).await.unwrap();
    assert!(matches!(server.verify_webhook(&desk).await, Err(HandshakeError::Status(403))));

    server.customer_writes(&page(), &user(), "Hello?");
    assert_eq!(server.owner(&page(), &user()), Some(bot));
    server.advance(Duration::from_hours(24));
    assert_eq!(server.owner(&page(), &user()), None);
    let (page, user) = (page(), user());
    let lapsed = Wire::OwnerChanged { page: page.clone(), user: user.clone(), owner: None };
    assert!(seen.lock().unwrap().contains(&lapsed));
    server.inbox_replies(&page, &user, "A person").unwrap();
    assert_eq!(server.owner(&page, &user), Some(AppId::from(messenger_handover::id::PAGE_INBOX)));
    server.set_rules(&page, Rules::default_app(BOT));
    assert!(server.settled(SOON).await);
}

#[tokio::test]
async fn a_dropped_server_serves_no_more() {
    let server = Server::start(platform(Rules::primary(BOT))).await.unwrap();
    let client = Client::new(&server);
    let take = json!({"recipient": {"id": "9"}});
    assert_eq!(client.post("/me/take_thread_control", "bot-token", &take).await.0, 400);
    drop(server);
    let again = async {
        while client.http.get(format!("{}/me", client.base)).send().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, again).await.expect("the port is closed");
}

#[test]
fn escapes_are_those_of_meta() {
    assert_eq!(deliver::escape("\"äöå 👋 a\\n\""), "\"\\u00e4\\u00f6\\u00e5 \\ud83d\\udc4b a\\n\"");
}
