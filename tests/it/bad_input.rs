//! Requests from strangers, broken proxies and buggy bots: each gets a 4xx, changes nothing, and its response
//! contains no secret.

use messenger_handover::bots_api as bots;
use messenger_handover::policy::ThreadControlPolicy::{BotPrimary, EdPrimary};
use messenger_handover::thread::Thread;
use messenger_handover::webhook::{SIGNATURE_HEADER, sign};
use messenger_sim::Rules;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{
    BOT, BOT_SECRET, CUSTOMER, DESK, DESK_SECRET, ED_TOKEN, Known, PAGE, Setup, VERIFY_TOKEN, World, bot,
    thread,
};

fn client() -> Client {
    crate::world::http().build().unwrap()
}

struct Answer {
    status: StatusCode,
    body: String,
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        Self { status: response.status(), body: response.text().await.unwrap() }
    }
}

async fn deliver(world: &World, body: Vec<u8>, signature: Option<String>) -> Answer {
    let url = world.desk.url.join("webhook").unwrap();
    let mut request = client().post(url).body(body);
    if let Some(signature) = signature {
        request = request.header(SIGNATURE_HEADER, signature);
    }
    Answer::of(request.send().await.unwrap()).await
}

fn message() -> Vec<u8> {
    json!({"object": "page", "entry": [{"id": PAGE.to_string(), "time": 1_700_000_000_000_u64, "messaging": [{
        "sender": {"id": CUSTOMER.to_string()}, "recipient": {"id": PAGE.to_string()},
        "timestamp": 1_700_000_000_000_u64, "message": {"mid": "m_forged", "text": "forged"},
    }]}]})
    .to_string()
    .into_bytes()
}

fn holds_no_secret(text: &str) {
    assert!(!text.contains("SECRET"), "{text}");
}

#[tokio::test]
async fn webhook_without_valid_signature_changes_nothing() {
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    let good = message();
    let signed = |secret: &str, body: &[u8]| Some(sign(&secret.into(), body));
    let truncated = good[..good.len() / 2].to_vec();
    let ten_megabytes = vec![b' '; 10 << 20];
    let not_json = b"<html>Bad gateway</html>".to_vec();
    let not_text = vec![0xff; 64];
    let no_object = b"[1,2,3]".to_vec();
    let deep = "[".repeat(100_000).into_bytes();
    let mine = |body: &Vec<u8>| signed(DESK_SECRET, body);
    let own_of_others = signed(DESK_SECRET, b"another body");
    for (name, body, signature, status) in [
        ("unsigned", good.clone(), None, 401),
        ("another app's secret", good.clone(), signed(BOT_SECRET, &good), 401),
        ("an empty secret", good.clone(), signed("", &good), 401),
        ("the signature of another body", good.clone(), own_of_others, 401),
        ("no hex", good.clone(), Some("sha256=zz".to_owned()), 401),
        ("sha1", good.clone(), Some(format!("sha1={}", "0".repeat(40))), 401),
        ("an empty header", good.clone(), Some(String::new()), 401),
        ("ten megabytes", ten_megabytes.clone(), mine(&ten_megabytes), 413),
        ("not JSON", not_json.clone(), mine(&not_json), 400),
        ("not text", not_text.clone(), mine(&not_text), 400),
        ("truncated", truncated.clone(), mine(&truncated), 400),
        ("no object", no_object.clone(), mine(&no_object), 400),
        ("deeply nested", deep.clone(), mine(&deep), 400),
        ("empty", Vec::new(), mine(&Vec::new()), 400),
    ] {
        let answer = deliver(&world, body, signature).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {}", answer.body);
        holds_no_secret(&answer.body);
    }
    assert_eq!(world.desk.handover.thread(&thread()).await.unwrap(), Thread::new());
    assert!(world.desk.ear.all().is_empty());
    // The same body with the right signature is accepted, so the signature was the reason for the refusal.
    let answer = deliver(&world, good.clone(), mine(&good)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    world.until("the message is told", |world| !world.desk.ear.all().is_empty()).await;
}

#[tokio::test]
async fn webhook_handshake_with_wrong_token_is_refused() {
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    let shake = async |query: &str| {
        let mut url = world.desk.url.join("webhook").unwrap();
        url.set_query(Some(query));
        Answer::of(client().get(url).send().await.unwrap()).await
    };
    let good = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={VERIFY_TOKEN}");
    let answer = shake(&good).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "1158201444"));
    for wrong in [
        "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=wrong".to_owned(),
        "hub.mode=subscribe&hub.challenge=1158201444".to_owned(),
        good.replace("subscribe", "unsubscribe"),
        format!("hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}"),
        String::new(),
    ] {
        let answer = shake(&wrong).await;
        assert_eq!(answer.status, 403, "{wrong}");
        assert!(!answer.body.contains("1158201444"), "the challenge is for Meta only");
        holds_no_secret(&answer.body);
    }
    let url = world.desk.url.join("webhook").unwrap();
    assert_eq!(client().delete(url).send().await.unwrap().status(), 405);
}

async fn bots_api(world: &World, method: Method, query: &str, bearer: Option<&str>) -> (u16, Value) {
    let mut url = world.desk.url.join(bots::PATH).unwrap();
    url.set_query(Some(query));
    let mut request = client().request(method, url);
    if let Some(bearer) = bearer {
        request = request.bearer_auth(bearer);
    }
    let answer = Answer::of(request.send().await.unwrap()).await;
    holds_no_secret(&answer.body);
    (answer.status.as_u16(), serde_json::from_str(&answer.body).unwrap_or_default())
}

#[tokio::test]
async fn bots_api_wrong_parameters_are_refused_and_change_nothing() {
    let world = World::start(Setup::new(Rules::primary(DESK), EdPrimary)).await;
    world.customer_writes("hello");
    world.rest().await;
    let before = (world.desk.handover.thread(&thread()).await.unwrap(), world.owner());
    let token = format!("access_token={ED_TOKEN}");
    let to_bot =
        format!("{token}&identity_foreign_id={CUSTOMER}&from=agent&to=bot&type=messenger&app_id={BOT}");
    let without = |name: &str| {
        let kept: Vec<_> = to_bot.split('&').filter(|pair| !pair.starts_with(name)).collect();
        kept.join("&")
    };
    let with = |name: &str, value: &str| format!("{}&{name}={value}", without(name));
    for (query, status, error) in [
        (without("access_token"), 401, "unauthorized"),
        (with("access_token", "wrong"), 401, "unauthorized"),
        (with("access_token", ""), 401, "unauthorized"),
        (format!("{to_bot}&access_token=another"), 401, "unauthorized"),
        (without("identity_foreign_id"), 400, "invalid_parameter"),
        (with("identity_foreign_id", ""), 400, "invalid_parameter"),
        (with("identity_foreign_id", "%00"), 400, "invalid_parameter"),
        (with("identity_foreign_id", "stranger"), 404, "identity_not_found"),
        (without("from"), 400, "invalid_parameter"),
        (with("from", "human"), 400, "invalid_parameter"),
        (with("from", "bot"), 400, "invalid_parameter"),
        (without("to"), 400, "invalid_parameter"),
        (with("to", "agents"), 400, "invalid_parameter"),
        (with("to", "agent"), 400, "invalid_parameter"),
        (format!("{to_bot}&to=agent"), 400, "invalid_parameter"),
        (without("type"), 400, "invalid_parameter"),
        (with("type", "whatsapp"), 400, "invalid_parameter"),
        (with("type", "engage_virtual_agent"), 422, "virtual_agent_not_supported"),
        (without("app_id"), 400, "invalid_parameter"),
        (with("app_id", "%0a"), 400, "invalid_parameter"),
        (with("app_id", &DESK.to_string()), 400, "invalid_parameter"),
        (String::new(), 401, "unauthorized"),
    ] {
        let (answered, body) = bots_api(&world, Method::POST, &query, None).await;
        assert_eq!(answered, status, "{query}: {body}");
        assert_eq!(body["error"], error, "{query}");
        assert_eq!(body["status"], status, "{query}");
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let (status, body) = bots_api(&world, method, &to_bot, None).await;
        assert_eq!((status, &body["error"]), (405, &json!("method_not_allowed")));
    }
    let (status, _) = bots_api(&world, Method::POST, &to_bot, Some("another")).await;
    assert_eq!(status, 401, "two different tokens");
    let (status, _) = bots_api(&world, Method::POST, &without("access_token"), Some("wrong")).await;
    assert_eq!(status, 401);
    let after = (world.desk.handover.thread(&thread()).await.unwrap(), world.owner());
    assert_eq!(after, before, "a refused call changes nothing");
    assert!(world.calls(&crate::world::desk()).is_empty());

    let (status, body) = bots_api(&world, Method::POST, &without("access_token"), Some(ED_TOKEN)).await;
    assert_eq!((status, body), (200, json!({"status": 200, "message": "Success"})));
    assert_eq!(world.owner(), Some(bot()));
    let (status, _) = bots_api(&world, Method::POST, &to_bot, None).await;
    assert_eq!(status, 200, "the bot has control already");
}

#[tokio::test]
async fn bots_api_refuses_handover_to_bot_while_an_intervention_is_engaged() {
    let world = World::start(Setup::new(Rules::primary(DESK), EdPrimary)).await;
    world.customer_writes("hello");
    world.rest().await;
    world.desk.handover.open_intervention(&thread()).await.unwrap();
    world.rest().await;
    let before = (world.desk.handover.thread(&thread()).await.unwrap(), world.calls(&crate::world::desk()));
    let query = format!(
        "access_token={ED_TOKEN}&identity_foreign_id={CUSTOMER}&from=agent&to=bot&type=messenger&app_id={BOT}"
    );
    let (status, body) = bots_api(&world, Method::POST, &query, None).await;
    assert_eq!((status, &body["error"]), (409, &json!("intervention_engaged")));
    let after = (world.desk.handover.thread(&thread()).await.unwrap(), world.calls(&crate::world::desk()));
    assert_eq!(after, before);
    // The bot's client reads the response as this same failure.
    let user = thread().user;
    let endpoint = bots::Client::new(&world.desk.url, ED_TOKEN.into()).unwrap();
    let refused = endpoint.agent_to_bot(&user, &bot()).await.unwrap_err();
    assert_eq!(refused.kind(), messenger_handover::call::FailureKind::Conflict);
    assert!(refused.to_string().contains("intervention_engaged"), "{refused}");
}

/// A desk that starts with an empty token authenticates nobody.
#[tokio::test]
async fn bots_api_with_empty_token_refuses_everybody() {
    let world = World::start(Setup::new(Rules::primary(DESK), EdPrimary)).await;
    let parameters = format!("identity_foreign_id={CUSTOMER}&from=bot&to=agent&type=messenger");
    for token in ["", "  "] {
        let server = bots::Endpoint::new(token.into(), world.desk.handover.clone(), Known);
        for given in ["", "%20", "guess"] {
            let query = format!("access_token={given}&{parameters}");
            let answer = server.handle(&Method::POST, Some(&query), &HeaderMap::new()).await;
            assert_eq!(answer.status(), 401, "{token:?} {given:?}");
        }
    }
    assert!(world.calls(&crate::world::desk()).is_empty());
}
