//! Random acts of customers, agents, bots and people in the Page inbox.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use messenger_handover::call::{InlineControl, MessageKey, OutgoingMessage};
use messenger_handover::id::ThreadKey;
use messenger_handover::policy::ThreadControlPolicy::{self, BotPrimary, EdPrimary, NoPrimary};
use messenger_handover::thread::{ClaimOrigin, Target};
use messenger_sim::{Echoes, Platform, RequestUnderDefaultApp, Rules, ZeroConfig};
use tokio::time::sleep;

use super::ground::{BOT, DESK, PAGE, thread};
use super::host::{Host, Side};
use super::world::{Setup, World};

/// Chooses the Page's rules, Meta's behaviour where it is undocumented, and the hosts' policies.
pub fn scene(rng: &mut Rng) -> (Setup, Platform) {
    let (rules, policy) = match rng.u8(0..6) {
        0 => (Rules::primary(BOT), BotPrimary),
        1 => (Rules::primary(DESK), EdPrimary),
        2 => (Rules::no_primary(), NoPrimary),
        3 => (Rules::default_app(BOT), BotPrimary),
        4 => (Rules::default_app(DESK), EdPrimary),
        _ => (Rules::zero_config(), NoPrimary),
    };
    let mut setup = Setup::new(rules, policy);
    if rng.u8(0..5) == 0 {
        // One host with a policy that does not fit the rules.
        let any =
            |rng: &mut Rng| -> ThreadControlPolicy { [BotPrimary, EdPrimary, NoPrimary][rng.usize(..3)] };
        (setup.bot, setup.desk) = (any(rng), any(rng));
    }
    setup.desk_may_take = rng.bool();
    setup.endpoint = rng.u8(0..4) > 0;
    setup.bot_trusts = rng.u8(0..5) > 0;
    for skew in &mut setup.skews {
        *skew = [0, 0, 1_500, -1_500][rng.usize(..4)];
    }
    setup.replicas = rng.usize(1..=2);
    setup.others = [0, 2_000, -2_000][rng.usize(..3)];
    setup.lively = true;
    let request = [RequestUnderDefaultApp::Refused, RequestUnderDefaultApp::SilentSuccess][rng.usize(..2)];
    let zero_config = [ZeroConfig::Observed, ZeroConfig::Documented][rng.usize(..2)];
    let echoes = [Echoes::Always, Echoes::LostWhenControlLeaves][rng.usize(..2)];
    if echoes == Echoes::LostWhenControlLeaves {
        setup.held_ms = 300;
    }
    let platform = Platform::new().with_request_under_default_app(request);
    (setup, platform.with_zero_config(zero_config).with_echoes(echoes))
}

/// Plays `steps` random acts with this many customers.
pub async fn play(world: &Arc<World>, customers: u64, steps: usize) {
    for step in 0..steps {
        let (user, what, pause) = {
            let mut rng = world.ground.rng();
            // Half of the acts go to one eighth of the customers.
            let user = if rng.bool() { rng.u64(0..customers) } else { rng.u64(0..customers.div_ceil(8)) };
            (user + 1, rng.u8(0..100), [0, 1, 5, 50, 300, 1_000, 1_000, 5_000][rng.usize(..8)])
        };
        sleep(Duration::from_millis(pause)).await;
        act(world, thread(user), what, step);
    }
}

fn act(world: &Arc<World>, key: ThreadKey, what: u8, step: usize) {
    let side = if world.ground.rng().bool() { Side::Bot } else { Side::Desk };
    match what {
        0..30 => {
            world.ground.note(&key, format_args!("the customer writes"));
            let text = format!("question {step}");
            world.ground.platform(|platform, now| platform.customer_writes(&key.page, &key.user, &text, now));
        }
        30..45 => send(world, Side::Desk, key, step, None),
        45..50 => send(world, Side::Bot, key, step, None),
        50..55 => {
            let other = if side == Side::Bot { &world.desk } else { &world.bot };
            let pass = world.ground.rng().bool().then(|| InlineControl::PassTo(other.app.clone()));
            send(world, side, key, step, Some(pass.unwrap_or(InlineControl::Release)));
        }
        55..60 => {
            ask(world, Side::Desk, key, "open", async |service, key| service.open_intervention(&key).await);
        }
        60..67 => {
            ask(world, Side::Desk, key, "close", async |service, key| service.close_intervention(&key).await);
        }
        67..71 => ask(world, Side::Bot, key, "a person", async |service, key| {
            service.hand_over(&key, Target::Desk).await.map(drop)
        }),
        71..74 => ask(world, Side::Desk, key, "back to the bot", async |service, key| {
            service.hand_over(&key, Target::App(BOT.into())).await.map(drop)
        }),
        74..76 => ask(world, side, key, "claim", async |service, key| {
            service.claim(&key, ClaimOrigin::Host, Duration::from_secs(3)).await.map(drop)
        }),
        76..78 => ask(world, side, key, "nobody", async |service, key| {
            service.hand_over(&key, Target::Nobody).await.map(drop)
        }),
        78..80 => {
            let open = world.ground.rng().bool();
            if open {
                ask(world, side, key, "reported open", async |service, key| {
                    service.intervention_opened(&key, None).await
                });
            } else {
                ask(world, side, key, "reported closed", async |service, key| {
                    service.intervention_closed(&key, None).await
                });
            }
        }
        80..84 => {
            if let Some(answer) = an_answer(world.host(side), &key) {
                ask(world, side, key, "cancel", move |service, key| {
                    let answer = answer.clone();
                    async move { service.cancel(&key, answer).await }
                });
            }
        }
        84..88 => {
            if let Some(answer) = an_answer(world.host(side), &key) {
                again(world, side, key, answer);
            }
        }
        88..91 => {
            world.ground.note(&key, format_args!("a person answers in the inbox"));
            let text = format!("inbox {step}");
            let replied = |platform: &mut Platform, now| {
                platform.inbox_replies(&PAGE.into(), &key.user, &text, now).map(drop)
            };
            // Only customers who have written can receive messages.
            let _ = world.ground.platform(replied);
        }
        91..93 => {
            world.ground.note(&key, format_args!("a person moves it to the inbox"));
            let _ = world.ground.platform(|platform, now| platform.inbox_move(&PAGE.into(), &key.user, now));
        }
        93 => world.host(side).process().handover.roles_changed(&PAGE.into()),
        94..96 => {
            world.ground.note(&key, format_args!("{side:?} crashes"));
            world.run(side);
        }
        _ => {}
    }
}

fn an_answer(host: &Host, thread: &ThreadKey) -> Option<MessageKey> {
    let accepted = host.book.page(thread).accepted;
    host.ground.rng().choice(accepted)
}

fn ask<F>(
    world: &Arc<World>,
    side: Side,
    thread: ThreadKey,
    name: &'static str,
    what: impl Fn(messenger_handover::handover::Handover, ThreadKey) -> F + Send + Sync + 'static,
) where
    F: Future<Output = Result<(), messenger_handover::handover::HandoverError>> + Send,
{
    let host = Arc::clone(world.host(side));
    host.ground.note(&thread, format_args!("{side:?} wants: {name}"));
    tokio::spawn(async move {
        let _ = host.ask(|service| what(service, thread.clone())).await;
    });
}

fn send(world: &Arc<World>, side: Side, thread: ThreadKey, step: usize, farewell: Option<InlineControl>) {
    let key = MessageKey::new(format!("{side:?}-{step}")).unwrap();
    let mut message = OutgoingMessage::text(key.as_str()).unwrap();
    let host = Arc::clone(world.host(side));
    host.ground.note(&thread, format_args!("{side:?} wants to send {key} {farewell:?}"));
    if let Some(control) = farewell {
        message = message.then(control);
    }
    tokio::spawn(async move { host.send(&thread, key, message).await });
}

/// Sends the same message again under the same key.
fn again(world: &Arc<World>, side: Side, thread: ThreadKey, key: MessageKey) {
    let host = Arc::clone(world.host(side));
    host.ground.note(&thread, format_args!("{side:?} wants to send {key} again"));
    let message = OutgoingMessage::text(key.as_str()).unwrap();
    tokio::spawn(async move { host.send(&thread, key, message).await });
}
