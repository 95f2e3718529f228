mod belief;
mod farewells;
mod faults;
mod found;
mod handoffs;
mod interventions;
mod outcomes;
mod queues;
mod refusals;
mod rest;
mod walks;

use std::time::Duration;

use super::*;
use crate::call::{MessagingType, OutgoingMessage, ThreadOwner};
use crate::event::{Channel, ControlChange, ControlRequest, Echo, Event, EventKind, Inbound};
use crate::id::{MessageId, PAGE_INBOX};
use crate::time::Span;

const DESK: u64 = 1;
const BOT: u64 = 2;
const STRANGER: u64 = 3;
const BASE: u64 = 1_700_000_000_000;

/// One thread with its configuration and a clock of its own.
struct World {
    config: Config,
    page: PageMemory,
    thread: Thread,
    now: Timestamp,
    /// What was put out by the last step, notices acknowledged on the way.
    calls: Vec<(CallId, Call)>,
    notices: Vec<Notice>,
}

impl World {
    fn new(config: Config) -> Self {
        let now = Timestamp::from_millis(BASE);
        Self {
            config,
            page: PageMemory::default(),
            thread: Thread::new(),
            now,
            calls: vec![],
            notices: vec![],
        }
    }

    /// When it is woken for what is under way: not when it is forgotten.
    fn next_wake(&self) -> Option<Timestamp> {
        let forgotten = self.now.plus(self.config.timeouts.retention / 2);
        self.thread.next_wake(&Context::new(&self.config)).filter(|wake| *wake < forgotten)
    }

    fn desk(policy: ThreadControlPolicy) -> Self {
        Self::new(Config::new(AppId::from(DESK), Role::Desk, policy))
    }

    fn bot(policy: ThreadControlPolicy) -> Self {
        let mut config = Config::new(AppId::from(BOT), Role::Bot, policy).with_desk(AppId::from(DESK));
        config.desk_endpoint = true;
        Self::new(config)
    }

    fn step(&mut self, input: Input) -> Reply {
        let cx = Context { page: self.page, ..Context::new(&self.config) };
        let mut out = Vec::new();
        let reply = self.thread.step(&cx, input, self.now, &mut out);
        let mut out = std::collections::VecDeque::from(out);
        while let Some(output) = out.pop_front() {
            match output {
                Output::Call { id, call, .. } => self.calls.push((id, call)),
                Output::Notice { id, notice, .. } => {
                    self.notices.push(notice);
                    let mut more = Vec::new();
                    let done = Input::NoticeDone { notice: id, ok: true };
                    assert_eq!(self.thread.step(&cx, done, self.now, &mut more), Reply::Done);
                    out.extend(more);
                }
                Output::PageRefuses { call, certain, .. } => {
                    if certain {
                        self.page.refuses(call, self.now);
                    }
                }
                Output::SetAside { .. } => {}
            }
        }
        assert!(
            self.thread.next_wake(&cx).is_some() || self.thread.is_at_rest(),
            "what waits has a wake time"
        );
        reply
    }

    fn command(&mut self, command: Command) -> Reply {
        self.step(Input::Command(command))
    }

    fn send(&mut self, key: &str) -> Reply {
        let message = OutgoingMessage::text(format!("text of {key}")).unwrap();
        self.command(Command::Send { key: AnswerKey::new(key).unwrap(), message })
    }

    fn event(&mut self, channel: Channel, kind: EventKind) -> Reply {
        self.wait(1);
        self.step(Input::Event(Event { channel, at: Span::at(self.now), kind }))
    }

    fn passed_to(&mut self, app: u64) -> Reply {
        let change = ControlChange { new_owner: Some(AppId::from(app)), ..ControlChange::default() };
        self.event(Channel::Messaging, EventKind::PassThreadControl(change))
    }

    fn requested_by(&mut self, app: u64) -> Reply {
        let request = ControlRequest { requested_by: Some(AppId::from(app)), metadata: None };
        self.event(Channel::Messaging, EventKind::RequestThreadControl(request))
    }

    fn customer(&mut self, mid: &str, channel: Channel) -> Reply {
        let inbound = Inbound {
            mid: Some(MessageId::new(mid).unwrap()),
            at: Span::at(self.now),
            text: Some(format!("text of {mid}")),
            payload: None,
            postback: false,
            attachments: vec![],
        };
        self.event(channel, EventKind::Inbound(inbound))
    }

    fn echo_of(&mut self, key: &str) -> Reply {
        let app = self.config.app.clone();
        let metadata = Some(AnswerKey::new(key).unwrap().to_metadata(&app));
        let echo = Echo { mid: Some(MessageId::new("e").unwrap()), app_id: Some(app), metadata, text: None };
        self.event(Channel::Messaging, EventKind::Echo(echo))
    }

    /// Nothing comes of what was asked for, however often: somebody else has control all the time.
    fn unanswered(&mut self, call: &Call, owner: u64) {
        for again in 1..=self.config.limits.requests {
            if again > 1 {
                self.expect(call.clone(), CallResult::Forwarded);
            }
            self.sleep();
            self.expect(Call::ThreadOwner, owned_by(owner));
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now.plus(Duration::from_millis(millis));
    }

    /// Waits until the thread wants to be woken, and wakes it.
    fn sleep(&mut self) {
        let wake = self.thread.next_wake(&Context::new(&self.config)).expect("nothing to wait for");
        self.now = self.now.max(wake);
        self.step(Input::Wake);
    }

    /// The one call that is under way.
    fn call(&mut self) -> (CallId, Call) {
        assert_eq!(self.calls.len(), 1, "{:?}", self.calls);
        self.calls.remove(0)
    }

    #[allow(clippy::needless_pass_by_value, reason = "it is written in the call")]
    fn expect(&mut self, expected: Call, result: CallResult) {
        let (id, call) = self.call();
        assert_eq!(call, expected);
        self.wait(1);
        self.step(Input::Answer { call: id, result });
    }

    /// The call under way sends this answer.
    fn expect_send(&mut self, key: &str, result: CallResult) {
        let (id, call) = self.call();
        match call {
            Call::SendMessage { key: sent, message } => {
                assert_eq!((sent.as_str(), message.is()), (key, MessagingType::Response));
            }
            other => panic!("{other:?}"),
        }
        self.wait(1);
        self.step(Input::Answer { call: id, result });
    }

    fn delivered(&self) -> Vec<&str> {
        let mut keys = Vec::new();
        for notice in &self.notices {
            if let Notice::AnswerDelivered { key, .. } = notice {
                keys.push(key.as_str());
            }
        }
        keys
    }
}

/// A thread that has just put out its first notice: control is ours.
fn with_a_notice(config: &Config) -> (Thread, Vec<Output>) {
    let (mut thread, mut out, now) = (Thread::new(), Vec::new(), Timestamp::from_millis(BASE));
    let change = ControlChange { new_owner: Some(config.app.clone()), ..ControlChange::default() };
    let kind = EventKind::PassThreadControl(change);
    let event = Event { channel: Channel::Messaging, at: Span::at(now), kind };
    let _ = thread.step(&Context::new(config), Input::Event(event), now, &mut out);
    (thread, out)
}

fn refused(kind: RefusalKind) -> CallResult {
    CallResult::Refused(Refusal::new(kind, "no"))
}

fn unknown() -> CallResult {
    CallResult::Unknown(Refusal::new(RefusalKind::Transport, "timed out"))
}

fn owned_by(app: u64) -> CallResult {
    CallResult::Owner(ThreadOwner::App { app: AppId::from(app), expires: None })
}

const SENT: CallResult = CallResult::Sent(None);

#[test]
fn bot_primary_desk_requests_and_sends_in_order_when_control_comes() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.customer("m1", Channel::Standby);
    assert_eq!(desk.send("a"), Reply::Accepted);
    assert_eq!(desk.send("b"), Reply::Accepted);
    desk.expect(Call::RequestThreadControl, CallResult::Forwarded);
    assert!(desk.calls.is_empty(), "forwarded is not granted");
    desk.passed_to(DESK);
    desk.expect_send("a", SENT);
    desk.expect_send("b", SENT);
    assert_eq!(desk.delivered(), ["a", "b"]);
    assert!(
        matches!(&desk.notices[1], Notice::ControlGained { unanswered, more: 0 } if unanswered.len() == 1)
    );
    assert!(desk.thread.is_at_rest());
}

#[test]
fn ed_primary_desk_takes_at_once() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.customer("m1", Channel::Standby);
    desk.send("a");
    desk.expect(Call::TakeThreadControl, CallResult::Done);
    desk.expect_send("a", SENT);
    assert_eq!(desk.delivered(), ["a"]);
}

#[test]
fn a_wrong_belief_costs_exactly_one_call() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.expect_send("a", refused(RefusalKind::NotThreadOwner));
    desk.expect(Call::TakeThreadControl, CallResult::Done);
    desk.expect_send("a", SENT);
    assert_eq!(desk.delivered(), ["a"]);
}

#[test]
fn closing_the_intervention_releases_after_the_outbox_is_settled() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    assert!(matches!(desk.command(Command::OpenIntervention), Reply::Claiming(_)));
    desk.expect(Call::RequestThreadControl, CallResult::Forwarded);
    desk.send("a");
    desk.passed_to(DESK);
    assert!(matches!(desk.command(Command::CloseIntervention), Reply::HandingOver { waits: true, .. }));
    desk.expect_send("a", SENT);
    desk.expect(Call::ReleaseThreadControl, CallResult::Done);
    assert_eq!(*desk.thread.owner(), Owner::Idle);
    assert!(desk.thread.is_at_rest());
}

#[test]
fn control_that_comes_after_the_intervention_is_given_back() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.command(Command::OpenIntervention);
    desk.expect(Call::RequestThreadControl, CallResult::Forwarded);
    desk.command(Command::CloseIntervention);
    desk.passed_to(DESK);
    desk.expect(Call::ReleaseThreadControl, CallResult::Done);
    assert!(desk.thread.is_at_rest());
}

#[test]
fn an_unanswered_request_never_becomes_a_take() {
    for (policy, goes_on) in
        [(ThreadControlPolicy::BotPrimary, false), (ThreadControlPolicy::EdPrimary, true)]
    {
        let mut desk = World::desk(policy);
        desk.passed_to(BOT);
        desk.command(Command::Claim(ClaimOrigin::BotAsked));
        desk.expect(Call::RequestThreadControl, CallResult::Forwarded);
        desk.unanswered(&Call::RequestThreadControl, BOT);
        if goes_on {
            desk.expect(Call::TakeThreadControl, CallResult::Done);
            continue;
        }
        assert!(desk.calls.is_empty(), "{:?}", desk.calls);
        let Some(Notice::ControlNotGranted { report, .. }) = desk.notices.last() else { panic!() };
        assert_eq!(report.steps[0].outcome, StepOutcome::Unanswered);
    }
}

#[test]
fn a_lost_grant_is_found_by_reading_the_owner() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.send("a");
    desk.expect(Call::RequestThreadControl, CallResult::Forwarded);
    desk.sleep();
    desk.expect(Call::ThreadOwner, owned_by(DESK));
    desk.expect_send("a", SENT);
}

#[test]
fn where_request_does_not_exist_control_is_taken_and_the_page_remembered() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.send("a");
    desk.expect(Call::RequestThreadControl, refused(RefusalKind::NotAvailable));
    desk.expect(Call::TakeThreadControl, CallResult::Done);
    desk.expect_send("a", SENT);

    let mut second = World { page: desk.page, ..World::desk(ThreadControlPolicy::BotPrimary) };
    second.passed_to(BOT);
    second.send("b");
    second.expect(Call::TakeThreadControl, refused(RefusalKind::NotAvailable));
    second.expect(Call::ThreadOwner, owned_by(BOT));
    let Some(Notice::AnswerFailed { reason, .. }) = second.notices.last() else { panic!() };
    let words = reason.to_string();
    assert!(words.contains("take_thread_control was refused") && words.contains("Page admin"), "{words}");

    let mut later = World { page: second.page, ..World::desk(ThreadControlPolicy::BotPrimary) };
    later.wait(600_001);
    later.passed_to(BOT);
    later.send("c");
    later.expect(Call::RequestThreadControl, CallResult::Forwarded);
}

#[test]
fn a_change_of_the_owner_voids_the_request_and_it_is_made_again() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.send("a");
    desk.expect(Call::RequestThreadControl, CallResult::Forwarded);
    desk.passed_to(STRANGER);
    desk.expect(Call::RequestThreadControl, CallResult::Forwarded);
    desk.passed_to(DESK);
    desk.expect_send("a", SENT);
}

#[test]
fn the_bot_passes_to_the_desk_and_the_inbox_but_to_no_stranger() {
    for app in [DESK, PAGE_INBOX] {
        let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
        bot.passed_to(BOT);
        bot.send("a");
        bot.requested_by(app);
        bot.expect_send("a", SENT);
        bot.expect(Call::PassThreadControl { to: AppId::from(app) }, CallResult::Done);
        assert_eq!(bot.notices.last(), Some(&Notice::HandedOver { to: Some(AppId::from(app)) }));
    }
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.requested_by(STRANGER);
    assert!(bot.calls.is_empty());
    assert!(matches!(bot.notices.last(), Some(Notice::ControlRequested { granted: false, .. })));
    let grant = |app| Command::Grant(AppId::from(app));
    assert_eq!(bot.command(grant(9)), Reply::Refused(CommandRefused::NoSuchRequest));
    bot.command(grant(STRANGER));
    bot.expect(Call::PassThreadControl { to: AppId::from(STRANGER) }, CallResult::Done);
}

#[test]
fn the_bot_hands_over_through_the_desk_and_straight_if_the_desk_does_not_ask() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.send("a");
    bot.command(Command::HandOver(Target::Desk));
    bot.expect_send("a", SENT);
    bot.expect(Call::AskDesk(Direction::BotToAgent), CallResult::Done);
    bot.requested_by(DESK);
    bot.expect(Call::PassThreadControl { to: AppId::from(DESK) }, CallResult::Done);
    assert!(bot.thread.is_at_rest());

    let mut bot = World::bot(ThreadControlPolicy::EdPrimary);
    bot.passed_to(BOT);
    bot.command(Command::HandOver(Target::Desk));
    bot.expect(Call::AskDesk(Direction::BotToAgent), refused(RefusalKind::Conflict));
    bot.expect(Call::PassThreadControl { to: AppId::from(DESK) }, CallResult::Done);

    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.command(Command::HandOver(Target::Desk));
    bot.expect(Call::AskDesk(Direction::BotToAgent), CallResult::Done);
    bot.sleep();
    bot.expect(Call::PassThreadControl { to: AppId::from(DESK) }, CallResult::Done);
}

#[test]
fn a_bot_does_not_interrupt_people_but_looks_whether_they_are_still_there() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(DESK);
    bot.send("released");
    bot.expect(Call::ThreadOwner, CallResult::Owner(ThreadOwner::Idle));
    bot.expect(Call::TakeThreadControl, CallResult::Done);
    bot.expect_send("released", SENT);

    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(DESK);
    bot.send("a");
    bot.expect(Call::ThreadOwner, owned_by(DESK));
    assert!(bot.calls.is_empty());
    assert!(matches!(
        bot.notices.last(),
        Some(Notice::AnswerFailed { reason: FailReason::NotGranted(_), .. })
    ));
}

#[test]
fn the_third_picture_a_bot_asks_for_an_idle_thread_before_it_answers() {
    let mut bot = World::bot(ThreadControlPolicy::NoPrimary);
    bot.customer("m1", Channel::Messaging);
    assert!(matches!(&bot.notices[..], [Notice::Message { ours: true, .. }]));
    bot.send("a");
    bot.expect(Call::RequestThreadControl, CallResult::Forwarded);
    bot.passed_to(BOT);
    bot.expect_send("a", SENT);
}

#[test]
fn no_hand_back_while_people_are_engaged() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    assert_eq!(desk.command(Command::OpenIntervention), Reply::AlreadyOurs);
    let to_bot = || Command::HandOver(Target::App(AppId::from(BOT)));
    let before = desk.thread.clone();
    assert_eq!(desk.command(to_bot()), Reply::Refused(CommandRefused::InterventionOpen));
    assert_eq!(desk.thread, before, "a refused command changes nothing");
    desk.command(Command::CloseIntervention);
    desk.expect(Call::ReleaseThreadControl, CallResult::Done);
    desk.command(to_bot());
    desk.expect(Call::PassThreadControl { to: AppId::from(BOT) }, CallResult::Done);
}

#[test]
fn ed_primary_takes_from_a_third_app_to_pass_and_others_do_not() {
    let to_bot = || Command::HandOver(Target::App(AppId::from(BOT)));
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(STRANGER);
    desk.command(to_bot());
    desk.expect(Call::TakeThreadControl, CallResult::Done);
    desk.expect(Call::PassThreadControl { to: AppId::from(BOT) }, CallResult::Done);

    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    desk.passed_to(STRANGER);
    assert_eq!(desk.command(to_bot()), Reply::Refused(CommandRefused::AnotherAppOwns));
}
