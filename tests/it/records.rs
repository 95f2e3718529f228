//! Compatibility of stored records: one record of each released format is read.

use std::fs;
use std::path::{Path, PathBuf};

use messenger_handover::call::{MessageKey, OutgoingMessage};
use messenger_handover::event::Event;
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::{FORMAT, Records};
use messenger_handover::thread::{Command, Config, Context, Input, MessageStatus, Owner, Thread};
use messenger_handover::time::Timestamp;
use messenger_handover::webhook::{Item, dangerous_parse_unverified};
use serde_json::{Value, json};

const BOT: u64 = 2;
const DESK: u64 = 3;
const STRANGER: u64 = 4;

fn key() -> ThreadKey {
    ThreadKey::new(PageId::from(10), UserId::from(77))
}

fn fixture(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/records/{format}.record"))
}

fn events(channel: &str, item: &Value) -> Vec<Event> {
    let body = json!({"object": "page", "entry": [{"id": "10", "time": 1, (channel): [item]}]});
    let parsed = dangerous_parse_unverified(body.to_string().as_bytes()).unwrap();
    let event = |item| if let Item::Event { event, .. } = item { event } else { panic!("{item:?}") };
    parsed.items.into_iter().map(event).collect()
}

/// A bot's thread with something in most fields: gained control, messages in several states, a customer's message, a
/// waiting app, and a pending notification.
fn busy_thread() -> Thread {
    let config =
        Config::new(AppId::from(BOT), Role::Bot, ThreadControlPolicy::BotPrimary).with_desk(DESK.into());
    let (mut thread, mut now) = (Thread::new(), Timestamp::from_millis(1_790_000_000_000));
    let item = |at: Timestamp, kind: &str, content: Value| json!({"sender": {"id": "77"}, "recipient": {"id": "10"}, "timestamp": at.as_millis(), (kind): content});
    let mut inputs = Vec::new();
    let pass = json!({"new_owner_app_id": BOT.to_string(), "metadata": "over to you"});
    inputs.push(("messaging", item(now, "pass_thread_control", pass)));
    inputs.push(("messaging", item(now, "message", json!({"mid": "m1", "text": "is anybody there? ☂"}))));
    let request = json!({"requested_owner_app_id": STRANGER, "metadata": "please"});
    inputs.push(("messaging", item(now, "request_thread_control", request)));
    for (channel, item) in inputs {
        for event in events(channel, &item) {
            now = Timestamp::from_millis(now.as_millis() + 1);
            let _ = thread.step(&Context::new(&config), Input::Event(event), now, &mut Vec::new());
        }
    }
    for name in ["a", "b"] {
        let (key, message) =
            (MessageKey::new(name).unwrap(), OutgoingMessage::text("an answer \"quoted\"").unwrap());
        let _ = thread.step(
            &Context::new(&config),
            Input::Command(Command::Send { key, message }),
            now,
            &mut Vec::new(),
        );
    }
    thread
}

/// Checks that the record's contents were read.
fn is_the_busy_one(thread: &Thread) {
    assert_eq!(*thread.owner(), Owner::Us);
    for name in ["a", "b"] {
        assert_eq!(thread.message_status(&MessageKey::new(name).unwrap()), Some(MessageStatus::Waiting));
    }
    assert_eq!(thread.waiting_requests().collect::<Vec<_>>(), [&AppId::from(STRANGER)]);
    assert!(thread.needs_attention() && !thread.is_at_rest());
}

/// Run with `HANDOVER_WRITE_RECORD=1` once per new format to write its record.
#[test]
fn records_of_every_format_are_read() {
    let records = Records::new();
    if std::env::var_os("HANDOVER_WRITE_RECORD").is_some() && !fixture(FORMAT).exists() {
        fs::create_dir_all(fixture(FORMAT).parent().unwrap()).unwrap();
        fs::write(fixture(FORMAT), records.encode(&key(), &busy_thread()).unwrap()).unwrap();
    }
    for format in 1..=FORMAT {
        let record = fs::read(fixture(format)).unwrap();
        let thread = records.decode(&key(), &record).unwrap();
        is_the_busy_one(&thread);
        let again = records.decode(&key(), &records.encode(&key(), &thread).unwrap()).unwrap();
        assert_eq!(again, thread);
    }
}

/// A record that was cut off, changed or continued is refused or read as another one, but nothing panics.
#[test]
fn records_that_are_damaged_are_refused() {
    let records = Records::new();
    let record = records.encode(&key(), &busy_thread()).unwrap();
    for end in 0..record.len() {
        let error = records.decode(&key(), &record[..end]).unwrap_err();
        assert!(error.is_permanent(), "{end}: {error}");
    }
    assert!(records.decode(&key(), &[&record[..], b" "].concat()).is_err());
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let mut damaged = record.clone();
        damaged[rng.usize(..record.len())] = rng.u8(..);
        let _ = records.decode(&key(), &damaged);
    }
}

/// A host that keeps threads itself may use any format of serde's.
#[test]
fn records_may_be_json_too() {
    let json = serde_json::to_string(&busy_thread()).unwrap();
    assert_eq!(serde_json::from_str::<Thread>(&json).unwrap(), busy_thread());
}

#[test]
fn records_omit_default_values() {
    let mut thread = Thread::new();
    let config = Config::new(AppId::from(DESK), Role::Desk, ThreadControlPolicy::BotPrimary);
    let pass = json!({"sender": {"id": "77"}, "recipient": {"id": "10"}, "timestamp": 1_790_000_000_000_u64,
        "pass_thread_control": {"new_owner_app_id": BOT.to_string()}});
    for event in events("messaging", &pass) {
        let now = Timestamp::from_millis(1_790_000_000_000);
        let _ = thread.step(&Context::new(&config), Input::Event(event), now, &mut Vec::new());
    }
    let record = Records::new().encode(&key(), &thread).unwrap();
    assert!(record.len() < 500, "{} bytes: {}", record.len(), String::from_utf8_lossy(&record));
}
