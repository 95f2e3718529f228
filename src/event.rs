//! Events of one conversation, as the platform's webhook delivers them. `Debug` hides people's texts, so that events
//! can be logged.

mod message;
mod private_text;
mod raw;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{AppId, MessageId};
use crate::shown::Text;
use crate::time::{Span, Timestamp};

pub use message::{Attachment, Echo, Inbound, Referral, ReplyTo, Story};
pub use private_text::PrivateText;
pub use raw::Raw;

/// The array of the webhook in which an event came: [`messaging`](crate::protocol#webhook-envelope) or
/// [`standby`](crate::protocol#standby).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// For the owner, or for every app while the thread is idle. No proof of ownership on its own.
    Messaging,
    /// For apps that read along: another app owns the thread.
    Standby,
}

/// One event of one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// The array in which it came.
    pub channel: Channel,
    /// The platform's time of the event.
    pub at: Span,
    /// The content.
    pub kind: EventKind,
}

impl Event {
    /// An event in this array.
    #[must_use]
    pub fn new(channel: Channel, at: Span, kind: EventKind) -> Self {
        Self { channel, at, kind }
    }
}

/// The content of an event.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// `pass_thread_control`. Read the new owner from the ids, [not from the event's
    /// name](crate::protocol#control-events).
    PassThreadControl(ControlChange),
    /// `take_thread_control`. Read the new owner from the ids.
    TakeThreadControl(ControlChange),
    /// `request_thread_control`: another app asks for control.
    RequestThreadControl(ControlRequest),
    /// The customer wrote or pressed a button.
    Inbound(Inbound),
    /// The Page wrote: this app, another app, or a person in the inbox.
    Echo(Echo),
    /// The customer read earlier messages.
    Read {
        /// All messages up to this time were read (Messenger).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        watermark: Option<Timestamp>,
        /// The message that was read (Instagram).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mid: Option<MessageId>,
    },
    /// Messages reached the customer's device. Instagram [sends no deliveries](crate::protocol#receipts).
    Delivery {
        /// The messages. Older deliveries name none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mids: Vec<MessageId>,
        /// All messages up to this time were delivered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        watermark: Option<Timestamp>,
    },
    /// The customer [unsent](crate::protocol#unsent-and-edited) this message (`is_deleted`): stop showing it.
    Unsent(MessageId),
    /// The customer edited a message (`message_edit`).
    Edited {
        /// The platform's id of the message.
        mid: MessageId,
        /// The new text. `None` if the platform does not send it: fetch it by `mid`.
        text: Option<String>,
        /// The number of edits so far, from 1.
        number: u32,
    },
    /// An event without a type in this crate.
    Other(Other),
}

impl EventKind {
    /// Whether the host may have to be notified, so that the event needs room in the notice queue.
    #[must_use]
    pub(crate) fn is_notified(&self) -> bool {
        !self.is_receipt()
    }

    /// Whether it only reports that our messages were read or delivered.
    #[must_use]
    pub(crate) fn is_receipt(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Delivery { .. })
    }
}

/// An event without a type of its own: a reaction, a referral, an opt-in, a linked account, a game, an unreadable
/// message, or a kind that is newer than this crate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Other {
    /// The platform's name of it: `reaction`, `referral`, `optin`, `account_linking`, `game_play`, …
    pub name: String,
    /// Whether the customer caused it. Control is then prolonged as by a message
    /// ([inferred](crate::protocol#standby)). `false` if the Page or the platform caused it: a message that is no
    /// echo, a postback of the account to itself, a deleted echo, a text of the system.
    pub by_customer: bool,
    /// The link or ad by which the customer came, if the event is a `referral` or contains one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referral: Option<Box<Referral>>,
    /// The webhook's whole element.
    pub raw: Raw,
}

impl Other {
    /// An event that the customer caused.
    #[must_use]
    pub fn new(name: impl Into<String>, raw: Raw) -> Self {
        Self { name: name.into(), by_customer: true, referral: None, raw }
    }
}

/// The content of a pass or take event. Each id [may be missing or null](crate::protocol#control-events).
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ControlChange {
    /// The previous owner.
    pub previous_owner: Option<AppId>,
    /// The new owner.
    pub new_owner: Option<AppId>,
    /// The caller's text.
    pub metadata: Option<String>,
}

impl ControlChange {
    /// A change from one owner to another.
    #[must_use]
    pub fn new(previous_owner: Option<AppId>, new_owner: Option<AppId>) -> Self {
        Self { previous_owner, new_owner, metadata: None }
    }
}

/// The content of a request for control.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ControlRequest {
    /// The app that requests control.
    pub requested_by: Option<AppId>,
    /// The caller's text.
    pub metadata: Option<String>,
}

impl ControlRequest {
    /// A request by this app.
    #[must_use]
    pub fn new(requested_by: Option<AppId>) -> Self {
        Self { requested_by, metadata: None }
    }
}

fn hidden(text: Option<&String>) -> Option<Text<'_>> {
    text.map(|text| Text(text))
}

impl fmt::Debug for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PassThreadControl(change) => f.debug_tuple("PassThreadControl").field(change).finish(),
            Self::TakeThreadControl(change) => f.debug_tuple("TakeThreadControl").field(change).finish(),
            Self::RequestThreadControl(request) => {
                f.debug_tuple("RequestThreadControl").field(request).finish()
            }
            Self::Inbound(inbound) => f.debug_tuple("Inbound").field(inbound).finish(),
            Self::Echo(echo) => f.debug_tuple("Echo").field(echo).finish(),
            Self::Read { watermark, mid } => {
                f.debug_struct("Read").field("watermark", watermark).field("mid", mid).finish()
            }
            Self::Delivery { mids, watermark } => {
                f.debug_struct("Delivery").field("mids", mids).field("watermark", watermark).finish()
            }
            Self::Unsent(mid) => f.debug_tuple("Unsent").field(mid).finish(),
            Self::Edited { mid, text, number } => f
                .debug_struct("Edited")
                .field("mid", mid)
                .field("text", &hidden(text.as_ref()))
                .field("number", number)
                .finish(),
            Self::Other(other) => f.debug_tuple("Other").field(other).finish(),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Span = Span::UNKNOWN;

    #[expect(clippy::unnecessary_wraps, reason = "fields are optional")]
    fn words() -> Option<String> {
        Some("what a customer wrote".to_owned())
    }

    fn raw() -> Raw {
        Raw::new(r#"{"x":"what a customer wrote"}"#)
    }

    /// One event of each kind, with people's texts in all places.
    fn kinds() -> Vec<EventKind> {
        let mid = MessageId::new("m").unwrap();
        let attachment = Attachment { url: words(), title: words(), ..Attachment::new("image") };
        let referral = Referral { referral: words(), raw: Some(raw()), ..Referral::new() };
        let reply_to = ReplyTo { story: Some(Story::new(None, words())), ..ReplyTo::new() };
        let inbound = Inbound {
            text: words(),
            payload: words(),
            attachments: vec![attachment.clone()],
            reply_to: Some(Box::new(reply_to)),
            referral: Some(Box::new(referral.clone())),
            is_unsupported: true,
            must_be_fetched: true,
            raw: Some(raw()),
            ..Inbound::new(None, AT)
        };
        let echo = Echo {
            metadata: words(),
            text: words(),
            ai_generated: true,
            attachments: vec![attachment],
            ..Echo::new(None, None)
        };
        let change = ControlChange { metadata: words(), ..ControlChange::default() };
        vec![
            EventKind::PassThreadControl(change.clone()),
            EventKind::TakeThreadControl(change),
            EventKind::RequestThreadControl(ControlRequest {
                metadata: words(),
                ..ControlRequest::default()
            }),
            EventKind::Inbound(inbound),
            EventKind::Echo(echo),
            EventKind::Read { watermark: Some(Timestamp::from_millis(1)), mid: Some(mid.clone()) },
            EventKind::Delivery { mids: vec![mid.clone()], watermark: Some(Timestamp::from_millis(1)) },
            EventKind::Unsent(mid.clone()),
            EventKind::Edited { mid, text: words(), number: 1 },
            EventKind::Other(Other { referral: Some(Box::new(referral)), ..Other::new("referral", raw()) }),
        ]
    }

    #[test]
    fn debug_shows_nothing_that_people_wrote() {
        let shown = format!("{:?}", kinds());
        assert!(!shown.contains("customer wrote") && shown.contains("text: Some(<21 bytes>)"), "{shown}");
    }

    #[test]
    fn every_kind_survives_being_saved() {
        for kind in kinds() {
            let event = Event::new(Channel::Messaging, AT, kind);
            let saved = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&saved).unwrap(), event, "{saved}");
        }
    }

    #[test]
    fn inbound_of_earlier_records_is_read_and_an_ordinary_one_is_saved_as_before() {
        let before = r#"{"mid":"m","at":{"from":1,"to":1},"text":"hi","payload":null,"postback":false,"attachments":[{"type":"image","url":null}]}"#;
        let inbound: Inbound = serde_json::from_str(before).unwrap();
        let expected = Inbound {
            text: Some("hi".to_owned()),
            attachments: vec![Attachment::new("image")],
            ..Inbound::new(MessageId::new("m").ok(), Span::at(Timestamp::from_millis(1)))
        };
        assert_eq!(inbound, expected);
        assert_eq!(serde_json::to_string(&inbound).unwrap(), before);
        let echo: Echo =
            serde_json::from_str(r#"{"mid":"m","app_id":null,"metadata":null,"text":null}"#).unwrap();
        assert_eq!(echo, Echo::new(MessageId::new("m").ok(), None));
    }

    #[test]
    fn only_receipts_need_no_notice() {
        let silent: Vec<_> = kinds().into_iter().filter(|kind| !kind.is_notified()).collect();
        assert!(matches!(silent[..], [EventKind::Read { .. }, EventKind::Delivery { .. }]));
    }
}
