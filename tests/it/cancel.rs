//! A future that is dropped at any poll changes nothing of what it began.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use messenger_handover::call::{AnswerKey, OutgoingMessage};
use messenger_handover::id::AppId;
use messenger_handover::policy::ThreadControlPolicy::BotPrimary;
use messenger_handover::sim::Rules;
use messenger_handover::thread::{ClaimOrigin, Target};
use messenger_handover::time::Timestamp;

use crate::world::{BOT, Setup, World, desk, thread};

/// Polls so often, and drops it then. Its output, if it came to an end before.
async fn poll_and_drop<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    for _ in 0..times {
        let once = poll_fn(|cx| Poll::Ready(Pin::as_mut(&mut future).poll(cx))).await;
        if let Poll::Ready(output) = once {
            return Some(output);
        }
        // What it waits for goes on meanwhile.
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    None
}

#[derive(Debug, Clone, Copy)]
enum What {
    Send,
    Open,
    Reported,
    Claim,
    HandOver,
}

/// Whether the call came to an end, and what became of the conversation.
async fn run(what: What, times: usize) -> (bool, Option<AppId>, Vec<String>, bool) {
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    world.customer_writes("hello");
    world.rest().await;
    let (service, thread) = (&world.desk.handover, thread());
    if matches!(what, What::HandOver) {
        service.open_intervention(&thread).await.unwrap();
        world.until("the desk has control", |world| world.owner() == Some(desk())).await;
        service.close_intervention(&thread).await.unwrap();
        service.claim(&thread, ClaimOrigin::Host, Duration::ZERO).await.unwrap();
        world.until("the desk has control", |world| world.owner() == Some(desk())).await;
        world.rest().await;
    }
    let wait = Duration::from_secs(5);
    let ended = match what {
        What::Send => {
            let (key, message) = (AnswerKey::new("a").unwrap(), OutgoingMessage::text("a").unwrap());
            poll_and_drop(service.send(&thread, key, message), times).await.is_some()
        }
        What::Open => poll_and_drop(service.open_intervention(&thread), times).await.is_some(),
        What::Reported => {
            let at = Some(Timestamp::from_millis(1_700_000_000_000));
            poll_and_drop(service.intervention_opened(&thread, at), times).await.is_some()
        }
        What::Claim => poll_and_drop(service.claim(&thread, ClaimOrigin::Host, wait), times).await.is_some(),
        What::HandOver => poll_and_drop(service.hand_over(&thread, Target::Nobody), times).await.is_some(),
    };
    world.rest().await;
    // Requests are answered by the bot a little later.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        world.rest().await;
    }
    let open = service.thread(&thread).await.unwrap().intervention_is_open();
    (ended, world.owner(), world.conversation(), open)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_ends_as_if_it_had_been_waited_for() {
    for what in [What::Send, What::Open, What::Reported, What::Claim, What::HandOver] {
        let (ended, owner, conversation, open) = run(what, 10_000).await;
        assert!(ended, "{what:?}");
        let mut dropped = 0;
        for times in 1.. {
            let (ended, after, read, is_open) = run(what, times).await;
            assert_eq!(
                (&after, &read, is_open),
                (&owner, &conversation, open),
                "{what:?}, dropped at {times}"
            );
            if ended || times == 6 {
                break;
            }
            dropped += 1;
        }
        assert!(dropped > 0, "{what:?} is done at its first poll");
    }
}
