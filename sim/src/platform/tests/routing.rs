//! Tests of Conversation Routing with a default application (docs/protocol.md#routing).

use super::Want::Yes;
use super::*;

const NO_REQUEST: Want = Want::No(REQUEST_REFUSED, None, "(#36100)");

#[test]
fn with_a_default_application() {
    let (idle, bot, desk, third) = (None, Some(BOT), Some(DESK), Some(THIRD));
    // Only the third app may take.
    let rows: &[Row] = &[
        (idle, BOT, take(), DENIED, idle, &[]),
        (desk, BOT, take(), DENIED, desk, &[]),
        (idle, THIRD, take(), Yes, third, &[]),
        (desk, THIRD, take(), Yes, third, &["2 messaging take_thread_control"]),
        (third, THIRD, take(), ALREADY, third, &[]),
        (bot, BOT, pass(desk), Yes, desk, &["2 messaging pass_thread_control"]),
        (desk, DESK, pass(None), Yes, bot, &["1 messaging pass_thread_control"]),
        (bot, BOT, pass(None), ALREADY, bot, &[]),
        (desk, DESK, pass(desk), ALREADY, desk, &[]),
        (desk, BOT, pass(bot), NOT_OWNER, desk, &[]),
        (idle, DESK, pass(desk), Yes, desk, &["2 messaging pass_thread_control"]),
        (idle, THIRD, pass(None), Yes, bot, &["1 messaging pass_thread_control"]),
        (idle, DESK, request(), NO_REQUEST, idle, &[]),
        (bot, DESK, request(), NO_REQUEST, bot, &[]),
        (desk, DESK, release(), Yes, idle, &[]),
        (desk, BOT, release(), NO_RELEASE, desk, &[]),
        (idle, BOT, send("hi"), Yes, idle, &["1 messaging echo", "2 standby echo", "3 standby echo"]),
        (idle, DESK, send("hi"), BLOCKED, idle, &[]),
        (desk, DESK, send("hi"), Yes, desk, &["1 standby echo", "2 messaging echo", "3 standby echo"]),
        (desk, BOT, send("hi"), BLOCKED, desk, &[]),
    ];
    check(&Rules::default_app(BOT), rows);
}

#[test]
fn a_request_may_also_be_swallowed() {
    let mut world = world(Rules::default_app(BOT)).owned_by(Some(BOT));
    world.platform.switches.request_under_default_app = RequestUnderDefaultApp::SilentSuccess;
    assert_eq!(world.call(DESK, &request()), Ok(ApiAnswer::Success));
    assert_eq!((world.owner(), world.told()), (Some(AppId::from(BOT)), vec![]));
}

#[test]
fn an_idle_thread_goes_to_the_default_application() {
    let mut world = world(Rules::default_app(BOT)).owned_by(None);
    world.writes();
    assert_eq!(world.owner(), Some(AppId::from(BOT)));
    assert_eq!(world.told(), ["1 messaging message", "2 standby message", "3 standby message"]);
}

#[test]
fn owner_and_default_application_see_the_owner_and_others_that_there_is_one() {
    let mut world = world(Rules::default_app(BOT)).owned_by(Some(DESK));
    let expiration = 1_700_000_001 + 24 * 3600;
    let whole = json!({"data": [{"thread_owner": {"app_id": 2, "expiration": expiration}}]});
    assert_eq!(data(&mut world, BOT), whole);
    assert_eq!(data(&mut world, DESK), whole);
    assert_eq!(data(&mut world, THIRD), json!({"data": [{"thread_owner": {"expiration": expiration}}]}));
    world.call(DESK, &release()).unwrap();
    assert_eq!(data(&mut world, BOT), json!({"data": []}));
}

#[test]
fn the_inbox_just_takes() {
    let mut world = world(Rules::default_app(BOT)).owned_by(Some(BOT));
    world.platform.inbox_replies(&page(), &user(), "A person here", world.now).unwrap();
    assert_eq!(world.owner(), Some(AppId::from(INBOX)));
    let told = world.told();
    assert_eq!(
        told,
        ["1 messaging take_thread_control", "1 standby echo", "2 standby echo", "3 standby echo"]
    );

    let mut world = super::world(Rules::default_app(BOT)).owned_by(Some(DESK));
    world.platform.inbox_move(&page(), &user(), world.now).unwrap();
    assert_eq!(world.told(), ["2 messaging take_thread_control"]);
    assert_eq!(world.owner(), Some(AppId::from(INBOX)));
}

#[test]
fn the_switch_can_be_turned_while_it_runs() {
    let mut world = world(Rules::default_app(BOT)).owned_by(Some(BOT));
    world.call(DESK, &take()).unwrap_err();
    world.platform.set_may_take(&AppId::from(DESK), true);
    world.call(DESK, &take()).unwrap();
    assert_eq!(world.owner(), Some(AppId::from(DESK)));
}

#[test]
fn control_can_leave_with_a_message() {
    let say = |thread_control| ApiCall::Send {
        user: user(),
        message: json!({"text": "Here is a colleague"}),
        messaging_type: None,
        tag: None,
        thread_control: Some(thread_control),
    };
    let mut world = world(Rules::default_app(BOT)).owned_by(Some(BOT));
    world.call(BOT, &say(InlineControl::Pass(Some(AppId::from(DESK))))).unwrap();
    assert_eq!(world.owner(), Some(AppId::from(DESK)));
    assert_eq!(world.told().last().unwrap(), "2 messaging pass_thread_control");
    world.call(DESK, &say(InlineControl::Release)).unwrap();
    assert_eq!(world.owner(), None);
    let mut world = super::world(Rules::zero_config()).owned_by(Some(BOT));
    assert_eq!(world.call(BOT, &say(InlineControl::Release)).unwrap_err().code, 100);
    assert_eq!(world.owner(), Some(AppId::from(BOT)));
}

/// An entry point routes a conversation to another app than the default one, an ad for longer than a day. Without a default
/// application only ads are routed (docs/protocol.md#routing, docs/protocol.md#ads).
#[test]
fn entry_points_are_routed() {
    use EntryPoint::{Campaign, Link, Social};
    let enter = |rules: Rules, entry| {
        let page = Page::new(7, rules).app(BOT, "a").app(DESK, "b").app(THIRD, "c");
        let page = page.route(Campaign, THIRD, 7).route(Link, DESK, 99);
        let mut platform =
            Platform::new().with_app(app(BOT)).with_app(app(DESK)).with_app(app(THIRD)).with_page(page);
        let now = Timestamp::from_millis(1_700_000_000_000);
        platform.customer_enters(&super::page(), &user(), "hi", entry, now);
        (platform, now)
    };
    let owners = |rules: Rules| {
        [Social, Link, Campaign].map(|entry| {
            let (platform, now) = enter(rules.clone(), entry);
            let owned = |days: &u32| {
                let then = now.plus(DAY * *days).minus(Duration::from_secs(1));
                platform.owner(&super::page(), &user(), then).is_some()
            };
            [1, 2, 7, 8].iter().filter(|days| owned(days)).count()
        })
    };
    // Days one, two, seven and eight: the ad lasts seven, and an invalid number counts as one.
    assert_eq!(owners(Rules::default_app(BOT)), [1, 1, 3]);
    assert_eq!(owners(Rules::zero_config()), [0, 0, 3]);
    assert_eq!(owners(Rules::primary(BOT)), [1, 1, 1], "the handover protocol knows no routes");
    for (entry, expected) in [(Social, BOT), (Link, DESK), (Campaign, THIRD)] {
        let (platform, now) = enter(Rules::default_app(BOT), entry);
        assert_eq!(platform.owner(&super::page(), &user(), now), Some(AppId::from(expected)));
    }
    // Any control action resets the ad's control to a day.
    let (mut platform, now) = enter(Rules::default_app(BOT), Campaign);
    platform.call(&AppId::from(THIRD), &super::page(), &pass(Some(DESK)), now).unwrap();
    assert_eq!(platform.owner(&super::page(), &user(), now.plus(DAY)), None);
}
