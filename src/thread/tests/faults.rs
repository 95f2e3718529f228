//! Tests of passing faults: waits, numbers of attempts, and the failures that count.

use super::*;
use crate::call::{Media, MediaKind};

impl World {
    /// The wait of the thread before it goes on, in milliseconds.
    fn pause(&self) -> u128 {
        self.next_wake().expect("it waits").since(self.now).as_millis()
    }
}

#[test]
fn pauses_double_and_success_ends_them() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.send("a");
    let mut pauses = Vec::new();
    for _ in 0..3 {
        desk.expect(Call::RequestThreadControl, refused(FailureKind::Transient));
        pauses.push(desk.pause());
        desk.sleep();
    }
    assert_eq!(pauses, [1_000, 2_000, 4_000]);
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.passed_to(DESK);
    desk.expect_send("a", refused(FailureKind::Transient));
    assert_eq!(desk.pause(), 1_000);
}

/// Reading the owner does not end the fault of another call.
#[test]
fn reading_the_owner_does_not_end_a_fault() {
    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    desk.passed_to(DESK);
    desk.command(Command::Transfer { target: Target::App(AppId::from(BOT)), note: None });
    let mut pauses = Vec::new();
    for _ in 0..3 {
        desk.expect(Call::PassThreadControl { to: AppId::from(BOT) }, unknown());
        pauses.push(desk.pause());
        desk.sleep();
        desk.expect(Call::ThreadOwner, owned_by(DESK));
    }
    assert_eq!(pauses, [1_000, 2_000, 4_000]);
}

/// A message, and a claim for one, is retried until the message expires; every other call has a limit of attempts.
#[test]
fn an_answer_is_tried_until_it_is_too_old_and_so_is_its_claim() {
    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    for _ in 0..20 {
        desk.expect_send("a", refused(FailureKind::Transient));
        desk.sleep();
    }
    desk.expect_send("a", SENT);
    assert_eq!(desk.delivered(), ["a"]);

    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    desk.passed_to(BOT);
    desk.send("a");
    for _ in 0..20 {
        desk.expect(Call::RequestThreadControl, refused(FailureKind::Transient));
        desk.sleep();
    }
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.passed_to(DESK);
    desk.expect_send("a", SENT);

    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    desk.passed_to(BOT);
    desk.command(Command::OpenIntervention);
    for _ in 0..7 {
        desk.expect(Call::RequestThreadControl, refused(FailureKind::Transient));
        desk.sleep();
    }
    desk.expect(Call::RequestThreadControl, refused(FailureKind::Transient));
    desk.sleep();
    desk.expect(Call::ThreadOwner, owned_by(BOT));
    assert!(matches!(desk.notices.last(), Some(Notice::ControlNotGranted { .. })));
}

/// One fault of any call of a claim fails no message, whether the platform acted or not; nor does one lost webhook.
#[test]
fn one_fault_of_a_claim_fails_no_answer() {
    use ThreadControlPolicy::{BotPrimary, EdPrimary};
    let faults = [unknown(), refused(FailureKind::Transient), refused(FailureKind::RateLimited)];
    for fault in faults {
        // Before the platform acted: the call is repeated.
        for (policy, claim) in
            [(BotPrimary, Call::RequestThreadControl), (EdPrimary, Call::TakeThreadControl)]
        {
            let mut desk = World::desk(policy);
            desk.passed_to(BOT);
            desk.send("a");
            desk.expect(claim.clone(), fault.clone());
            desk.sleep();
            if matches!(fault, CallOutcome::Unknown(_)) {
                desk.expect(Call::ThreadOwner, fault.clone());
                desk.sleep();
                desk.expect(Call::ThreadOwner, owned_by(BOT));
            }
            let done = if policy == BotPrimary { CallOutcome::Forwarded } else { CallOutcome::Done };
            desk.expect(claim, done);
            if policy == BotPrimary {
                desk.passed_to(DESK);
            }
            desk.expect_send("a", SENT);
            assert_eq!(desk.delivered(), ["a"], "{fault:?}");
        }
    }
    // After it acted: the owner is read.
    for (policy, claim) in [(BotPrimary, Call::RequestThreadControl), (EdPrimary, Call::TakeThreadControl)] {
        let mut desk = World::desk(policy);
        desk.passed_to(BOT);
        desk.send("a");
        desk.expect(claim, unknown());
        desk.sleep();
        desk.expect(Call::ThreadOwner, owned_by(DESK));
        desk.expect_send("a", SENT);
    }
    // The webhook of the request is lost, or the webhook of the pass.
    for came in [false, true] {
        let mut desk = World::desk(BotPrimary);
        desk.passed_to(BOT);
        desk.send("a");
        let begun = desk.now;
        desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
        desk.sleep();
        if came {
            desk.expect(Call::ThreadOwner, owned_by(DESK));
        } else {
            desk.expect(Call::ThreadOwner, owned_by(BOT));
            desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
            desk.passed_to(DESK);
        }
        desk.expect_send("a", SENT);
        assert!(desk.now.since(begun) < Duration::from_secs(6), "{:?}", desk.now.since(begun));
    }
}

/// After the last request, silence counts as unanswered, no later than with a single request.
#[test]
fn claim_request_unanswered_ends_with_the_grant_timeout() {
    for requests in [1, 2, 3, 7] {
        let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
        desk.config.limits.requests = requests;
        desk.config.when_unanswered = Unanswered::Fail;
        desk.passed_to(BOT);
        desk.send("a");
        let begun = desk.now;
        desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
        desk.unanswered(&Call::RequestThreadControl, BOT);
        assert!(matches!(desk.notices.last(), Some(Notice::MessageFailed { .. })), "{requests}");
        let took = desk.now.since(begun).as_millis();
        assert!((29_990..30_050).contains(&took), "{requests}: {took}");
    }
}

/// Two apps that take control from each other do not fight without end.
#[test]
fn an_answer_fails_where_control_is_lost_again_and_again() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    for _ in 0..2 {
        desk.expect_send("a", refused(FailureKind::NotThreadOwner));
        desk.expect(Call::TakeThreadControl, CallOutcome::Done);
    }
    desk.expect_send("a", refused(FailureKind::NotThreadOwner));
    assert!(
        desk.notices.iter().any(|notice| matches!(notice, Notice::MessageFailed { .. })),
        "{:?}",
        desk.notices
    );
    assert!(desk.calls.is_empty());

    // A wrong guess is no loss of control.
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.send("a");
    desk.expect_send("a", refused(FailureKind::NotThreadOwner));
    for _ in 0..2 {
        desk.expect(Call::TakeThreadControl, CallOutcome::Done);
        desk.expect_send("a", refused(FailureKind::NotThreadOwner));
    }
    desk.expect(Call::TakeThreadControl, CallOutcome::Done);
    desk.expect_send("a", SENT);
}

/// A repeated call is marked as a retry, because retries have a budget.
#[test]
fn only_a_repetition_is_called_one() {
    let config = Config::new(AppId::from(DESK), Role::Desk, ThreadControlPolicy::EdPrimary);
    let cx = Context::new(&config);
    let (mut thread, mut now) = (Thread::new(), Timestamp::from_millis(BASE));
    let mut retries = Vec::new();
    let mut step = |thread: &mut Thread, input: Input, now: Timestamp| {
        let mut out = Vec::new();
        let _ = thread.step(&cx, input, now, &mut out);
        out.into_iter().find_map(|output| match output {
            Output::Call { id, retry, .. } => {
                retries.push(retry);
                Some(id)
            }
            _ => None,
        })
    };
    let first = step(&mut thread, Input::Command(Command::OpenIntervention), now).unwrap();
    let fault = Input::CallEnded { call: first, outcome: refused(FailureKind::Transient) };
    assert_eq!(step(&mut thread, fault, now), None);
    now = thread.next_wake(&Context::new(&config)).unwrap();
    let second = step(&mut thread, Input::Wake, now).unwrap();
    step(&mut thread, Input::CallEnded { call: second, outcome: CallOutcome::Done }, now);
    step(&mut thread, Input::Command(Command::CloseIntervention), now).unwrap();
    assert_eq!(retries, [false, true, false]);
}

/// The process ends between the save and the call, so no echo will ever come. A bot has nobody who looks and resumes it.
#[test]
fn an_unknown_message_of_a_bot_stops_nothing() {
    let stops = |on_unknown: Option<OnUnknown>| {
        let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
        if let Some(on_unknown) = on_unknown {
            bot.config.on_unknown = on_unknown;
        }
        bot.passed_to(BOT);
        bot.send("a");
        bot.send("b");
        bot.calls.clear();
        bot.sleep();
        assert_eq!(bot.delivered(), [""; 0], "the echo may come yet");
        assert!(bot.calls.is_empty());
        bot.sleep();
        assert!(matches!(bot.notices.last(), Some(Notice::MessageUnknown { .. })));
        bot.calls.is_empty()
    };
    assert!(!stops(None));
    assert!(stops(Some(OnUnknown::Hold)));
}

#[test]
fn a_late_echo_settles_a_message_that_was_given_up() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.send("a");
    bot.calls.clear();
    bot.sleep();
    bot.sleep();
    bot.echo_of("a");
    assert_eq!(bot.delivered(), ["a"]);
}

/// A picture has no text that its echo could be recognised by.
#[test]
fn a_picture_of_a_person_is_not_ours() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    let message = OutgoingMessage::media(MediaKind::Image, Media::Url("https://example.com/a.png".into()));
    bot.command(Command::Send { key: MessageKey::new("a").unwrap(), message });
    let (send, _) = bot.call();
    bot.step(Input::CallEnded { call: send, outcome: unknown() });
    bot.event(Channel::Messaging, EventKind::Echo(Echo::new(MessageId::new("photo").ok(), None)));
    assert!(bot.thread.people_are_busy() && bot.delivered().is_empty());
}

#[test]
fn a_pause_that_the_platform_asks_for_has_an_end() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(BOT);
    bot.command(Command::Transfer { target: Target::page_inbox(), note: None });
    let mut failure = Failure::new(FailureKind::Transient, "503");
    failure.retry_after = Some(Duration::from_secs(u64::MAX));
    let to = AppId::from(PAGE_INBOX);
    bot.expect(Call::PassThreadControl { to }, CallOutcome::Refused(failure));
    let begun = bot.now;
    bot.sleep();
    assert!(!bot.calls.is_empty() && bot.now.since(begun) <= Duration::from_secs(25 * 60 * 60));
}
