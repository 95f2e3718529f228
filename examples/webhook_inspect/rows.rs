//! Converts each event of a delivery to a row.

use std::collections::HashMap;

use messenger_handover::event::{Channel, ControlChange, Event, EventKind, Other};
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::thread::{Config, Context, Handled, Input, Output, Owner, Thread};
use messenger_handover::time::{Span, Timestamp};
use messenger_handover::webhook::{Item, ParseError, dangerous_parse_unverified};
use serde::Serialize;
use serde_json::Value;

/// One event. Fields that do not apply are null, except `why`, which only unknown events have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    kind: &'static str,
    channel: Option<Channel>,
    page: Option<PageId>,
    user: Option<UserId>,
    at_ms: Option<u64>,
    previous_owner: Option<AppId>,
    new_owner: Option<AppId>,
    requested_by: Option<AppId>,
    app_id: Option<AppId>,
    metadata: Option<String>,
    holds_control: Option<&'static str>,
    /// The reason why the event is unknown, in fixed words.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

/// The rows of a delivery, in its order.
///
/// # Errors
/// The body is not JSON. JSON that is not a delivery gives one unknown row.
pub fn of(body: &[u8], app: Option<&AppId>) -> Result<Vec<Row>, ParseError> {
    let mut reader = Reader { app, threads: HashMap::new() };
    match dangerous_parse_unverified(body) {
        Ok(delivery) => Ok(delivery.items.into_iter().map(|item| reader.row(item)).collect()),
        Err(error @ ParseError::NotJson(_)) => Err(error),
        Err(ParseError::NotAnObject) => Ok(vec![Row::unknown("a body that is no object")]),
        Err(_) => Ok(vec![Row::unknown("a body without an array `entry`")]),
    }
}

impl Row {
    fn empty() -> Self {
        Self {
            kind: "unknown",
            channel: None,
            page: None,
            user: None,
            at_ms: None,
            previous_owner: None,
            new_owner: None,
            requested_by: None,
            app_id: None,
            metadata: None,
            holds_control: None,
            why: None,
        }
    }

    fn unknown(why: &'static str) -> Self {
        Self { why: Some(why), ..Self::empty() }
    }
}

struct Reader<'a> {
    app: Option<&'a AppId>,
    /// Our app's belief about each conversation after the preceding events.
    threads: HashMap<ThreadKey, Thread>,
}

impl Reader<'_> {
    fn row(&mut self, item: Item) -> Row {
        let empty = Row::empty();
        match item {
            Item::Event { thread, event } => self.event(&thread, event),
            Item::AppRoles { page, channel, at, .. } => {
                Row { kind: "app_roles", channel: Some(channel), page: Some(page), at_ms: ms(at), ..empty }
            }
            Item::PolicyEnforcement { page, channel, at, .. } => {
                let holds_control =
                    self.app.map(|_| if channel == Channel::Standby { "other" } else { "unknown" });
                let (channel, page) = (Some(channel), Some(page));
                Row { channel, page, at_ms: ms(at), holds_control, ..Row::unknown("a policy enforcement") }
            }
            Item::Unknown { page, channel, raw, why } => {
                let user = person(&raw, page.as_ref());
                let holds_control = self.app.and(channel).map(|channel| match channel {
                    Channel::Standby => "other",
                    Channel::Messaging => "unknown",
                });
                let at_ms = raw["timestamp"].as_u64().map(Span::from_platform).and_then(ms);
                Row { channel, page, user, at_ms, holds_control, ..Row::unknown(why) }
            }
            _ => Row::unknown("an item of a new kind"),
        }
    }

    fn event(&mut self, thread: &ThreadKey, event: Event) -> Row {
        let holds_control = self.app.map(|app| self.owner_after(app, thread, &event));
        let row = Row {
            channel: Some(event.channel),
            page: Some(thread.page.clone()),
            user: Some(thread.user.clone()),
            at_ms: ms(event.at),
            holds_control,
            ..Row::empty()
        };
        let changed = |kind, change: ControlChange| Row {
            kind,
            previous_owner: change.previous_owner,
            new_owner: change.new_owner,
            metadata: change.metadata,
            ..row.clone()
        };
        match event.kind {
            EventKind::PassThreadControl(change) => changed("pass_thread_control", change),
            EventKind::TakeThreadControl(change) => changed("take_thread_control", change),
            EventKind::RequestThreadControl(request) => Row {
                kind: "request_thread_control",
                requested_by: request.requested_by,
                metadata: request.metadata,
                ..row
            },
            EventKind::Inbound(inbound) if inbound.postback => Row { kind: "postback", ..row },
            EventKind::Inbound(_) => Row { kind: "message", ..row },
            EventKind::Echo(echo) => {
                Row { kind: "echo", app_id: echo.app_id, metadata: echo.metadata, ..row }
            }
            EventKind::Read { .. } => Row { kind: "read", ..row },
            EventKind::Delivery { .. } => Row { kind: "delivery", ..row },
            EventKind::Unsent(_) => Row { why: Some("a message taken back"), ..row },
            EventKind::Edited { .. } => Row { why: Some("a message changed"), ..row },
            EventKind::Other(other) => Row { why: Some(words_for(&other)), ..row },
            _ => Row { why: Some("an event of a new kind"), ..row },
        }
    }

    /// The owner that the state machine believes in after the event. An event on standby is the exception: another app owned
    /// the thread then, whatever came before.
    fn owner_after(&mut self, app: &AppId, thread: &ThreadKey, event: &Event) -> &'static str {
        let config = Config::new(app.clone(), Role::Bot, ThreadControlPolicy::NoPrimary);
        let cx = Context::new(&config);
        let (known, mut out) = (self.threads.entry(thread.clone()).or_default(), Vec::new());
        let mut step = |input, out: &mut Vec<_>| known.step(&cx, input, Timestamp::default(), out);
        let _ = step(Input::Event(event.clone()), &mut out);
        // Notifications are marked as handled, because a full queue would refuse the next event.
        while let Some(output) = out.pop() {
            if let Output::Notice { id, .. } = output {
                let _ = step(Input::NoticeHandled { notice: id, handled: Handled::done() }, &mut out);
            }
        }
        match known.owner() {
            _ if event.channel == Channel::Standby => "other",
            Owner::Us => "us",
            Owner::Other(_) => "other",
            Owner::Idle => "idle",
            _ => "unknown",
        }
    }
}

/// The kind of an event in fixed words.
fn words_for(other: &Other) -> &'static str {
    match &*other.name {
        "reaction" => "a reaction",
        "referral" => "a referral",
        "optin" => "an opt-in",
        "account_linking" => "a linked account",
        "game_play" => "a game",
        "message" | "postback" | "message_edit" if other.by_customer => "a message that cannot be read",
        "message" | "postback" | "message_edit" => "a message of the Page or the platform that is no echo",
        _ => "an element of no known kind",
    }
}

fn ms(at: Span) -> Option<u64> {
    (at != Span::UNKNOWN).then(|| at.from.as_millis())
}

/// The person: the party that is not the Page.
fn person(raw: &Value, page: Option<&PageId>) -> Option<UserId> {
    let named = ["sender", "recipient"].map(|party| match &raw[party]["id"] {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    });
    let person = named.into_iter().flatten().find(|id| page.is_none_or(|page| *id != page.to_string()))?;
    UserId::new(person).ok()
}
