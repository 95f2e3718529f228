//! The messages that a customer can send, as values with the bodies of Meta's webhooks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::config::EntryPoint;
use messenger_handover::id::MessageId;

/// A message of a customer. It needs a text, an attachment, a sticker, a shared post or `unsupported`; the rest is optional.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CustomerMessage {
    /// The text.
    pub text: Option<String>,
    /// The attachments, in order.
    pub attachments: Vec<Attachment>,
    /// A sticker of Messenger. Instagram does not show stickers to apps: there it arrives as `is_unsupported`.
    pub sticker_id: Option<u64>,
    /// A post that the customer shares.
    pub shared_post: Option<SharedPost>,
    /// The payload of the quick reply that the customer chose; `text` is its title.
    pub quick_reply: Option<String>,
    /// The message of the conversation that this one answers.
    pub reply_to: Option<MessageId>,
    /// The story of the account that this message answers. Instagram only.
    pub reply_to_story: Option<Story>,
    /// The link or the ad that brought the customer.
    pub referral: Option<Referral>,
    /// A kind of message that Meta does not show to apps. Instagram only; with content of no other kind.
    pub unsupported: bool,
    /// The entry point. Default: that of the referral, or else [`EntryPoint::Social`].
    pub entry: Option<EntryPoint>,
}

impl CustomerMessage {
    /// A message with this text. Set further fields on the value.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// A message with this sticker.
    #[must_use]
    pub fn sticker(id: u64) -> Self {
        Self { sticker_id: Some(id), ..Self::default() }
    }

    /// The choice of a quick reply.
    pub fn quick_reply(title: impl Into<String>, payload: impl Into<String>) -> Self {
        Self { quick_reply: Some(payload.into()), ..Self::text(title) }
    }

    /// The text and, in brackets, the kinds of the other contents.
    pub(crate) fn shown(&self) -> String {
        let kinds = self.attachments.iter().map(|attachment| attachment.kind.as_str());
        let kinds = kinds.chain(self.sticker_id.map(|_| "sticker"));
        let kinds = kinds.chain(self.shared_post.as_ref().map(|_| "shared post"));
        let kinds = kinds.chain(self.unsupported.then_some("unsupported")).map(|kind| format!("[{kind}]"));
        self.text.iter().cloned().chain(kinds).collect::<Vec<_>>().join(" ")
    }

    /// The message object of the webhook, without its `mid`. `is_own` says whether the answered message is the customer's own;
    /// it is needed with `reply_to`.
    pub(super) fn body(&self, instagram: bool, is_own: Option<bool>) -> Result<Value, InvalidAct> {
        let attached =
            !self.attachments.is_empty() || self.shared_post.is_some() || self.sticker_id.is_some();
        let has_content = self.text.is_some() || attached;
        if self.unsupported && !instagram {
            return Err(InvalidAct::InstagramOnly("unsupported"));
        }
        if self.reply_to_story.is_some() && !instagram {
            return Err(InvalidAct::InstagramOnly("reply_to_story"));
        }
        if self.unsupported == has_content {
            return Err(InvalidAct::Content);
        }
        if self.quick_reply.is_some() && self.text.is_none() {
            return Err(InvalidAct::QuickReplyWithoutText);
        }
        if self.reply_to.is_some() && self.reply_to_story.is_some() {
            return Err(InvalidAct::TwoReplies);
        }
        let mut body = Map::new();
        let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
        // Instagram shows no stickers (docs/protocol.md#message-flags).
        if self.unsupported || (instagram && self.sticker_id.is_some()) {
            set("is_unsupported", json!(true));
        }
        if let Some(text) = &self.text {
            set("text", json!(text));
        }
        let attachments = self.attached(instagram);
        if !attachments.is_empty() {
            set("attachments", json!(attachments));
        }
        if let Some(payload) = &self.quick_reply {
            set("quick_reply", json!({"payload": payload}));
        }
        if let Some(mid) = &self.reply_to {
            let is_own = is_own.ok_or_else(|| InvalidAct::NoSuchMessage(mid.clone()))?;
            set("reply_to", json!({"mid": mid, "is_self_reply": is_own}));
        }
        if let Some(Story { id, url }) = &self.reply_to_story {
            set("reply_to", json!({"story": {"url": url, "id": id}}));
        }
        if let Some(referral) = &self.referral {
            set("referral", referral.body());
        }
        Ok(Value::Object(body))
    }

    /// The attachments of the webhook. A sticker has the type `sticker` since August 2026 (Meta's changelog of 2026-06-01); its
    /// `url` is invented. A shared post is a `post` on Messenger, with a payload that is inferred, and a `share` with only a
    /// `url` on Instagram.
    fn attached(&self, instagram: bool) -> Vec<Value> {
        let given = self.attachments.iter().map(Attachment::body);
        let sticker = self.sticker_id.filter(|_| !instagram).map(|id| {
            let url = format!("https://example.com/sticker/{id}.png");
            json!({"type": "sticker", "payload": {"url": url, "sticker_id": id}})
        });
        let shared = self.shared_post.as_ref().map(|SharedPost { url, title }| match title {
            Some(title) if !instagram => json!({"type": "post", "payload": {"url": url, "title": title}}),
            _ => json!({"type": if instagram { "share" } else { "post" }, "payload": {"url": url}}),
        });
        given.chain(sticker).chain(shared).collect()
    }
}

/// An attachment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Attachment {
    /// The type, such as `image`, `audio`, `video`, `file` or `location`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address of its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Further fields of its payload.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub payload: Map<String, Value>,
}

impl Attachment {
    /// An attachment of this type, whose content is at `url`.
    pub fn new(kind: impl Into<String>, url: impl Into<String>) -> Self {
        Self { kind: kind.into(), url: Some(url.into()), payload: Map::new() }
    }

    fn body(&self) -> Value {
        let mut payload = self.payload.clone();
        if let Some(url) = &self.url {
            payload.insert("url".to_owned(), json!(url));
        }
        json!({"type": self.kind, "payload": payload})
    }
}

/// A post of Facebook or Instagram.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedPost {
    /// The address of the post.
    pub url: String,
    /// The title, which Instagram does not pass on.
    #[serde(default)]
    pub title: Option<String>,
}

/// A story of an Instagram account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Story {
    /// The id of the story.
    pub id: String,
    /// The address of its content.
    pub url: String,
}

/// The way by which a customer came: [`referral`](messenger_handover::protocol#reply-to-and-referrals).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Referral {
    /// The `ref` parameter of the link or the ad.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The source. Default: `ADS` with an `ad_id`, else `SHORTLINK`. Inferred: also for links of Instagram.
    pub source: Option<String>,
    /// The id of the ad.
    pub ad_id: Option<String>,
    /// The title and the pictures of the ad.
    pub ads_context_data: Option<Value>,
    /// The address of the site with the link.
    pub referer_uri: Option<String>,
}

impl Referral {
    /// A link, such as m.me or ig.me, with this `ref` parameter.
    pub fn link(reference: impl Into<String>) -> Self {
        Self { reference: reference.into(), ..Self::default() }
    }

    /// An ad with this id.
    pub fn ad(id: impl Into<String>) -> Self {
        Self { ad_id: Some(id.into()), ..Self::default() }
    }

    fn source(&self) -> &str {
        let default = if self.ad_id.is_some() { "ADS" } else { "SHORTLINK" };
        self.source.as_deref().unwrap_or(default)
    }

    pub(super) fn is_ad(&self) -> bool {
        self.source() == "ADS"
    }

    pub(super) fn entry(&self) -> EntryPoint {
        if self.is_ad() { EntryPoint::Campaign } else { EntryPoint::Link }
    }

    /// The source and the `ref`, for people.
    pub(crate) fn shown(&self) -> String {
        format!("{} {}", self.source(), self.reference).trim_end().to_owned()
    }

    pub(super) fn body(&self) -> Value {
        let mut body = json!({"ref": self.reference, "source": self.source(), "type": "OPEN_THREAD"});
        if let Some(id) = &self.ad_id {
            body["ad_id"] = json!(id);
        }
        if let Some(data) = &self.ads_context_data {
            body["ads_context_data"] = data.clone();
        }
        if let Some(uri) = &self.referer_uri {
            body["referer_uri"] = json!(uri);
        }
        body
    }
}

/// An opt-in of a customer, which Meta's page on `messaging_optins` describes. Messenger only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum OptIn {
    /// The customer pressed *Send to Messenger* on a site.
    Plugin {
        /// The `data-ref` of the button.
        #[serde(rename = "ref")]
        reference: String,
    },
    /// The customer agreed to marketing messages.
    NotificationMessages {
        /// The payload of the template.
        payload: String,
        /// The title of the template.
        title: String,
    },
}

impl OptIn {
    /// The name of the kind, for people.
    pub(crate) fn shown(&self) -> &'static str {
        match self {
            Self::Plugin { .. } => "plugin",
            Self::NotificationMessages { .. } => "notification_messages",
        }
    }

    /// The `optin` of the webhook. The expiry of the token is left out, because Meta does not say its unit.
    pub(super) fn body(&self, token: &str) -> Value {
        match self {
            Self::Plugin { reference } => json!({"ref": reference}),
            Self::NotificationMessages { payload, title } => json!({
                "type": "notification_messages", "payload": payload, "title": title,
                "notification_messages_token": token, "user_token_status": "NOT_REFRESHED",
            }),
        }
    }
}

/// The reason why a customer cannot do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAct {
    /// A message without content, or an unsupported one with content.
    #[error(
        "a message needs a text, attachments, a sticker or a shared post; an unsupported message has none of these"
    )]
    Content,
    /// A quick reply without its title.
    #[error("a quick reply needs the text of the button")]
    QuickReplyWithoutText,
    /// A reply to a message and to a story.
    #[error("a message answers another message or a story, not both")]
    TwoReplies,
    /// An act that Messenger does not have.
    #[error("{0} exists on Instagram only")]
    InstagramOnly(&'static str),
    /// An act that Instagram does not have.
    #[error("{0} exists on Messenger only")]
    MessengerOnly(&'static str),
    /// A message that is not in the conversation.
    #[error("there is no message {0}")]
    NoSuchMessage(MessageId),
    /// A change of a message of an app, of one without text, or of an unsent one.
    #[error("customers can edit only messages of their own that have a text")]
    NotEditable,
    /// A sixth edit.
    #[error("a message can be edited five times")]
    TooManyEdits,
    /// A link or an ad that opens a conversation without messages.
    #[error("this person has no conversation yet: send the referral with a message or a postback")]
    NoConversation,
}
