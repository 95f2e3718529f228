//! Tests of the Handover Protocol (docs/protocol.md#handover-protocol).

use super::Want::Yes;
use super::*;

const ASK_BOT: &[&str] = &["1 messaging request_thread_control"];
const ASK_DESK: &[&str] = &["2 messaging request_thread_control"];
const TAKEN_FROM_BOT: &[&str] = &["1 messaging take_thread_control"];
const TAKEN_FROM_DESK: &[&str] = &["2 messaging take_thread_control"];
const BOT_GOT_IT: &[&str] = &["1 messaging pass_thread_control"];
const DESK_GOT_IT: &[&str] = &["2 messaging pass_thread_control"];
const THIRD_GOT_IT: &[&str] = &["3 messaging pass_thread_control"];
const SENT: [&[&str]; 2] = [
    &["1 messaging echo", "2 standby echo", "3 standby echo"],
    &["1 messaging echo", "2 messaging echo", "3 messaging echo"],
];

#[test]
fn with_a_primary() {
    let (idle, bot, desk) = (None, Some(BOT), Some(DESK));
    let rows: &[Row] = &[
        (idle, BOT, take(), Yes, bot, &[]),
        (idle, DESK, take(), Yes, desk, &[]),
        (bot, BOT, take(), Yes, bot, &[]),
        (bot, DESK, take(), DENIED, bot, &[]),
        (desk, BOT, take(), Yes, bot, TAKEN_FROM_DESK),
        (desk, THIRD, take(), DENIED, desk, &[]),
        (bot, BOT, pass(desk), Yes, desk, DESK_GOT_IT),
        (bot, BOT, pass(None), NO_TARGET, bot, &[]),
        (bot, BOT, pass(bot), ALREADY, bot, &[]),
        (desk, DESK, pass(None), Yes, bot, BOT_GOT_IT),
        (desk, DESK, pass(Some(THIRD)), Yes, Some(THIRD), THIRD_GOT_IT),
        (bot, DESK, pass(desk), NOT_OWNER, bot, &[]),
        (desk, BOT, pass(bot), NOT_OWNER, desk, &[]),
        (idle, DESK, pass(desk), Yes, desk, DESK_GOT_IT),
        (idle, DESK, pass(None), Yes, bot, BOT_GOT_IT),
        (idle, BOT, pass(None), NO_TARGET, idle, &[]),
        (bot, DESK, request(), Yes, bot, ASK_BOT),
        (desk, THIRD, request(), Yes, desk, ASK_BOT),
        (idle, DESK, request(), Yes, idle, ASK_BOT),
        (desk, BOT, request(), Yes, desk, ASK_DESK),
        (idle, BOT, request(), Yes, idle, &[]),
        (bot, BOT, request(), ALREADY, bot, &[]),
        (desk, DESK, request(), ALREADY, desk, &[]),
        (desk, DESK, release(), Yes, idle, &[]),
        (bot, DESK, release(), NO_RELEASE, bot, &[]),
        (desk, BOT, release(), NO_RELEASE, desk, &[]),
        (idle, DESK, release(), NO_RELEASE, idle, &[]),
        (bot, BOT, send("hi"), Yes, bot, SENT[0]),
        (bot, DESK, send("hi"), BLOCKED, bot, &[]),
        (desk, BOT, send("hi"), BLOCKED, desk, &[]),
        (idle, BOT, send("hi"), Yes, idle, SENT[1]),
        (idle, DESK, send("hi"), Yes, idle, SENT[1]),
    ];
    check(&Rules::primary(BOT), rows);
}

#[test]
fn without_a_primary() {
    let (idle, bot, desk) = (None, Some(BOT), Some(DESK));
    let rows: &[Row] = &[
        (idle, DESK, take(), Yes, desk, &[]),
        (bot, DESK, take(), DENIED, bot, &[]),
        (desk, DESK, pass(None), NO_TARGET, desk, &[]),
        (idle, BOT, pass(bot), Yes, bot, BOT_GOT_IT),
        (idle, DESK, request(), Yes, desk, DESK_GOT_IT),
        (bot, DESK, request(), Yes, bot, ASK_BOT),
        (desk, DESK, request(), ALREADY, desk, &[]),
        (bot, DESK, send("hi"), BLOCKED, bot, &[]),
        (idle, DESK, send("hi"), Yes, idle, SENT[1]),
    ];
    check(&Rules::no_primary(), rows);
}

#[test]
fn an_idle_thread_goes_to_the_primary_or_to_all() {
    let mut world = world(Rules::primary(DESK));
    world.writes();
    assert_eq!(world.owner(), Some(AppId::from(DESK)));
    assert_eq!(world.told(), ["1 standby message", "2 messaging message", "3 standby message"]);

    let mut world = super::world(Rules::no_primary());
    world.writes();
    assert_eq!(world.owner(), None);
    assert_eq!(world.told(), ["1 messaging message", "2 messaging message", "3 messaging message"]);
}

#[test]
fn every_app_sees_the_owner() {
    let mut world = world(Rules::primary(BOT)).owned_by(Some(BOT));
    for app in [BOT, DESK, THIRD] {
        let expiration = 1_700_000_001 + 24 * 3600;
        let shown = json!({"data": [{"thread_owner": {"app_id": 1, "expiration": expiration}}]});
        assert_eq!(data(&mut world, app), shown);
    }
    world.call(BOT, &release()).unwrap();
    assert_eq!(data(&mut world, BOT), json!({"data": []}));
}

#[test]
fn secondary_receivers_are_for_the_primary() {
    let mut world = world(Rules::primary(BOT));
    let names = json!({"data": [
        {"id": "2", "name": "App 2"}, {"id": "3", "name": "App 3"},
        {"id": "263902037430900", "name": "Page Inbox"},
    ]});
    assert_eq!(world.call(BOT, &ApiCall::SecondaryReceivers).unwrap().body(), names);
    let refusal = world.call(DESK, &ApiCall::SecondaryReceivers).unwrap_err();
    assert_eq!(refusal.subcode, Some(2_018_234));
}

#[test]
fn moving_to_the_inbox_asks_the_primary_which_has_to_pass() {
    let mut world = world(Rules::primary(BOT)).owned_by(Some(BOT));
    world.platform.inbox_move(&page(), &user(), world.now).unwrap();
    let asked = world.platform.take_outgoing();
    assert_eq!(asked[0].item["request_thread_control"], json!({"requested_owner_app_id": INBOX}));
    assert_eq!(asked[0].app, AppId::from(BOT));
    assert!(world.platform.inbox_replies(&page(), &user(), "hi", world.now).is_err());
    world.call(BOT, &pass(Some(INBOX))).unwrap();
    assert_eq!(world.told(), Vec::<String>::new(), "the inbox has no webhooks");
    world.platform.inbox_replies(&page(), &user(), "hi", world.now).unwrap();
    let echo = world.platform.take_outgoing();
    assert_eq!(echo[0].item["message"]["app_id"], json!(INBOX));
    assert_eq!(echo[0].channel, Channel::Standby);
    // The primary is notified, but the inbox never reacts to a request.
    world.call(DESK, &request()).unwrap();
    assert_eq!(world.told(), ASK_BOT);
    assert_eq!(world.owner(), Some(AppId::from(INBOX)));
    world.call(BOT, &take()).unwrap();
    assert_eq!(world.told(), Vec::<String>::new());
}

#[test]
fn a_new_primary_is_told_and_so_is_the_old_one() {
    let mut world = world(Rules::primary(BOT)).owned_by(Some(BOT));
    world.platform.set_rules(&page(), Rules::primary(DESK), world.now);
    let told = world.platform.take_outgoing();
    assert_eq!(told.len(), 2);
    let stamp = world.now.as_millis();
    let roles = |app: &str, role: &str| json!({"recipient": {"id": "7"}, "timestamp": stamp, "app_roles": {app: [role]}});
    assert_eq!((&told[0].app, &told[0].item), (&AppId::from(BOT), &roles("1", "secondary_receiver")));
    assert_eq!((&told[1].app, &told[1].item), (&AppId::from(DESK), &roles("2", "primary_receiver")));
    assert_eq!(world.owner(), Some(AppId::from(BOT)));
    world.call(DESK, &take()).unwrap();
    assert_eq!(world.told(), TAKEN_FROM_BOT);
}
