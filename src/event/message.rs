//! Messages of the customer, and echoes of messages of the Page.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::hidden;
use super::raw::Raw;
use crate::id::{AppId, MessageId};
use crate::time::Span;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A message or postback of the customer.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Inbound {
    /// The platform's id. Older postbacks have none.
    pub mid: Option<MessageId>,
    /// The time of writing.
    pub at: Span,
    /// The text, or the title of a pressed button.
    pub text: Option<String>,
    /// The payload of a quick reply or postback. Missing for a postback on [standby](crate::protocol#standby).
    pub payload: Option<String>,
    /// Whether it is a postback, not a message.
    pub postback: bool,
    /// The attachments.
    pub attachments: Vec<Attachment>,
    /// The message or story that it [replies to](crate::protocol#reply-to-and-referrals), such as the picture that
    /// "how much is that?" is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Box<ReplyTo>>,
    /// The ad or link by which the customer came, if the message contains a referral.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referral: Option<Box<Referral>>,
    /// Whether the platform [does not show](crate::protocol#message-flags) this kind of message to apps, such as a
    /// shared profile: the customer sent something, but there is neither text nor attachment.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_unsupported: bool,
    /// Whether the platform sent only the `mid`: Instagram's `message_edit` with `num_edit: 0` in place of the
    /// message. Fetch the text from the Graph API by [`mid`](Self::mid).
    #[serde(default, skip_serializing_if = "is_false")]
    pub must_be_fetched: bool,
    /// The [number of the edit](crate::protocol#unsent-and-edited) that the text comes from; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub edit: u32,
    /// The webhook's whole element, if it has fields without a type in this crate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Raw>,
}

impl Inbound {
    /// A message without content. Set the other fields on it.
    #[must_use]
    pub fn new(mid: Option<MessageId>, at: Span) -> Self {
        Self {
            mid,
            at,
            text: None,
            payload: None,
            postback: false,
            attachments: Vec::new(),
            reply_to: None,
            referral: None,
            is_unsupported: false,
            must_be_fetched: false,
            edit: 0,
            raw: None,
        }
    }
}

/// The message or story that a message replies to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReplyTo {
    /// The platform's id of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<MessageId>,
    /// The story, on Instagram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story: Option<Story>,
    /// Whether the customer replies to a message of their own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_self_reply: bool,
}

impl ReplyTo {
    /// A reply without a target. Set the fields on it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// An Instagram story that a message is about.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Story {
    /// The id of the story.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The URL of its media, valid while the story lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Story {
    /// A story with this id and URL.
    #[must_use]
    pub fn new(id: Option<String>, url: Option<String>) -> Self {
        Self { id, url }
    }
}

/// The ad, link or QR code by which the customer came.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Referral {
    /// `ADS`, `SHORTLINK`, `CUSTOMER_CHAT_PLUGIN`, `IGME-SOURCE-LINK`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Nearly always `OPEN_THREAD`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The `ref` that the business put into the link or ad.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub referral: Option<String>,
    /// The ad that was clicked. The [messaging window](crate::protocol#windows) is longer then, up to 7 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ad_id: Option<String>,
    /// The whole referral, if it has more fields: `ads_context_data` (the ad's title and picture), `referer_uri`,
    /// `ctwa_clid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Raw>,
}

impl Referral {
    /// A referral without content. Set the fields on it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// An attachment of a message.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attachment {
    /// `image`, `audio`, `video`, `file`, `template`, `fallback`, `sticker`, `share`, `story_mention`, `ig_post`, `ig_reel`,
    /// …
    #[serde(rename = "type")]
    pub kind: String,
    /// The URL of the content, if the platform sends one.
    pub url: Option<String>,
    /// The title of a shared link, post, reel or template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The id of a sticker: `369239263222822` is the thumb.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticker_id: Option<String>,
    /// The id of a shared post, reel or story of Instagram (`ig_post_media_id`, `reel_video_id`, `story_media_id`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_id: Option<String>,
    /// The kind of template: `generic`, `button`, `product`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

impl Attachment {
    /// An attachment of a kind, without details. Set the other fields on it.
    #[must_use]
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), url: None, title: None, sticker_id: None, media_id: None, template: None }
    }
}

/// A message of the Page, as the platform [repeats it](crate::protocol#echoes).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Echo {
    /// The platform's id of the message.
    pub mid: Option<MessageId>,
    /// The sending app. `None` if the platform does not name it: a person in the phone app, or on Instagram.
    pub app_id: Option<AppId>,
    /// The `metadata` of the send.
    pub metadata: Option<String>,
    /// The text.
    pub text: Option<String>,
    /// Whether [Meta's AI](crate::protocol#meta-ai) wrote it. `app_id` may be the inbox's nevertheless.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ai_generated: bool,
    /// The attachments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

impl Echo {
    /// An echo without content. Set the other fields on it.
    #[must_use]
    pub fn new(mid: Option<MessageId>, app_id: Option<AppId>) -> Self {
        Self { mid, app_id, metadata: None, text: None, ai_generated: false, attachments: Vec::new() }
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
            .field("reply_to", &self.reply_to)
            .field("referral", &self.referral)
            .field("is_unsupported", &self.is_unsupported)
            .field("must_be_fetched", &self.must_be_fetched)
            .field("edit", &self.edit)
            .field("raw", &self.raw)
            .finish()
    }
}

impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Story").field("id", &self.id).field("url", &hidden(self.url.as_ref())).finish()
    }
}

impl fmt::Debug for Referral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Referral")
            .field("source", &self.source)
            .field("kind", &self.kind)
            .field("referral", &hidden(self.referral.as_ref()))
            .field("ad_id", &self.ad_id)
            .field("raw", &self.raw)
            .finish()
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("kind", &self.kind)
            .field("url", &hidden(self.url.as_ref()))
            .field("title", &hidden(self.title.as_ref()))
            .field("sticker_id", &self.sticker_id)
            .field("media_id", &self.media_id)
            .field("template", &self.template)
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
            .field("ai_generated", &self.ai_generated)
            .field("attachments", &self.attachments)
            .finish()
    }
}
