//! How much the crate adds to what every host does anyway. Read the ratios within one run, never the
//! times: machines differ, and the same machine differs from one minute to the next.
//!
//! - `webhook`: a delivery read as typed events, against its bytes read as a `serde_json::Value`; and the
//!   same with the signature verified first.
//! - `thread`: one answer from acceptance to delivery (request, pass event, send, echo), against saving and
//!   loading the same thread once as JSON, which a host with a durable store does at every step.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use messenger_handover::call::{AnswerKey, Call, CallResult, OutgoingMessage};
use messenger_handover::event::{Channel, ControlChange, Event, EventKind};
use messenger_handover::id::{AppId, MessageId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::thread::{AnswerStatus, Command, Config, Context, Input, Output, Thread};
use messenger_handover::time::{Span, Timestamp};
use messenger_handover::webhook::{Verifier, parse, sign};
use serde_json::{Value, json};

fn delivery() -> Vec<u8> {
    let entry = |index: u64| {
        json!({"id": "10", "time": 1_790_000_000_000 + index, "messaging": [{
            "sender": {"id": (77 + index).to_string()},
            "recipient": {"id": "10"},
            "timestamp": 1_790_000_000_000 + index,
            "message": {"mid": format!("m_{index}"), "text": "May I talk to a person, please?"},
        }]})
    };
    json!({"object": "page", "entry": (0..20).map(entry).collect::<Vec<_>>()}).to_string().into_bytes()
}

fn webhook(criterion: &mut Criterion) {
    let body = delivery();
    let secret = "secret".into();
    let (header, signed) = (sign(&secret, &body), Verifier::new(secret));
    let verified = signed.verify(Some(&header), &body).expect("it is signed");
    assert_eq!(parse(&verified).expect("it is a delivery").items.len(), 20);
    let mut group = criterion.benchmark_group("webhook");
    group.bench_function("serde_json::Value", |timed| {
        timed.iter(|| serde_json::from_slice::<Value>(black_box(&body)).map(black_box).is_ok());
    });
    group.bench_function("parse", |timed| timed.iter(|| black_box(parse(black_box(&verified))).is_ok()));
    group.bench_function("verify and parse", |timed| {
        timed.iter(|| {
            let verified = signed.verify(Some(&header), black_box(&body)).expect("it is signed");
            black_box(parse(&verified)).is_ok()
        });
    });
    group.finish();
}

/// One answer of an agent while the bot has control; answers the thread as it is then.
fn one_answer(config: &Config) -> Thread {
    let cx = Context::new(config);
    let mut thread = Thread::new();
    let mut now = Timestamp::from_millis(1_790_000_000_000);
    let mut out = Vec::new();
    let key = AnswerKey::new("ticket-7").expect("a good key");
    let message = OutgoingMessage::text("How can I help you?").expect("a text");
    let bot = ControlChange { new_owner: Some(AppId::from(1001)), ..ControlChange::default() };
    let us = ControlChange { new_owner: Some(config.app.clone()), ..ControlChange::default() };
    let pass = |change, now| {
        let kind = EventKind::PassThreadControl(change);
        Input::Event(Event { channel: Channel::Messaging, at: Span::at(now), kind })
    };
    let mut inputs = vec![pass(us, now.plus(std::time::Duration::from_secs(1)))];
    let mut next = Some(pass(bot, now));
    let mut command = Some(Input::Command(Command::Send { key: key.clone(), message }));
    while let Some(input) = next.take().or_else(|| command.take()) {
        let _ = thread.step(&cx, input, now, &mut out);
        now = now.plus(std::time::Duration::from_millis(300));
        for output in out.drain(..) {
            match output {
                Output::Call { id, call: Call::RequestThreadControl, .. } => {
                    next = Some(Input::Answer { call: id, result: CallResult::Forwarded });
                    command = inputs.pop();
                }
                Output::Call { id, call: Call::SendMessage { .. }, .. } => {
                    let mid = MessageId::new("m_1").ok();
                    next = Some(Input::Answer { call: id, result: CallResult::Sent(mid) });
                }
                Output::Notice { id, .. } if next.is_none() => {
                    next = Some(Input::NoticeDone { notice: id, ok: true });
                }
                _ => {}
            }
        }
    }
    assert!(matches!(thread.answer(&key), Some(AnswerStatus::Delivered { .. })), "{thread:?}");
    thread
}

fn thread(criterion: &mut Criterion) {
    let config = Config::new(AppId::from(2002), Role::Desk, ThreadControlPolicy::BotPrimary);
    let state = one_answer(&config);
    let mut group = criterion.benchmark_group("thread");
    group.bench_function("save and load once as JSON", |timed| {
        timed.iter(|| {
            let saved = serde_json::to_vec(black_box(&state)).expect("it is serialisable");
            serde_json::from_slice::<Thread>(&saved).map(black_box).is_ok()
        });
    });
    group.bench_function("one answer from acceptance to delivery", |timed| {
        timed.iter(|| black_box(one_answer(black_box(&config))));
    });
    group.finish();
}

criterion_group!(benches, webhook, thread);
criterion_main!(benches);
