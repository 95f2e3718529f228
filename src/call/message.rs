//! Outgoing messages: the Send API's `message` object and its parameters.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::id::AppId;
use crate::shown::Fields;

/// The most quick replies in one message.
pub const MAX_QUICK_REPLIES: usize = 13;

/// The most characters in a text message on Messenger, [documented](crate::protocol#sends).
pub const MAX_TEXT_CHARS: usize = 2000;

/// The reason why a message is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// The idempotency key is empty, longer than [`MAX_KEY_BYTES`](super::MAX_KEY_BYTES) or has control characters.
    /// Choose another key.
    #[error("invalid idempotency key: not 1 to {} bytes without control characters", super::MAX_KEY_BYTES)]
    Key,
    /// The text is empty. Do not send it.
    #[error("invalid text message: empty")]
    EmptyText,
    /// The text has more than [`MAX_TEXT_CHARS`] characters. Split it.
    #[error("invalid text message: more than {MAX_TEXT_CHARS} characters")]
    TextTooLong,
    /// A raw body or a template is not a JSON object. Pass the content of the Send API's `message` field.
    #[error("invalid raw message: not a JSON object as in the Send API's `message` field")]
    NotAnObject,
    /// A raw body has its own `metadata`. Leave it out, because the crate needs that field to recognise the echo.
    #[error("invalid raw message: `metadata` is reserved for the idempotency key")]
    MetadataReserved,
    /// There are more than [`MAX_QUICK_REPLIES`] quick replies. Leave some out.
    #[error("too many quick replies: at most {MAX_QUICK_REPLIES}")]
    TooManyQuickReplies,
}

/// The Send API's [`messaging_type`](crate::protocol#sends).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum MessagingType {
    /// A reply inside the standard [messaging window](crate::protocol#windows) of 24 h.
    #[default]
    Response,
    /// Not a reply, but inside the window.
    Update,
    /// A person's reply up to 7 days later: `MESSAGE_TAG` with [`HUMAN_AGENT`](crate::protocol#human-agent), which
    /// needs App Review.
    HumanAgent,
}

impl MessagingType {
    /// The usual window after the customer's last message: 24 h, or 7 days for [`Self::HumanAgent`].
    #[must_use]
    pub fn window(self) -> Duration {
        match self {
            Self::Response | Self::Update => Duration::from_secs(24 * 60 * 60),
            Self::HumanAgent => Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

/// The fate of control right after a message, in the same call: the Send API's
/// [`thread_control`](crate::protocol#send-with-control). Available only with Conversation Routing; elsewhere the
/// service passes or releases with a second call.
///
/// The crate always sends `control_type`, because the platform releases control without it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InlineControl {
    /// Control passes to this app: the desk's, an inbox, Meta's AI. The app is always named, so that the new owner
    /// does not depend on a setting of the Page.
    PassTo(AppId),
    /// The thread becomes idle.
    Release,
}

/// The kind of an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MediaKind {
    /// `image`
    Image,
    /// `audio`
    Audio,
    /// `video`
    Video,
    /// `file`
    File,
}

/// The source of an attachment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Media {
    /// The platform fetches this URL, once for each message.
    Url(String),
    /// The platform fetches this URL, and returns an id with which the attachment can be sent again.
    ReusableUrl(String),
    /// The `attachment_id` of an earlier upload.
    Uploaded(String),
}

/// A button under a message. A press comes back as a message with the button's payload.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct QuickReply(Value);

impl QuickReply {
    /// A button with a title, of which the platform shows about 20 characters, and the payload that comes back in
    /// `quick_reply.payload`.
    #[must_use]
    pub fn text(title: &str, payload: &str) -> Self {
        Self(json!({"content_type": "text", "title": title, "payload": payload}))
    }

    /// Offers the customer's own e-mail address.
    #[must_use]
    pub fn user_email() -> Self {
        Self(json!({"content_type": "user_email"}))
    }

    /// Offers the customer's own phone number.
    #[must_use]
    pub fn user_phone_number() -> Self {
        Self(json!({"content_type": "user_phone_number"}))
    }
}

/// The content of a message: the Send API's `message` object, without `metadata`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OutgoingMessage {
    body: Map<String, Value>,
    messaging_type: MessagingType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    control: Option<InlineControl>,
}

/// Shows nothing of the content, so that it can be logged.
impl fmt::Debug for OutgoingMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingMessage")
            .field("body", &Fields(&self.body))
            .field("messaging_type", &self.messaging_type)
            .field("control", &self.control)
            .finish()
    }
}

impl fmt::Debug for QuickReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuickReply").finish_non_exhaustive()
    }
}

impl OutgoingMessage {
    fn new(body: Map<String, Value>) -> Self {
        Self { body, messaging_type: MessagingType::default(), control: None }
    }

    /// A text message. The platform limits its [length](crate::protocol#sends): 2,000 characters on Messenger, 1,000
    /// bytes on Instagram.
    ///
    /// # Errors
    /// [`InvalidMessage::EmptyText`] if the text is empty: do not send it. [`InvalidMessage::TextTooLong`] if it has more than
    /// [`MAX_TEXT_CHARS`] characters: split it. The limit of Instagram is left to the platform.
    pub fn text(text: impl Into<String>) -> Result<Self, InvalidMessage> {
        let text = text.into();
        if text.is_empty() {
            return Err(InvalidMessage::EmptyText);
        }
        if text.chars().count() > MAX_TEXT_CHARS {
            return Err(InvalidMessage::TextTooLong);
        }
        Ok(Self::new(Map::from_iter([("text".to_owned(), Value::String(text))])))
    }

    /// An image, audio, video or file attachment.
    #[must_use]
    pub fn media(kind: MediaKind, media: Media) -> Self {
        let kind = match kind {
            MediaKind::Image => "image",
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
            MediaKind::File => "file",
        };
        let payload = match media {
            Media::Url(url) => json!({ "url": url }),
            Media::ReusableUrl(url) => json!({"url": url, "is_reusable": true}),
            Media::Uploaded(id) => json!({ "attachment_id": id }),
        };
        Self::attachment(kind, payload)
    }

    /// A template message from its `payload`, such as `{"template_type":"button","text":…,"buttons":[…]}`.
    ///
    /// # Errors
    /// [`InvalidMessage::NotAnObject`] if the payload is no JSON object: correct the call.
    pub fn template(payload: Value) -> Result<Self, InvalidMessage> {
        if payload.is_object() {
            Ok(Self::attachment("template", payload))
        } else {
            Err(InvalidMessage::NotAnObject)
        }
    }

    fn attachment(kind: &str, payload: Value) -> Self {
        let attachment = Map::from_iter([("type".to_owned(), kind.into()), ("payload".to_owned(), payload)]);
        Self::new(Map::from_iter([("attachment".to_owned(), Value::Object(attachment))]))
    }

    /// Any `message` object that the Send API accepts.
    ///
    /// # Errors
    /// - [`InvalidMessage::NotAnObject`] if the body is no JSON object: correct the call.
    /// - [`InvalidMessage::MetadataReserved`] if the body has `metadata`: leave it out.
    pub fn raw(body: Value) -> Result<Self, InvalidMessage> {
        match body {
            Value::Object(body) if body.contains_key("metadata") => Err(InvalidMessage::MetadataReserved),
            Value::Object(body) => Ok(Self::new(body)),
            _ => Err(InvalidMessage::NotAnObject),
        }
    }

    /// Adds quick replies under the message.
    ///
    /// # Errors
    /// [`InvalidMessage::TooManyQuickReplies`] above [`MAX_QUICK_REPLIES`]: leave some out.
    pub fn quick_replies(
        mut self,
        replies: impl IntoIterator<Item = QuickReply>,
    ) -> Result<Self, InvalidMessage> {
        let replies: Vec<_> = replies.into_iter().map(|reply| reply.0).collect();
        if replies.len() > MAX_QUICK_REPLIES {
            return Err(InvalidMessage::TooManyQuickReplies);
        }
        self.body.insert("quick_replies".to_owned(), Value::Array(replies));
        Ok(self)
    }

    /// Sets the `messaging_type`.
    #[must_use]
    pub fn with_messaging_type(mut self, messaging_type: MessagingType) -> Self {
        self.messaging_type = messaging_type;
        self
    }

    /// Gives control away with this message, a farewell. The service does it in the same call if the Page's
    /// configuration allows, and otherwise right after.
    #[must_use]
    pub fn then(mut self, control: InlineControl) -> Self {
        self.control = Some(control);
        self
    }

    /// The same message without giving control away.
    #[must_use]
    pub fn without_control(mut self) -> Self {
        self.control = None;
        self
    }

    /// The `messaging_type` of the send.
    #[must_use]
    pub fn messaging_type(&self) -> MessagingType {
        self.messaging_type
    }

    /// The fate of control after the message, if it gives control away.
    #[must_use]
    pub fn control(&self) -> Option<&InlineControl> {
        self.control.as_ref()
    }

    /// The `message` object.
    #[must_use]
    pub fn body(&self) -> &Map<String, Value> {
        &self.body
    }
}

/// A sign instead of a message: the Send API's [`sender_action`](crate::protocol#sender-actions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SenderAction {
    /// Shows three moving dots, for at most 20 s.
    TypingOn,
    /// Hides the dots.
    TypingOff,
    /// Marks the customer's messages as read.
    MarkSeen,
}

impl SenderAction {
    /// The Send API's name of the action.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TypingOn => "typing_on",
            Self::TypingOff => "typing_off",
            Self::MarkSeen => "mark_seen",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_cannot_be_sent_are_refused_early() {
        assert_eq!(OutgoingMessage::text("").unwrap_err(), InvalidMessage::EmptyText);
        assert_eq!(OutgoingMessage::raw(json!("hi")).unwrap_err(), InvalidMessage::NotAnObject);
        assert_eq!(OutgoingMessage::template(json!([])).unwrap_err(), InvalidMessage::NotAnObject);
        let reserved = OutgoingMessage::raw(json!({"text": "hi", "metadata": "mine"}));
        assert_eq!(reserved.unwrap_err(), InvalidMessage::MetadataReserved);
        let many = (0..=MAX_QUICK_REPLIES).map(|n| QuickReply::text(&n.to_string(), "P"));
        let many = OutgoingMessage::text("?").unwrap().quick_replies(many);
        assert_eq!(many.unwrap_err(), InvalidMessage::TooManyQuickReplies);
    }

    #[test]
    fn bodies_as_the_send_api_takes_them() {
        let body = |message: &OutgoingMessage| Value::Object(message.body().clone());
        let image = OutgoingMessage::media(MediaKind::Image, Media::ReusableUrl("https://a/b.png".into()));
        let payload = json!({"url": "https://a/b.png", "is_reusable": true});
        assert_eq!(body(&image), json!({"attachment": {"type": "image", "payload": payload}}));
        let file = OutgoingMessage::media(MediaKind::File, Media::Uploaded("77".into()));
        assert_eq!(body(&file), json!({"attachment": {"type": "file", "payload": {"attachment_id": "77"}}}));
        let replies = [QuickReply::text("Yes", "Y"), QuickReply::user_email()];
        let asked = OutgoingMessage::text("Sure?").unwrap().quick_replies(replies).unwrap();
        let replies = json!([{"content_type": "text", "title": "Yes", "payload": "Y"},
            {"content_type": "user_email"}]);
        assert_eq!(body(&asked), json!({"text": "Sure?", "quick_replies": replies}));
    }

    #[test]
    fn a_message_stored_before_there_were_farewells_reads_back() {
        let old = r#"{"body":{"text":"hi"},"messaging_type":"RESPONSE"}"#;
        let message: OutgoingMessage = serde_json::from_str(old).unwrap();
        assert_eq!(message, OutgoingMessage::text("hi").unwrap());
        assert_eq!(serde_json::to_string(&message).unwrap(), old);
        let farewell = message.then(InlineControl::PassTo(AppId::from(7)));
        let json = serde_json::to_string(&farewell).unwrap();
        assert_eq!(serde_json::from_str::<OutgoingMessage>(&json).unwrap(), farewell);
    }
}
