//! What the platform tells us about one conversation.

use serde::{Deserialize, Serialize};

use crate::id::{AppId, MessageId};
use crate::time::Span;

/// The array of the webhook on which an event came (facts §4.5, §4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// For the owner, or for everybody while the thread is idle. Proves nothing alone.
    Messaging,
    /// For apps that may read along: somebody else owns the thread.
    Standby,
}

/// One event of one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Event {
    /// Where it came.
    pub channel: Channel,
    /// When the platform says it happened.
    pub at: Span,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// `pass_thread_control`: read who owns the thread now from the ids, not from the name.
    PassThreadControl(ControlChange),
    /// `take_thread_control`: likewise.
    TakeThreadControl(ControlChange),
    /// `request_thread_control`: another app asks for control.
    RequestThreadControl(ControlRequest),
    /// The customer wrote or pressed a button.
    Inbound(Inbound),
    /// The Page wrote: this app, another app, or a person in the inbox.
    Echo(Echo),
    /// The customer read what was written before.
    Read,
    /// Messages were delivered to the customer's device.
    Delivery(Vec<MessageId>),
    /// The customer did something else, by the name that the platform gives it: `reaction`, `referral`, `optin`,
    /// `message_edit`. Control lasts from then on as from a message (INF).
    Other(String),
}

impl EventKind {
    /// Whether a host may have to be notified of it. An echo only settles an answer that was accepted before.
    #[must_use]
    pub(crate) fn is_notified(&self) -> bool {
        !matches!(self, Self::Echo(_) | Self::Read | Self::Delivery(_) | Self::Other(_))
    }
}

/// The ids of a pass or take event. Each may be missing or null (facts §4.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct ControlChange {
    /// Who owned the thread before.
    pub previous_owner: Option<AppId>,
    /// Who owns it now.
    pub new_owner: Option<AppId>,
    /// Free text of the caller.
    pub metadata: Option<String>,
}

/// The body of a request for control.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct ControlRequest {
    /// The app that wants control.
    pub requested_by: Option<AppId>,
    /// Free text of the caller.
    pub metadata: Option<String>,
}

/// Something the customer wrote or pressed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Inbound {
    /// The platform's id. Older postbacks have none.
    pub mid: Option<MessageId>,
    /// When it was written.
    pub at: Span,
    /// The text, or the title of a pressed button.
    pub text: Option<String>,
    /// The payload of a quick reply or postback. Never there for a postback on standby (facts §4.7).
    pub payload: Option<String>,
    /// Whether it is a postback rather than a message.
    pub postback: bool,
    /// What was attached.
    pub attachments: Vec<Attachment>,
}

/// Something attached to a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attachment {
    /// `image`, `audio`, `video`, `file`, `template`, `fallback`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it can be fetched, if the platform says so.
    pub url: Option<String>,
}

/// A message that the Page sent, as the platform repeats it (facts §4.8).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Echo {
    /// The platform's id of the message.
    pub mid: Option<MessageId>,
    /// The app that sent it, if the platform says so.
    pub app_id: Option<AppId>,
    /// The `metadata` that its sender put into the message.
    pub metadata: Option<String>,
    /// The text.
    pub text: Option<String>,
}
