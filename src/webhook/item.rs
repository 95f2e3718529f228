//! One element of an entry's array: an event of a conversation, the Page's roles, or neither
//! (facts §4.6 to §4.8).

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::json::{field, number};
use crate::event::{Attachment, Channel, ControlChange, ControlRequest, Echo, Event, EventKind, Inbound};
use crate::id::{AppId, MessageId, PageId, ThreadKey, UserId};
use crate::shown::Json;
use crate::time::Span;

/// One thing that a delivery says.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Item {
    /// An event of a conversation.
    Event {
        /// Which conversation.
        thread: ThreadKey,
        /// What happened.
        event: Event,
    },
    /// An admin changed which apps are primary and secondary on a Page.
    AppRoles {
        /// The Page.
        page: PageId,
        /// Where it came.
        channel: Channel,
        /// Each app with its roles, as in `primary_receiver`.
        roles: Vec<(AppId, Vec<String>)>,
        /// When.
        at: Span,
    },
    /// Something that is not about control or messages, or that is broken. `raw` can hold what
    /// customers wrote: it does not belong into a log, and
    /// `Debug` shows only the names of its fields.
    Unknown {
        /// The Page, if the entry names one.
        page: Option<PageId>,
        /// Where it came, if it stood in an array of one channel.
        channel: Option<Channel>,
        /// As it came.
        raw: Value,
        /// What is not understood, in fixed words that can be logged.
        why: &'static str,
    },
}

impl Item {
    pub(super) fn unknown(
        page: Option<&PageId>,
        channel: Option<Channel>,
        raw: Value,
        why: &'static str,
    ) -> Self {
        Self::Unknown { page: page.cloned(), channel, raw, why }
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event { thread, event } => {
                f.debug_struct("Event").field("thread", thread).field("event", event).finish()
            }
            Self::AppRoles { page, channel, roles, at } => f
                .debug_struct("AppRoles")
                .field("page", page)
                .field("channel", channel)
                .field("roles", roles)
                .field("at", at)
                .finish(),
            Self::Unknown { page, channel, raw, why } => f
                .debug_struct("Unknown")
                .field("page", page)
                .field("channel", channel)
                .field("raw", &Json(raw))
                .field("why", why)
                .finish(),
        }
    }
}

/// Reads one element. It adds at least one item.
pub(super) fn read(page: Option<&PageId>, channel: Channel, raw: Value, items: &mut Vec<Item>) {
    match known(page, channel, &raw) {
        Ok(known) => items.extend(known),
        Err(why) => items.push(Item::unknown(page, Some(channel), raw, why)),
    }
}

/// Reads one of an entry's `changes`, `{field, value}`. Third parties say that Instagram Login sends
/// messages and control events so; no recorded delivery confirms it (3P, facts §4.5). A value that is
/// such an event is read as it, everything else stays unknown: feeds, comments, and WhatsApp, whose
/// control events have ids and roles of their own (facts §7).
pub(super) fn read_change(page: Option<&PageId>, raw: Value, items: &mut Vec<Item>) {
    let value = field(&raw, "value").filter(|value| {
        let named = |party| field(value, party).is_some_and(Value::is_object);
        value.get("messaging_product").is_none() && (named("sender") || named("recipient"))
    });
    let Some(value) = value else { return items.push(Item::unknown(page, None, raw, A_CHANGE)) };
    let standby = field(&raw, "field").is_some_and(|name| name == "standby");
    let channel = if standby { Channel::Standby } else { Channel::Messaging };
    match known(page, channel, value) {
        Ok(known) => items.extend(known),
        Err(why) => items.push(Item::unknown(page, Some(channel), raw, why)),
    }
}

/// Why a change is not understood that is about no conversation.
pub(super) const A_CHANGE: &str = "a change";

/// An id of any kind. Absent, null and empty are none.
///
/// # Errors
/// What is there but is no id: it must not pass for an absent one.
pub(super) fn id<T: DeserializeOwned>(value: &Value) -> Result<Option<T>, Broken> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        _ => T::deserialize(value).map(Some).map_err(|_| "an id that is none"),
    }
}

/// Why an element cannot be read.
type Broken = &'static str;

/// The parties of an element, as it names them: a Page is called one like people are.
pub(super) struct Parties<'a> {
    pub(super) page: Option<&'a PageId>,
    pub(super) sender: Option<UserId>,
    pub(super) recipient: Option<UserId>,
}

fn known(page: Option<&PageId>, channel: Channel, raw: &Value) -> Result<Vec<Item>, Broken> {
    if !raw.is_object() {
        return Err("an element that is no object");
    }
    let at = field(raw, "timestamp").and_then(number).filter(|stamp| *stamp > 0);
    let at = at.map_or(Span::UNKNOWN, Span::from_platform);
    let parties = Parties { page, sender: party(raw, "sender")?, recipient: party(raw, "recipient")? };
    let mut items = Vec::new();
    if let Some(roles) = field(raw, "app_roles") {
        items.push(Item::AppRoles { page: parties.page()?, channel, roles: app_roles(roles)?, at });
    }
    for (name, read) in KINDS {
        let Some(body) = field(raw, name) else { continue };
        let kind = read(body, at)?;
        if matches!(kind, EventKind::Inbound(_)) && parties.sent_by_page() {
            return Err("a message of the Page that is no echo");
        }
        let thread = parties.thread(matches!(kind, EventKind::Echo(_)))?;
        items.push(Item::Event { thread, event: Event { channel, at, kind } });
    }
    if items.is_empty() {
        let name = OTHERS.into_iter().find(|name| field(raw, name).is_some_and(Value::is_object));
        let name = name.filter(|_| !parties.sent_by_page()).ok_or("an element of no known kind")?;
        let kind = EventKind::Other(name.to_owned());
        items.push(Item::Event { thread: parties.thread(false)?, event: Event { channel, at, kind } });
    }
    Ok(items)
}

/// What a customer can do besides.
const OTHERS: [&str; 4] = ["reaction", "referral", "optin", "message_edit"];

type Reader = fn(&Value, Span) -> Result<EventKind, Broken>;

/// The kinds of events by the name of their body, control first.
const KINDS: [(&str, Reader); 7] = [
    ("pass_thread_control", |body, _| control_change(body).map(EventKind::PassThreadControl)),
    ("take_thread_control", |body, _| control_change(body).map(EventKind::TakeThreadControl)),
    ("request_thread_control", |body, _| control_request(body).map(EventKind::RequestThreadControl)),
    ("message", message),
    ("postback", |body, at| postback(body, at).map(EventKind::Inbound)),
    ("read", |_, _| Ok(EventKind::Read)),
    ("delivery", |body, _| delivery(body).map(EventKind::Delivery)),
];

impl Parties<'_> {
    pub(super) fn sent_by_page(&self) -> bool {
        let is_page = |party| self.page.is_some_and(|page| page.is(party));
        self.sender.as_ref().is_some_and(is_page) && !self.is_redacted()
    }

    /// Recorded deliveries come with one word in place of all ids. A Page cannot write to itself.
    fn is_redacted(&self) -> bool {
        self.sender.is_some() && self.sender == self.recipient
    }

    /// The Page where the element is about no person.
    fn page(&self) -> Result<PageId, Broken> {
        let named = || self.recipient.clone().map(PageId::among_parties);
        self.page.cloned().or_else(named).ok_or("roles of no Page")
    }

    /// The conversation: the entry names the Page, and the person is whoever else is named. Meta's own
    /// samples name people in both places, and some clients' Pages in the wrong one; then an echo is
    /// about its recipient and everything else about its sender. Of a redacted one, the person is called
    /// as the Page is.
    pub(super) fn thread(&self, echo: bool) -> Result<ThreadKey, Broken> {
        let (person, account) =
            if echo { (&self.recipient, &self.sender) } else { (&self.sender, &self.recipient) };
        let named = || account.clone().map(PageId::among_parties);
        let page = self.page.cloned().or_else(named).ok_or("an event of no Page")?;
        let user = [person, account].into_iter().flatten().find(|id| !page.is(id) || self.is_redacted());
        let user = user.cloned().ok_or("an event of no person")?;
        Ok(ThreadKey::new(page, user))
    }
}

fn party(raw: &Value, name: &str) -> Result<Option<UserId>, Broken> {
    field(raw, name).and_then(|party| party.get("id")).map_or(Ok(None), id)
}

fn app_roles(roles: &Value) -> Result<Vec<(AppId, Vec<String>)>, Broken> {
    const BROKEN: Broken = "roles that cannot be read";
    let read = |(app, names): (&String, &Value)| {
        let names = names.as_array().ok_or(BROKEN)?.iter().map(|name| name.as_str().map(str::to_owned));
        Ok((AppId::new(app).map_err(|_| BROKEN)?, names.collect::<Option<_>>().ok_or(BROKEN)?))
    };
    roles.as_object().ok_or(BROKEN)?.iter().map(read).collect()
}

fn control_change(body: &Value) -> Result<ControlChange, Broken> {
    let body = object(body)?;
    Ok(ControlChange {
        previous_owner: optional_id(body, "previous_owner_app_id")?,
        new_owner: optional_id(body, "new_owner_app_id")?,
        metadata: metadata(body),
    })
}

fn control_request(body: &Value) -> Result<ControlRequest, Broken> {
    let body = object(body)?;
    Ok(ControlRequest {
        requested_by: optional_id(body, "requested_owner_app_id")?,
        metadata: metadata(body),
    })
}

fn message(body: &Value, at: Span) -> Result<EventKind, Broken> {
    let map = object(body)?;
    if is_set(body, "is_deleted") {
        return Err("a deleted message");
    }
    if is_set(body, "admin_text") {
        return Err("a message of the system");
    }
    let mid = optional_id::<MessageId>(map, "mid")?;
    let text = text(map, "text")?;
    if is_set(body, "is_echo") {
        // An unreadable app id is no reason to lose the metadata, which settles an answer.
        let app_id = field(body, "app_id").and_then(|app| id(app).ok().flatten());
        return Ok(EventKind::Echo(Echo { mid, app_id, metadata: metadata(map), text }));
    }
    let quick_reply = field(body, "quick_reply").and_then(Value::as_object);
    let payload = quick_reply.map(|reply| self::text(reply, "payload")).transpose()?.flatten();
    let attachments = match field(body, "attachments") {
        None => Vec::new(),
        Some(list) => list.as_array().ok_or(TEXT)?.iter().map(attachment).collect(),
    };
    Ok(EventKind::Inbound(Inbound { mid, at, text, payload, postback: false, attachments }))
}

fn postback(body: &Value, at: Span) -> Result<Inbound, Broken> {
    let body = object(body)?;
    Ok(Inbound {
        mid: optional_id(body, "mid")?,
        at,
        text: text(body, "title")?,
        payload: text(body, "payload")?,
        postback: true,
        attachments: Vec::new(),
    })
}

fn attachment(raw: &Value) -> Attachment {
    let string = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let url = field(raw, "payload").and_then(|payload| field(payload, "url")).or_else(|| field(raw, "url"));
    Attachment { kind: string(raw.get("type")).unwrap_or_else(|| "unknown".to_owned()), url: string(url) }
}

fn delivery(body: &Value) -> Result<Vec<MessageId>, Broken> {
    object(body)?;
    // Older ones have a watermark only.
    let Some(mids) = field(body, "mids") else { return Ok(Vec::new()) };
    let mids = mids.as_array().ok_or("message ids that are not an array")?;
    mids.iter().filter_map(|mid| id(mid).transpose()).collect()
}

const TEXT: Broken = "a message that cannot be read";

fn object(body: &Value) -> Result<&Map<String, Value>, Broken> {
    body.as_object().ok_or("a body that is no object")
}

fn optional_id<T: DeserializeOwned>(body: &Map<String, Value>, name: &str) -> Result<Option<T>, Broken> {
    body.get(name).map_or(Ok(None), id)
}

fn text(body: &Map<String, Value>, name: &str) -> Result<Option<String>, Broken> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(TEXT),
    }
}

/// Free text, often JSON in a string; JSON without a string is kept as its text.
fn metadata(body: &Map<String, Value>) -> Option<String> {
    match body.get("metadata")? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Whether a flag is there: `true`, or a body of its own, as `admin_text` has.
fn is_set(body: &Value, flag: &str) -> bool {
    field(body, flag).is_some_and(|flag| *flag != false && *flag != 0 && *flag != "false" && *flag != "")
}
