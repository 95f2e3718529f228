//! Dropped calls of `Handover`: after the first poll, a task of the service completes the work.

use std::cell::Cell;
use std::time::Duration;

use axum::http::Method;
use messenger_handover::call::{MessageKey, OutgoingMessage, SenderAction};
use messenger_handover::event::{Channel, ControlRequest, Event, EventKind};
use messenger_handover::handover::{Handover, Shown, Stopped, Transfer};
use messenger_handover::id::{AppId, ThreadKey};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::{ThreadStore, Write};
use messenger_handover::thread::{
    ClaimOrigin, Config, Context, Handled, Input, MessageStatus, NoticeId, Output, Target, Thread,
};
use messenger_handover::time::{Span, Timestamp};
use messenger_handover::webhook::{Delivery, Item, dangerous_parse_unverified};
use serde_json::{Value, json};

use super::{Case, Contract, customer, rest};
use crate::plain::plain;
use crate::schedules::ground::{DESK, PAGE};
use crate::schedules::host::Host;
use crate::schedules::world::{World, signed};

const SOURCE: &str = "src/handover/mod.rs";
const WAIT: Duration = Duration::from_secs(2);

thread_local! {
    /// The id of the transfer that was started before the function that waits for it.
    static BEGUN: Cell<u64> = const { Cell::new(0) };
    /// The id of the notification that was set aside.
    static SET_ASIDE: Cell<u64> = const { Cell::new(0) };
}

fn case(name: &'static str) -> Case {
    let (before, call) = (|_| Box::pin(async {}) as _, |_| Box::pin(async {}) as _);
    Case { source: SOURCE, name, contract: Contract::Carried, trusts: true, before, call }
}

fn key(name: &str) -> MessageKey {
    MessageKey::new(name).unwrap()
}

fn text(name: &str) -> OutgoingMessage {
    OutgoingMessage::text(name).unwrap()
}

fn desk(world: &World) -> Handover {
    world.desk.process().handover.clone()
}

fn bot(world: &World) -> Handover {
    world.bot.process().handover.clone()
}

async fn sends(host: &Host, name: &str) {
    host.send(&customer(), key(name), text(name)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Sets one of the bot's notifications aside.
async fn one_set_aside(world: &World) {
    let mut loaded = world.bot.kept.load(&[customer()]).await.unwrap();
    let loaded = loaded.remove(0);
    let mut thread = Thread::clone(&loaded.thread.unwrap());
    let mut config = Config::new(bot(world).app().clone(), Role::Bot, ThreadControlPolicy::BotPrimary);
    config.limits.attempts = 1;
    let (cx, now, mut out) = (Context::new(&config), Timestamp::from_millis(1), Vec::new());
    let mut request = ControlRequest::new(None);
    request.metadata = Some("x".into());
    let kind = EventKind::RequestThreadControl(request);
    let event = Event::new(Channel::Messaging, Span::at(now), kind);
    let _ = thread.step(&cx, Input::Event(event), now, &mut out);
    let notice = out.iter().find_map(|output| match output {
        Output::Notice { id, .. } => Some(*id),
        _ => None,
    });
    let notice = notice.unwrap();
    let _ = thread.step(&cx, Input::NoticeHandled { notice, handled: Handled::Retry }, now, &mut out);
    assert_eq!(thread.set_aside().map(|aside| aside.id).collect::<Vec<_>>(), [notice]);
    let write = Write::new(customer(), loaded.version, loaded.version + 1, thread, None);
    world.bot.kept.compare_and_swap(vec![write]).await.unwrap();
    SET_ASIDE.set(notice.0);
}

/// The desk has requested control, and the bot's host has not decided yet.
async fn asked(world: &World) {
    desk(world).claim(&customer(), ClaimOrigin::Host, WAIT).await.unwrap();
    tokio::time::sleep(WAIT).await;
    let waits: Vec<_> = bot(world).thread(&customer()).await.unwrap().waiting_requests().cloned().collect();
    assert_eq!(waits, [AppId::from(DESK)]);
}

/// The desk has control and no further need of it.
async fn claimed(world: &World) {
    desk(world).claim(&customer(), ClaimOrigin::Host, WAIT).await.unwrap();
    rest(world).await;
    assert_eq!(world.owner(&customer()), Some(AppId::from(DESK)));
}

/// The bot has requested a person.
async fn person_wanted(world: &World) {
    bot(world).hand_over(&customer(), Target::Desk).await.unwrap();
    rest(world).await;
    assert!(bot(world).thread(&customer()).await.unwrap().people_are_busy());
}

/// A customer's message that arrives by this delivery only.
fn delivery() -> Value {
    let ThreadKey { page, user, .. } = customer();
    let message = json!({"sender": {"id": user}, "recipient": {"id": page}, "timestamp": 1_790_000_000_500_u64,
        "message": {"mid": "m-told", "text": "are you there?"}});
    json!({"object": "page", "entry": [{"id": PAGE.to_string(), "time": 1, "messaging": [message]}]})
}

fn parsed() -> Delivery {
    dangerous_parse_unverified(delivery().to_string().as_bytes()).unwrap()
}

fn events() -> Vec<(ThreadKey, Event)> {
    let event = |item| match item {
        Item::Event { thread, event } => (thread, event),
        other => panic!("not understood: {other:?}"),
    };
    parsed().items.into_iter().map(event).collect()
}

pub fn cases() -> Vec<Case> {
    told().into_iter().chain(answers()).chain([signs()]).chain(control()).chain(upkeep()).collect()
}

fn upkeep() -> Vec<Case> {
    let upkeep = |name| Case { source: "src/handover/maintenance.rs", ..case(name) };
    vec![
        Case {
            before: |w| {
                Box::pin(async move {
                    tokio::spawn(async move { desk(&w).claim(&customer(), ClaimOrigin::Host, WAIT).await });
                    tokio::time::sleep(Duration::from_millis(4)).await;
                })
            },
            call: |w| {
                Box::pin(async move {
                    assert_eq!(desk(&w).stop(Duration::from_mins(1)).await, Stopped::Finished);
                })
            },
            ..upkeep("stop")
        },
        Case {
            contract: Contract::Reads,
            before: |w| {
                Box::pin(async move {
                    tokio::spawn(async move { desk(&w).claim(&customer(), ClaimOrigin::Host, WAIT).await });
                    tokio::time::sleep(Duration::from_millis(4)).await;
                })
            },
            call: |w| Box::pin(async move { assert!(desk(&w).settled(Duration::from_mins(1)).await) }),
            ..upkeep("settled")
        },
        Case {
            contract: Contract::Reads,
            call: |w| Box::pin(async move { bot(&w).healthy(Duration::from_mins(1)).await.unwrap() }),
            ..upkeep("healthy")
        },
        Case {
            contract: Contract::Reads,
            call: |w| {
                Box::pin(async move {
                    let _ = bot(&w).backlog(10).await.unwrap();
                })
            },
            source: "src/handover/backlog.rs",
            ..upkeep("backlog")
        },
        Case {
            contract: Contract::Reads,
            call: |w| {
                Box::pin(async move { bot(&w).threads_needing_attention(None, 9).await.map(drop).unwrap() })
            },
            ..upkeep("threads_needing_attention")
        },
        Case {
            call: |w| Box::pin(async move { bot(&w).forget(&customer()).await.unwrap() }),
            ..upkeep("forget")
        },
    ]
}

/// Cases for input from the platform and from Engage Digital.
fn told() -> Vec<Case> {
    let server = |name| Case { source: "src/webhook/endpoint.rs", ..case(name) };
    vec![
        Case { call: |w| Box::pin(async move { bot(&w).events(events()).await.unwrap() }), ..case("events") },
        Case {
            source: "src/webhook/endpoint.rs",
            call: |w| Box::pin(async move { bot(&w).receive(parsed()).await.unwrap() }),
            ..case("receive")
        },
        Case {
            call: |w| {
                Box::pin(async move {
                    let (body, headers) = signed(&delivery(), w.bot.secret);
                    let process = w.bot.process();
                    let answer = process.webhook.handle(&Method::POST, None, &headers, body.as_bytes()).await;
                    assert_eq!(answer.status(), 200);
                })
            },
            ..server("handle")
        },
        Case {
            call: |w| {
                Box::pin(async move {
                    let (body, headers) = signed(&delivery(), w.bot.secret);
                    let headers: Vec<_> = plain(&headers).collect();
                    let process = w.bot.process();
                    let answer = process.webhook.handle_plain("POST", None, &headers, body.as_bytes()).await;
                    assert_eq!(answer.status, 200);
                })
            },
            ..server("handle_plain")
        },
        Case {
            call: |w| Box::pin(async move { desk(&w).intervention_opened(&customer(), None).await.unwrap() }),
            ..case("intervention_opened")
        },
        Case {
            before: |w| {
                Box::pin(async move {
                    desk(&w).intervention_opened(&customer(), None).await.unwrap();
                    rest(&w).await;
                })
            },
            call: |w| Box::pin(async move { desk(&w).intervention_closed(&customer(), None).await.unwrap() }),
            ..case("intervention_closed")
        },
    ]
}

/// Cases for sending messages and querying their status.
fn answers() -> Vec<Case> {
    vec![
        Case {
            call: |w| {
                Box::pin(async move {
                    w.desk.book.asks(&customer(), &key("a"));
                    desk(&w).send(&customer(), key("a"), text("a")).await.map(drop).unwrap();
                })
            },
            ..case("send")
        },
        Case {
            trusts: false,
            before: |w| {
                Box::pin(async move {
                    sends(&w.desk, "a").await;
                    let status = desk(&w).message_status(&customer(), &key("a")).await.unwrap();
                    assert_eq!(status, Some(MessageStatus::Waiting));
                })
            },
            call: |w| Box::pin(async move { desk(&w).cancel(&customer(), key("a")).await.unwrap() }),
            ..case("cancel")
        },
        Case {
            before: |w| {
                Box::pin(async move {
                    desk(&w).claim(&customer(), ClaimOrigin::Host, WAIT).await.map(drop).unwrap();
                    w.ground.lose_next();
                    sends(&w.desk, "a").await;
                    sends(&w.desk, "b").await;
                    tokio::time::sleep(Duration::from_mins(2)).await;
                    let status = desk(&w).message_status(&customer(), &key("a")).await.unwrap();
                    assert!(matches!(status, Some(MessageStatus::Unknown(_))), "{status:?}");
                })
            },
            call: |w| Box::pin(async move { desk(&w).resume(&customer(), key("a")).await.unwrap() }),
            ..case("resume")
        },
        Case {
            contract: Contract::Reads,
            call: |w| {
                Box::pin(
                    async move { bot(&w).message_status(&customer(), &key("a")).await.map(drop).unwrap() },
                )
            },
            ..case("message_status")
        },
        Case {
            contract: Contract::Reads,
            call: |w| Box::pin(async move { bot(&w).thread(&customer()).await.map(drop).unwrap() }),
            ..case("thread")
        },
    ]
}

/// Cases for typing indicators and read marks.
fn signs() -> Case {
    Case {
        source: "src/handover/sender_action.rs",
        call: |w| {
            Box::pin(async move {
                let shown = bot(&w).sender_action(&customer(), SenderAction::TypingOn).await.unwrap();
                assert!(matches!(shown, Shown::Accepted), "{shown:?}");
            })
        },
        ..case("sender_action")
    }
}

/// Cases for calls that change or await control.
fn control() -> Vec<Case> {
    vec![
        Case {
            call: |w| Box::pin(async move { desk(&w).open_intervention(&customer()).await.unwrap() }),
            ..case("open_intervention")
        },
        Case {
            before: |w| {
                Box::pin(async move {
                    desk(&w).open_intervention(&customer()).await.unwrap();
                    rest(&w).await;
                })
            },
            call: |w| Box::pin(async move { desk(&w).close_intervention(&customer()).await.unwrap() }),
            ..case("close_intervention")
        },
        Case {
            call: |w| {
                Box::pin(async move {
                    desk(&w).claim(&customer(), ClaimOrigin::Host, WAIT).await.map(drop).unwrap();
                })
            },
            ..case("claim")
        },
        Case {
            call: |w| {
                Box::pin(async move {
                    let (desk, customer) = (desk(&w), customer());
                    let claim = desk.claim_with_note(&customer, ClaimOrigin::Host, "mine", WAIT);
                    claim.await.map(drop).unwrap();
                })
            },
            ..case("claim_with_note")
        },
        Case {
            before: |w| Box::pin(async move { claimed(&w).await }),
            call: |w| {
                Box::pin(async move {
                    desk(&w).hand_over(&customer(), Target::Nobody).await.map(drop).unwrap();
                })
            },
            ..case("hand_over")
        },
        Case {
            before: |w| Box::pin(async move { claimed(&w).await }),
            call: |w| {
                Box::pin(async move {
                    desk(&w)
                        .hand_over_with_note(&customer(), Target::Nobody, "done")
                        .await
                        .map(drop)
                        .unwrap();
                })
            },
            ..case("hand_over_with_note")
        },
        Case {
            before: |w| Box::pin(async move { person_wanted(&w).await }),
            call: |w| Box::pin(async move { bot(&w).resume_bot(&customer()).await.unwrap() }),
            ..case("resume_bot")
        },
        Case {
            contract: Contract::Reads,
            before: |w| {
                Box::pin(async move {
                    claimed(&w).await;
                    let begun = desk(&w).hand_over(&customer(), Target::Nobody).await.unwrap();
                    let Transfer::Started { id, .. } = begun else { panic!("{begun:?}") };
                    BEGUN.set(id);
                })
            },
            call: |w| {
                Box::pin(async move {
                    desk(&w).transfer_progress(&customer(), BEGUN.get(), WAIT).await.map(drop).unwrap();
                })
            },
            ..case("transfer_progress")
        },
        Case {
            trusts: false,
            before: |w| Box::pin(async move { asked(&w).await }),
            call: |w| Box::pin(async move { bot(&w).grant(&customer(), DESK.into()).await.unwrap() }),
            ..case("grant")
        },
        Case {
            trusts: false,
            before: |w| Box::pin(async move { asked(&w).await }),
            call: |w| Box::pin(async move { bot(&w).refuse(&customer(), DESK.into()).await.unwrap() }),
            ..case("refuse")
        },
        Case {
            source: "src/handover/maintenance.rs",
            before: |w| Box::pin(async move { one_set_aside(&w).await }),
            call: |w| {
                Box::pin(async move {
                    bot(&w).dismiss_set_aside(&customer(), NoticeId(SET_ASIDE.get())).await.unwrap();
                })
            },
            ..case("dismiss_set_aside")
        },
    ]
}
