//! Engage Digital's webhooks and REST API, over real HTTP.

mod api;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::RawQuery;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::routing::any;
use messenger_handover::engage::{
    Api, Directory, Domain, Endpoint, Event, EventKind, Intervention, InterventionHandler, SECRET_HEADER,
    SynchronizationStatus, Verifier,
};
use messenger_handover::handover::{BoxError, Handover};
use messenger_handover::id::{PageId, ThreadKey};
use messenger_handover::policy::ThreadControlPolicy::BotPrimary;
use messenger_handover::thread::Owner;
use messenger_sim::Rules;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::world::{BOT, CUSTOMER, ED_TOKEN, PAGE, Setup, VERIFY_TOKEN, World, bot, desk, thread};

const SECRET: &str = "SECRET-of-the-webhook";
const IDENTITY: &str = "557f003c7765620fdc0002cc";
const SOURCE: &str = "56178fd27765625e06000a66";

/// A mock of ED's API with one customer.
async fn ed() -> MockServer {
    let ed = MockServer::start().await;
    let identity = json!({"id": IDENTITY, "foreign_id": CUSTOMER.to_string(), "community_id": "c"});
    answers(&ed, &format!("/1.0/identities/{IDENTITY}"), 200, identity).await;
    ed
}

async fn answers(ed: &MockServer, at: &str, status: u16, body: Value) {
    Mock::given(method("GET"))
        .and(path(at))
        .and(header("authorization", format!("Bearer {ED_TOKEN}")))
        .respond_with(ResponseTemplate::new(status).set_body_json(body))
        .mount(ed)
        .await;
}

/// Sets the customer's interventions in ED from now on.
async fn interventions(ed: &MockServer, records: &[Value]) {
    let list = json!({"count": records.len(), "offset": 0, "limit": 150, "records": records});
    Mock::given(path("/1.0/interventions"))
        .and(query_param("identity_id", IDENTITY))
        .respond_with(ResponseTemplate::new(200).set_body_json(list))
        // A later list replaces earlier ones.
        .with_priority(u8::try_from(200 - ed.received_requests().await.unwrap().len()).unwrap())
        .mount(ed)
        .await;
}

fn api(ed: &MockServer) -> Api {
    Api::new(Domain::new(&ed.uri().parse().unwrap(), ED_TOKEN.into()).unwrap())
}

type Heard = (Option<ThreadKey>, Event);

/// A directory that records its notifications.
#[derive(Clone)]
struct Told {
    directory: Directory,
    events: Arc<Mutex<Vec<Heard>>>,
}

#[async_trait]
impl InterventionHandler for Told {
    async fn conversation(&self, about: &Intervention) -> Result<Option<ThreadKey>, BoxError> {
        self.directory.conversation(about).await
    }

    async fn still_engaged(&self, closed: &Intervention) -> Result<bool, BoxError> {
        self.directory.still_engaged(closed).await
    }

    async fn notify(&self, thread: Option<&ThreadKey>, event: &Event) -> Result<(), BoxError> {
        self.events.lock().unwrap().push((thread.cloned(), event.clone()));
        Ok(())
    }
}

/// The ED webhook endpoint of one host.
struct Served {
    url: Url,
    told: Told,
    client: reqwest::Client,
}

impl Served {
    async fn start(ed: &MockServer, handover: Handover) -> Self {
        let directory = Directory::new(api(ed), [(SOURCE.to_owned(), PageId::from(PAGE))]);
        let told = Told { directory, events: Arc::default() };
        let verifier = Verifier::new(SECRET.into()).with_previous("SECRET-before".into()).max_body(50_000);
        let server = Endpoint::new(verifier, VERIFY_TOKEN.into(), handover, told.clone());
        let server = server.patience(Duration::from_secs(2));
        let router = Router::new().route(
            "/",
            any(|method: Method, RawQuery(query): RawQuery, headers: HeaderMap, body: Bytes| async move {
                server.handle(&method, query.as_deref(), &headers, &body).await
            }),
        );
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, told, client: crate::world::http().build().unwrap() }
    }

    async fn post(&self, secret: Option<&str>, body: impl Into<reqwest::Body>) -> StatusCode {
        let mut request = self.client.post(self.url.clone()).body(body);
        if let Some(secret) = secret {
            request = request.header(SECRET_HEADER, secret);
        }
        request.send().await.unwrap().status()
    }

    async fn tell(&self, event: Value) -> StatusCode {
        self.post(Some(SECRET), notification(&[event]).to_string()).await
    }
}

fn notification(events: &[Value]) -> Value {
    json!({"id": "bd13a9d9baa8c20cf93046cd", "domain_id": 1, "events": events})
}

/// An event about an intervention, `second` seconds after 2026-03-01T10:00.
fn intervention(what: &str, id: &str, second: u32) -> Value {
    json!({
        "type": format!("intervention.{what}"), "id": format!("{what}-{id}-{second}"),
        "user_id": "4f4f3a08a90ffb27ee000583", "issued_at": format!("2026-03-01T10:00:{second:02}.251Z"),
        "resource": {"type": "intervention", "id": id, "metadata": {
            "identity_id": IDENTITY, "source_id": SOURCE, "thread_id": "t", "user_id": "a",
            "category_ids": ["1"], "closed_at": null, "deferred_at": null,
        }},
    })
}

/// The workflow *agent interrupts* (docs/protocol.md#ed-workflows) through ED's webhooks: an intervention opens, the desk
/// requests control, the bot passes it; the intervention closes, control is released, and the bot resumes although Meta
/// notifies nobody of a release.
#[tokio::test]
async fn engage_intervention_from_opening_to_close() {
    let ed = ed().await;
    interventions(&ed, &[]).await;
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    let (to_desk, to_bot) = tokio::join!(
        Served::start(&ed, world.desk.handover.clone()),
        Served::start(&ed, world.bot.handover.clone())
    );
    world.customer_writes("hello");
    world.rest().await;
    let both = async |event: Value| {
        assert_eq!(to_bot.tell(event.clone()).await, 200);
        assert_eq!(to_desk.tell(event).await, 200);
    };
    both(intervention("opened", "i1", 1)).await;
    world.until("the desk has control", |world| world.owner() == Some(desk())).await;
    world.desk.send("Hello, I am a person.").await.unwrap();
    world.until("the answer is sent", |world| world.conversation().len() == 2).await;
    world.rest().await;
    assert!(matches!(world.bot.handover.thread(&thread()).await.unwrap().owner(), Owner::Other(_)));

    // Notify the desk first, so that it has released control when the bot reads the owner.
    assert_eq!(to_desk.tell(intervention("closed", "i1", 5)).await, 200);
    world.until("control is released", |world| world.owner().is_none()).await;
    world.rest().await;
    assert_eq!(to_bot.tell(intervention("closed", "i1", 5)).await, 200);
    world.rest().await;
    let believed = world.bot.handover.thread(&thread()).await.unwrap();
    assert_eq!(*believed.owner(), Owner::Idle, "the bot looked");

    // Duplicates and late events change nothing.
    let calls = world.calls(&desk()).len();
    for event in [intervention("opened", "i1", 1), intervention("closed", "i1", 5)] {
        both(event).await;
    }
    world.rest().await;
    assert_eq!((world.owner(), world.calls(&desk()).len()), (None, calls));

    both(intervention("reopened", "i1", 9)).await;
    world.until("it is reopened", |world| world.owner() == Some(desk())).await;
    both(intervention("canceled", "i1", 12)).await;
    world.until("it is canceled", |world| world.owner().is_none()).await;
    world.rest().await;
    let told = to_bot.told.events.lock().unwrap();
    assert!(told.iter().all(|(of, _)| *of == Some(thread())));
    let granted = ["pass_thread_control"; 2];
    assert_eq!(world.calls(&bot()), granted, "the bot granted twice, and neither claimed nor released");
}

/// Two interventions of one customer: control is kept until both are closed, in any order of events.
#[tokio::test]
async fn engage_control_is_kept_while_another_intervention_is_open() {
    let ed = ed().await;
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    let desks = Served::start(&ed, world.desk.handover.clone()).await;
    world.customer_writes("hello");
    world.rest().await;
    let one = |id: &str, closed: Value| json!({"id": id, "identity_id": IDENTITY, "closed": closed});
    desks.tell(intervention("opened", "i1", 1)).await;
    desks.tell(intervention("opened", "i2", 2)).await;
    world.until("the desk has control", |world| world.owner() == Some(desk())).await;
    world.rest().await;

    interventions(&ed, &[one("i2", json!(false)), one("i1", json!(true))]).await;
    assert_eq!(desks.tell(intervention("closed", "i1", 3)).await, 200);
    world.rest().await;
    assert_eq!(world.owner(), Some(desk()));
    interventions(&ed, &[one("i2", json!(true)), one("i1", json!(true))]).await;
    assert_eq!(desks.tell(intervention("closed", "i2", 4)).await, 200);
    world.until("control is released", |world| world.owner().is_none()).await;
    world.rest().await;
}

/// If a lookup fails, ED redelivers the event; events about unknown people are acknowledged.
#[tokio::test]
async fn engage_event_is_redelivered_until_handled() {
    let ed = MockServer::start().await;
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    let desks = Served::start(&ed, world.desk.handover.clone()).await;
    world.customer_writes("hello");
    world.rest().await;
    let place = format!("/1.0/identities/{IDENTITY}");
    for (status, expected) in [(500, 503), (429, 503), (401, 503), (404, 200)] {
        ed.reset().await;
        answers(&ed, &place, status, json!({"error": "e", "message": "m", "status": status})).await;
        assert_eq!(desks.tell(intervention("opened", "i1", 1)).await, expected, "{status}");
    }
    ed.reset().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(4));
    Mock::given(path(&place)).respond_with(slow).mount(&ed).await;
    assert_eq!(desks.tell(intervention("opened", "i1", 2)).await, 503, "it takes too long");
    let mut elsewhere = intervention("opened", "i1", 3);
    elsewhere["resource"]["metadata"]["source_id"] = json!("a mailbox");
    assert_eq!(desks.tell(elsewhere).await, 200);
    world.rest().await;
    assert_eq!(world.owner(), Some(bot()), "nothing has happened so far");

    ed.reset().await;
    answers(&ed, &place, 200, json!({"id": IDENTITY, "foreign_id": CUSTOMER})).await;
    let mut unstamped = intervention("opened", "i1", 4);
    unstamped["issued_at"] = json!("yesterday");
    assert_eq!(desks.tell(unstamped).await, 200);
    world.until("the desk has control", |world| world.owner() == Some(desk())).await;
    world.rest().await;
}

#[tokio::test]
async fn engage_webhook_checks_secret_and_body() {
    let ed = ed().await;
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    let desks = Served::start(&ed, world.desk.handover.clone()).await;
    let opened = notification(&[intervention("opened", "i1", 1)]).to_string();
    for secret in [None, Some(""), Some("SECRET"), Some("SECRET-of-the-webhook-"), Some("\u{e4}")] {
        assert_eq!(desks.post(secret, opened.clone()).await, 401, "{secret:?}");
    }
    for body in ["", "hello", "[]", "{}", r#"{"events":{}}"#, "{\"events\":["] {
        assert_eq!(desks.post(Some(SECRET), body).await, 400, "{body}");
    }
    assert_eq!(desks.post(Some(SECRET), " ".repeat(50_001)).await, 413);
    assert!(desks.told.events.lock().unwrap().is_empty());
    world.rest().await;
    assert!(world.calls(&desk()).is_empty());
    for secret in [SECRET, "SECRET-before"] {
        assert_eq!(desks.post(Some(secret), r#"{"events":[]}"#).await, 200);
    }

    let get = async |query: &str| {
        let mut url = desks.url.clone();
        url.set_query(Some(query));
        let answer = desks.client.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let good = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={VERIFY_TOKEN}");
    assert_eq!(get(&good).await, (200, "1158201444".to_owned()));
    assert_eq!(get("hub.mode=subscribe&hub.challenge=1&hub.verify_token=guess").await.0, 403);
    let put = desks.client.put(desks.url.clone()).send().await.unwrap();
    assert_eq!((put.status().as_u16(), put.headers()["allow"].to_str().unwrap()), (405, "GET, POST"));
}

/// A failed export has the same event type as a successful one; its status shows the difference.
#[tokio::test]
async fn engage_exports_have_a_status_and_other_events_pass_through() {
    let ed = ed().await;
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    let desks = Served::start(&ed, world.desk.handover.clone()).await;
    let content = |what: &str, status: Value| {
        json!({"type": what, "id": "e", "issued_at": "2026-03-01T10:00:00Z", "resource": {"type": "content",
            "id": 12, "metadata": {"foreign_id": "m_1", "source_id": SOURCE, "synchronization_status": status,
            "synchronization_error": "(#10) another app is controlling this thread"}}})
    };
    let other = json!({"type": "push_agent.connected", "id": "p", "resource": {}, "issued_at": null});
    let events = [
        content("content.exported", json!("success")),
        content("content.exported", json!("export_failure")),
        content("content.exported", json!("delete_aborted")),
        content("content.imported", Value::Null),
        other.clone(),
        json!({"type": "intervention.closed", "resource": {"metadata": {}}}),
        json!(7),
    ];
    assert_eq!(desks.post(Some(SECRET), notification(&events).to_string()).await, 200);
    let told = desks.told.events.lock().unwrap();
    let exported = told.iter().filter_map(|(_, event)| match &event.kind {
        EventKind::ContentExported(content) => content.synchronization.clone(),
        _ => None,
    });
    let exported: Vec<_> = exported.collect();
    let expected = [
        SynchronizationStatus::Success,
        SynchronizationStatus::ExportFailure,
        SynchronizationStatus::Other("delete_aborted".to_owned()),
    ];
    assert_eq!(exported, expected);
    let failed: Vec<_> = exported.iter().map(SynchronizationStatus::is_failure).collect();
    assert_eq!(failed, [false, true, false]);
    assert!(matches!(&told[3].1.kind, EventKind::ContentImported(content) if content.id == "12"));
    let unknown: Vec<_> = told[4..].iter().map(|(_, event)| &event.kind).collect();
    assert_eq!(*unknown[0], EventKind::Unknown { name: "push_agent.connected".to_owned(), raw: other });
    assert!(unknown.iter().all(|kind| matches!(kind, EventKind::Unknown { .. })));
    assert!(told.iter().all(|(thread, _)| thread.is_none()));
}

/// A failing event does not block others in its batch; an event that can never be handled is acknowledged.
#[tokio::test]
async fn engage_bad_event_does_not_block_the_batch() {
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    world.customer_writes("hello");
    world.rest().await;
    for (status, expected) in [(500, 503), (403, 200)] {
        let ed = ed().await;
        interventions(&ed, &[]).await;
        let body = json!({"error": "e", "message": "m", "status": status});
        answers(&ed, "/1.0/identities/bad", status, body).await;
        let desks = Served::start(&ed, world.desk.handover.clone()).await;
        let mut bad = intervention("opened", "i0", 1);
        bad["resource"]["metadata"]["identity_id"] = json!("bad");
        // A text that was cut inside an emoji is accepted.
        let cut = r#"{"type":"content.imported","resource":{"id":"1","metadata":{"body":"cut \ud83d"}}}"#;
        let body = format!(r#"{{"events":[{bad},{cut},{}]}}"#, intervention("opened", "i1", status.into()));
        assert_eq!(desks.post(Some(SECRET), body).await, expected);
        world.until("the other is taken in", |world| world.owner() == Some(desk())).await;
        world.desk.handover.close_intervention(&thread()).await.unwrap();
        world.until("released", |world| world.owner().is_none()).await;
        world.rest().await;
    }
}

/// A batch that takes longer than the timeout completes after some redeliveries.
#[tokio::test]
async fn engage_long_batch_completes_after_redeliveries() {
    let ed = MockServer::start().await;
    let slow = ResponseTemplate::new(200)
        .set_body_json(json!({"id": IDENTITY, "foreign_id": CUSTOMER}))
        .set_delay(Duration::from_millis(700));
    Mock::given(path(format!("/1.0/identities/{IDENTITY}"))).respond_with(slow).mount(&ed).await;
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    let desks = Served::start(&ed, world.desk.handover.clone()).await;
    world.customer_writes("hello");
    world.rest().await;
    let events: Vec<_> = (0..30).map(|n| intervention("opened", &format!("i{n}"), n)).collect();
    let body = notification(&events).to_string();
    let mut answers = Vec::new();
    while answers.last() != Some(&StatusCode::OK) {
        assert!(answers.len() < 5, "{answers:?}");
        answers.push(desks.post(Some(SECRET), body.clone()).await);
    }
    assert!(answers.len() > 1, "it did take too long");
    assert_eq!(desks.told.events.lock().unwrap().len(), 30, "each is told, and none twice");
    world.rest().await;
}

/// ED notifies both hosts at the same moment, and the bot is faster.
#[tokio::test]
async fn engage_close_that_reaches_the_bot_first_still_resumes_it() {
    let ed = ed().await;
    interventions(&ed, &[]).await;
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    let (to_desk, to_bot) = tokio::join!(
        Served::start(&ed, world.desk.handover.clone()),
        Served::start(&ed, world.bot.handover.clone())
    );
    world.customer_writes("hello");
    world.rest().await;
    let opened = intervention("opened", "i1", 1);
    tokio::join!(to_bot.tell(opened.clone()), to_desk.tell(opened));
    world.until("the desk has control", |world| world.owner() == Some(desk())).await;
    world.rest().await;
    assert_eq!(to_bot.tell(intervention("closed", "i1", 5)).await, 200);
    world.rest().await;
    let believed = async || world.bot.handover.thread(&thread()).await.unwrap().owner().clone();
    assert!(matches!(believed().await, Owner::Other(_)));
    assert_eq!(to_desk.tell(intervention("closed", "i1", 5)).await, 200);
    world.until("released", |world| world.owner().is_none()).await;
    for _ in 0..1000 {
        if believed().await == Owner::Idle {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", believed().await);
}
