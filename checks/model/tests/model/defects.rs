//! Tests of the checks themselves: plausible but wrong designs (`thread::Broken`) are each caught by the invariant that
//! they violate, with the shortest such schedule.

use messenger_handover::policy::ThreadControlPolicy::{BotPrimary, EdPrimary, NoPrimary};
use messenger_handover::thread::Broken;
use messenger_sim::{RequestUnderDefaultApp, Rules};

use crate::budget::Budget;
use crate::explore::{catch, explore};
use crate::judge;
use crate::scene::{BOT, DESK, Scene};
use crate::seen::Seen;

fn bot_primary(budget: Budget) -> Scene {
    Scene::new(Rules::primary(BOT), BotPrimary, budget)
}

fn ed_primary(budget: Budget) -> Scene {
    Scene::new(Rules::primary(DESK), EdPrimary, budget)
}

fn budget() -> Budget {
    Budget::default()
}

#[test]
fn model_catches_no_wake_after_a_crash() {
    let scene = bot_primary(Budget { desk: 1, crashes: 1, ..budget() });
    catch(
        judge::ENDS,
        "effects run after the state is saved, no wake time set",
        scene.broken(Broken::NoWake),
    );
}

#[test]
fn model_catches_a_send_that_is_repeated() {
    let scene = ed_primary(Budget { desk: 1, desk_faults: 1, late: 1, ..budget() });
    catch(judge::NOTHING_DOUBLED, "send again after a timeout", scene.broken(Broken::SendsAgain));
}

#[test]
fn model_catches_an_answer_that_overtakes() {
    let scene = ed_primary(Budget { desk: 2, desk_faults: 1, ..budget() });
    catch(judge::IN_ORDER, "answers go on behind an unknown one", scene.broken(Broken::Overtakes));
}

#[test]
fn model_catches_a_theft() {
    let scene = Scene::new(Rules::default_app(BOT), BotPrimary, Budget { desk: 1, ..budget() });
    let scene = scene
        .platform(|platform| platform.with_request_under_default_app(RequestUnderDefaultApp::SilentSuccess));
    catch(
        judge::NO_THEFT,
        "a request becomes a take when it had no answer at once",
        scene.broken(Broken::TakesUnanswered),
    );
}

#[test]
fn model_catches_a_bot_that_talks_over_people() {
    let scene = bot_primary(Budget { bot: 1, persons: 1, ..budget() });
    catch(
        judge::PEOPLE_FIRST,
        "a bot answers what it may send",
        scene.endpoint().broken(Broken::TalksOverPeople),
    );
}

#[test]
fn model_catches_an_early_hand_back() {
    let scene = ed_primary(Budget { desk: 1, backs: 1, desk_faults: 1, ..budget() });
    catch(
        judge::NO_EARLY_HAND_BACK,
        "control is passed while an answer is unsettled",
        scene.broken(Broken::PassesUnsettled),
    );
}

#[test]
fn model_catches_hoarding() {
    let scene = bot_primary(Budget { interventions: 1, ..budget() });
    catch(judge::NO_HOARDING, "a closed intervention releases nothing", scene.broken(Broken::KeepsControl));
}

#[test]
fn model_catches_a_fight() {
    let scene = Scene::new(Rules::default_app(BOT), BotPrimary, Budget { desk: 1, ..budget() });
    catch(
        judge::NO_FIGHT,
        "control is taken back when it is lost",
        scene.desk_policy(EdPrimary).broken(Broken::TakesBack),
    );
}

#[test]
fn model_catches_an_answer_that_overrides() {
    let budget = Budget { interventions: 1, inbox: 1, ..budget() };
    let scene = Scene::new(Rules::default_app(BOT), EdPrimary, budget);
    catch(judge::BELIEF_HEALS, "an API answer sets the owner", scene.broken(Broken::AnswerOverrides));
}

#[test]
fn model_catches_events_as_they_arrive() {
    let scene = bot_primary(Budget { desk: 1, backs: 1, bot_faults: 1, desk_faults: 1, ..budget() });
    catch(
        judge::BELIEF_HEALS,
        "control events are applied as they arrive",
        scene.broken(Broken::EventsAsTheyArrive),
    );
}

#[test]
fn model_catches_a_fresh_start() {
    let budget = Budget { inbox: 1, customer: 1, interventions: 1, ..budget() };
    let scene = Scene::new(Rules::default_app(DESK), EdPrimary, budget);
    catch(judge::NO_CUSTOMER_FORGOTTEN, "the new owner starts fresh", scene.broken(Broken::StartsFresh));
}

#[test]
fn model_catches_a_request_that_stays_open() {
    let scene = bot_primary(Budget { desk: 1, inbox: 1, ..budget() });
    catch(
        judge::ENDS,
        "a control request stays open across an ownership change",
        scene.broken(Broken::KeepsRequest),
    );
}

#[test]
fn model_catches_waiting_for_the_webhook() {
    let scene = bot_primary(Budget { desk: 1, losses: 1, ..budget() });
    catch(judge::ENDS, "the grant's webhook is waited for", scene.broken(Broken::WaitsForTheGrant));
}

#[test]
fn model_catches_a_claim_that_is_dropped() {
    let scene = ed_primary(Budget { bot: 1, claims: 1, ..budget() });
    catch(
        judge::PROGRESS,
        "a claim joins the claim of a message and ends with it",
        scene.broken(Broken::DropsClaim),
    );
}

#[test]
fn model_catches_a_cancellation_under_way() {
    let scene = ed_primary(Budget { desk: 1, cancels: 1, ..budget() });
    catch(
        judge::NOTHING_LOST,
        "a message is cancelled while it is being sent",
        scene.broken(Broken::CancelsUnderWay),
    );
}

#[test]
fn model_catches_reports_as_they_arrive() {
    let scene = bot_primary(Budget { desk_reports: 1, ..budget() });
    catch(
        judge::PROGRESS,
        "reports of interventions are applied as they arrive",
        scene.broken(Broken::ReportsAsTheyArrive),
    );
}

#[test]
fn model_catches_a_notice_that_is_not_notified_again() {
    let scene = bot_primary(Budget { bot: 1, bot_failures: 1, ..budget() });
    catch(
        judge::PROGRESS,
        "a notice on which the handler failed counts as handled",
        scene.broken(Broken::SkipsFailed),
    );
}

/// The property that two apps never both believe they own the thread cannot hold, even without faults, because the loser
/// is notified after the winner. This is harmless: the platform lets only one of them send.
#[test]
fn model_two_apps_believe_to_own_the_thread() {
    let scene = Scene::new(Rules::no_primary(), NoPrimary, Budget { desk: 1, bot: 1, ..budget() });
    assert!(explore("no primary, handover: two believers", scene).contains(&Seen::TwoBelieversWithoutFaults));
}
