//! Tests of the messaging window: the platform judges it, and a desk that may use the `HUMAN_AGENT` tag retries once
//! with it.

use super::*;

fn people(policy: ThreadControlPolicy) -> World {
    let mut desk = World::desk(policy);
    desk.config.human_agent = true;
    desk.passed_to(DESK);
    desk
}

fn outside() -> CallOutcome {
    let mut failure = Failure::new(FailureKind::OutsideWindow, "too late.");
    (failure.code, failure.subcode) = (Some(10), Some(2_018_278));
    CallOutcome::Refused(failure)
}

/// Expects the send of this message, with this type, and with control or without.
fn sends(desk: &mut World, key: &str, kind: MessagingType, inline: bool, result: CallOutcome) {
    let (id, call) = desk.call();
    let Call::SendMessage { key: sent, message } = call else { panic!("{call:?}") };
    assert_eq!((sent.as_str(), message.messaging_type(), message.control().is_some()), (key, kind, inline));
    desk.wait(1);
    desk.step(Input::CallEnded { call: id, outcome: result });
}

fn reason(desk: &World) -> &FailReason {
    let Some(Notice::MessageFailed { reason, .. }) = desk.notices.last() else {
        panic!("{:?}", desk.notices)
    };
    reason
}

use MessagingType::{HumanAgent, Response};

#[test]
fn human_agent_sends_again_in_place_what_the_window_refused() {
    let mut desk = people(ThreadControlPolicy::EdPrimary);
    for key in ["a", "b"] {
        desk.send(key);
    }
    sends(&mut desk, "a", Response, false, outside());
    // A restart in between loses nothing.
    desk.thread = serde_json::from_str(&serde_json::to_string(&desk.thread).unwrap()).unwrap();
    assert_eq!(desk.thread.message_status(&MessageKey::new("a").unwrap()), Some(MessageStatus::Waiting));
    sends(&mut desk, "a", HumanAgent, false, SENT);
    sends(&mut desk, "b", Response, false, outside());
    sends(&mut desk, "b", HumanAgent, false, SENT);
    assert_eq!(desk.delivered(), ["a", "b"]);
    assert!(desk.calls.is_empty() && desk.thread.is_at_rest());
}

#[test]
fn human_agent_that_is_refused_too_fails_with_the_window_as_reason() {
    let not_approved = Failure::new(FailureKind::Permission, "no approval");
    for (again, words) in [
        (outside(), &["too late."][..]),
        (
            CallOutcome::Refused(not_approved),
            &["too late.", "HUMAN_AGENT", "permission missing", "no approval"],
        ),
    ] {
        let mut desk = people(ThreadControlPolicy::EdPrimary);
        desk.send("a");
        desk.send("b");
        sends(&mut desk, "a", Response, false, outside());
        sends(&mut desk, "a", HumanAgent, false, again);
        let FailReason::OutsideWindow(failure) = reason(&desk) else { panic!("{:?}", reason(&desk)) };
        assert_eq!((failure.kind, failure.code), (FailureKind::OutsideWindow, Some(10)));
        for word in words {
            assert!(reason(&desk).to_string().contains(word), "{}", reason(&desk));
        }
        assert!(failure.remedy().contains("customer writes again"));
        sends(&mut desk, "b", Response, false, SENT);
    }
}

#[test]
fn human_agent_keeps_the_reason_of_what_has_nothing_to_do_with_the_tag() {
    let mut desk = people(ThreadControlPolicy::EdPrimary);
    for (again, expected) in [
        (FailureKind::RecipientUnavailable, "the person cannot be reached: no"),
        (FailureKind::Token, "the access token is not valid: no"),
    ] {
        desk.send(&format!("{again:?}"));
        sends(&mut desk, &format!("{again:?}"), Response, false, outside());
        sends(&mut desk, &format!("{again:?}"), HumanAgent, false, refused(again));
        assert_eq!(reason(&desk).to_string(), expected);
    }
}

#[test]
fn human_agent_is_not_used_where_nobody_asked_for_it_or_it_was_used_already() {
    let mut desk = World::desk(ThreadControlPolicy::EdPrimary);
    desk.passed_to(DESK);
    desk.send("a");
    sends(&mut desk, "a", Response, false, outside());
    assert!(matches!(reason(&desk), FailReason::OutsideWindow(_)) && desk.calls.is_empty());

    let mut desk = people(ThreadControlPolicy::EdPrimary);
    let message = OutgoingMessage::text("b").unwrap().with_messaging_type(HumanAgent);
    desk.command(Command::Send { key: MessageKey::new("b").unwrap(), message });
    sends(&mut desk, "b", HumanAgent, false, outside());
    assert!(matches!(reason(&desk), FailReason::OutsideWindow(_)) && desk.calls.is_empty());
}

#[test]
fn human_agent_never_follows_an_unknown_outcome() {
    let mut desk = people(ThreadControlPolicy::EdPrimary);
    desk.send("a");
    let unsure = CallOutcome::Unknown(Failure::new(FailureKind::OutsideWindow, "perhaps"));
    sends(&mut desk, "a", Response, false, unsure);
    desk.sleep();
    assert!(matches!(desk.notices.last(), Some(Notice::MessageUnknown { .. })) && desk.calls.is_empty());

    // Nor with `OnUnknown::Resend`, because the first attempt may have arrived.
    let mut desk = people(ThreadControlPolicy::EdPrimary);
    desk.config.on_unknown = OnUnknown::Resend;
    desk.send("a");
    sends(&mut desk, "a", Response, false, unknown());
    desk.sleep();
    sends(&mut desk, "a", Response, false, outside());
    let Some(Notice::MessageUnknown { echo, .. }) = desk.notices.last() else { panic!("{:?}", desk.notices) };
    assert_eq!((*echo, desk.calls.len()), (NoEcho::SentAgain, 0));
}

#[test]
fn human_agent_survives_faults_and_lost_control() {
    let mut desk = people(ThreadControlPolicy::EdPrimary);
    desk.send("a");
    sends(&mut desk, "a", Response, false, outside());
    sends(&mut desk, "a", HumanAgent, false, refused(FailureKind::Transient));
    desk.sleep();
    sends(&mut desk, "a", HumanAgent, false, refused(FailureKind::NotThreadOwner));
    desk.expect(Call::TakeThreadControl, CallOutcome::Done);
    sends(&mut desk, "a", HumanAgent, false, SENT);
    assert_eq!(desk.delivered(), ["a"]);
}

/// A refused tag says nothing about `thread_control` on this Page.
#[test]
fn human_agent_gives_control_away_with_a_call_of_its_own() {
    let farewell = |key: &str| {
        let message = OutgoingMessage::text(key).unwrap().then(crate::call::InlineControl::Release);
        Command::Send { key: MessageKey::new(key).unwrap(), message }
    };
    let mut desk = people(ThreadControlPolicy::EdPrimary);
    desk.command(farewell("a"));
    sends(&mut desk, "a", Response, true, outside());
    sends(&mut desk, "a", HumanAgent, false, refused(FailureKind::Permission));
    assert!(matches!(reason(&desk), FailReason::OutsideWindow(_)));
    desk.command(farewell("b"));
    sends(&mut desk, "b", Response, true, outside());
    sends(&mut desk, "b", HumanAgent, false, SENT);
    desk.expect(Call::ReleaseThreadControl, CallOutcome::Done);
    assert!(desk.thread.is_at_rest());
}
