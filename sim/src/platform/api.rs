//! The calls of the Graph API as values, and its answers.

use std::time::Duration;

use serde_json::{Value, json};

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
        /// The new owner; what its absence means depends on the rules.
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
        /// From now on.
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
    /// `GET /me`, of which only the id is known here.
    Node,
    /// `GET subscribed_apps`.
    SubscribedApps,
    /// `POST subscribed_apps`.
    Subscribe {
        /// All fields that the app wants from now on.
        fields: Vec<String>,
    },
    /// `GET conversations` of one person.
    Conversation {
        /// The person.
        user: UserId,
    },
    /// `POST messages` with a message.
    Send {
        /// The person.
        user: UserId,
        /// The message object.
        message: Value,
        /// `RESPONSE`, `UPDATE` or `MESSAGE_TAG`.
        messaging_type: Option<String>,
        /// With `MESSAGE_TAG`: which one.
        tag: Option<String>,
        /// What happens to control after the message (facts §3.5).
        thread_control: Option<InlineControl>,
    },
    /// `POST messages` with a `sender_action` such as `typing_on`.
    SenderAction {
        /// The person.
        user: UserId,
        /// Its name.
        action: String,
    },
}

/// The `thread_control` object of the Send API (facts §3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InlineControl {
    /// Control is passed, without a target to the default application.
    Pass(Option<AppId>),
    /// Control is released; also what a missing `control_type` means.
    Release,
}

impl ApiCall {
    /// The edge it is made on, such as `take_thread_control` or `messages`.
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
            Self::Node => "",
            Self::SubscribedApps | Self::Subscribe { .. } => "subscribed_apps",
            Self::Conversation { .. } => "conversations",
            Self::Send { .. } | Self::SenderAction { .. } => "messages",
        }
    }

    /// The person it is about.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Pass { user, .. }
            | Self::Take { user, .. }
            | Self::Request { user, .. }
            | Self::Release { user }
            | Self::Extend { user, .. }
            | Self::ThreadOwner { user }
            | Self::Conversation { user }
            | Self::Send { user, .. }
            | Self::SenderAction { user, .. } => Some(user),
            Self::SecondaryReceivers
            | Self::FeatureStatus
            | Self::Node
            | Self::SubscribedApps
            | Self::Subscribe { .. } => None,
        }
    }

    /// The permissions of which it takes one: the first on Messenger, the others on Instagram (facts §3.3,
    /// §3.6).
    pub(super) fn needs(&self) -> &'static [&'static str] {
        match self {
            Self::SubscribedApps | Self::Subscribe { .. } => &["pages_manage_metadata"],
            _ => &["pages_messaging", "instagram_manage_messages", "instagram_business_manage_messages"],
        }
    }

    /// What a reader of a trace wants to see beside the edge: the target of a pass, the text of a
    /// message, the seconds of an extension, the name of an action.
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

/// A successful answer of the Graph API.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ApiAnswer {
    /// `{"success":true}`. For a request it means "sent", not "granted" (facts §3.4).
    Success,
    /// The answer of `thread_owner`, as far as the caller may see it.
    Owner {
        /// The owner.
        app: Option<AppId>,
        /// When its control lapses.
        expiration: Timestamp,
    },
    /// The answer of `thread_owner` where there is nothing to tell.
    NoOwner,
    /// The answer of `secondary_receivers`.
    Receivers(Vec<(AppId, Option<String>)>),
    /// A message was sent.
    Sent {
        /// To whom.
        user: UserId,
        /// As what.
        mid: MessageId,
    },
    /// The body of an answer that is only read.
    Other(Value),
    /// A sender action was shown.
    Acted {
        /// To whom.
        user: UserId,
    },
}

impl ApiAnswer {
    /// The body, as Graph writes it (facts §3.4).
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
            Self::Sent { user, mid } => json!({"recipient_id": user, "message_id": mid}),
            Self::Other(body) => body.clone(),
            Self::Acted { user } => json!({"recipient_id": user}),
        }
    }
}

/// An app id as a JSON number where it is one. Meta mixes numbers and strings (facts §3.4, §4.6); the
/// simulator writes each place the way Meta's sample of that place does.
pub(super) fn number(app: &AppId) -> Value {
    let text = app.to_string();
    text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
}
