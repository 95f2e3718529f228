//! Tests of intervention reports that come late, twice and in any order.

use super::*;

impl World {
    /// Reports an open or a close, stamped `after` milliseconds after the start.
    fn reported(&mut self, open: bool, after: u64) -> Reply {
        self.wait(1);
        self.command(Command::InterventionReported { open, at: Some(Timestamp::from_millis(BASE + after)) })
    }
}

/// A desk that has control for an intervention opened at 10.
fn engaged() -> World {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.now = Timestamp::from_millis(BASE + 10_000);
    desk.passed_to(BOT);
    assert!(matches!(desk.reported(true, 10), Reply::Claiming(_)));
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.passed_to(DESK);
    desk
}

#[test]
fn a_reported_close_releases_and_a_late_open_does_not_engage_again() {
    let mut desk = engaged();
    desk.send("a");
    assert!(matches!(desk.reported(false, 20), Reply::Transferring { waits: true, .. }));
    desk.expect_send("a", SENT);
    desk.expect(Call::ReleaseThreadControl, CallOutcome::Done);
    for (open, after) in [(true, 10), (true, 19), (false, 20), (false, 5), (true, 20)] {
        let before = desk.thread.clone();
        assert_eq!(desk.reported(open, after), Reply::Ignored, "{open} {after}");
        assert_eq!(desk.thread, before);
    }
    assert!(desk.calls.is_empty() && desk.thread.is_at_rest());
    assert!(matches!(desk.reported(true, 21), Reply::Claiming(_)), "reopened");
}

#[test]
fn a_close_that_comes_before_its_open_is_remembered() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    assert_eq!(desk.reported(false, 20), Reply::Ignored);
    assert_eq!(desk.reported(true, 10), Reply::Ignored);
    assert!(!desk.thread.intervention_is_open() && desk.calls.is_empty() && desk.thread.is_at_rest());
}

#[test]
fn every_order_of_the_same_reports_ends_the_same() {
    let reports = [(true, 10), (false, 20), (true, 20), (true, 30), (false, 40), (true, 40)];
    for start in 0..reports.len() {
        for step in [1, 5] {
            let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
            desk.now = Timestamp::from_millis(BASE + 10_000);
            for index in 0..reports.len() * 2 {
                let (open, after) = reports[(start + index * step) % reports.len()];
                desk.reported(open, after);
            }
            assert!(!desk.thread.intervention_is_open(), "from {start} by {step}");
        }
    }
}

#[test]
fn what_the_host_says_counts_as_of_now() {
    let mut desk = engaged();
    desk.command(Command::CloseIntervention);
    desk.expect(Call::ReleaseThreadControl, CallOutcome::Done);
    let now = desk.now.since(Timestamp::from_millis(BASE)).as_millis().try_into().unwrap();
    assert_eq!(desk.reported(true, 11), Reply::Ignored);
    assert!(matches!(desk.reported(true, now), Reply::Claiming(_)));
    desk.command(Command::OpenIntervention);
    assert_eq!(desk.reported(false, now), Reply::Ignored);
    // Stamped by a clock ahead of ours, and still older than the host's command.
    desk.reported(true, now + 2_000);
    desk.command(Command::CloseIntervention);
    assert_eq!(desk.reported(true, now + 2_000), Reply::Ignored);
    assert!(!desk.thread.intervention_is_open());
}

#[test]
fn a_stamp_from_far_ahead_does_not_outdate_everything() {
    let mut desk = engaged();
    desk.command(Command::InterventionReported { open: true, at: Some(Timestamp::MAX) });
    desk.wait(600_000);
    let at = Some(desk.now);
    assert!(matches!(
        desk.command(Command::InterventionReported { open: false, at }),
        Reply::Transferring { .. }
    ));
}

#[test]
fn a_report_without_a_stamp_is_as_of_now() {
    let mut desk = engaged();
    desk.wait(1);
    assert!(matches!(
        desk.command(Command::InterventionReported { open: false, at: None }),
        Reply::Transferring { .. }
    ));
}

/// A bot never claims or releases because of an intervention; after a close it reads the owner.
#[test]
fn a_bot_looks_who_has_control_after_a_close() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.now = Timestamp::from_millis(BASE + 10_000);
    assert_eq!(bot.reported(true, 5), Reply::Done);
    assert!(bot.calls.is_empty() && !bot.thread.intervention_is_open() && bot.thread.people_are_busy());
    assert_eq!(bot.reported(false, 6), Reply::Done);
    assert!(!bot.thread.people_are_busy());
    bot.passed_to(BOT);
    assert!(bot.calls.is_empty(), "control is ours: nothing was released");
    bot.passed_to(DESK);
    assert_eq!(bot.reported(false, 6), Reply::Ignored, "an old one");
    assert_eq!(bot.reported(false, 10_500), Reply::Done);
    bot.expect(Call::ThreadOwner, CallOutcome::Owner(ThreadOwner::Idle));
    assert_eq!(*bot.thread.owner(), Owner::Idle);
    assert!(bot.calls.is_empty() && bot.thread.is_at_rest());
}

#[test]
fn records_without_the_stamp_still_read() {
    let desk = engaged();
    let mut saved = serde_json::to_value(&desk.thread).unwrap();
    let stamp = saved["intervention"].as_object_mut().unwrap().remove("as_of");
    assert_eq!(stamp, Some(serde_json::json!(BASE + 10)));
    let read: Thread = serde_json::from_value(saved).unwrap();
    assert!(read.intervention_is_open());
}

/// A call under way at the close may still bring control: it is released then.
#[test]
fn a_close_while_control_is_waited_for_releases_it() {
    for reported in [false, true] {
        for in_flight in [false, true] {
            let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
            desk.now = Timestamp::from_millis(BASE + 10_000);
            desk.passed_to(BOT);
            desk.send("a");
            // The open report was lost, or comes later.
            let close = |desk: &mut World| {
                if reported { desk.reported(false, 20) } else { desk.command(Command::CloseIntervention) }
            };
            if in_flight {
                close(&mut desk);
            }
            desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
            if !in_flight {
                assert!(matches!(close(&mut desk), Reply::Transferring { waits: true, .. }));
            }
            desk.passed_to(DESK);
            desk.expect_send("a", SENT);
            desk.expect(Call::ReleaseThreadControl, CallOutcome::Done);
            assert!(desk.thread.is_at_rest());
        }
    }
}

/// Engage Digital's clock may be ahead of ours: its stamp outdates no event of the platform.
#[test]
fn a_bot_hears_the_customer_whatever_clock_the_close_was_stamped_by() {
    for ahead in [Duration::ZERO, Duration::from_secs(30), Duration::MAX] {
        let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
        bot.now = Timestamp::from_millis(BASE + 10_000);
        bot.passed_to(DESK);
        bot.wait(1000);
        let at = Some(bot.now.plus(ahead));
        bot.command(Command::InterventionReported { open: false, at });
        bot.expect(Call::ThreadOwner, owned_by(DESK));
        bot.wait(2_000);
        bot.customer("m9", Channel::Messaging);
        let Some(Notice::Message { to_answer: ours, .. }) = bot.notices.last() else { panic!() };
        assert!(*ours, "{ahead:?}");
    }
}

/// The desk has messages to settle before it releases, while the bot is notified of the close at once.
#[test]
fn a_bot_looks_again_until_the_desk_has_released() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.now = Timestamp::from_millis(BASE + 10_000);
    bot.passed_to(DESK);
    assert_eq!(bot.reported(false, 10_500), Reply::Done);
    bot.expect(Call::ThreadOwner, owned_by(DESK));
    for _ in 0..2 {
        bot.sleep();
        bot.expect(Call::ThreadOwner, owned_by(DESK));
    }
    bot.sleep();
    bot.expect(Call::ThreadOwner, CallOutcome::Owner(ThreadOwner::Idle));
    assert_eq!(*bot.thread.owner(), Owner::Idle);
    assert_eq!(bot.next_wake(), None, "it has seen what it looked for");

    // Not without end, because the customer's next message decides too.
    bot.passed_to(DESK);
    bot.reported(false, 50_500);
    for _ in 0..3 {
        bot.expect(Call::ThreadOwner, owned_by(DESK));
        bot.sleep();
    }
    bot.expect(Call::ThreadOwner, owned_by(DESK));
    assert_eq!(bot.next_wake(), None);
}

/// A message with an unknown outcome needs no control: control that an intervention claimed is released.
#[test]
fn control_that_comes_late_is_given_back_though_an_answer_is_unsettled() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    desk.expect_send("a", unknown());
    desk.passed_to(BOT);
    desk.command(Command::OpenIntervention);
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    desk.command(Command::CloseIntervention);
    desk.passed_to(DESK);
    desk.echo_of("a");
    desk.expect(Call::ReleaseThreadControl, CallOutcome::Done);
}
