//! Reads one element of a webhook entry: an event of a conversation, an event of the Page, or an unknown one
//! (docs/protocol.md#control-events, docs/protocol.md#standby, docs/protocol.md#echoes).

use std::fmt;

use serde_json::{Map, Value};

use super::body::{self, Broken, Element};
use super::json::{self, field, number};
use crate::event::{Channel, Event};
use crate::id::{AppId, PageId, ThreadKey, UserId};
use crate::shown::Json;
use crate::time::Span;

/// One item of a delivery.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Item {
    /// An event of a conversation.
    Event {
        /// The conversation.
        thread: ThreadKey,
        /// The event.
        event: Event,
    },
    /// A change of the primary and secondary receivers of a Page ([`app_roles`](crate::protocol#control-events)).
    AppRoles {
        /// The Page.
        page: PageId,
        /// The array that held the event.
        channel: Channel,
        /// Each app with its roles, such as `primary_receiver`.
        roles: Vec<(AppId, Vec<String>)>,
        /// The time of the change.
        at: Span,
    },
    /// Meta restricts the Page for its messages or lifts the restriction (`policy_enforcement`). Notify the Page's operator.
    PolicyEnforcement {
        /// The Page.
        page: PageId,
        /// The array that held the event.
        channel: Channel,
        /// `block`, `unblock`, `warning`, …; `unknown` if the platform names none.
        action: String,
        /// The time of the enforcement.
        at: Span,
        /// The unparsed element, with Meta's reason.
        raw: Value,
    },
    /// An element that is about no conversation, or is unreadable. Do not log `raw`, because it can hold customers' text;
    /// `Debug` shows only the names of its fields.
    Unknown {
        /// The Page, if the entry names one.
        page: Option<PageId>,
        /// The array that held the element, if it belongs to one channel.
        channel: Option<Channel>,
        /// The unparsed element.
        raw: Value,
        /// The reason, in fixed words that can be logged.
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
            Self::PolicyEnforcement { page, channel, action, at, raw } => f
                .debug_struct("PolicyEnforcement")
                .field("page", page)
                .field("channel", channel)
                .field("action", action)
                .field("at", at)
                .field("raw", &Json(raw))
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

/// Reads one element and adds at least one item.
pub(super) fn read(page: Option<&PageId>, channel: Channel, raw: Value, items: &mut Vec<Item>) {
    match known(page, channel, &raw) {
        Ok(known) => items.extend(known),
        Err(why) => items.push(Item::unknown(page, Some(channel), raw, why)),
    }
}

/// Reads one of an entry's `changes`, `{field, value}`. Instagram Login may send messages and control events in this form
/// (inferred: docs/protocol.md#webhook-envelope), so a value with the shape of an event is read as one. Everything else
/// stays unknown: feeds, comments, and WhatsApp, whose control events have other ids and roles (docs/protocol.md#whatsapp).
pub(super) fn read_change(page: Option<&PageId>, raw: Value, items: &mut Vec<Item>) {
    let value = field(&raw, "value").filter(|value| {
        let has = |name| field(value, name).is_some_and(Value::is_object);
        value.get("messaging_product").is_none()
            && ["sender", "recipient", "message_edit"].into_iter().any(has)
    });
    let Some(value) = value else { return items.push(Item::unknown(page, None, raw, A_CHANGE)) };
    let standby = field(&raw, "field").is_some_and(|name| name == "standby");
    let channel = if standby { Channel::Standby } else { Channel::Messaging };
    match known(page, channel, value) {
        Ok(known) => items.extend(known),
        Err(why) => items.push(Item::unknown(page, Some(channel), raw, why)),
    }
}

/// The reason for a change that is about no conversation.
pub(super) const A_CHANGE: &str = "a change";

/// The sender and the recipient of an element. Both have the type of a person's id, because either may be the Page.
pub(super) struct Parties<'a> {
    pub(super) page: Option<&'a PageId>,
    pub(super) sender: Option<UserId>,
    pub(super) recipient: Option<UserId>,
}

fn known(page: Option<&PageId>, channel: Channel, raw: &Value) -> Result<Vec<Item>, Broken> {
    let fields = raw.as_object().ok_or("an element that is no object")?;
    let at = field(raw, "timestamp").and_then(number).filter(|stamp| *stamp > 0);
    let at = at.map_or(Span::UNKNOWN, Span::from_platform);
    let parties = Parties { page, sender: party(raw, "sender")?, recipient: party(raw, "recipient")? };
    let element = Element { raw, at, by_page: parties.sent_by_page(), to_itself: parties.is_to_itself() };
    let mut items = Vec::new();
    if let Some(roles) = field(raw, "app_roles") {
        let page = parties.page("roles of no Page")?;
        items.push(Item::AppRoles { page, channel, roles: app_roles(roles)?, at });
    }
    if let Some(body) = POLICY.into_iter().find_map(|name| field(raw, name)) {
        let page = parties.page("a policy enforcement of no Page")?;
        let action = field(body, "action").and_then(json::scalar).unwrap_or_else(|| "unknown".to_owned());
        items.push(Item::PolicyEnforcement { page, channel, action, at, raw: raw.clone() });
    }
    let mut event = |kind, echo| {
        let thread = parties.thread(echo)?;
        items.push(Item::Event { thread, event: Event::new(channel, at, kind) });
        Ok::<_, Broken>(())
    };
    for (name, read) in body::KINDS {
        let Some(body) = field(raw, name) else { continue };
        if name == "message_edit" && parties.are_nobody() {
            return Err("a message edit that names nobody");
        }
        let echo = name == "message" && body::is_set(body, "is_echo");
        event(read(body, &element)?, echo)?;
    }
    if let Some(name) = without_a_type(fields, !items.is_empty()) {
        if parties.are_nobody() {
            return Err(NO_KIND);
        }
        let thread = parties.thread(false)?;
        items.push(Item::Event { thread, event: Event::new(channel, at, element.other(name)) });
    }
    if items.is_empty() { Err(NO_KIND) } else { Ok(items) }
}

const NO_KIND: Broken = "an element of no known kind";

/// The two names of a policy enforcement on Meta's pages.
const POLICY: [&str; 2] = ["policy_enforcement", "policy-enforcement"];

/// The names of bodies without a type of their own that a customer can cause.
const OTHERS: [&str; 5] = ["reaction", "referral", "optin", "account_linking", "game_play"];

/// The fields of an element that are not bodies.
const BESIDE: [&str; 5] = ["sender", "recipient", "timestamp", "hop_context", "prior_message"];

/// The name of an element's body without a type of its own. Beside another body only a name in [`OTHERS`] counts; beside a
/// message or postback none does, because [`Inbound::raw`](crate::event::Inbound::raw) holds it.
fn without_a_type(fields: &Map<String, Value>, has_another: bool) -> Option<&str> {
    let is_there = |name: &&str| fields.get(*name).is_some_and(|body| !body.is_null());
    if has_another && ["message", "postback"].iter().any(is_there) {
        return None;
    }
    let known = OTHERS.into_iter().find(is_there);
    let any = || fields.keys().map(String::as_str).find(|name| is_there(name) && !BESIDE.contains(name));
    known.or_else(|| if has_another { None } else { any() })
}

impl Parties<'_> {
    pub(super) fn sent_by_page(&self) -> bool {
        let is_page = |party| self.page.is_some_and(|page| page.is(party));
        self.sender.as_ref().is_some_and(is_page) && !self.are_one()
    }

    /// Whether sender and recipient have the same id. This is so in recorded deliveries whose ids are redacted, and when an
    /// Instagram account presses its own buttons.
    pub(super) fn are_one(&self) -> bool {
        self.sender.is_some() && self.sender == self.recipient
    }

    /// Whether an account is both sender and recipient. Ids that are not numbers count as redacted.
    fn is_to_itself(&self) -> bool {
        let is_number = |id: &UserId| id.to_string().bytes().all(|byte| byte.is_ascii_digit());
        self.are_one() && self.sender.as_ref().is_some_and(is_number)
    }

    fn are_nobody(&self) -> bool {
        self.sender.is_none() && self.recipient.is_none()
    }

    /// The Page of an element that is about no person.
    fn page(&self, broken: Broken) -> Result<PageId, Broken> {
        let named = || self.recipient.clone().map(PageId::among_parties);
        self.page.cloned().or_else(named).ok_or(broken)
    }

    /// The conversation of an event. The entry names the Page, and the person is the party that is not the Page. If neither
    /// party is the Page, an echo is about its recipient and every other event about its sender, because Meta's samples name
    /// people in both places. If both parties are the same, the person has the Page's id.
    pub(super) fn thread(&self, echo: bool) -> Result<ThreadKey, Broken> {
        let (person, account) =
            if echo { (&self.recipient, &self.sender) } else { (&self.sender, &self.recipient) };
        let named = || account.clone().map(PageId::among_parties);
        let page = self.page.cloned().or_else(named).ok_or("an event of no Page")?;
        let user = [person, account].into_iter().flatten().find(|id| !page.is(id) || self.are_one());
        let user = user.cloned().ok_or("an event of no person")?;
        Ok(ThreadKey::new(page, user))
    }
}

fn party(raw: &Value, name: &str) -> Result<Option<UserId>, Broken> {
    field(raw, name).and_then(|party| party.get("id")).map_or(Ok(None), body::id)
}

fn app_roles(roles: &Value) -> Result<Vec<(AppId, Vec<String>)>, Broken> {
    const BROKEN: Broken = "roles that cannot be read";
    let read = |(app, names): (&String, &Value)| {
        let names = names.as_array().ok_or(BROKEN)?.iter().map(|name| name.as_str().map(str::to_owned));
        Ok((AppId::new(app).map_err(|_| BROKEN)?, names.collect::<Option<_>>().ok_or(BROKEN)?))
    };
    roles.as_object().ok_or(BROKEN)?.iter().map(read).collect()
}
