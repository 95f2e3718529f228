//! Tests of events other than text messages, and of the parts of messages. Most are modelled on public reports, with
//! invented ids and texts.

use super::*;
use crate::event::{Other, Raw, Referral, ReplyTo, Story};

const INSTAGRAM: &str = "17841400000000042";
const IGSID: &str = "961000000000077";
const MID: &str = "aWdfQmFzZTY0bG9va2luZ2lkQmFzZTY0bG9va2luZ2lkZDZD";

fn mid(mid: &str) -> MessageId {
    MessageId::new(mid).unwrap()
}

/// The items of a delivery of Instagram with these events.
fn instagram(elements: &Value) -> Vec<Item> {
    let entry = json!({"id": INSTAGRAM, "time": AT, "messaging": elements});
    read(&json!({"object": "instagram", "entry": [entry]})).items
}

/// One event of a person on Instagram.
fn of_instagram(name: &str, body: &Value) -> Item {
    let parties =
        json!({"sender": {"id": IGSID}, "recipient": {"id": INSTAGRAM}, "timestamp": AT, name: body});
    one(instagram(&json!([parties])))
}

#[track_caller]
fn event_of(item: Item) -> EventKind {
    match item {
        Item::Event { thread, event } => {
            assert_eq!(thread.to_string(), format!("{INSTAGRAM}/{IGSID}"));
            event.kind
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn inbound(kind: EventKind) -> Inbound {
    match kind {
        EventKind::Inbound(inbound) => inbound,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn other(kind: EventKind) -> Other {
    match kind {
        EventKind::Other(other) => other,
        other => panic!("{other:?}"),
    }
}

/// A message of the customer with these fields.
fn message(mut body: Value) -> Inbound {
    body["mid"] = json!("m");
    inbound(messaging("message", body))
}

#[expect(clippy::unnecessary_wraps, reason = "fields are optional")]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[track_caller]
fn assert_raw(raw: Option<Raw>, element: &Value) {
    assert_eq!(raw.and_then(|raw| raw.read::<Value>()).as_ref(), Some(element));
}

#[test]
fn unsent_messages_are_taken_back() {
    for flag in [json!(true), json!("true")] {
        let body = json!({"mid": "d-1", "is_deleted": flag});
        assert_eq!(event_of(of_instagram("message", &body)), EventKind::Unsent(mid("d-1")));
        for array in ["messaging", "standby"] {
            let item = one(entry(array, &json!([event("message", body.clone())])));
            assert_eq!(kind(item), EventKind::Unsent(mid("d-1")));
        }
    }
    // Neither an unsent echo of the Page nor an unsent message without an id is an `Unsent`.
    let mut echo = event("message", json!({"mid": "e", "is_echo": true, "is_deleted": true}));
    (echo["sender"], echo["recipient"]) = (echo["recipient"].take(), echo["sender"].take());
    let own = other(kind(one(entry("messaging", &json!([echo])))));
    assert!(own.name == "message" && !own.by_customer);
    let nameless = other(messaging("message", json!({"is_deleted": true})));
    assert!(nameless.name == "message" && nameless.by_customer);
}

#[test]
fn edited_messages_say_what_they_say_now() {
    let edited = |body: Value| messaging("message_edit", body);
    let expected = |text: Option<&str>, number| {
        let (mid, text) = (mid("m-edit-1"), text.map(str::to_owned));
        EventKind::Edited { mid, text, number }
    };
    let body = json!({"mid": "m-edit-1", "text": "order 21", "num_edit": 1});
    assert_eq!(edited(body.clone()), expected(Some("order 21"), 1));
    assert_eq!(edited(json!({"mid": "m-edit-1", "num_edit": "3"})), expected(None, 3));
    assert_eq!(edited(json!({"mid": "m-edit-1", "num_edit": u64::MAX})), expected(None, u32::MAX));
    // An edit without a number counts as the first.
    assert_eq!(edited(json!({"mid": "m-edit-1", "text": "x"})), expected(Some("x"), 1));
    let standby = one(entry("standby", &json!([event("message_edit", body)])));
    assert!(matches!(standby, Item::Event { event, .. } if event.channel == Channel::Standby));
    assert_eq!(other(edited(json!({"text": "of no message"}))).name, "message_edit");
}

#[test]
fn edit_number_zero_stands_for_a_message_that_must_be_fetched() {
    let body = json!({"mid": MID, "num_edit": 0});
    let expected = Inbound { must_be_fetched: true, ..Inbound::new(Some(mid(MID)), Span::from_platform(AT)) };
    assert_eq!(inbound(event_of(of_instagram("message_edit", &body))), expected);
    // If the edit holds the text, nothing needs to be fetched.
    let body = json!({"mid": MID, "num_edit": 0, "text": "hi"});
    let whole = Inbound { must_be_fetched: false, text: text("hi"), ..expected };
    assert_eq!(inbound(event_of(of_instagram("message_edit", &body))), whole);

    let nobody = json!({"timestamp": AT, "message_edit": {"mid": MID, "num_edit": 0}});
    assert_unknown(&one(instagram(&json!([nobody]))), "a message edit that names nobody");
    let change = json!([{"field": "message_edit", "value": nobody}]);
    let delivery =
        json!({"object": "instagram", "entry": [{"id": INSTAGRAM, "time": AT, "changes": change}]});
    assert_unknown(&one(read(&delivery).items), "a message edit that names nobody");
}

#[test]
fn referrals_come_alone_in_a_message_and_in_a_postback() {
    let link = json!({"ref": "spring-flyer", "source": "SHORTLINK", "type": "OPEN_THREAD"});
    let shortlink = Referral {
        source: text("SHORTLINK"),
        kind: text("OPEN_THREAD"),
        referral: text("spring-flyer"),
        ..Referral::new()
    };
    let alone = other(messaging("referral", link.clone()));
    assert_eq!((&*alone.name, alone.by_customer), ("referral", true));
    assert_eq!(alone.referral.as_deref(), Some(&shortlink));
    assert_raw(Some(alone.raw), &event("referral", link.clone()));

    let ad = json!({"ref": "", "source": "ADS", "type": "OPEN_THREAD", "ad_id": "120"});
    let ad_clicked =
        Referral { source: text("ADS"), kind: text("OPEN_THREAD"), ad_id: text("120"), ..Referral::new() };
    let from_ad = message(json!({"text": "is it free?", "referral": ad}));
    assert_eq!((from_ad.referral.as_deref(), from_ad.raw), (Some(&ad_clicked), None));
    // The ad's content is in the referral's raw JSON.
    let mut shown = ad.clone();
    shown["ads_context_data"] = json!({"ad_title": "Shoes", "photo_url": "https://a/1"});
    let from_ad = message(json!({"referral": shown}));
    assert_raw(from_ad.referral.and_then(|referral| referral.raw), &shown);
    assert_eq!(from_ad.raw, None);

    let postback =
        inbound(messaging("postback", json!({"title": "Start", "payload": "P", "referral": link})));
    assert_eq!((postback.referral.as_deref(), postback.postback), (Some(&shortlink), true));
    // A referral beside the message belongs to the message too.
    let mut beside = event("message", json!({"mid": "m", "text": "hi"}));
    beside["referral"] = link;
    let message = inbound(kind(one(entry("messaging", &json!([beside])))));
    assert_eq!((message.referral.as_deref(), message.raw), (Some(&shortlink), None));
}

#[test]
fn replies_name_the_message_or_the_story() {
    let replied = |to: Value| message(json!({"text": "how much is that?", "reply_to": to}));
    let to_message = ReplyTo { mid: Some(mid("m_0")), is_self_reply: true, ..ReplyTo::new() };
    let reply = replied(json!({"mid": "m_0", "is_self_reply": true}));
    assert_eq!((reply.reply_to.as_deref(), reply.raw), (Some(&to_message), None));
    let story = Story::new(text("17999"), text("https://cdn/s.jpg"));
    let to_story = ReplyTo { story: Some(story), ..ReplyTo::new() };
    let reply = replied(json!({"story": {"id": "17999", "url": "https://cdn/s.jpg"}}));
    assert_eq!((reply.reply_to.as_deref(), reply.raw), (Some(&to_story), None));
    for odd in [json!("m_0"), json!({"mid": []}), json!({"comment": {"id": "1"}}), json!({"story": "x"})] {
        let reply = replied(odd.clone());
        assert_eq!(reply.reply_to, None, "{odd}");
        assert!(reply.raw.is_some(), "{odd}");
    }
}

#[test]
fn unsupported_messages_are_told_from_empty_ones() {
    let unsupported =
        inbound(event_of(of_instagram("message", &json!({"mid": "u-1", "is_unsupported": true}))));
    assert!(unsupported.is_unsupported && unsupported.raw.is_none() && unsupported.text.is_none());
}

#[test]
fn attachments_say_what_they_are() {
    let attached = |attachment: &Value| {
        let mut message = message(json!({"attachments": [attachment]}));
        (message.attachments.remove(0), message.raw)
    };
    let of = Attachment::new;
    let url = || text("https://a/1");
    for (raw, expected) in [
        (
            json!({"type": "image", "payload": {"url": "https://a/1", "sticker_id": 369_239_263_222_822_u64}}),
            Attachment { url: url(), sticker_id: text("369239263222822"), ..of("image") },
        ),
        (
            json!({"type": "sticker", "payload": {"url": "https://a/1", "sticker_id": "7"}}),
            Attachment { url: url(), sticker_id: text("7"), ..of("sticker") },
        ),
        (
            json!({"type": "fallback", "payload": null, "title": "A page", "url": "https://a/1"}),
            Attachment { url: url(), title: text("A page"), ..of("fallback") },
        ),
        (
            json!({"type": "ig_reel", "payload": {"url": "https://a/1", "title": "A reel", "reel_video_id": "9"}}),
            Attachment { url: url(), title: text("A reel"), media_id: text("9"), ..of("ig_reel") },
        ),
        (
            json!({"type": "ig_post", "payload": {"url": "https://a/1", "ig_post_media_id": "9"}}),
            Attachment { url: url(), media_id: text("9"), ..of("ig_post") },
        ),
        (
            json!({"type": "ig_story", "payload": {"story_media_url": "https://a/1", "story_media_id": "9"}}),
            Attachment { url: url(), media_id: text("9"), ..of("ig_story") },
        ),
        (
            json!({"type": "story_mention", "payload": {"url": "https://a/1"}}),
            Attachment { url: url(), ..of("story_mention") },
        ),
        (
            json!({"type": "template", "title": "", "url": null, "payload": {"template_type": "button"}}),
            Attachment { template: text("button"), ..of("template") },
        ),
    ] {
        assert_eq!(attached(&raw), (expected, None), "{raw}");
    }
    // A field without a type is in the raw JSON.
    for raw in [
        json!({"type": "location", "payload": {"coordinates": {"lat": 1, "long": 2}}}),
        json!({"type": "template", "payload": {"template_type": "generic", "elements": []}}),
        json!({"type": "image", "payload": {"url": {}}}),
        json!({"type": 7}),
    ] {
        assert!(attached(&raw).1.is_some(), "{raw}");
    }
}

#[test]
fn raw_json_comes_only_with_what_has_no_place() {
    for ordinary in [
        json!({"text": "hi", "seq": 73, "quick_reply": {"payload": "P"}}),
        json!({"text": "hi", "is_echo": false, "folder": null}),
    ] {
        assert_eq!(message(ordinary).raw, None);
    }
    for odd in [
        json!({"text": "hi", "folder": "other"}),
        json!({"nlp": {"entities": {}}}),
        json!({"quick_reply": {"payload": "P", "id": 1}}),
        json!({"app_id": 7}),
        json!({"referral": "x"}),
    ] {
        assert!(message(odd.clone()).raw.is_some(), "{odd}");
    }
    // A lead summary has its `hop_context` beside the message (docs/protocol.md#hop-context).
    let mut lead = event("message", json!({"mid": "m", "text": "Full name: A. Person"}));
    lead["hop_context"] =
        json!({"app_id": 413_038_776_280_800_u64, "metadata": "messenger_lead_gen_complete"});
    let message = inbound(kind(one(entry("messaging", &json!([lead])))));
    assert_raw(message.raw, &lead);
    let postback = inbound(messaging("postback", json!({"payload": "P", "new": 1})));
    assert!(postback.raw.is_some());
    // JSON over the limit is dropped, and only its length is kept.
    let mut long = event("message", json!({"mid": "m", "text": "hi"}));
    long["new"] = json!("a".repeat(Raw::MAX_BYTES));
    let raw = inbound(kind(one(entry("messaging", &json!([long]))))).raw.unwrap();
    assert!(raw.json().is_none() && raw.bytes() > Raw::MAX_BYTES);
}

#[test]
fn other_events_of_a_conversation_reach_the_host_as_they_came() {
    for (name, body) in [
        ("reaction", json!({"mid": "m_1", "action": "react", "emoji": "❤", "reaction": "love"})),
        ("reaction", json!("love")),
        ("optin", json!({"ref": "x"})),
        ("account_linking", json!({"status": "linked", "authorization_code": "c"})),
        ("game_play", json!({"game_id": "1"})),
        ("message_request", json!("accept")),
        ("a_kind_of_next_year", json!(1)),
        // An unreadable message goes to the host, because a customer waits for a reply.
        ("message", json!({"mid": "m", "text": 7})),
        ("message", json!({"mid": "m", "attachments": {}})),
        ("message", json!({"mid": [], "text": "x"})),
        ("message", json!("hi")),
        ("postback", json!("P")),
        ("postback", json!({"title": []})),
    ] {
        let raw = event(name, body);
        for array in ["messaging", "standby"] {
            let told = other(kind(one(entry(array, &json!([raw])))));
            assert_eq!((&*told.name, told.by_customer), (name, true));
            assert_raw(Some(told.raw), &raw);
        }
    }
    // Beside a receipt it is an event of its own; beside a message it is in the message's raw JSON.
    let mut beside = event("read", json!({"watermark": AT}));
    beside["reaction"] = json!({"action": "react"});
    let items = entry("messaging", &json!([beside]));
    assert!(
        matches!(&items[..], [_, Item::Event { event, .. }] if matches!(event.kind, EventKind::Other(_)))
    );
    beside["message"] = json!({"mid": "m"});
    let items = entry("messaging", &json!([beside]));
    assert!(matches!(&items[..], [Item::Event { .. }, Item::Event { .. }]), "{items:?}");
}

#[test]
fn what_the_page_or_the_platform_does_is_not_the_customers() {
    let by_page = |name: &str, body: Value| json!([{"sender": {"id": PAGE}, "recipient": {"id": USER}, "timestamp": AT, name: body}]);
    for (name, body) in [
        // It must not pass for a customer's message, because a bot would reply to itself.
        ("message", json!({"mid": "m", "text": "x"})),
        ("postback", json!({"payload": "P"})),
        ("message_edit", json!({"mid": "m", "num_edit": 0})),
        ("message_edit", json!({"mid": "m", "num_edit": 1, "text": "x"})),
        ("reaction", json!({"action": "react"})),
    ] {
        let told = other(kind(one(entry("messaging", &by_page(name, body)))));
        assert_eq!((&*told.name, told.by_customer), (name, false));
    }
    let system = other(messaging("message", json!({"mid": "m", "admin_text": {"text": "The AI has left"}})));
    assert!(system.name == "message" && !system.by_customer);
}

/// An account that presses its own button is not a customer.
#[test]
fn what_an_account_does_to_itself_is_not_the_customers() {
    let itself = |name: &str, body: Value| {
        let own = json!({"id": INSTAGRAM});
        match one(instagram(&json!([{"sender": own, "recipient": own, "timestamp": AT, name: body}]))) {
            Item::Event { thread, event } => {
                assert_eq!(thread.to_string(), format!("{INSTAGRAM}/{INSTAGRAM}"));
                event.kind
            }
            other => panic!("{other:?}"),
        }
    };
    for (name, body) in [
        ("postback", json!({"mid": "p", "title": "Start", "payload": "P"})),
        ("message", json!({"mid": "m", "text": "hi", "is_self": true})),
        ("reaction", json!({"action": "react"})),
    ] {
        let told = other(itself(name, body));
        assert_eq!((&*told.name, told.by_customer), (name, false));
    }
    // Equal ids alone do not count, because they may be redacted.
    assert!(matches!(itself("message", json!({"mid": "m", "text": "hi"})), EventKind::Inbound(_)));
}

#[test]
fn echoes_say_who_wrote() {
    let echo = |body: Value| {
        let parties = json!({"sender": {"id": INSTAGRAM}, "recipient": {"id": IGSID}, "timestamp": AT, "message": body});
        match event_of(one(instagram(&json!([parties])))) {
            EventKind::Echo(echo) => echo,
            other => panic!("{other:?}"),
        }
    };
    let owner = echo(json!({"mid": "nat-1", "text": "this is the owner, I take this one", "is_echo": true}));
    assert!(owner.app_id.is_none() && !owner.ai_generated && owner.attachments.is_empty());
    let ai = echo(
        json!({"mid": "ai-1", "is_echo": true, "app_id": 263_902_037_430_900_u64, "ai_generated": true,
        "metadata": {"source": "axon"}, "attachments": [{"type": "image", "payload": {"url": "https://a/1"}}]}),
    );
    assert!(ai.ai_generated && ai.metadata.as_deref() == Some("{\"source\":\"axon\"}"));
    assert_eq!(ai.attachments[0].url.as_deref(), Some("https://a/1"));
}

#[test]
fn policy_enforcement_is_about_the_page() {
    for name in ["policy_enforcement", "policy-enforcement"] {
        let raw = json!({"recipient": {"id": PAGE.to_string()}, "timestamp": AT,
            name: {"action": "block", "reason": "spam"}});
        let expected = Item::PolicyEnforcement {
            page: PageId::from(PAGE),
            channel: Channel::Messaging,
            action: "block".to_owned(),
            at: Span::from_platform(AT),
            raw: raw.clone(),
        };
        assert_eq!(one(entry("messaging", &json!([raw]))), expected);
        let nameless = one(entry("messaging", &json!([event(name, json!({}))])));
        assert!(matches!(nameless, Item::PolicyEnforcement { action, .. } if action == "unknown"));
    }
}

/// Instagram's reference shows all events as `changes`, under the singular field names.
#[test]
fn new_kinds_come_as_changes_too() {
    let change = |field: &str, name: &str, body: Value| {
        let value =
            json!({"sender": {"id": IGSID}, "recipient": {"id": INSTAGRAM}, "timestamp": AT, name: body});
        let entry = json!({"id": INSTAGRAM, "time": AT, "changes": [{"field": field, "value": value}]});
        event_of(one(read(&json!({"object": "instagram", "entry": [entry]})).items))
    };
    let edited = change("message_edit", "message_edit", json!({"mid": "m", "text": "x", "num_edit": 2}));
    assert_eq!(edited, EventKind::Edited { mid: mid("m"), text: text("x"), number: 2 });
    let fetched = change("message_edit", "message_edit", json!({"mid": "m", "num_edit": 0}));
    assert!(inbound(fetched).must_be_fetched);
    assert_eq!(
        change("messages", "message", json!({"mid": "m", "is_deleted": true})),
        EventKind::Unsent(mid("m"))
    );
    let reaction = other(change("message_reactions", "reaction", json!({"mid": "m", "action": "react"})));
    assert_eq!(reaction.name, "reaction");
    assert!(
        reaction.raw.read::<Value>().is_some_and(|raw| raw.get("field").is_none()),
        "the event, not the change"
    );
    let referral = other(change("messaging_referral", "referral", json!({"ref": "x", "source": "IGME"})));
    assert_eq!(referral.referral.and_then(|referral| referral.referral), text("x"));
    let seen = change("messaging_seen", "read", json!({"mid": "m"}));
    assert_eq!(seen, EventKind::Read { watermark: None, mid: Some(mid("m")) });
}
