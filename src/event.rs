//! What the platform tells us about one conversation. `Debug` shows nothing of what people wrote, so that it may be
//! logged.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{AppId, MessageId};
use crate::shown::Text;
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
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct ControlChange {
    /// Who owned the thread before.
    pub previous_owner: Option<AppId>,
    /// Who owns it now.
    pub new_owner: Option<AppId>,
    /// Free text of the caller.
    pub metadata: Option<String>,
}

/// The body of a request for control.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct ControlRequest {
    /// The app that wants control.
    pub requested_by: Option<AppId>,
    /// Free text of the caller.
    pub metadata: Option<String>,
}

/// Something the customer wrote or pressed.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attachment {
    /// `image`, `audio`, `video`, `file`, `template`, `fallback`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it can be fetched, if the platform says so.
    pub url: Option<String>,
}

/// A message that the Page sent, as the platform repeats it (facts §4.8).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

fn hidden(text: Option<&String>) -> Option<Text<'_>> {
    text.map(|text| Text(text))
}

impl fmt::Debug for ControlChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlChange")
            .field("previous_owner", &self.previous_owner)
            .field("new_owner", &self.new_owner)
            .field("metadata", &hidden(self.metadata.as_ref()))
            .finish()
    }
}

impl fmt::Debug for ControlRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlRequest")
            .field("requested_by", &self.requested_by)
            .field("metadata", &hidden(self.metadata.as_ref()))
            .finish()
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("mid", &self.mid)
            .field("at", &self.at)
            .field("text", &hidden(self.text.as_ref()))
            .field("payload", &hidden(self.payload.as_ref()))
            .field("postback", &self.postback)
            .field("attachments", &self.attachments)
            .finish()
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("kind", &self.kind)
            .field("url", &hidden(self.url.as_ref()))
            .finish()
    }
}

impl fmt::Debug for Echo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Echo")
            .field("mid", &self.mid)
            .field("app_id", &self.app_id)
            .field("metadata", &hidden(self.metadata.as_ref()))
            .field("text", &hidden(self.text.as_ref()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_that_people_wrote() {
        let words = || Some("what a customer wrote".to_owned());
        let attachments = vec![Attachment { kind: "image".to_owned(), url: words() }];
        let inbound = Inbound {
            mid: None,
            at: Span::UNKNOWN,
            text: words(),
            payload: words(),
            postback: false,
            attachments,
        };
        let echo = Echo { mid: None, app_id: None, metadata: words(), text: words() };
        let change = ControlChange { previous_owner: None, new_owner: None, metadata: words() };
        let request = ControlRequest { requested_by: None, metadata: words() };
        let shown = format!("{inbound:?} {echo:?} {change:?} {request:?}");
        assert!(!shown.contains("customer") && shown.contains("text: Some(<21 bytes>)"), "{shown}");
    }
}
