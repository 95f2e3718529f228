//! The calls of the Graph API and its successful responses, as values.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Fields, Moderation};
use messenger_handover::id::{AppId, MessageId, UserId};
use messenger_handover::time::Timestamp;

/// One call to the Graph API.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ApiCall {
    /// `POST pass_thread_control`.
    Pass {
        /// The person.
        user: UserId,
        /// The new owner. Without it the Page's rules choose ([pass](messenger_handover::protocol#pass)).
        target: Option<AppId>,
        /// Opaque text, repeated in the webhook.
        metadata: Option<String>,
    },
    /// `POST take_thread_control`.
    Take {
        /// The person.
        user: UserId,
        /// Opaque text, repeated in the webhook.
        metadata: Option<String>,
    },
    /// `POST request_thread_control`.
    Request {
        /// The person.
        user: UserId,
        /// Opaque text, repeated in the webhook.
        metadata: Option<String>,
    },
    /// `POST release_thread_control`.
    Release {
        /// The person.
        user: UserId,
    },
    /// `POST extend_thread_control`.
    Extend {
        /// The person.
        user: UserId,
        /// The time from now on, at most 7 days.
        duration: Duration,
    },
    /// `GET thread_owner`.
    ThreadOwner {
        /// The person.
        user: UserId,
    },
    /// `GET secondary_receivers`.
    SecondaryReceivers,
    /// `GET /me?fields=messaging_feature_status`.
    FeatureStatus,
    /// `GET /me` or `GET /{page}`.
    Node {
        /// The fields of the Page. Default: id and name.
        fields: Fields,
    },
    /// `GET subscribed_apps`.
    SubscribedApps,
    /// `POST subscribed_apps`.
    Subscribe {
        /// All fields that the app wants from now on; other subscriptions end.
        fields: Vec<String>,
    },
    /// `GET conversations` of one person.
    Conversation {
        /// The person.
        user: UserId,
        /// The fields of the conversation. Default: id and time of the last message.
        fields: Fields,
    },
    /// `GET /t_{person}`, a conversation by its own id.
    Thread {
        /// The person.
        user: UserId,
        /// The fields of the conversation. Default: id and time of the last message.
        fields: Fields,
    },
    /// `GET /t_{person}/messages`.
    ThreadMessages {
        /// The person.
        user: UserId,
        /// The fields of each message. Default: id and time.
        fields: Fields,
        /// The number of messages, at most 500. Default: 25.
        limit: Option<usize>,
    },
    /// `GET /{message id}`.
    Message {
        /// The message's id.
        mid: MessageId,
        /// The fields of the message. Default: id and time.
        fields: Fields,
    },
    /// `POST message_attachments`: saves an attachment for later sends.
    Upload {
        /// The message object with the `attachment`. An uploaded file is `filedata` in its payload: `name`, `type` and `size`.
        message: Value,
    },
    /// `POST moderate_conversations`.
    Moderate {
        /// The people, at most 10.
        users: Vec<UserId>,
        /// The actions, at most 2.
        actions: Vec<Moderation>,
    },
    /// `POST messages` with a message.
    Send {
        /// The person.
        user: UserId,
        /// The message object.
        message: Value,
        /// `RESPONSE`, `UPDATE` or `MESSAGE_TAG`.
        messaging_type: Option<String>,
        /// The message tag, with `MESSAGE_TAG`.
        tag: Option<String>,
        /// The change of control after the message
        /// ([control in a send](messenger_handover::protocol#send-with-control)).
        thread_control: Option<InlineControl>,
    },
    /// `POST messages` with a `sender_action` such as `typing_on`.
    SenderAction {
        /// The person.
        user: UserId,
        /// The name of the action.
        action: String,
    },
}

/// The `thread_control` object of the Send API ([control in a send](messenger_handover::protocol#send-with-control)).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InlineControl {
    /// Passes control to this app, or to the default application if there is none.
    Pass(Option<AppId>),
    /// Releases control, also where `control_type` is missing.
    Release,
}

impl ApiCall {
    /// The call's edge, such as `take_thread_control` or `messages`.
    #[must_use]
    pub fn edge(&self) -> &'static str {
        match self {
            Self::Pass { .. } => "pass_thread_control",
            Self::Take { .. } => "take_thread_control",
            Self::Request { .. } => "request_thread_control",
            Self::Release { .. } => "release_thread_control",
            Self::Extend { .. } => "extend_thread_control",
            Self::ThreadOwner { .. } => "thread_owner",
            Self::SecondaryReceivers => "secondary_receivers",
            Self::FeatureStatus => "messaging_feature_status",
            Self::Node { fields } if fields.asks("messaging_feature_status") => "messaging_feature_status",
            Self::Node { .. } | Self::Thread { .. } | Self::ThreadMessages { .. } | Self::Message { .. } => {
                ""
            }
            Self::Upload { .. } => "message_attachments",
            Self::Moderate { .. } => "moderate_conversations",
            Self::SubscribedApps | Self::Subscribe { .. } => "subscribed_apps",
            Self::Conversation { .. } => "conversations",
            Self::Send { .. } | Self::SenderAction { .. } => "messages",
        }
    }

    /// The person that the call is about, if any.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Pass { user, .. }
            | Self::Take { user, .. }
            | Self::Request { user, .. }
            | Self::Release { user }
            | Self::Extend { user, .. }
            | Self::ThreadOwner { user }
            | Self::Conversation { user, .. }
            | Self::Thread { user, .. }
            | Self::ThreadMessages { user, .. }
            | Self::Send { user, .. }
            | Self::SenderAction { user, .. } => Some(user),
            Self::SecondaryReceivers
            | Self::FeatureStatus
            | Self::Node { .. }
            | Self::Message { .. }
            | Self::Upload { .. }
            | Self::Moderate { .. }
            | Self::SubscribedApps
            | Self::Subscribe { .. } => None,
        }
    }

    /// The permissions of which the call needs one ([tokens](messenger_handover::protocol#tokens)): the first on Messenger, the
    /// others on Instagram.
    pub(super) fn needs(&self) -> &'static [&'static str] {
        match self {
            Self::SubscribedApps | Self::Subscribe { .. } => &["pages_manage_metadata"],
            _ => &["pages_messaging", "instagram_manage_messages", "instagram_business_manage_messages"],
        }
    }

    /// The detail that a trace shows beside the edge: the target of a pass, the text of a message, the seconds of an extension,
    /// the name of an action.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Pass { target, .. } => target.as_ref().map(ToString::to_string),
            Self::Send { message, .. } => Some(message_text(message)),
            Self::Extend { duration, .. } => Some(duration.as_secs().to_string()),
            Self::SenderAction { action, .. } => Some(action.clone()),
            _ => None,
        }
    }
}

/// The text of a message object, or the object itself where it has no text.
pub(crate) fn message_text(message: &Value) -> String {
    message["text"].as_str().map_or_else(|| message.to_string(), str::to_owned)
}

/// A successful response of the Graph API.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ApiAnswer {
    /// `{"success":true}`. A [request](messenger_handover::protocol#request) was forwarded by it, not granted.
    Success,
    /// The response of `thread_owner`, as far as the caller may see it.
    Owner {
        /// The owner, if the caller may see it.
        app: Option<AppId>,
        /// The time at which its control expires.
        expiration: Timestamp,
    },
    /// The response of `thread_owner` for an idle thread.
    NoOwner,
    /// The response of `secondary_receivers`.
    Receivers(Vec<(AppId, Option<String>)>),
    /// A message was sent.
    Sent {
        /// The person.
        user: UserId,
        /// The message's id.
        mid: MessageId,
        /// The id under which its attachment was saved.
        attachment_id: Option<String>,
    },
    /// The body of another read.
    Other(Value),
    /// A sender action was shown.
    Acted {
        /// The person.
        user: UserId,
    },
}

impl ApiAnswer {
    /// The [body](messenger_handover::protocol#call-answers) as Graph writes it.
    #[must_use]
    pub fn body(&self) -> Value {
        match self {
            Self::Success => json!({"success": true}),
            Self::Owner { app, expiration } => {
                let mut owner = json!({"expiration": expiration.as_millis() / 1000});
                if let Some(app) = app {
                    owner["app_id"] = number(app);
                }
                json!({"data": [{"thread_owner": owner}]})
            }
            Self::NoOwner => json!({"data": []}),
            Self::Receivers(apps) => {
                let data: Vec<Value> =
                    apps.iter().map(|(app, name)| json!({"id": app, "name": name})).collect();
                json!({"data": data})
            }
            Self::Sent { user, mid, attachment_id: None } => json!({"recipient_id": user, "message_id": mid}),
            Self::Sent { user, mid, attachment_id } => {
                json!({"recipient_id": user, "message_id": mid, "attachment_id": attachment_id})
            }
            Self::Other(body) => body.clone(),
            Self::Acted { user } => json!({"recipient_id": user}),
        }
    }
}

/// An app id as a JSON number where it is one. Meta mixes numbers and strings ([app ids](messenger_handover::protocol#app-ids),
/// [control events](messenger_handover::protocol#control-events)); the simulator follows Meta's sample in each place.
pub(super) fn number(app: &AppId) -> Value {
    let text = app.to_string();
    text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
}
