//! Tests of the platform's rules: one Page, a bot (1), a desk (2) and a third app (3), under each set of rules.

mod handover;
mod meta;
mod odd;
mod people;
mod routing;
mod webhooks;
mod zero_config;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

pub(super) const BOT: u64 = 1;
pub(super) const DESK: u64 = 2;
pub(super) const THIRD: u64 = 3;
pub(super) const INBOX: u64 = PAGE_INBOX;

/// The world of one test. Its clock advances 1 s with every act.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) platform: Platform,
    pub(super) now: Timestamp,
}

pub(super) fn page() -> PageId {
    PageId::from(7)
}

pub(super) fn user() -> UserId {
    UserId::from(9)
}

fn app(id: u64) -> App {
    App::new(id, format!("App {id}"), "secret", "verify")
}

pub(super) fn world(rules: Rules) -> World {
    let page = Page::new(7, rules).app(BOT, "t1").app(DESK, "t2").app(THIRD, "t3").person(9);
    let platform = Platform::new().with_app(app(BOT)).with_app(app(DESK)).with_app(app(THIRD).may_take(true));
    World { platform: platform.with_page(page), now: Timestamp::from_millis(1_700_000_000_000) }
}

impl World {
    /// Lets the customer write and `owner` own the thread, whatever the rules.
    pub(super) fn owned_by(mut self, owner: Option<u64>) -> Self {
        self.tick();
        self.platform.customer_writes(&page(), &user(), "Hello?", self.now);
        let key = ThreadKey::new(page(), user());
        self.platform.thread_mut(&key).lease = None;
        if let Some(owner) = owner {
            self.platform.give(&key, &AppId::from(owner), self.now);
        }
        let _ = self.platform.take_outgoing();
        self
    }

    pub(super) fn tick(&mut self) {
        self.wait(Duration::from_secs(1));
    }

    pub(super) fn wait(&mut self, duration: Duration) {
        self.now = self.now.plus(duration);
    }

    pub(super) fn call(&mut self, app: u64, call: &ApiCall) -> Result<ApiAnswer, GraphError> {
        self.tick();
        self.platform.call(&AppId::from(app), &page(), call, self.now)
    }

    pub(super) fn writes(&mut self) {
        self.tick();
        self.platform.customer_writes(&page(), &user(), "Hello?", self.now);
    }

    pub(super) fn owner(&self) -> Option<AppId> {
        self.platform.owner(&page(), &user(), self.now)
    }

    /// The webhooks since the last call, each as "app channel label".
    pub(super) fn told(&mut self) -> Vec<String> {
        let told = self.platform.take_outgoing();
        told.iter().map(|d| format!("{} {} {}", d.app, d.channel.name(), d.label)).collect()
    }
}

pub(super) fn pass(target: Option<u64>) -> ApiCall {
    ApiCall::Pass { user: user(), target: target.map(AppId::from), metadata: None }
}

pub(super) fn take() -> ApiCall {
    ApiCall::Take { user: user(), metadata: None }
}

pub(super) fn request() -> ApiCall {
    ApiCall::Request { user: user(), metadata: None }
}

pub(super) fn release() -> ApiCall {
    ApiCall::Release { user: user() }
}

pub(super) fn extend(seconds: u64) -> ApiCall {
    ApiCall::Extend { user: user(), duration: Duration::from_secs(seconds) }
}

pub(super) fn thread_owner() -> ApiCall {
    ApiCall::ThreadOwner { user: user() }
}

pub(super) fn send(text: &str) -> ApiCall {
    send_tagged(text, None)
}

pub(super) fn send_tagged(text: &str, tag: Option<&str>) -> ApiCall {
    ApiCall::Send {
        user: user(),
        message: json!({"text": text, "metadata": "k1"}),
        messaging_type: Some(if tag.is_some() { "MESSAGE_TAG" } else { "RESPONSE" }.to_owned()),
        tag: tag.map(str::to_owned),
        thread_control: None,
    }
}

/// The expected outcome of a row's call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Want {
    /// Success.
    Yes,
    /// A refusal with this code, subcode and start of the message.
    No(i64, Option<i64>, &'static str),
}

pub(super) const NOT_OWNER: Want = Want::No(100, None, "(#100) calling app is not the thread owner");
pub(super) const ALREADY: Want = Want::No(100, None, "(#100) calling app is already the thread owner");
pub(super) const DENIED: Want = Want::No(10, None, "(#10) Permission denied");
pub(super) const BLOCKED: Want = Want::No(
    10,
    Some(2_018_300),
    "(#10) Message failed to send because another app is controlling this thread now.",
);
pub(super) const NO_TARGET: Want = Want::No(100, None, "(#100) The parameter target_app_id is required");
pub(super) const NO_RELEASE: Want = Want::No(100, None, "(#100) Only the current thread owner can release");
pub(super) const NO_TAKE: Want = Want::No(
    27,
    None,
    "(#27) Take thread control is not supported when Conversation Routing is not enabled.",
);

/// One row: the owner before, the caller, the call, its outcome, the owner after, and the webhooks.
pub(super) type Row = (Option<u64>, u64, ApiCall, Want, Option<u64>, &'static [&'static str]);

pub(super) fn check(rules: &Rules, rows: &[Row]) {
    for (owner, caller, call, want, after, told) in rows {
        let mut world = world(rules.clone()).owned_by(*owner);
        let answer = world.call(*caller, call);
        let row = format!("{rules:?}: owned by {owner:?}, {caller} calls {call:?}");
        match (want, answer) {
            (Want::Yes, Ok(_)) => {}
            (Want::No(code, subcode, message), Err(refusal)) => {
                assert_eq!((refusal.code, refusal.subcode, refusal.status), (*code, *subcode, 400), "{row}");
                assert!(refusal.message.starts_with(message), "{row}: {}", refusal.message);
            }
            (want, answer) => panic!("{row}: wanted {want:?}, got {answer:?}"),
        }
        assert_eq!(world.owner(), after.map(AppId::from), "{row}");
        assert_eq!(world.told(), *told, "{row}");
    }
}

fn data(world: &mut World, app: u64) -> Value {
    world.call(app, &thread_owner()).unwrap().body()
}

#[test]
fn a_refused_send_has_the_body_of_the_platform() {
    let mut world = world(Rules::primary(BOT)).owned_by(Some(BOT));
    let refusal = world.call(DESK, &send("hi")).unwrap_err();
    assert_eq!(
        refusal.body(),
        json!({"error": {
            "message": "(#10) Message failed to send because another app is controlling this thread now.",
            "type": "OAuthException", "code": 10, "error_subcode": 2_018_300,
            "fbtrace_id": "Asim0000000000000000001",
        }})
    );
    assert!(world.platform.conversation(&page(), &user()).iter().all(|said| said.from == Speaker::Customer));
}

#[test]
fn a_stranger_is_no_recipient_and_an_app_of_another_page_has_no_role() {
    for rules in [Rules::primary(BOT), Rules::default_app(BOT), Rules::zero_config()] {
        let mut world = world(rules).owned_by(Some(BOT));
        let call = ApiCall::Take { user: UserId::from(404), metadata: None };
        let refusal = world.call(BOT, &call).unwrap_err();
        assert_eq!((refusal.code, refusal.subcode), (100, Some(2_018_001)));
        assert_eq!(world.call(BOT, &pass(Some(404))).unwrap_err().subcode, Some(2_018_164));
        assert_eq!(world.call(404, &take()).unwrap_err().subcode, Some(2_018_171));
    }
}

#[test]
fn control_lapses_after_a_day_and_an_extension_holds_for_a_week() {
    for rules in [Rules::primary(BOT), Rules::default_app(BOT), Rules::zero_config()] {
        let mut world = world(rules).owned_by(Some(DESK));
        world.wait(DAY.saturating_sub(Duration::from_secs(1)));
        assert_eq!(world.owner(), Some(AppId::from(DESK)));
        let mut later = world.clone();
        later.wait(Duration::from_secs(1));
        assert_eq!(later.owner(), None);
        assert_eq!(data(&mut later, DESK), json!({"data": []}));
        assert_eq!(later.told(), Vec::<String>::new(), "expiry tells nobody");

        let mut world = later.owned_by(Some(DESK));
        assert_eq!(world.call(DESK, &extend(604_801)).unwrap_err().code, 100);
        assert_eq!(world.call(BOT, &extend(60)).unwrap_err().code, 100);
        world.call(DESK, &extend(604_800)).unwrap();
        world.wait(WEEK.saturating_sub(Duration::from_secs(1)));
        assert_eq!(world.owner(), Some(AppId::from(DESK)));
        world.wait(Duration::from_secs(1));
        assert_eq!(world.owner(), None);
    }
}

#[test]
fn only_under_handover_the_owner_keeps_control_by_answering() {
    for (rules, kept) in [(Rules::primary(BOT), true), (Rules::default_app(BOT), false)] {
        let mut world = world(rules).owned_by(Some(BOT));
        world.wait(Duration::from_hours(20));
        world.call(BOT, &send("Still there?")).unwrap();
        world.wait(Duration::from_hours(20));
        assert_eq!(world.owner().is_some(), kept);
    }
}

#[test]
fn the_window_is_a_gate_of_its_own() {
    for rules in [Rules::primary(BOT), Rules::default_app(BOT), Rules::zero_config()] {
        let mut world = world(rules).owned_by(Some(BOT));
        world.call(BOT, &extend(604_800)).unwrap();
        world.wait(DAY);
        let refusal = world.call(BOT, &send("late")).unwrap_err();
        assert_eq!((refusal.code, refusal.subcode), (10, Some(2_018_278)));
        world.call(BOT, &send_tagged("by a person", Some("HUMAN_AGENT"))).unwrap();
        assert_eq!(world.call(BOT, &send_tagged("x", Some("ACCOUNT_UPDATE"))).unwrap_err().code, 100);
        world.platform.set_human_agent(&AppId::from(BOT), false);
        let refusal = world.call(BOT, &send_tagged("by a person", Some("HUMAN_AGENT"))).unwrap_err();
        assert_eq!(refusal.message, "(#100) Cannot tag messages with 'HUMAN_AGENT' without prior approval.");
        // A new message opens the window again; the app also needs control.
        world.wait(WEEK);
        world = world.owned_by(Some(BOT));
        world.call(BOT, &send("again")).unwrap();
    }
}

#[test]
fn messages_that_say_nothing_are_refused() {
    let mut world = world(Rules::zero_config()).owned_by(None);
    let long = "x".repeat(2001);
    for message in [json!("hi"), json!({}), json!({"text": ""}), json!({"text": long}), json!({"text": 5})] {
        let call =
            ApiCall::Send { user: user(), message, messaging_type: None, tag: None, thread_control: None };
        assert_eq!(world.call(BOT, &call).unwrap_err().code, 100);
    }
}

#[test]
fn the_same_acts_give_the_same_world() {
    let run = || {
        let mut world = world(Rules::no_primary()).owned_by(None);
        let _ = world.call(BOT, &request());
        let _ = world.call(DESK, &send("no"));
        world.writes();
        format!("{:?}", world.platform)
    };
    assert_eq!(run(), run());
}
