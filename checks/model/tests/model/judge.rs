//! The invariants (docs/correctness.md#the-invariants) as properties, by their numbers there.

use messenger_handover::call::{Call, CallOutcome, MessageKey};
use messenger_handover::event::{Channel, ControlChange, Event, EventKind};
use messenger_handover::id::AppId;
use messenger_handover::thread::{Context, Input, MessageStatus, OnUnknown, Output, Owner};
use messenger_handover::time::{Span, Timestamp};
use messenger_sim::Rules;
use stateright::{Model, Property};

use crate::adapter::{api_call, key, result};
use crate::scene::Scene;
use crate::state::{Decision, End, Side, State};

/// More waits than this without a call in between mean that a thread never comes to rest.
const MAX_IDLE_WAITS: u8 = 12;

pub const NOTHING_LOST: &str = "1: nothing lost";
pub const ENDS: &str = "1: every schedule ends, with nothing left to do";
pub const NOTHING_DOUBLED: &str = "2: nothing doubled";
pub const IN_ORDER: &str = "3: in order";
pub const NO_THEFT: &str = "4: no theft";
pub const NO_EARLY_HAND_BACK: &str = "5: no early hand-back";
pub const NO_HOARDING: &str = "6: no hoarding";
pub const NO_FIGHT: &str = "7: no fight";
pub const BELIEF_HEALS: &str = "8: belief heals";
pub const NO_CUSTOMER_FORGOTTEN: &str = "11: no customer falls between two chairs";
pub const PEOPLE_FIRST: &str = "12: a bot does not speak where people were asked for";
pub const PROGRESS: &str = "13: notices, claims, grants and reports come to their end";
const COMES_TO_REST: &str = "1, 7: it comes to rest";

pub fn properties() -> Vec<Property<Scene>> {
    vec![
        Property::always(NOTHING_LOST, |scene: &Scene, state: &State| {
            !state.is_quiet() || nothing_is_lost(scene, state)
        }),
        Property::always(ENDS, |scene: &Scene, state: &State| {
            !is_broken(state, "1") && !is_stuck(scene, state)
        }),
        Property::eventually(COMES_TO_REST, |scene: &Scene, state: &State| {
            state.is_quiet() || is_over(scene, state)
        }),
        Property::always(NOTHING_DOUBLED, |scene: &Scene, state: &State| {
            Side::BOTH.into_iter().all(|side| {
                let resends = scene.config(side).on_unknown == OnUnknown::Resend;
                state.of(side).accepted.iter().all(|key| {
                    state.times(key) <= 1 || resends && (!state.is_quiet() || says_so(state, side, key))
                })
            })
        }),
        Property::always(IN_ORDER, |_, state: &State| !is_broken(state, "3") && is_in_order(state)),
        Property::always(NO_THEFT, |_, state: &State| !is_broken(state, "4")),
        Property::always(NO_EARLY_HAND_BACK, |_, state: &State| !is_broken(state, "5")),
        Property::always(PEOPLE_FIRST, |_, state: &State| !is_broken(state, "12")),
        Property::always(NO_HOARDING, |scene: &Scene, state: &State| !is_hoarding(scene, state)),
        Property::always(NO_FIGHT, |scene: &Scene, state: &State| !is_a_fight(scene, state)),
        Property::always(BELIEF_HEALS, |scene: &Scene, state: &State| {
            !state.is_quiet() || belief_heals(scene, state)
        }),
        Property::always(NO_CUSTOMER_FORGOTTEN, |scene: &Scene, state: &State| {
            !state.is_quiet() || state.lossy || nobody_is_forgotten(scene, state)
        }),
        Property::always(PROGRESS, |scene: &Scene, state: &State| {
            !is_broken(state, "13")
                && keeps_aside(scene, state)
                && (!state.is_quiet() || nothing_is_open(scene, state))
        }),
        Property::always("one call at a time", |_, state: &State| !is_broken(state, "two calls")),
    ]
}

/// Whether exploration ends here, because later states show nothing new.
pub fn is_over(scene: &Scene, state: &State) -> bool {
    state.broken.is_some() || is_a_fight(scene, state) || state.idle_waits > MAX_IDLE_WAITS
}

fn is_broken(state: &State, number: &str) -> bool {
    state.broken.is_some_and(|how| how.split(':').next() == Some(number))
}

/// Whether the message's status tells the host that the customer may read it twice.
fn says_so(state: &State, side: Side, key: &MessageKey) -> bool {
    let status = state.of(side).thread.message_status(key);
    matches!(status, Some(MessageStatus::Sent { maybe_doubled: true, .. } | MessageStatus::Unknown(_)))
}

fn nothing_is_lost(scene: &Scene, state: &State) -> bool {
    Side::BOTH.into_iter().all(|side| {
        let host = state.of(side);
        host.accepted.iter().all(|key| {
            let ends: Vec<_> = host.ends.iter().filter(|(of, _)| of == key).map(|(_, end)| *end).collect();
            match ends[..] {
                [End::Delivered] | [End::Unknown, End::Delivered] => state.times(key) >= 1,
                [End::Failed] => state.times(key) == 0,
                // With echoes, the echo of a sent message would have resolved the unknown outcome.
                [End::Unknown] => state.times(key) == 0 || state.lossy || !scene.has_echoes(),
                _ => false,
            }
        })
    })
}

/// Whether the notices that were set aside are stored, unless the customer took one back.
fn keeps_aside(scene: &Scene, state: &State) -> bool {
    scene.budget.unsends > 0 || Side::BOTH.into_iter().all(|side| state.of(side).keeps_aside())
}

/// Whether each claim and each granted request has ended, and the desk knows whether agents are engaged.
fn nothing_is_open(scene: &Scene, state: &State) -> bool {
    let ended = |side: Side| {
        let host = state.of(side);
        let has_control = state.owner().as_ref() == Some(&scene.config(side.other()).app);
        // While an agent is engaged, a granted request waits.
        let waits = host.thread.intervention_is_open();
        !host.claims && (host.decision != Decision::Granted || has_control || waits)
    };
    let desk = &state.desk;
    let is_known = desk.reported.is_none_or(|report| report.open == desk.thread.intervention_is_open());
    Side::BOTH.into_iter().all(ended) && is_known
}

/// Whether no action but waiting is possible although work is pending.
fn is_stuck(scene: &Scene, state: &State) -> bool {
    if state.broken.is_some() || is_a_fight(scene, state) {
        return false;
    }
    if state.idle_waits > MAX_IDLE_WAITS {
        return true;
    }
    let mut actions = Vec::new();
    scene.actions(state, &mut actions);
    actions.is_empty() && !state.is_quiet()
}

/// Whether the customer read each side's messages in the order in which they were accepted.
fn is_in_order(state: &State) -> bool {
    Side::BOTH.into_iter().all(|side| {
        let places = state.read_of(side);
        places.is_sorted()
    })
}

/// The app that an idle thread is routed to when the customer writes.
fn first(rules: &Rules) -> Option<&AppId> {
    match rules {
        Rules::Handover { primary } => primary.as_ref(),
        Rules::Routing { default_app } => default_app.as_ref(),
        _ => None,
    }
}

/// Whether the desk keeps control after its agent is done. A desk that is first on the Page is exempt, because it gets the
/// customer's next message anyway; so is a desk that was given control without asking.
fn is_hoarding(scene: &Scene, state: &State) -> bool {
    let desk = Some(&scene.desk.app);
    let given = state.people_wanted || state.passed_to_desk > state.asked_for;
    state.agent_is_done
        && !given
        && state.is_quiet()
        && state.owner().as_ref() == desk
        && first(&scene.rules) != desk
}

/// Whether the numbers of transfers and calls exceed bounds that follow from the wishes and faults of the schedule.
fn is_a_fight(scene: &Scene, state: &State) -> bool {
    let (wishes, faults) = scene.budget.spent(state.left);
    usize::from(state.handovers) > 1 + 4 * wishes + 2 * faults
        || usize::from(state.calls) > 16 + 12 * wishes + 8 * faults
}

/// Whether each host that believes it has control has it, or lost it without a notification; and whether one response of
/// the platform corrects the belief to the state that the platform shows this app.
fn belief_heals(scene: &Scene, state: &State) -> bool {
    let owner = state.owner();
    Side::BOTH.into_iter().all(|side| {
        let app = &scene.config(side).app;
        let believes = *state.of(side).thread.owner() == Owner::Us;
        (state.lossy || !believes || owner.is_none() || owner.as_ref() == Some(app))
            && heals(scene, state, side)
    })
}

fn heals(scene: &Scene, state: &State, side: Side) -> bool {
    let (config, host) = (scene.config(side), state.of(side));
    let cx = Context { page: host.page, ..Context::new(config) };
    let mut thread = host.thread.clone();
    let (mut now, mut out) = (state.now.plus(std::time::Duration::from_millis(1)), Vec::new());
    // An event without a known app makes the owner uncertain.
    let kind = EventKind::PassThreadControl(ControlChange::default());
    let _ =
        thread.step(&cx, Input::Event(Event::new(Channel::Messaging, Span::at(now), kind)), now, &mut out);
    for _ in 0..3 {
        let look = out.iter().find_map(|output| match output {
            Output::Call { id, call: Call::ThreadOwner, .. } => Some(*id),
            _ => None,
        });
        if let Some(call) = look {
            let api = api_call(&config.app, &Call::ThreadOwner);
            let told = (*state.platform).clone().call(&config.app, &key().page, &api, now);
            let told = result(&Call::ThreadOwner, told);
            let _ = thread.step(&cx, Input::CallEnded { call, outcome: told.clone() }, now, &mut out);
            return agrees(thread.owner(), &told, &config.app);
        }
        // A backoff after a fault may still be running.
        now = thread.next_wake(&cx).unwrap_or(Timestamp::MAX);
        let _ = thread.step(&cx, Input::Wake, now, &mut out);
    }
    false
}

fn agrees(owner: &Owner, told: &CallOutcome, us: &AppId) -> bool {
    use messenger_handover::call::ThreadOwner::{App, Hidden, Idle};
    match told {
        CallOutcome::Owner(App { app, .. }) if app == us => *owner == Owner::Us,
        CallOutcome::Owner(App { app, .. }) => *owner == Owner::Other(Some(app.clone())),
        CallOutcome::Owner(Hidden { .. }) => matches!(owner, Owner::Other(_)),
        CallOutcome::Owner(Idle) => *owner == Owner::Idle,
        _ => false,
    }
}

/// Whether each unanswered message of the customer was notified to a host as its own to answer: to the owner's host, or to
/// the other one while that one could reply.
fn nobody_is_forgotten(scene: &Scene, state: &State) -> bool {
    let Some(owner) = state.owner() else { return true };
    // People who work in the inbox read everything, and so do agents whom Engage Digital reports.
    let in_the_inbox = owner != scene.bot.app && owner != scene.desk.app;
    let with_people = in_the_inbox || state.engaged;
    let all = (1_u16 << state.customer_wrote) - (1 << state.answered);
    let all = all & !state.unsent.map_or(0, |number| 1 << number);
    with_people || u16::from(state.bot.told_ours | state.desk.told_ours) & all == all
}
