//! Tests of the platform's odd answers (docs/protocol.md#refusals, docs/protocol.md#error-codes).

use super::*;

fn code(refusal: Result<ApiAnswer, GraphError>) -> (i64, Option<i64>, u16) {
    let refusal = refusal.unwrap_err();
    (refusal.code, refusal.subcode, refusal.status)
}

#[test]
fn a_person_who_cannot_be_reached_is_refused_in_the_platforms_words() {
    for (state, expected, words) in [
        (Availability::Blocked, (200, None, 403), "(#200) This person isn't receiving messages from you"),
        (Availability::NotReceiving, (10, None, 400), "(#10) This person isn't receiving messages from you"),
        (Availability::Unavailable, (551, None, 400), "(#551) This person isn't available"),
        (Availability::InvalidId, (100, None, 400), "(#100) Invalid fbid."),
        (
            Availability::Archived,
            (100, Some(2_534_001), 400),
            "(#100) The thread owner has archived or deleted this conversation",
        ),
    ] {
        let mut world = world(Rules::zero_config()).owned_by(Some(BOT));
        world.platform.set_availability(&page(), &user(), state);
        let typing = ApiCall::SenderAction { user: user(), action: "typing_on".to_owned() };
        for (app, call) in [(BOT, send("hi")), (BOT, typing), (DESK, take()), (DESK, request())] {
            let answer = world.call(app, &call);
            assert!(answer.as_ref().unwrap_err().message.starts_with(words), "{call:?}: {answer:?}");
            assert_eq!(code(answer), expected, "{call:?}");
        }
        assert!(world.told().is_empty());
        assert!(world.call(BOT, &thread_owner()).is_ok() && world.call(BOT, &extend(60)).is_ok());
        world.writes();
        let ends = state != Availability::InvalidId;
        assert_eq!(world.call(BOT, &send("hi")).is_ok(), ends, "{state:?} ends with a message");
    }
    let mut world = world(Rules::zero_config());
    let stranger = UserId::from(404);
    world.platform.set_availability(&page(), &stranger, Availability::InvalidId);
    let call = ApiCall::Take { user: stranger, metadata: None };
    assert_eq!(code(world.call(BOT, &call)), (100, None, 400));
}

#[test]
fn a_restricted_page_sends_nothing_and_keeps_its_control_calls() {
    for (restriction, expected) in [
        (Restriction::PolicyBlock, (368, None, 400)),
        (Restriction::Temporary, (10, Some(1_893_063), 400)),
        (Restriction::Messaging, (100, Some(2_534_029), 400)),
    ] {
        let mut world = world(Rules::default_app(BOT)).owned_by(Some(BOT));
        world.platform.set_restriction(&page(), Some(restriction));
        assert_eq!(code(world.call(BOT, &send("hi"))), expected);
        assert_eq!(code(world.call(DESK, &send("hi"))), expected, "before control");
        world.call(BOT, &pass(Some(DESK))).unwrap();
        world.platform.set_restriction(&page(), None);
        world.call(DESK, &send("hi")).unwrap();
    }
}

#[test]
fn policy_is_enforced_on_a_page_and_blocks_it() {
    let mut world = world(Rules::default_app(BOT)).owned_by(Some(BOT));
    let fields = ["messages", "messaging_policy_enforcement"].map(str::to_owned);
    world.platform.set_fields(&AppId::from(DESK), fields.into());
    let reason = Some("spam");
    let told = |action: &str| json!({"action": action, "reason": "spam"});
    world.platform.enforce_policy(&page(), PolicyAction::Warning, reason, world.now).unwrap();
    let warned = world.platform.take_outgoing();
    assert_eq!((warned.len(), &warned[0].app, &warned[0].user), (1, &AppId::from(DESK), &None));
    let stamp = world.now.as_millis();
    let item = json!({"recipient": {"id": "7"}, "timestamp": stamp, "policy_enforcement": told("warning")});
    assert_eq!(warned[0].item, item);
    world.call(BOT, &send("hi")).unwrap();
    let _ = world.told();
    world.platform.switches.policy_key = PolicyKey::Hyphen;
    world.platform.enforce_policy(&page(), PolicyAction::Block, reason, world.now).unwrap();
    assert_eq!(world.platform.take_outgoing()[0].item["policy-enforcement"], told("block"));
    assert_eq!(code(world.call(BOT, &send("hi"))).0, 368);
    world.platform.enforce_policy(&page(), PolicyAction::Unblock, reason, world.now).unwrap();
    assert_eq!(world.platform.take_outgoing()[0].item["policy-enforcement"], json!({"action": "unblock"}));
    world.call(BOT, &send("hi")).unwrap();
    let account = world.platform.pages[&page()].as_instagram(20);
    world.platform = world.platform.with_page(account);
    let refused = world.platform.enforce_policy(&PageId::from(20), PolicyAction::Block, None, world.now);
    assert!(matches!(refused, Err(InvalidAct::MessengerOnly(_))));
}

#[test]
fn a_take_by_the_owner_is_refused_as_the_switch_says() {
    for (choice, code, words) in [
        (TakeByOwner::Code100, 100, "(#100) calling app is already the thread owner"),
        (TakeByOwner::Code27, 27, "(#27) The app already is the owner"),
        (
            TakeByOwner::Code27NoRouting,
            27,
            "(#27) Take thread control is not supported when Conversation Routing is not enabled.",
        ),
    ] {
        let mut world = world(Rules::default_app(BOT)).owned_by(Some(THIRD));
        world.platform.switches.take_by_owner = choice;
        let refusal = world.call(THIRD, &take()).unwrap_err();
        assert!(refusal.code == code && refusal.message.starts_with(words), "{refusal}");
        assert_eq!(world.owner(), Some(AppId::from(THIRD)));
    }
}

#[test]
fn a_page_can_hide_its_owners_and_instagram_its_metadata() {
    let mut world = world(Rules::default_app(BOT)).owned_by(Some(BOT));
    world.platform.set_hides_thread_owner(&page(), true);
    assert_eq!(code(world.call(BOT, &thread_owner())), (100, None, 400));
    world.platform.set_hides_thread_owner(&page(), false);
    assert!(world.call(BOT, &thread_owner()).is_ok());

    let account = world.platform.pages[&page()].as_instagram(20).person(9);
    world.platform = world.platform.with_page(account);
    world.platform.switches.echo_metadata = EchoMetadata::MissingOnInstagram;
    let of_page = world.call(BOT, &send("hi")).map(|_| world.platform.take_outgoing()).unwrap();
    assert_eq!(of_page[0].item["message"]["metadata"], "k1");
    world.platform.customer_writes(&PageId::from(20), &user(), "hola", world.now);
    let _ = world.told();
    world.platform.call(&AppId::from(BOT), &PageId::from(20), &send("hi"), world.now).unwrap();
    let echo = &world.platform.take_outgoing()[0].item["message"];
    assert_eq!((&echo["text"], echo.get("metadata")), (&json!("hi"), None));
}

#[test]
fn the_ai_of_a_page_has_the_id_that_is_set_and_can_be_passed_to() {
    let other = 622_851_382_610_562;
    let mut world = world(Rules::zero_config()).owned_by(Some(BOT));
    assert_eq!(world.call(BOT, &pass(Some(other))).unwrap_err().subcode, Some(2_018_164));
    world.platform.set_ai_app(&page(), AppId::from(other));
    world.platform.ai_takes(&page(), &user(), world.now).unwrap();
    let told = world.platform.take_outgoing();
    assert_eq!(told[0].item["take_thread_control"]["new_owner_app_id"], other.to_string());
    assert_eq!(world.owner(), Some(AppId::from(other)));
    world.platform.inbox_replies(&page(), &user(), "I take over.", world.now).unwrap();
    world.call(INBOX, &pass(Some(other))).unwrap();
    world.platform.ai_answers(&page(), &user(), "I am back.", world.now).unwrap();
    world.platform.ai_leaves(&page(), &user(), "Bye.", world.now).unwrap();
    assert_eq!(world.owner(), None);
}
