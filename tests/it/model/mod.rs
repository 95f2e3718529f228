//! Model test of the invariants (docs/correctness.md#the-invariants) under random schedules: two hosts, one customer, any
//! rules, calls that time out before or after the platform acted, webhooks that are late, duplicated, reordered or
//! lost, and processes that crash at any moment.

pub mod line;
mod world;

use std::time::Duration;

use messenger_handover::call::{InlineControl, MessageKey};
use messenger_handover::policy::ThreadControlPolicy::{self, BotPrimary, EdPrimary, NoPrimary};
use messenger_handover::thread::{Command, MessageStatus, Notice, Owner, Target};
use messenger_sim::{Echoes, Platform, RequestUnderDefaultApp, Rules, ZeroConfig};
use proptest::prelude::*;
use proptest::sample::select;

use line::Luck;
use world::{BOT, DESK, Host, Post, Side, World};

#[derive(Debug, Clone)]
enum Act {
    CustomerWrites,
    Send(Side),
    /// A last message with a transfer to the other side, or a release if false.
    Farewell(Side, bool),
    Open,
    Close,
    /// The bot requests a person for the customer.
    WantPerson,
    /// The desk passes the thread back to the bot.
    BackToBot,
    Post(Side, Post),
    Make(Side, Luck),
    /// Milliseconds that pass.
    Time(u64),
    Crash(Side),
}

fn act(lossy: bool) -> impl Strategy<Value = Act> {
    let side = || select(vec![Side::Bot, Side::Desk]);
    let mut posts = vec![Post::Deliver, Post::Deliver, Post::Deliver, Post::Double, Post::Overtaken];
    if lossy {
        posts.push(Post::Lose);
    }
    let luck = vec![Luck::Good, Luck::Good, Luck::Good, Luck::Good, Luck::AnswerLost, Luck::Lost, Luck::Busy];
    prop_oneof![
        2 => Just(Act::CustomerWrites),
        3 => side().prop_map(Act::Send),
        1 => (side(), any::<bool>()).prop_map(|(side, pass)| Act::Farewell(side, pass)),
        1 => Just(Act::Open),
        1 => Just(Act::Close),
        1 => Just(Act::WantPerson),
        1 => Just(Act::BackToBot),
        10 => (side(), select(posts)).prop_map(|(side, post)| Act::Post(side, post)),
        10 => (side(), select(luck)).prop_map(|(side, luck)| Act::Make(side, luck)),
        3 => select(vec![0, 1, 900, 8_000, 31_000, 61_000]).prop_map(Act::Time),
        1 => side().prop_map(Act::Crash),
    ]
}

#[derive(Debug, Clone)]
struct Scene {
    rules: Rules,
    policy: ThreadControlPolicy,
    may_take: bool,
    request: RequestUnderDefaultApp,
    zero_config: ZeroConfig,
    echoes: Echoes,
}

fn scene() -> impl Strategy<Value = Scene> {
    let pages = vec![
        (Rules::primary(BOT), BotPrimary),
        (Rules::primary(DESK), EdPrimary),
        (Rules::no_primary(), NoPrimary),
        (Rules::default_app(BOT), BotPrimary),
        (Rules::default_app(DESK), EdPrimary),
        (Rules::zero_config(), NoPrimary),
    ];
    let request = vec![RequestUnderDefaultApp::Refused, RequestUnderDefaultApp::SilentSuccess];
    let zero = vec![ZeroConfig::Observed, ZeroConfig::Documented];
    let echoes = vec![Echoes::Always, Echoes::LostWhenControlLeaves];
    let all = (select(pages), any::<bool>(), select(request), select(zero), select(echoes));
    all.prop_map(|((rules, policy), may_take, request, zero_config, echoes)| Scene {
        rules,
        policy,
        may_take,
        request,
        zero_config,
        echoes,
    })
}

fn play(scene: Scene, acts: &[Act]) -> World {
    let Scene { rules, policy, may_take, request, zero_config, echoes } = scene;
    let platform = Platform::new().with_request_under_default_app(request);
    let platform = platform.with_zero_config(zero_config).with_echoes(echoes);
    let mut world = World::new(platform, rules, policy, may_take);
    world.customer_writes();
    for act in acts {
        // Small steps, so that some events share a millisecond.
        world.pass_time(Duration::from_millis(world.made as u64 % 3));
        match act {
            Act::CustomerWrites => world.customer_writes(),
            Act::Send(side) => world.send(*side, None),
            Act::Farewell(side, pass) => {
                let other = if *side == Side::Bot { &world.desk } else { &world.bot };
                let pass = pass.then(|| InlineControl::PassTo(other.app.clone()));
                world.send(*side, Some(pass.unwrap_or(InlineControl::Release)));
            }
            Act::Open => drop(world.command(Side::Desk, Command::OpenIntervention)),
            Act::Close => drop(world.command(Side::Desk, Command::CloseIntervention)),
            Act::WantPerson => {
                drop(world.command(Side::Bot, Command::Transfer { target: Target::Desk, note: None }));
            }
            Act::BackToBot => {
                let bot = world.bot.app.clone();
                drop(world.command(Side::Desk, Command::Transfer { target: Target::App(bot), note: None }));
            }
            Act::Post(side, post) => world.post(*side, *post),
            Act::Make(side, luck) => world.make(*side, *luck),
            Act::Time(ms) => world.pass_time(Duration::from_millis(*ms)),
            Act::Crash(side) => world.crash(*side),
        }
    }
    let before = world.made;
    world.settle();
    // Neither side fights for control: each obtains it or gives up within a bounded number of calls.
    let calls = world.made - before;
    let answers = world.bot.accepted.len() + world.desk.accepted.len();
    assert!(calls <= 40 + 12 * answers, "{calls} calls for {answers} answers after the faults ended");
    world
}

/// Checks that each accepted message has one final status, arrives at most once, and in order.
fn answers_hold(world: &mut World) {
    let read = world.conversation();
    for side in [Side::Bot, Side::Desk] {
        let host = world.host(side);
        let mut last = 0;
        for key in &host.accepted {
            let times: Vec<_> =
                read.iter().enumerate().filter(|(_, text)| *text == key.as_str()).map(|(at, _)| at).collect();
            let ends = ends_of(host, key);
            match host.thread.message_status(key) {
                Some(MessageStatus::Sent { maybe_doubled, .. }) => {
                    assert_eq!(times.len(), 1, "{key} is delivered and was read {times:?}");
                    assert!(!maybe_doubled, "nobody chose to send again");
                    assert_eq!(ends.last(), Some(&"delivered"), "{key}: {ends:?}");
                }
                Some(MessageStatus::Failed(_)) => {
                    assert_eq!(times.len(), 0, "{key} failed and was read");
                    assert_eq!(ends, ["failed"], "{key}");
                }
                Some(MessageStatus::Unknown(_)) => {
                    assert!(times.len() <= 1, "{key} was read {times:?}");
                    assert_eq!(ends, ["unknown"], "{key}");
                }
                other => panic!("{key} has no end: {other:?}"),
            }
            if let Some(at) = times.first() {
                assert!(*at >= last, "{key} overtook another: {read:?}");
                last = *at;
            }
        }
    }
}

fn ends_of(host: &Host, answer: &MessageKey) -> Vec<&'static str> {
    let ends = host.told.iter().filter_map(|notice| match notice {
        Notice::MessageSent { key, .. } if key == answer => Some("delivered"),
        Notice::MessageFailed { key, .. } if key == answer => Some("failed"),
        Notice::MessageUnknown { key, .. } if key == answer => Some("unknown"),
        _ => None,
    });
    ends.collect()
}

/// Checks that, once every webhook has arrived, a host that believes it has control has it or the control has expired.
fn belief_holds(world: &mut World) {
    let owner = world.owner();
    for side in [Side::Bot, Side::Desk] {
        let host = world.host(side);
        if *host.thread.owner() == Owner::Us {
            assert!(
                owner.is_none() || owner.as_ref() == Some(&host.app),
                "{side:?} believes to have control, {owner:?} has it"
            );
        }
    }
}

/// Checks that, once every webhook has arrived, each customer message was notified to the owner's host, or to the
/// other host while that one could reply.
fn nobody_falls_between_two_chairs(world: &mut World) {
    let Some(owner) = world.owner() else { return };
    let (owner, other) =
        if owner == world.bot.app { (&world.bot, &world.desk) } else { (&world.desk, &world.bot) };
    let told = |host: &Host, question: &str| {
        host.told.iter().any(|notice| match notice {
            Notice::Message { inbound, to_answer, .. } => {
                (*to_answer || host.app == owner.app) && inbound.text.as_deref() == Some(question)
            }
            Notice::ControlGained { unanswered, .. } => {
                unanswered.iter().any(|inbound| inbound.text.as_deref() == Some(question))
            }
            _ => false,
        })
    };
    for question in &world.customer_wrote {
        assert!(
            told(owner, question) || told(other, question),
            "{question:?} is known to nobody who may answer"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn model_invariants_hold_when_every_webhook_arrives(
        scene in scene(),
        acts in prop::collection::vec(act(false), 0..60),
    ) {
        let mut world = play(scene, &acts);
        answers_hold(&mut world);
        belief_holds(&mut world);
        nobody_falls_between_two_chairs(&mut world);
    }

    #[test]
    fn model_no_message_is_lost_or_doubled_when_webhooks_are_lost(
        scene in scene(),
        acts in prop::collection::vec(act(true), 0..60),
    ) {
        answers_hold(&mut play(scene, &acts));
    }
}
