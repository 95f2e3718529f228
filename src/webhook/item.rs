//! One element of an entry's array: an event of a conversation, something about the Page, or neither
//! (facts §4.6 to §4.8).

use std::fmt;

use serde_json::{Map, Value};

use super::body::{self, Broken, Element};
use super::json::{self, field, number};
use crate::event::{Channel, Event};
use crate::id::{AppId, PageId, ThreadKey, UserId};
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
    /// Meta restricts the Page for what it sent, or lifts that (`policy_enforcement`): the Page's operator has to hear of it.
    PolicyEnforcement {
        /// The Page.
        page: PageId,
        /// Where it came.
        channel: Channel,
        /// `block`, `unblock`, `warning`, …; `unknown` if the platform does not say.
        action: String,
        /// When.
        at: Span,
        /// As it came, with Meta's reason.
        raw: Value,
    },
    /// Something that is about no conversation, or that is broken. `raw` can hold what
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

/// Why a change is not understood that is about no conversation.
pub(super) const A_CHANGE: &str = "a change";

/// The parties of an element, as it names them: a Page is called one like people are.
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

/// Meta's pages write it in both ways.
const POLICY: [&str; 2] = ["policy_enforcement", "policy-enforcement"];

/// What a customer can do besides.
const OTHERS: [&str; 5] = ["reaction", "referral", "optin", "account_linking", "game_play"];

/// What stands beside the body of an element.
const BESIDE: [&str; 5] = ["sender", "recipient", "timestamp", "hop_context", "prior_message"];

/// The name of the body of an element that has no type. Beside another body it must be a name that is known: that of a
/// message carries it in [`Inbound::raw`](crate::event::Inbound::raw) then.
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

    /// Recorded deliveries come with one word or number in place of all ids; and an account of Instagram can press its own
    /// buttons.
    pub(super) fn are_one(&self) -> bool {
        self.sender.is_some() && self.sender == self.recipient
    }

    /// An account did it to itself, unless the ids are redacted: a real one is a number.
    fn is_to_itself(&self) -> bool {
        let is_number = |id: &UserId| id.to_string().bytes().all(|byte| byte.is_ascii_digit());
        self.are_one() && self.sender.as_ref().is_some_and(is_number)
    }

    fn are_nobody(&self) -> bool {
        self.sender.is_none() && self.recipient.is_none()
    }

    /// The Page where the element is about no person.
    fn page(&self, broken: Broken) -> Result<PageId, Broken> {
        let named = || self.recipient.clone().map(PageId::among_parties);
        self.page.cloned().or_else(named).ok_or(broken)
    }

    /// The conversation: the entry names the Page, and the person is whoever else is named. Meta's own
    /// samples name people in both places, and some clients' Pages in the wrong one; then an echo is
    /// about its recipient and everything else about its sender. Of a redacted one, and of what an account does to itself,
    /// the person is called as the Page is.
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
