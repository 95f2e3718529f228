//! Tests of Conversation Routing without a default application (docs/protocol.md#zero-config).

use super::Want::Yes;
use super::*;

#[test]
fn without_a_default_application() {
    let (idle, bot, desk, third) = (None, Some(BOT), Some(DESK), Some(THIRD));
    let everybody: &[&str] = &["1 messaging echo", "2 messaging echo", "3 messaging echo"];
    let rows: &[Row] = &[
        (idle, BOT, take(), NO_TAKE, idle, &[]),
        (desk, THIRD, take(), NO_TAKE, desk, &[]),
        (bot, BOT, pass(desk), Yes, desk, &["2 messaging pass_thread_control"]),
        (bot, BOT, pass(None), NO_TARGET, bot, &[]),
        (bot, BOT, pass(bot), ALREADY, bot, &[]),
        (desk, BOT, pass(bot), NOT_OWNER, desk, &[]),
        (idle, DESK, pass(desk), Yes, desk, &["2 messaging pass_thread_control"]),
        (idle, DESK, pass(third), Yes, third, &["3 messaging pass_thread_control"]),
        (idle, DESK, request(), Yes, desk, &["2 messaging pass_thread_control"]),
        (bot, DESK, request(), Yes, bot, &["1 messaging request_thread_control"]),
        (desk, DESK, request(), ALREADY, desk, &[]),
        (desk, DESK, release(), Yes, idle, &[]),
        (desk, BOT, release(), NO_RELEASE, desk, &[]),
        (idle, BOT, send("hi"), Yes, idle, everybody),
        (idle, DESK, send("hi"), Yes, idle, everybody),
        (bot, BOT, send("hi"), Yes, bot, &["1 messaging echo", "2 standby echo", "3 standby echo"]),
        (bot, DESK, send("hi"), BLOCKED, bot, &[]),
    ];
    check(&Rules::zero_config(), rows);
}

#[test]
fn as_documented_everybody_reads_and_sends() {
    let mut world = world(Rules::zero_config()).owned_by(Some(BOT));
    world.platform.switches.zero_config = ZeroConfig::Documented;
    world.writes();
    assert_eq!(world.told(), ["1 messaging message", "2 messaging message", "3 messaging message"]);
    world.call(DESK, &send("me too")).unwrap();
    assert_eq!(world.told(), ["1 messaging echo", "2 messaging echo", "3 messaging echo"]);
    assert_eq!(world.owner(), Some(AppId::from(BOT)));
}

#[test]
fn as_observed_the_others_read_on_standby() {
    let mut world = world(Rules::zero_config()).owned_by(None);
    world.writes();
    assert_eq!(world.told(), ["1 messaging message", "2 messaging message", "3 messaging message"]);
    world.call(BOT, &request()).unwrap();
    world.writes();
    let told = world.told();
    assert_eq!(
        told,
        ["1 messaging pass_thread_control", "1 messaging message", "2 standby message", "3 standby message"]
    );
}

#[test]
fn a_silent_owner_swallows_requests() {
    let ai = 622_851_382_610_562;
    let mut world = world(Rules::zero_config());
    let page_with_ai =
        Page::new(7, Rules::zero_config()).app(BOT, "t1").app(DESK, "t2").silent_app(ai).person(9);
    world.platform = world.platform.with_page(page_with_ai);
    let mut world = world.owned_by(Some(BOT));
    world.call(BOT, &pass(Some(ai))).unwrap();
    assert_eq!(world.call(DESK, &request()), Ok(ApiAnswer::Success));
    assert_eq!((world.owner(), world.told()), (Some(AppId::from(ai)), vec![]));
    assert_eq!(world.call(DESK, &send("x")).unwrap_err().subcode, Some(2_018_300));
    world.platform.inbox_move(&page(), &user(), world.now).unwrap();
    assert_eq!(world.owner(), Some(AppId::from(INBOX)));
}

#[test]
fn only_the_owner_sees_who_it_is() {
    let mut world = world(Rules::zero_config()).owned_by(Some(DESK));
    let expiration = 1_700_000_001 + 24 * 3600;
    let whole = json!({"data": [{"thread_owner": {"app_id": 2, "expiration": expiration}}]});
    assert_eq!(data(&mut world, DESK), whole);
    assert_eq!(data(&mut world, BOT), json!({"data": [{"thread_owner": {"expiration": expiration}}]}));
}
