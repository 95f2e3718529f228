//! The explored worlds.

use messenger_handover::id::PAGE_INBOX;
use messenger_handover::policy::ThreadControlPolicy::{self, BotPrimary, EdPrimary, NoPrimary};
use messenger_sim::{Echoes, RequestUnderDefaultApp, Rules, ZeroConfig};

use crate::budget::Budget;
use crate::explore::{explore, only_samples};
use crate::scene::{BOT, DESK, Scene};
use crate::seen::Seen;
use crate::stories::{ENDPOINT, ENDPOINT_INPUTS, INPUTS, STORIES};

const NONE: Budget = Budget::NONE;

/// The situations that must occur under every configuration.
const EVERYWHERE: [Seen; 25] = [
    Seen::Unsent,
    Seen::BotWasSilent,
    Seen::Released,
    Seen::SendRefused,
    Seen::UnknownOutcome,
    Seen::EchoAfterUnknown,
    Seen::LateEcho,
    Seen::Queued,
    Seen::WentOnBehindUnknown,
    Seen::HandBackWaited,
    Seen::HandBackRefused,
    Seen::CrashAfterActing,
    Seen::WrongBelief,
    Seen::ControlExpired,
    Seen::ClaimGranted,
    Seen::ClaimNotGranted,
    Seen::ReleasedByHost,
    Seen::ReportOutOfOrder,
    Seen::Cancelled,
    Seen::CancelledTooLate,
    Seen::HandledAgain,
    Seen::SetAside,
    Seen::Dismissed,
    Seen::Resumed,
    Seen::CallDelayed,
];

/// In addition where the bot gets the customer's first message, and a host gets requests for control.
const REQUESTS: [Seen; 4] =
    [Seen::ToldWhatCameBefore, Seen::RequestGranted, Seen::RequestRefused, Seen::HandlerAsked];

/// Explores all budgets under one policy and rule set, and checks that the expected situations occur.
fn stories(name: &str, make: impl Fn(Budget) -> Scene, shown: &[Seen]) {
    let mut seen = Vec::new();
    for (story, budget) in STORIES.into_iter().chain(INPUTS) {
        seen.extend(explore(&format!("{name}: {story}"), make(budget)));
    }
    for (story, budget) in ENDPOINT.into_iter().chain(ENDPOINT_INPUTS) {
        seen.extend(explore(&format!("{name}: {story}"), make(budget).endpoint()));
    }
    let missing: Vec<_> = EVERYWHERE.iter().chain(shown).filter(|what| !seen.contains(what)).collect();
    assert!(missing.is_empty() || only_samples(), "{name} never shows {missing:?}");
}

fn under(rules: Rules, policy: ThreadControlPolicy) -> impl Fn(Budget) -> Scene {
    move |budget| Scene::new(rules.clone(), policy, budget)
}

#[test]
fn model_bot_primary_handover() {
    stories("bot primary, handover", under(Rules::primary(BOT), BotPrimary), &REQUESTS);
}

#[test]
fn model_ed_primary_handover() {
    stories("ed primary, handover", under(Rules::primary(DESK), EdPrimary), &[Seen::ToldWhatCameBefore]);
}

#[test]
fn model_no_primary_handover() {
    stories("no primary, handover", under(Rules::no_primary(), NoPrimary), &REQUESTS);
}

#[test]
fn model_bot_primary_routing() {
    stories(
        "bot primary, default application the bot",
        under(Rules::default_app(BOT), BotPrimary),
        &[Seen::ToldWhatCameBefore],
    );
}

#[test]
fn model_ed_primary_routing() {
    stories(
        "ed primary, default application ED",
        under(Rules::default_app(DESK), EdPrimary),
        &[Seen::ToldWhatCameBefore],
    );
}

#[test]
fn model_no_primary_routing() {
    stories(
        "no primary, default application the inbox",
        under(Rules::default_app(PAGE_INBOX), NoPrimary),
        &[Seen::ToldWhatCameBefore],
    );
}

#[test]
fn model_bot_primary_zero_config() {
    stories("bot primary, zero-config", under(Rules::zero_config(), BotPrimary), &[]);
}

#[test]
fn model_ed_primary_zero_config() {
    stories("ed primary, zero-config", under(Rules::zero_config(), EdPrimary), &[]);
}

#[test]
fn model_no_primary_zero_config() {
    stories("no primary, zero-config", under(Rules::zero_config(), NoPrimary), &REQUESTS);
}

/// The platform's undocumented behaviour, set to the opposite of the defaults.
#[test]
fn model_other_choices_of_the_platform() {
    let budget = Budget { bot: 1, desk: 1, desk_faults: 1, ..NONE };
    let farewell = Budget { farewells: 1, customer: 1, bot_faults: 1, ..NONE };
    let silent = |scene: Scene| {
        scene.platform(|platform| {
            platform.with_request_under_default_app(RequestUnderDefaultApp::SilentSuccess)
        })
    };
    let echoes_lost =
        |scene: Scene| scene.platform(|platform| platform.with_echoes(Echoes::LostWhenControlLeaves));
    let (to_bot, to_desk) =
        (under(Rules::default_app(BOT), BotPrimary), under(Rules::default_app(DESK), EdPrimary));
    explore("default application the bot, no take", to_bot(budget).without_take());
    explore("default application the bot, requests are swallowed", silent(to_bot(budget)));
    explore(
        "default application the bot, requests are swallowed, no take",
        silent(to_bot(budget)).without_take(),
    );
    explore("default application ED, no take", to_desk(budget).without_take());
    explore("default application ED, requests are swallowed", silent(to_desk(budget)));
    explore("default application the bot, echoes are lost", echoes_lost(to_bot(farewell)));
    explore(
        "bot primary, handover, echoes are lost",
        echoes_lost(under(Rules::primary(BOT), BotPrimary)(farewell)),
    );
    let documented = under(Rules::zero_config(), NoPrimary)(budget);
    let documented = documented.platform(|platform| platform.with_zero_config(ZeroConfig::Documented));
    explore("zero-config as documented", documented);
}

/// Hosts that resend after an unknown outcome: the status must say that the message may be doubled.
#[test]
fn model_hosts_that_resend() {
    let budget = Budget { desk: 2, bot: 1, desk_faults: 1, late: 1, ..NONE };
    let seen =
        explore("ed primary, handover, resent", under(Rules::primary(DESK), EdPrimary)(budget).resends());
    assert!(seen.contains(&Seen::ReadTwice) || only_samples());
    let budget = Budget { desk: 1, customer: 1, desk_faults: 2, late: 1, ..NONE };
    explore("bot primary, handover, resent", under(Rules::primary(BOT), BotPrimary)(budget).resends());
    let budget = Budget { desk: 2, crashes: 1, late: 1, ..NONE };
    explore("zero-config, resent", under(Rules::zero_config(), NoPrimary)(budget).resends());
}

/// Two hosts with any two policies come to rest under any rules.
#[test]
fn model_any_two_policies() {
    let budget = Budget { bot: 1, desk: 1, ..NONE };
    let all = [
        ("bot primary", Rules::primary(BOT)),
        ("ed primary", Rules::primary(DESK)),
        ("no primary", Rules::no_primary()),
        ("default application the bot", Rules::default_app(BOT)),
        ("default application ED", Rules::default_app(DESK)),
        ("zero-config", Rules::zero_config()),
    ];
    for (rules_name, rules) in all {
        for bot in ThreadControlPolicy::ALL {
            for desk in ThreadControlPolicy::ALL {
                let scene = Scene::new(rules.clone(), bot, budget).desk_policy(desk);
                explore(&format!("{rules_name}; the bot says {bot}, ED {desk}"), scene);
            }
        }
    }
}

/// A world with two million states.
#[test]
fn model_largest() {
    let budget = Budget { interventions: 1, desk: 1, customer: 1, ..NONE };
    explore(
        "bot primary, handover: an intervention, an agent's answer, a message meanwhile",
        Scene::new(Rules::primary(BOT), BotPrimary, budget),
    );
}

/// The Pages of the larger worlds. Run those with
/// `MODEL=large cargo test -p check-model --profile model model_larger -- --ignored --nocapture --test-threads=1`.
fn explore_all(what: &str, budget: Budget, endpoint: bool) {
    let pages = [
        ("ed primary, handover", Rules::primary(DESK), EdPrimary),
        ("no primary, handover", Rules::no_primary(), NoPrimary),
        ("ed primary, default application ED", Rules::default_app(DESK), EdPrimary),
        ("no primary, zero-config", Rules::zero_config(), NoPrimary),
        ("bot primary, default application the bot", Rules::default_app(BOT), BotPrimary),
        ("bot primary, handover", Rules::primary(BOT), BotPrimary),
    ];
    for (name, rules, policy) in pages {
        let scene = under(rules, policy)(budget);
        explore(&format!("{name}: {what}"), if endpoint { scene.endpoint() } else { scene });
    }
}

#[test]
#[ignore = "tens of millions of states, and many minutes"]
fn model_larger_inbox() {
    let budget = Budget { inbox: 1, days: 1, customer: 1, desk: 1, interventions: 1, ..NONE };
    explore_all("the inbox, a day, an intervention, an answer, a message", budget, false);
}

#[test]
#[ignore = "tens of millions of states, and many minutes"]
fn model_larger_reports() {
    let budget = Budget { desk_reports: 1, bot_reports: 1, customer: 1, desk: 1, ..NONE };
    explore_all("reports to both, an answer, a message", budget, false);
}

#[test]
#[ignore = "tens of millions of states, and many minutes"]
fn model_larger_farewells() {
    let budget = Budget { bot_reports: 1, farewells: 1, customer: 1, ..NONE };
    explore_all("reported people, a farewell, a message meanwhile", budget, false);
}

#[test]
#[ignore = "tens of millions of states, and many minutes"]
fn model_larger_claims() {
    let budget = Budget { claims: 2, cancels: 1, desk: 1, bot: 1, persons: 1, ..NONE };
    explore_all("two claims, answers, a cancellation, a person", budget, true);
}

#[test]
#[ignore = "tens of millions of states, and many minutes"]
fn model_larger_failures() {
    let budget = Budget { bot_failures: 2, desk_failures: 1, replies: 1, desk: 1, customer: 1, ..NONE };
    explore_all("handlers that fail, answers, a message", budget, false);
}

#[test]
#[ignore = "tens of millions of states, and many minutes"]
fn model_larger_everything_once() {
    let budget =
        Budget { customer: 1, bot: 1, desk: 1, interventions: 1, bot_faults: 1, desk_faults: 1, ..NONE };
    explore_all("everything once", budget, false);
}
