//! Tests of claims, call by call: the order of steps, the steps that are never taken, and the report.

use super::*;
use crate::policy::ClaimStep;

fn idle() -> CallOutcome {
    CallOutcome::Owner(ThreadOwner::Idle)
}

fn hidden() -> CallOutcome {
    CallOutcome::Owner(ThreadOwner::Hidden { expires: None })
}

impl World {
    fn claim(&mut self, origin: ClaimOrigin) -> u64 {
        match self.command(Command::Claim { origin, note: None }) {
            Reply::Claiming(id) => id,
            other => panic!("{other:?}"),
        }
    }

    /// The steps of a failed claim's report, in order.
    fn steps(&self, id: u64) -> Vec<ClaimStep> {
        match self.thread.claim_progress(id) {
            ClaimProgress::NotGranted(report) => report.steps.iter().map(|tried| tried.step).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn not_granted(&self) -> Vec<&ClaimOrigin> {
        let mut origins = Vec::new();
        for notice in &self.notices {
            if let Notice::ControlNotGranted { origin, .. } = notice {
                origins.push(origin);
            }
        }
        origins
    }
}

/// With an unknown owner, only its own failure shows whether the Page has a request.
#[test]
fn a_take_follows_a_request_that_does_not_exist_and_no_other() {
    for (failure, takes) in [
        (FailureKind::Invalid, true),
        (FailureKind::NotAvailable, true),
        (FailureKind::NotThreadOwner, false),
        (FailureKind::Conflict, false),
    ] {
        let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
        let id = desk.claim(ClaimOrigin::Host);
        desk.expect(Call::RequestThreadControl, refused(failure));
        desk.expect(Call::ThreadOwner, hidden());
        if takes {
            desk.expect(Call::TakeThreadControl, CallOutcome::Done);
            assert_eq!(desk.thread.claim_progress(id), ClaimProgress::Granted);
        } else {
            assert_eq!(desk.steps(id), [ClaimStep::Request], "{failure}");
        }
        // The request may have been refused because control is ours, so the Page is not suspected.
        assert!(!desk.page_refuses_request(), "{failure}");
    }
}

impl World {
    fn page_refuses_request(&self) -> bool {
        let cx = Context { page: self.page, ..Context::new(&self.config) };
        cx.refused(&PageMemory::default(), self.now).request
    }
}

#[test]
fn only_what_a_page_does_not_have_is_remembered_of_it() {
    for (failure, remembered) in
        [(FailureKind::NotAvailable, true), (FailureKind::Invalid, false), (FailureKind::Conflict, false)]
    {
        let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
        desk.passed_to(BOT);
        desk.claim(ClaimOrigin::Host);
        desk.expect(Call::RequestThreadControl, refused(failure));
        assert_eq!(desk.page_refuses_request(), remembered, "{failure}");
    }
    // Every Page has a pass to oneself.
    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    desk.claim(ClaimOrigin::Host);
    desk.expect(Call::RequestThreadControl, refused(FailureKind::NotThreadOwner));
    desk.expect(Call::ThreadOwner, idle());
    desk.expect(Call::TakeThreadControl, refused(FailureKind::NotThreadOwner));
    let before = desk.page;
    desk.expect(Call::PassThreadControl { to: AppId::from(DESK) }, refused(FailureKind::Invalid));
    assert_eq!(desk.page, before);
    assert!(desk.calls.is_empty() && !desk.not_granted().is_empty(), "it is not passed again");
}

/// An unanswered request becomes a take only if the thread turns out to be idle.
#[test]
fn after_an_unanswered_request_only_an_idle_thread_is_taken() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    let id = desk.claim(ClaimOrigin::Host);
    assert_eq!(desk.thread.claim_progress(id), ClaimProgress::Trying);
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    assert_eq!(desk.thread.claim_progress(id), ClaimProgress::Accepted);
    assert_eq!(desk.thread.claim_progress(id + 1), ClaimProgress::Gone);
    desk.sleep();
    // A change of the owner voids the request, so it is repeated.
    for _ in 0..3 {
        desk.expect(Call::ThreadOwner, idle());
        desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
        desk.sleep();
    }
    desk.expect(Call::ThreadOwner, idle());
    desk.expect(Call::TakeThreadControl, CallOutcome::Done);
    assert_eq!(desk.thread.claim_progress(id), ClaimProgress::Granted);
    assert_eq!(desk.thread.claim_progress(id + 1), ClaimProgress::Gone);

    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    let id = bot.claim(ClaimOrigin::Host);
    bot.expect(Call::ThreadOwner, refused(FailureKind::NotAvailable));
    bot.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    bot.unanswered(&Call::RequestThreadControl, STRANGER);
    assert_eq!(bot.steps(id), [ClaimStep::Request]);
}

#[test]
fn what_may_have_been_accepted_is_not_reported_as_accepted() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    let id = desk.claim(ClaimOrigin::Host);
    desk.expect(Call::RequestThreadControl, unknown());
    assert_eq!(desk.thread.claim_progress(id), ClaimProgress::Trying);
    desk.passed_to(DESK);
    assert_eq!(desk.thread.claim_progress(id), ClaimProgress::Granted);
}

#[test]
fn a_request_is_repeated_for_each_new_owner_but_not_for_ever() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.claim(ClaimOrigin::Host);
    for turn in 0..4 {
        desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
        desk.passed_to(if turn % 2 == 0 { STRANGER } else { BOT });
    }
    assert!(desk.calls.is_empty(), "{:?}", desk.calls);
}

/// A bot that asks to be asked joins the claim under way; the host's own claim does not change the origin.
#[test]
fn whose_claim_it_is_is_told_in_the_end() {
    for (joins, whose) in
        [(ClaimOrigin::BotAsked, ClaimOrigin::BotAsked), (ClaimOrigin::Host, ClaimOrigin::Intervention)]
    {
        let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
        desk.passed_to(BOT);
        desk.command(Command::OpenIntervention);
        desk.claim(joins);
        desk.expect(Call::TakeThreadControl, refused(FailureKind::Conflict));
        desk.expect(Call::RequestThreadControl, refused(FailureKind::Conflict));
        desk.expect(Call::ThreadOwner, owned_by(BOT));
        assert_eq!(desk.not_granted(), [&whose]);
    }
}

/// A failed claim is notified with the message that waited for it, and separately to a host that claimed control as
/// well.
#[test]
fn a_failed_claim_is_told_once_to_whoever_waits() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.send("a");
    desk.expect(Call::RequestThreadControl, refused(FailureKind::Conflict));
    desk.expect(Call::ThreadOwner, owned_by(BOT));
    assert_eq!(desk.not_granted(), Vec::<&ClaimOrigin>::new());
    assert!(matches!(desk.notices.last(), Some(Notice::MessageFailed { .. })));

    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.command(Command::OpenIntervention);
    desk.send("a");
    desk.expect(Call::RequestThreadControl, refused(FailureKind::Conflict));
    desk.expect(Call::ThreadOwner, owned_by(BOT));
    assert_eq!(desk.not_granted(), [&ClaimOrigin::Intervention]);
    assert!(matches!(desk.notices.last(), Some(Notice::MessageFailed { .. })));
}

/// No step was accepted, so later control is no late grant.
#[test]
fn what_comes_after_a_claim_that_was_refused_is_kept() {
    let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
    desk.passed_to(BOT);
    desk.command(Command::OpenIntervention);
    desk.expect(Call::RequestThreadControl, refused(FailureKind::Conflict));
    desk.expect(Call::ThreadOwner, owned_by(BOT));
    desk.command(Command::CloseIntervention);
    desk.passed_to(DESK);
    assert!(desk.calls.is_empty() && *desk.thread.owner() == Owner::Us);
}

#[test]
fn a_bot_asks_the_desk_where_it_can_and_says_where_it_cannot() {
    let mut bot = World::bot(ThreadControlPolicy::EdPrimary);
    bot.passed_to(DESK);
    let id = bot.claim(ClaimOrigin::Host);
    bot.expect(Call::AskDesk(Direction::AgentToBot), CallOutcome::Done);
    assert_eq!(bot.thread.claim_progress(id), ClaimProgress::Accepted);
    bot.passed_to(BOT);
    assert_eq!(bot.thread.claim_progress(id), ClaimProgress::Granted);

    let mut bot = World::bot(ThreadControlPolicy::EdPrimary);
    bot.config.desk_endpoint = false;
    bot.passed_to(DESK);
    let id = bot.claim(ClaimOrigin::Host);
    bot.expect(Call::ThreadOwner, owned_by(DESK));
    let ClaimProgress::NotGranted(report) = bot.thread.claim_progress(id) else { panic!() };
    assert_eq!(report.steps.len(), 1);
    assert_eq!(report.steps[0].outcome, StepOutcome::NotConfigured);
}

/// A bot does not take from people or from an owner that may be people; it takes from any other app.
#[test]
fn a_bot_takes_from_others_but_not_from_people() {
    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.passed_to(STRANGER);
    bot.claim(ClaimOrigin::Host);
    bot.expect(Call::ThreadOwner, owned_by(STRANGER));
    bot.expect(Call::TakeThreadControl, CallOutcome::Done);

    for (desk, endpoint, takes) in
        [(true, true, false), (true, false, false), (false, true, false), (false, false, true)]
    {
        let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
        (bot.config.desk, bot.config.desk_endpoint) = (desk.then(|| AppId::from(DESK)), endpoint);
        bot.customer("m1", Channel::Standby);
        let id = bot.claim(ClaimOrigin::Host);
        bot.expect(Call::ThreadOwner, hidden());
        if takes {
            bot.expect(Call::TakeThreadControl, CallOutcome::Done);
        } else {
            assert_eq!(bot.steps(id), [], "{desk} {endpoint}");
        }
    }

    let mut bot = World::bot(ThreadControlPolicy::BotPrimary);
    bot.config.take_from_desk = true;
    bot.passed_to(DESK);
    bot.claim(ClaimOrigin::Host);
    bot.expect(Call::TakeThreadControl, CallOutcome::Done);
}

/// Meta's own inbox never answers: it is not asked, and the report says so.
#[test]
fn nothing_is_asked_of_who_never_answers() {
    for mut world in [World::bot(ThreadControlPolicy::NoPrimary), World::desk(ThreadControlPolicy::NoPrimary)]
    {
        world.passed_to(PAGE_INBOX);
        let id = world.claim(ClaimOrigin::Host);
        world.expect(Call::ThreadOwner, owned_by(PAGE_INBOX));
        let ClaimProgress::NotGranted(report) = world.thread.claim_progress(id) else { panic!() };
        assert_eq!(report.steps[0].outcome, StepOutcome::Futile);
    }
}

/// The owner turns out to be such an app while the request is open: the claim stops waiting.
#[test]
fn a_request_that_went_to_who_never_answers_is_not_waited_for() {
    let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
    let id = desk.claim(ClaimOrigin::Host);
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    assert!(desk.calls.is_empty());
    desk.passed_to(PAGE_INBOX);
    desk.expect(Call::ThreadOwner, owned_by(PAGE_INBOX));
    let ClaimProgress::NotGranted(report) = desk.thread.claim_progress(id) else { panic!() };
    assert_eq!(report.steps[0].outcome, StepOutcome::Futile);
}

#[test]
fn a_take_with_an_unknown_outcome_is_made_again_so_often() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(BOT);
    let id = desk.claim(ClaimOrigin::Host);
    for _ in 0..8 {
        desk.expect(Call::TakeThreadControl, unknown());
        desk.sleep();
        desk.expect(Call::ThreadOwner, owned_by(BOT));
    }
    desk.expect(Call::RequestThreadControl, refused(FailureKind::Conflict));
    desk.expect(Call::ThreadOwner, owned_by(BOT));
    assert_eq!(desk.steps(id), [ClaimStep::Take, ClaimStep::Request]);
}

#[test]
fn a_pass_to_ourselves_is_the_last_resort_for_an_idle_thread() {
    for (ended, granted) in [(CallOutcome::Done, true), (refused(FailureKind::Conflict), false)] {
        let mut desk = World::desk(ThreadControlPolicy::NoPrimary);
        let id = desk.claim(ClaimOrigin::Host);
        desk.expect(Call::RequestThreadControl, refused(FailureKind::Conflict));
        desk.expect(Call::ThreadOwner, idle());
        desk.expect(Call::TakeThreadControl, refused(FailureKind::Conflict));
        desk.expect(Call::PassThreadControl { to: AppId::from(DESK) }, ended);
        if granted {
            assert_eq!(*desk.thread.owner(), Owner::Us);
            assert_eq!(desk.thread.claim_progress(id), ClaimProgress::Granted);
            assert!(matches!(desk.notices[..], [Notice::ControlGained { .. }]), "{:?}", desk.notices);
        } else {
            assert_eq!(desk.steps(id), [ClaimStep::Request, ClaimStep::Take, ClaimStep::PassToSelf]);
        }
    }
}

/// A wrong guess costs one refused call, a right one saves the claim; but two bots must not both answer.
#[test]
fn who_speaks_before_it_claims() {
    for (mut world, speaks) in [
        (World::bot(ThreadControlPolicy::BotPrimary), true),
        (World::bot(ThreadControlPolicy::EdPrimary), true),
        (World::bot(ThreadControlPolicy::NoPrimary), false),
        (World::desk(ThreadControlPolicy::NoPrimary), true),
    ] {
        world.send("a");
        let (_, call) = world.call();
        assert_eq!(matches!(call, Call::SendMessage { .. }), speaks, "{call:?}");
    }
}

#[test]
fn a_delivery_on_standby_close_behind_our_take_may_be_from_before_it() {
    for (waits, believes) in [(1, Owner::Unknown), (5_000, Owner::Other(None)), (60_000, Owner::Other(None))]
    {
        let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
        desk.passed_to(BOT);
        desk.command(Command::OpenIntervention);
        desk.expect(Call::TakeThreadControl, CallOutcome::Done);
        desk.wait(waits);
        desk.customer("m1", Channel::Standby);
        assert_eq!(*desk.thread.owner(), believes, "{waits}");
    }
}

/// An owner's take gets code 27 too: it is about the Page only with its own sentence, or if another app has control.
#[test]
fn claim_take_refused_with_27_may_be_ours() {
    let code_27 = |message: &str| {
        let failure = Failure::new(FailureKind::NotAvailable, message);
        CallOutcome::Refused(Failure { code: Some(27), ..failure })
    };
    let sentence = "(#27) Take thread control is not supported when Conversation Routing is not enabled.";
    let page_refuses_take = |desk: &World| desk.page.take_refused.is_some();
    let claims = |failure: CallOutcome| {
        let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
        desk.passed_to(BOT);
        desk.send("a");
        desk.expect(Call::TakeThreadControl, failure);
        desk
    };
    let mut desk = claims(code_27("(#27) No."));
    desk.expect(Call::ThreadOwner, owned_by(DESK));
    desk.expect_send("a", SENT);
    assert!(!page_refuses_take(&desk) && desk.thread.is_at_rest());

    let mut desk = claims(code_27("(#27) No."));
    desk.expect(Call::ThreadOwner, owned_by(BOT));
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    assert!(page_refuses_take(&desk));

    // Some Pages answer `thread_owner` with error 100: the owner is hidden, which decides nothing.
    let mut desk = claims(code_27("(#27) No."));
    desk.expect(Call::ThreadOwner, refused(FailureKind::Invalid));
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    assert!(!page_refuses_take(&desk));

    let mut desk = claims(code_27(sentence));
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);
    assert!(page_refuses_take(&desk));
}

/// An owner's request is refused too, while the webhook that made it the owner is still on its way. That must not keep the
/// conversation, or the Page, from later requests.
#[test]
fn claim_request_refused_with_100_may_be_ours() {
    let claims = || {
        let mut desk = World::desk(ThreadControlPolicy::BotPrimary);
        desk.passed_to(BOT);
        desk.send("a");
        let failure = Failure::new(FailureKind::Invalid, "(#100) No.");
        let failure = CallOutcome::Refused(Failure { code: Some(100), ..failure });
        desk.expect(Call::RequestThreadControl, failure);
        desk
    };
    let mut desk = claims();
    desk.expect(Call::ThreadOwner, owned_by(DESK));
    desk.expect_send("a", SENT);
    assert!(desk.page == PageMemory::default() && desk.thread.is_at_rest());
    desk.passed_to(BOT);
    desk.send("b");
    desk.expect(Call::RequestThreadControl, CallOutcome::Forwarded);

    let mut desk = claims();
    desk.expect(Call::ThreadOwner, owned_by(BOT));
    desk.expect(Call::TakeThreadControl, CallOutcome::Done);
    desk.expect_send("a", SENT);

    // A hidden owner decides nothing.
    let mut desk = claims();
    desk.expect(Call::ThreadOwner, refused(FailureKind::Invalid));
    desk.expect(Call::TakeThreadControl, CallOutcome::Done);
    assert!(desk.page == PageMemory::default());
}

/// This person cannot be reached: the claim ends at once, and nothing is stored about the Page.
#[test]
fn claim_for_a_person_who_cannot_be_reached_ends_at_once() {
    use ThreadControlPolicy::{BotPrimary, EdPrimary};
    for (policy, claim) in [(BotPrimary, Call::RequestThreadControl), (EdPrimary, Call::TakeThreadControl)] {
        let mut desk = World::desk(policy);
        desk.passed_to(BOT);
        desk.send("a");
        desk.expect(claim, refused(FailureKind::RecipientUnavailable));
        let failed = |notice: &Notice| {
            matches!(notice, Notice::MessageFailed { reason: FailReason::RecipientUnavailable(_), .. })
        };
        assert!(desk.notices.last().is_some_and(failed), "{:?}", desk.notices);
        assert!(desk.calls.is_empty() && desk.page == PageMemory::default());
        assert_eq!(*desk.thread.owner(), Owner::Other(Some(AppId::from(BOT))));
    }
}
