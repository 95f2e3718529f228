//! Tests of what a customer sends and does, on Messenger and on Instagram (docs/protocol.md#unsent-and-edited,
//! docs/protocol.md#reply-to-and-referrals, docs/protocol.md#message-flags).

use super::*;

const ALL: [&str; 9] = [
    "messages",
    "messaging_postbacks",
    "messaging_handovers",
    "messaging_referrals",
    "messaging_optins",
    "messaging_policy_enforcement",
    "message_edits",
    "message_echoes",
    "standby",
];

/// The bot has every field; the Page has an Instagram account 20 with the person 78.
fn with_instagram(rules: Rules) -> World {
    let mut world = world(rules);
    let account = world.platform.pages[&page()].as_instagram(20).person(78);
    world.platform = world.platform.with_page(account);
    world.platform.set_fields(&AppId::from(BOT), ALL.map(str::to_owned).into());
    world
}

fn account() -> PageId {
    PageId::from(20)
}

fn igsid() -> UserId {
    UserId::from(78)
}

/// The bodies under `key` of the bot's webhooks since the last call.
fn bodies(world: &mut World, key: &str) -> Vec<Value> {
    let told = world.platform.take_outgoing();
    told.iter().filter(|told| told.app == AppId::from(BOT)).map(|told| told.item[key].clone()).collect()
}

fn sent(world: &mut World, page: &PageId, user: &UserId, message: Value) -> Result<Value, InvalidAct> {
    world.tick();
    let message: CustomerMessage = serde_json::from_value(message).unwrap();
    let mid = world.platform.customer_sends(page, user, &message, world.now)?;
    let mut bodies = bodies(world, "message");
    assert_eq!(bodies.len(), 1);
    assert_eq!(bodies[0]["mid"], json!(mid));
    bodies[0].as_object_mut().unwrap().remove("mid");
    Ok(bodies.remove(0))
}

#[test]
fn messages_of_each_kind_have_the_body_of_the_channel() {
    let mut world = with_instagram(Rules::default_app(BOT)).owned_by(Some(BOT));
    world.platform.customer_writes(&account(), &igsid(), "hola", world.now);
    let own = world.platform.conversation(&page(), &user())[0].mid.clone();
    let of_account = world.platform.conversation(&account(), &igsid())[0].mid.clone();
    let _ = world.told();
    let url = "https://example.com/1";
    let sticker = json!({"url": "https://example.com/sticker/767226160478561.png", "sticker_id": 767_226_160_478_561_u64});
    let (story, unsupported) = (json!({"id": "17", "url": url}), json!({"is_unsupported": true}));
    for (message, on_messenger, on_instagram) in [
        (json!({"text": "hi"}), Some(json!({"text": "hi"})), Some(json!({"text": "hi"}))),
        (
            json!({"text": "two", "attachments": [{"type": "image", "url": url}, {"type": "location", "payload": {"coordinates": {"lat": 1, "long": 2}}}]}),
            Some(json!({"text": "two", "attachments": [{"type": "image", "payload": {"url": url}},
                {"type": "location", "payload": {"coordinates": {"lat": 1, "long": 2}}}]})),
            None,
        ),
        (
            json!({"sticker_id": 767_226_160_478_561_u64}),
            Some(json!({"attachments": [{"type": "sticker", "payload": sticker}]})),
            Some(unsupported.clone()),
        ),
        (
            json!({"shared_post": {"url": url, "title": "Spring"}}),
            Some(json!({"attachments": [{"type": "post", "payload": {"url": url, "title": "Spring"}}]})),
            Some(json!({"attachments": [{"type": "share", "payload": {"url": url}}]})),
        ),
        (
            json!({"text": "Red", "quick_reply": "RED"}),
            Some(json!({"text": "Red", "quick_reply": {"payload": "RED"}})),
            Some(json!({"text": "Red", "quick_reply": {"payload": "RED"}})),
        ),
        (
            json!({"text": "this", "reply_to": own}),
            Some(json!({"text": "this", "reply_to": {"mid": own, "is_self_reply": true}})),
            None,
        ),
        (
            json!({"text": "that", "reply_to": of_account}),
            None,
            Some(json!({"text": "that", "reply_to": {"mid": of_account, "is_self_reply": true}})),
        ),
        (
            json!({"text": "nice", "reply_to_story": story}),
            None,
            Some(json!({"text": "nice", "reply_to": {"story": {"url": url, "id": "17"}}})),
        ),
        (json!({"unsupported": true}), None, Some(unsupported)),
    ] {
        for (page, user, expected) in [(page(), user(), on_messenger), (account(), igsid(), on_instagram)] {
            if let Some(expected) = expected {
                assert_eq!(sent(&mut world, &page, &user, message.clone()), Ok(expected), "{message}");
            }
        }
    }
}

#[test]
fn messages_that_no_customer_can_send_are_told_and_change_nothing() {
    let mut world = with_instagram(Rules::default_app(BOT));
    let mid = MessageId::new("m_404").unwrap();
    let story = json!({"id": "17", "url": "u"});
    for (message, why) in [
        (json!({}), InvalidAct::Content),
        (json!({"quick_reply": "RED"}), InvalidAct::Content),
        (json!({"sticker_id": 1, "quick_reply": "RED"}), InvalidAct::QuickReplyWithoutText),
        (json!({"text": "x", "reply_to": mid}), InvalidAct::NoSuchMessage(mid)),
        (json!({"text": "x", "reply_to_story": story}), InvalidAct::InstagramOnly("reply_to_story")),
        (json!({"unsupported": true}), InvalidAct::InstagramOnly("unsupported")),
    ] {
        assert_eq!(sent(&mut world, &page(), &user(), message), Err(why));
    }
    let both = json!({"text": "x", "unsupported": true});
    assert_eq!(sent(&mut world, &account(), &igsid(), both), Err(InvalidAct::Content));
    let both = json!({"text": "x", "reply_to": "m_1", "reply_to_story": {"id": "1", "url": "u"}});
    assert_eq!(sent(&mut world, &account(), &igsid(), both), Err(InvalidAct::TwoReplies));
    assert_eq!((world.platform.threads().count(), world.told()), (0, Vec::new()));
}

#[test]
fn an_edit_changes_the_text_five_times_and_no_control() {
    let mut world = with_instagram(Rules::default_app(BOT)).owned_by(Some(BOT));
    for (page, user) in [(page(), user()), (account(), igsid())] {
        let mid = world.platform.customer_writes(&page, &user, "order 12", world.now);
        let lease = world.platform.lease(&page, &user, world.now);
        let _ = world.told();
        world.tick();
        for edit in 1..=5 {
            let text = format!("order 2{edit}");
            assert_eq!(world.platform.customer_edits(&page, &user, &mid, &text, world.now), Ok(edit));
            let expected = json!({"mid": mid, "text": text, "num_edit": edit});
            assert_eq!(bodies(&mut world, "message_edit"), [expected]);
            let said = world.platform.conversation(&page, &user).last().unwrap();
            assert_eq!((said.text(), said.edits), (Some(text.as_str()), edit));
        }
        let sixth = world.platform.customer_edits(&page, &user, &mid, "x", world.now);
        assert_eq!(sixth, Err(InvalidAct::TooManyEdits));
        assert_eq!(world.platform.lease(&page, &user, world.now), lease);
        world.platform.customer_unsends(&page, &user, &mid, world.now);
        assert_eq!(bodies(&mut world, "message"), [json!({"mid": mid, "is_deleted": true})]);
        let unsent = world.platform.customer_edits(&page, &user, &mid, "x", world.now);
        assert_eq!(unsent, Err(InvalidAct::NotEditable));
    }
    world.platform.switches.is_deleted = DeletedFlag::Text;
    let mid = world.platform.customer_writes(&page(), &user(), "x", world.now);
    let _ = world.told();
    world.platform.customer_unsends(&page(), &user(), &mid, world.now);
    assert_eq!(bodies(&mut world, "message")[0]["is_deleted"], "true");
    let ApiAnswer::Sent { mid, .. } = world.call(BOT, &send("hi")).unwrap() else { panic!("not sent") };
    let of_app = world.platform.customer_edits(&page(), &user(), &mid, "x", world.now);
    assert_eq!(of_app, Err(InvalidAct::NotEditable));
}

#[test]
fn instagram_can_send_an_edit_in_place_of_the_message() {
    let mut world = with_instagram(Rules::default_app(BOT));
    for parties in [true, false] {
        world.tick();
        let wrote =
            world.platform.customer_writes_as_edit(&account(), &igsid(), "hola", parties, world.now).unwrap();
        let told = world.platform.take_outgoing();
        let mut expected =
            json!({"timestamp": world.now.as_millis(), "message_edit": {"mid": wrote, "num_edit": 0}});
        if parties {
            (expected["sender"], expected["recipient"]) = (json!({"id": "78"}), json!({"id": "20"}));
        }
        assert_eq!((told.len(), &told[0].item, told[0].label), (1, &expected, "edit"));
        assert_eq!(world.platform.conversation(&account(), &igsid()).last().unwrap().text(), Some("hola"));
        assert_eq!(world.platform.owner(&account(), &igsid(), world.now), Some(AppId::from(BOT)));
    }
    let refused = world.platform.customer_writes_as_edit(&page(), &user(), "x", true, world.now);
    assert!(matches!(refused, Err(InvalidAct::InstagramOnly(_))));
}

#[test]
fn a_link_on_an_open_thread_opens_the_window_and_routes_it() {
    let page_with_route = |rules| {
        let mut world = with_instagram(rules);
        let routed = world.platform.pages[&page()].clone().route(EntryPoint::Link, DESK, 1);
        world.platform = world.platform.with_page(routed);
        world
    };
    let mut world = page_with_route(Rules::default_app(BOT));
    let link = Referral::link("spring-flyer");
    let new = world.platform.customer_follows(&page(), &user(), &link, world.now);
    assert_eq!(new, Err(InvalidAct::NoConversation));
    world.writes();
    world.wait(DAY);
    let _ = world.told();
    assert_eq!(world.owner(), None);
    world.platform.customer_follows(&page(), &user(), &link, world.now).unwrap();
    assert_eq!(world.owner(), Some(AppId::from(DESK)));
    let body = json!({"ref": "spring-flyer", "source": "SHORTLINK", "type": "OPEN_THREAD"});
    let told = world.platform.take_outgoing();
    assert_eq!((told.len(), &told[0].item["referral"], told[0].channel), (1, &body, Channel::Standby));
    world.call(DESK, &send("Hello again")).unwrap();

    let start = world.platform.customer_starts(
        &page(),
        &UserId::from(99),
        "Get started",
        "START",
        Some(&link),
        world.now,
    );
    let told = world.platform.take_outgoing();
    let to_desk = told.iter().find(|told| told.app == AppId::from(DESK) && told.label == "postback").unwrap();
    let expected = json!({"mid": start, "title": "Get started", "payload": "START", "referral": body});
    assert_eq!((&to_desk.item["postback"], to_desk.channel), (&expected, Channel::Messaging));
}

#[test]
fn an_ad_opens_the_window_for_a_week_with_the_next_message() {
    let ad = Referral::ad("120");
    let body = json!({"ref": "", "source": "ADS", "type": "OPEN_THREAD", "ad_id": "120"});
    for by_event in [true, false] {
        let mut world = with_instagram(Rules::default_app(BOT));
        if by_event {
            world.writes();
            world.wait(DAY);
            let _ = world.told();
            world.platform.customer_follows(&page(), &user(), &ad, world.now).unwrap();
            assert_eq!(bodies(&mut world, "referral"), std::slice::from_ref(&body));
            assert_eq!(world.call(BOT, &send("x")).unwrap_err().subcode, Some(2_018_278));
            world.writes();
        } else {
            let message = json!({"text": "is it free?", "referral": {"ad_id": "120"}});
            let expected = json!({"text": "is it free?", "referral": body});
            assert_eq!(sent(&mut world, &page(), &user(), message), Ok(expected));
        }
        let closes = world.platform.window_closes(&page(), &user());
        assert_eq!(closes, Some(world.now.plus(WEEK)));
        world.call(BOT, &extend(604_800)).unwrap();
        world.wait(WEEK.saturating_sub(Duration::from_secs(9)));
        world.call(BOT, &send("still")).unwrap();
        world.wait(Duration::from_secs(9));
        let mut later = world.owned_by(None);
        later.wait(DAY);
        assert_eq!(later.call(BOT, &send("x")).unwrap_err().subcode, Some(2_018_278), "one message only");
    }
}

#[test]
fn opt_ins_reach_the_apps_with_the_field() {
    let mut world = with_instagram(Rules::default_app(BOT));
    let (page, user) = (page(), user());
    let plugin = OptIn::Plugin { reference: "newsletter".to_owned() };
    let marketing =
        OptIn::NotificationMessages { payload: "NEWS".to_owned(), title: "Weekly news".to_owned() };
    world.platform.customer_opts_in(&page, &user, &marketing, world.now).unwrap();
    assert_eq!(
        bodies(&mut world, "optin"),
        [json!({"type": "notification_messages", "payload": "NEWS", "title": "Weekly news",
            "notification_messages_token": "nmt_9", "user_token_status": "NOT_REFRESHED"})]
    );
    assert_eq!((world.owner(), world.platform.window_closes(&page, &user)), (None, None));
    world.platform.customer_opts_in(&page, &user, &plugin, world.now).unwrap();
    assert_eq!(bodies(&mut world, "optin"), [json!({"ref": "newsletter"})]);
    assert_eq!(world.owner(), Some(AppId::from(BOT)));
    let refused = world.platform.customer_opts_in(&account(), &igsid(), &plugin, world.now);
    assert!(matches!(refused, Err(InvalidAct::MessengerOnly(_))));
}

#[test]
fn fields_of_instagram_have_its_own_names() {
    let mut world = with_instagram(Rules::default_app(BOT));
    for (label, of_page, of_instagram) in [
        ("message", "messages", "messages"),
        ("postback", "messaging_postbacks", "messaging_postbacks"),
        ("echo", "message_echoes", "messages"),
        ("read", "message_reads", "messaging_seen"),
        ("reaction", "message_reactions", "message_reactions"),
        ("edit", "message_edits", "message_edit"),
        ("referral", "messaging_referrals", "messaging_referral"),
        ("pass_thread_control", "messaging_handovers", "messaging_handover"),
        ("optin", "messaging_optins", "messaging_optins"),
    ] {
        assert_eq!(world.platform.field_of(&page(), label), of_page);
        assert_eq!(world.platform.field_of(&account(), label), of_instagram);
        assert!(label == "optin" || INSTAGRAM_FIELDS.contains(&of_instagram), "{of_instagram}");
    }
    let mid = world.platform.customer_writes(&account(), &igsid(), "hola", world.now);
    let mut edit = |fields: Option<&[&str]>| {
        let fields = fields.map(|fields| fields.iter().map(|field| (*field).to_owned()).collect());
        world.platform.set_instagram_fields(&AppId::from(BOT), fields);
        let _ = world.platform.take_outgoing();
        world.platform.customer_edits(&account(), &igsid(), &mid, "x", world.now).unwrap();
        bodies(&mut world, "message_edit").len()
    };
    assert_eq!(edit(None), 1, "the Page's names count");
    assert_eq!(edit(Some(&["messages"])), 0);
    assert_eq!(edit(Some(&["message_edit"])), 1);
    let subscribe = |field: &str| ApiCall::Subscribe { fields: vec![field.to_owned()] };
    let mut call = |page: PageId, field| {
        world.platform.call(&AppId::from(BOT), &page, &subscribe(field), world.now).is_ok()
    };
    assert!(call(account(), "messaging_handover") && !call(account(), "nonsense"));
    assert!(!call(page(), "messaging_handover"), "a Page takes the plural only");
}
