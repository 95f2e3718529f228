//! Tests of deliveries in all the variants of docs/protocol.md#webhook-envelope and the sections after it, in the shapes of
//! recorded deliveries.

use serde_json::{Value, json};

use super::{Delivery, Item, Object, ParseError, Verifier, dangerous_parse_unverified, parse, sign};
use crate::event::{Attachment, Channel, ControlChange, ControlRequest, Echo, EventKind, Inbound};
use crate::id::{AppId, MessageId, PageId, ThreadKey, UserId};
use crate::secret::AppSecret;
use crate::time::{Span, Timestamp};

mod kinds;

const PAGE: u64 = 234_554_838_031_189;
const USER: u64 = 1_739_141_089_378_194;
const AT: u64 = 1_458_692_752_478;

fn read(body: &Value) -> Delivery {
    dangerous_parse_unverified(body.to_string().as_bytes()).unwrap()
}

/// The items of a delivery with one entry with these events.
fn entry(array: &str, events: &Value) -> Vec<Item> {
    read(&json!({"object": "page", "entry": [{"id": PAGE.to_string(), "time": AT, array: events}]})).items
}

/// One event from the customer.
#[allow(clippy::needless_pass_by_value, reason = "it is written in the call")]
fn event(name: &str, body: Value) -> Value {
    json!({"sender": {"id": USER.to_string()}, "recipient": {"id": PAGE.to_string()}, "timestamp": AT, name: body})
}

#[track_caller]
fn one(mut items: Vec<Item>) -> Item {
    assert_eq!(items.len(), 1, "{items:?}");
    items.remove(0)
}

/// The kind of an event of the usual conversation.
#[track_caller]
fn kind(item: Item) -> EventKind {
    match item {
        Item::Event { thread, event } => {
            assert_eq!(thread, ThreadKey::new(PageId::from(PAGE), UserId::from(USER)));
            event.kind
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn messaging(name: &str, body: Value) -> EventKind {
    kind(one(entry("messaging", &json!([event(name, body)]))))
}

#[track_caller]
fn assert_unknown(item: &Item, expected: &str) {
    match item {
        Item::Unknown { why, .. } => assert_eq!(*why, expected),
        other => panic!("{other:?}"),
    }
}

#[allow(clippy::unnecessary_wraps, reason = "fields are optional")]
fn app(id: u64) -> Option<AppId> {
    Some(AppId::from(id))
}

fn change(previous_owner: Option<AppId>, new_owner: Option<AppId>, metadata: Option<&str>) -> ControlChange {
    ControlChange { previous_owner, new_owner, metadata: metadata.map(str::to_owned) }
}

#[test]
fn control_events_with_every_form_of_id() {
    for (body, expected) in [
        (
            json!({"previous_owner_app_id": "7", "new_owner_app_id": "8", "metadata": "m"}),
            change(app(7), app(8), Some("m")),
        ),
        (json!({"previous_owner_app_id": 7, "new_owner_app_id": 8}), change(app(7), app(8), None)),
        (
            json!({"previous_owner_app_id": null, "new_owner_app_id": 1_217_981_644_879_628_u64, "metadata": null}),
            change(None, app(1_217_981_644_879_628), None),
        ),
        (json!({"new_owner_app_id": "8", "metadata": {"a": 1}}), change(None, app(8), Some("{\"a\":1}"))),
        (json!({"previous_owner_app_id": "7"}), change(app(7), None, None)),
        (json!({"previous_owner_app_id": "", "new_owner_app_id": ""}), change(None, None, None)),
        (json!({}), change(None, None, None)),
    ] {
        let pass = messaging("pass_thread_control", body.clone());
        assert_eq!(pass, EventKind::PassThreadControl(expected.clone()), "{body}");
        let take = messaging("take_thread_control", body);
        assert_eq!(take, EventKind::TakeThreadControl(expected));
    }
    for (id, expected) in [(json!(9), app(9)), (json!("9"), app(9)), (json!(""), None), (json!(null), None)] {
        let request = messaging("request_thread_control", json!({"requested_owner_app_id": id}));
        let expected = ControlRequest { requested_by: expected, metadata: None };
        assert_eq!(request, EventKind::RequestThreadControl(expected));
    }
    // An unreadable owner must not pass for a missing one.
    for id in [json!(1.5), json!(-7), json!({}), json!(true), json!("a\nb")] {
        let body = event("pass_thread_control", json!({"new_owner_app_id": id}));
        assert_unknown(&one(entry("messaging", &json!([body]))), "invalid id");
    }
}

#[test]
fn control_events_in_an_array_of_their_own() {
    let item = one(entry("messaging_handovers", &json!([event("take_thread_control", json!({}))])));
    assert!(matches!(&item, Item::Event { event, .. } if event.channel == Channel::Messaging));
}

#[test]
fn stamps_in_seconds_milliseconds_and_none() {
    for (stamp, expected) in [
        (json!(1_661_209_328), Span::from_platform(1_661_209_328)),
        (json!(1_661_209_328_123_u64), Span::from_platform(1_661_209_328_123)),
        (json!("1661209328"), Span::from_platform(1_661_209_328)),
        (json!(null), Span::UNKNOWN),
        (json!(0), Span::UNKNOWN),
        (json!("soon"), Span::UNKNOWN),
    ] {
        let mut body = event("message", json!({"mid": "m"}));
        body["timestamp"] = stamp;
        match one(entry("messaging", &json!([body]))) {
            Item::Event { event, .. } => assert_eq!(event.at, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn roles() {
    let body = json!({"recipient": {"id": PAGE.to_string()}, "timestamp": AT, "app_roles": {
        "123456789": ["primary_receiver"], "098765432": ["secondary_receiver", "automation"],
    }});
    let expected = Item::AppRoles {
        page: PageId::from(PAGE),
        channel: Channel::Messaging,
        roles: vec![
            (
                AppId::new("098765432").unwrap(),
                vec!["secondary_receiver".to_owned(), "automation".to_owned()],
            ),
            (AppId::from(123_456_789), vec!["primary_receiver".to_owned()]),
        ],
        at: Span::from_platform(AT),
    };
    assert_eq!(one(entry("messaging", &json!([body]))), expected);
    // If the entry has no id, the recipient is the Page.
    let bare = read(&json!({"object": "page", "entry": [{"messaging": [body]}]}));
    assert_eq!(one(bare.items), expected);
    for broken in [json!([]), json!({"1": "primary_receiver"}), json!({"": []}), json!({"1": [2]})] {
        let item = one(entry("messaging", &json!([event("app_roles", broken)])));
        assert_unknown(&item, "roles that cannot be read");
    }
}

#[test]
fn messages_of_the_customer() {
    let mid = || Some(MessageId::new("mid.1457764197618:41d102a3e1ae206a38").unwrap());
    let empty = Inbound::new(mid(), Span::from_platform(AT));
    let with = |mut extra: Value| {
        extra["mid"] = json!("mid.1457764197618:41d102a3e1ae206a38");
        messaging("message", extra)
    };
    let text = Inbound { text: Some("hi".to_owned()), ..empty.clone() };
    assert_eq!(with(json!({"text": "hi", "seq": 73})), EventKind::Inbound(text.clone()));
    let quick = Inbound { payload: Some("P".to_owned()), ..text };
    assert_eq!(with(json!({"text": "hi", "quick_reply": {"payload": "P"}})), EventKind::Inbound(quick));
    let attached =
        |kind: &str, url: Option<&str>| Attachment { url: url.map(str::to_owned), ..Attachment::new(kind) };
    let attachments = json!([
        {"type": "image", "payload": {"url": "https://a/1"}},
        {"type": "fallback", "payload": null, "url": "https://a/2"},
        {"type": "template", "payload": {}, "url": null},
        {},
    ]);
    let pictures = Inbound {
        attachments: vec![
            attached("image", Some("https://a/1")),
            attached("fallback", Some("https://a/2")),
            attached("template", None),
            attached("unknown", None),
        ],
        ..empty.clone()
    };
    assert_eq!(with(json!({"attachments": attachments})), EventKind::Inbound(pictures));
    // A message that the platform cannot show still needs a reply.
    for nothing in [json!({}), json!({"text": null, "is_deleted": 0, "is_unsupported": "false"})] {
        assert_eq!(with(nothing), EventKind::Inbound(empty.clone()));
    }
    let unsupported = Inbound { is_unsupported: true, ..empty };
    assert_eq!(with(json!({"is_unsupported": true})), EventKind::Inbound(unsupported));
}

#[test]
fn echoes() {
    let echo = |body: Value| json!([{"sender": {"id": PAGE}, "recipient": {"id": USER}, "timestamp": AT, "message": body}]);
    for (id, expected) in
        [(json!(743), app(743)), (json!("743"), app(743)), (json!({}), None), (json!(null), None)]
    {
        let body = json!({"is_echo": true, "app_id": id, "metadata": "mho:7:k", "mid": "m", "text": "t"});
        let expected = Echo {
            metadata: Some("mho:7:k".to_owned()),
            text: Some("t".to_owned()),
            ..Echo::new(MessageId::new("m").ok(), expected)
        };
        assert_eq!(kind(one(entry("messaging", &echo(body)))), EventKind::Echo(expected));
    }
    let bare = read(&json!({"object": "page", "entry": [{"messaging": echo(json!({"is_echo": true}))}]}));
    assert!(matches!(kind(one(bare.items)), EventKind::Echo(_)), "its sender is the Page");
    // A recorded test payload has sender and recipient swapped.
    let swapped = event("message", json!({"is_echo": true, "mid": "m"}));
    assert!(matches!(kind(one(entry("messaging", &json!([swapped])))), EventKind::Echo(_)));
}

#[test]
fn postbacks_reads_and_deliveries() {
    let postback = |title: Option<&str>, payload: Option<&str>, mid: Option<&str>| {
        EventKind::Inbound(Inbound {
            text: title.map(str::to_owned),
            payload: payload.map(str::to_owned),
            postback: true,
            ..Inbound::new(mid.map(|mid| MessageId::new(mid).unwrap()), Span::from_platform(AT))
        })
    };
    let full = json!({"title": "T", "payload": "P", "mid": "m"});
    assert_eq!(messaging("postback", full), postback(Some("T"), Some("P"), Some("m")));
    // A postback on standby has only a title, or not even that.
    let standby = |body| one(entry("standby", &json!([event("postback", body)])));
    assert_eq!(kind(standby(json!({"title": "Details"}))), postback(Some("Details"), None, None));
    assert_eq!(kind(standby(json!({}))), postback(None, None, None));
    assert!(matches!(standby(json!({})), Item::Event { event, .. } if event.channel == Channel::Standby));

    let (watermark, mid) = (Some(Timestamp::from_millis(AT)), MessageId::new("m").ok());
    let read = |watermark, mid| EventKind::Read { watermark, mid };
    assert_eq!(messaging("read", json!({"watermark": AT})), read(watermark, None));
    assert_eq!(messaging("read", json!({"mid": "m"})), read(None, mid.clone()));
    // A stamp in seconds means the start of its second, and a receipt without a readable watermark is still a receipt.
    let seconds = Some(Timestamp::from_millis(1_661_209_328_000));
    assert_eq!(messaging("read", json!({"watermark": "1661209328", "mid": "m"})), read(seconds, mid));
    assert_eq!(messaging("read", json!({"watermark": 0, "mid": []})), read(None, None));
    assert_eq!(messaging("read", json!("x")), read(None, None));
    let mids = json!({"mids": ["a", "b"], "watermark": AT});
    let expected = ["a", "b"].map(|mid| MessageId::new(mid).unwrap()).to_vec();
    assert_eq!(messaging("delivery", mids), EventKind::Delivery { mids: expected, watermark });
    let none = EventKind::Delivery { mids: vec![], watermark };
    assert_eq!(messaging("delivery", json!({"watermark": AT})), none);
}

#[test]
fn what_is_not_ours_is_kept() {
    let raw = event("hop_context", json!({"app_id": 1}));
    let expected = Item::Unknown {
        page: Some(PageId::from(PAGE)),
        channel: Some(Channel::Messaging),
        raw: raw.clone(),
        why: "an element of no known kind",
    };
    assert_eq!(one(entry("messaging", &json!([raw]))), expected);
    assert_unknown(&one(entry("changes", &json!([{"field": "feed", "value": {}}]))), "a change");
    assert_unknown(&one(entry("messaging", &json!({}))), "events that are not an array");
    assert_unknown(&one(entry("changes", &json!(1))), "changes that are not an array");
    assert_unknown(&one(entry("hop_context", &json!([{"app_id": 1}]))), "entry without events");
    assert_unknown(&one(read(&json!({"entry": ["x"]})).items), "entry without events");
    let odd = read(&json!({"entry": [{"id": {}, "messaging": [event("read", json!({}))]}]}));
    assert_unknown(&one(odd.items), "entry with an unreadable id");
}

#[test]
fn who_is_the_page_and_who_the_person() {
    let thread = |entry_id: Option<&str>, sender: Value, recipient: Value| {
        let body = json!({"sender": sender, "recipient": recipient, "request_thread_control": {}});
        match one(read(&json!({"object": "page", "entry": [{"id": entry_id, "messaging": [body]}]})).items) {
            Item::Event { thread, .. } => thread.to_string(),
            Item::Unknown { why, .. } => why.to_owned(),
            other => panic!("{other:?}"),
        }
    };
    let id = |id: &str| json!({ "id": id });
    assert_eq!(thread(Some("P"), id("U"), id("P")), "P/U");
    assert_eq!(thread(Some("P"), id("P"), id("U")), "P/U");
    assert_eq!(thread(Some("P"), id("<USER_ID>"), id("<PSID>")), "P/<USER_ID>");
    assert_eq!(thread(Some("P"), json!(null), id("U")), "P/U");
    assert_eq!(thread(None, id("U"), id("P")), "P/U");
    assert_eq!(thread(Some("12"), json!({"id": 34}), json!({"id": 12})), "12/34");
    assert_eq!(thread(Some("ID"), id("ID"), id("ID")), "ID/ID", "redacted");
    assert_eq!(thread(Some("P"), json!({"user_ref": "x"}), id("P")), "an event of no person");
    assert_eq!(thread(Some("P"), json!({"id": null}), json!(7)), "an event of no person");
    assert_eq!(thread(None, id("U"), json!(null)), "an event of no Page");
    assert_eq!(thread(Some("P"), json!({"id": []}), id("P")), "invalid id");
}

fn batch() -> Value {
    let text = |text: &str| event("message", json!({"mid": text, "text": text}));
    json!({"object": "instagram", "entry": [
        {"messaging_handovers": [event("pass_thread_control", json!({"new_owner_app_id": 7}))],
         "standby": [text("s1")], "id": PAGE, "time": AT, "messaging": [text("a1"), {"broken": 1}, text("a2")]},
        {"id": "11", "messaging": [
            {"sender": {"id": "20"}, "recipient": {"id": "11"}, "timestamp": 1, "read": {"watermark": 1}},
        ]},
    ]})
}

#[test]
fn a_batch_keeps_its_order_and_loses_nothing_to_a_broken_element() {
    let delivery = read(&batch());
    assert_eq!(delivery.object, Object::Instagram);
    let shown: Vec<_> = delivery
        .items
        .iter()
        .map(|item| match item {
            Item::Event { event, .. } => match &event.kind {
                EventKind::Inbound(inbound) => inbound.text.clone().unwrap(),
                EventKind::PassThreadControl(_) => "pass".to_owned(),
                EventKind::Read { .. } => "read".to_owned(),
                other => format!("{other:?}"),
            },
            Item::Unknown { why, .. } => (*why).to_owned(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(shown, ["a1", "an element of no known kind", "a2", "s1", "pass", "read"]);
}

#[test]
fn a_text_cut_inside_an_emoji_does_not_lose_the_batch() {
    let body = batch().to_string().replace("\"a1\"", r#""a\ud83d""#);
    let delivery = dangerous_parse_unverified(body.as_bytes()).unwrap();
    assert_eq!(delivery.items.len(), 6);
    let EventKind::Inbound(first) = kind(delivery.items.into_iter().next().unwrap()) else { panic!() };
    assert_eq!(first.text.unwrap(), "a\u{fffd}");
}

#[test]
fn what_is_no_delivery() {
    let fails = |body: &[u8]| dangerous_parse_unverified(body).unwrap_err();
    let whole = batch().to_string();
    let deep = format!(r#"{{"entry":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        b"".as_slice(),
        b"<html>",
        &whole.as_bytes()[..whole.len() - 1],
        b"{\"entry\":\"\xff\"}",
        deep.as_bytes(),
    ] {
        let error = fails(body);
        assert!(matches!(error, ParseError::NotJson(_)), "{error}");
    }
    for body in ["[]", "7", "null", "\"x\""] {
        assert!(matches!(fails(body.as_bytes()), ParseError::NotAnObject), "{body}");
    }
    for body in ["{}", r#"{"object":"page"}"#, r#"{"entry":{}}"#, r#"{"entry":null}"#] {
        assert!(matches!(fails(body.as_bytes()), ParseError::NoEntries), "{body}");
    }
    let other = read(&json!({"object": "whatsapp_business_account", "entry": []}));
    assert_eq!(other.object, Object::Other("whatsapp_business_account".to_owned()));
    assert_eq!(read(&json!({"entry": []})).object, Object::Other(String::new()));
}

#[test]
fn only_what_is_verified_parses() {
    let secret = AppSecret::new("s");
    let body = batch().to_string();
    let header = sign(&secret, body.as_bytes());
    let verified = Verifier::new(secret);
    let verified = verified.verify(Some(&header), body.as_bytes()).unwrap();
    assert_eq!(parse(&verified).unwrap().items.len(), 6);
}
