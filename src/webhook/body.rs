//! Reads the body of a webhook element into an [`EventKind`], by the body's name (docs/protocol.md#control-events,
//! docs/protocol.md#standby, docs/protocol.md#echoes).

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::json::{field, number, scalar};
use crate::event::{
    Attachment, ControlChange, ControlRequest, Echo, EventKind, Inbound, Other, Raw, Referral, ReplyTo, Story,
};
use crate::id::MessageId;
use crate::time::{Span, Timestamp};

/// The reason why an element cannot be read, in fixed words that can be logged.
pub(super) type Broken = &'static str;

/// The element around a body.
pub(super) struct Element<'a> {
    pub(super) raw: &'a Value,
    pub(super) at: Span,
    /// Whether the Page is the sender and a person the recipient.
    pub(super) by_page: bool,
    /// Whether sender and recipient are the same account, unless the ids look redacted.
    pub(super) to_itself: bool,
}

type Reader = fn(&Value, &Element<'_>) -> Result<EventKind, Broken>;

/// The readers of bodies by name, control events first.
pub(super) const KINDS: [(&str, Reader); 8] = [
    ("pass_thread_control", |body, _| control_change(body).map(EventKind::PassThreadControl)),
    ("take_thread_control", |body, _| control_change(body).map(EventKind::TakeThreadControl)),
    ("request_thread_control", |body, _| control_request(body).map(EventKind::RequestThreadControl)),
    ("message", |body, element| Ok(message(body, element).unwrap_or_else(|()| element.other("message")))),
    ("postback", |body, element| Ok(postback(body, element).unwrap_or_else(|()| element.other("postback")))),
    ("message_edit", |body, element| {
        Ok(message_edit(body, element).unwrap_or_else(|()| element.other("message_edit")))
    }),
    ("read", |body, _| Ok(read_receipt(body))),
    ("delivery", |body, _| delivery(body)),
];

impl Element<'_> {
    /// Wraps an element that has no type of its own, or whose body is unreadable. The host gets its raw JSON, so that
    /// nothing is lost.
    pub(super) fn other(&self, name: &str) -> EventKind {
        let message = field(self.raw, "message").filter(|_| name == "message");
        // An echo is the Page's own message; `admin_text` is a line of the system.
        let by_platform =
            message.is_some_and(|message| is_set(message, "is_echo") || is_set(message, "admin_text"));
        let mut other = Other::new(name, self.to_raw());
        other.by_customer = !self.by_page && !self.to_itself && !by_platform;
        other.referral = field(self.raw, "referral").and_then(referral).map(Box::new);
        EventKind::Other(other)
    }

    fn to_raw(&self) -> Raw {
        Raw::new(self.raw.to_string())
    }

    /// Adds the parts that messages and postbacks share: the referral, and the raw JSON if not all fields have a type.
    fn inbound(&self, mut inbound: Inbound, body: &Value, is_typed: bool) -> EventKind {
        let referrals = [body, self.raw].map(|value| field(value, "referral"));
        inbound.referral = referrals.iter().flatten().find_map(|value| referral(value)).map(Box::new);
        let is_typed = is_typed
            && are_among(self.raw, &ELEMENT)
            && referrals.into_iter().flatten().all(Value::is_object)
            && referrals.iter().flatten().count() < 2;
        inbound.raw = (!is_typed).then(|| self.to_raw());
        EventKind::Inbound(inbound)
    }
}

/// The fields beside a message that are read: parts of the message, and events of their own. Any other field makes the
/// host get the raw JSON too.
const ELEMENT: [&str; 13] = [
    "sender",
    "recipient",
    "timestamp",
    "message",
    "postback",
    "referral",
    "pass_thread_control",
    "take_thread_control",
    "request_thread_control",
    "message_edit",
    "read",
    "delivery",
    "app_roles",
];

/// Reads an id of any kind. Null and empty values are `None`.
///
/// # Errors
/// An invalid id, so that it does not pass for an absent one.
pub(super) fn id<T: DeserializeOwned>(value: &Value) -> Result<Option<T>, Broken> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        _ => T::deserialize(value).map(Some).map_err(|_| "invalid id"),
    }
}

/// Whether a flag is set: `true`, or an object like that of `admin_text`.
pub(super) fn is_set(body: &Value, flag: &str) -> bool {
    field(body, flag).is_some_and(|flag| *flag != false && *flag != 0 && *flag != "false" && *flag != "")
}

fn control_change(body: &Value) -> Result<ControlChange, Broken> {
    let body = object(body)?;
    let [previous, new] = ["previous_owner_app_id", "new_owner_app_id"].map(|name| optional_id(body, name));
    let mut change = ControlChange::new(previous?, new?);
    change.metadata = metadata(body);
    Ok(change)
}

fn control_request(body: &Value) -> Result<ControlRequest, Broken> {
    let body = object(body)?;
    let mut request = ControlRequest::new(optional_id(body, "requested_owner_app_id")?);
    request.metadata = metadata(body);
    Ok(request)
}

fn message(body: &Value, element: &Element<'_>) -> Result<EventKind, ()> {
    let map = body.as_object().ok_or(())?;
    let mid: Option<MessageId> = optional_id(map, "mid").map_err(drop)?;
    let is_echo = is_set(body, "is_echo");
    if is_set(body, "is_deleted") {
        let mid = mid.filter(|_| !is_echo && !element.by_page);
        return mid.map(EventKind::Unsent).ok_or(());
    }
    // A message of the Page must not pass for a customer's, because a bot would reply to itself.
    let is_own = element.by_page || (element.to_itself && is_set(body, "is_self"));
    if is_set(body, "admin_text") || (is_own && !is_echo) {
        return Err(());
    }
    let text = text(map, "text")?;
    let attached = match field(body, "attachments") {
        None => &[],
        Some(list) => list.as_array().ok_or(())?.as_slice(),
    };
    let attachments = attached.iter().map(attachment).collect();
    if is_echo {
        // An unreadable app id is dropped, because the metadata is still needed to confirm a message.
        let app_id = field(body, "app_id").and_then(|app| id(app).ok().flatten());
        let mut echo = Echo::new(mid, app_id);
        (echo.metadata, echo.text, echo.attachments) = (metadata(map), text, attachments);
        echo.ai_generated = is_set(body, "ai_generated");
        return Ok(EventKind::Echo(echo));
    }
    let quick_reply = field(body, "quick_reply");
    let mut inbound = Inbound::new(mid, element.at);
    inbound.payload = quick_reply
        .and_then(Value::as_object)
        .map(|reply| self::text(reply, "payload"))
        .transpose()?
        .flatten();
    (inbound.text, inbound.attachments) = (text, attachments);
    inbound.reply_to = field(body, "reply_to").and_then(reply_to).map(Box::new);
    inbound.is_unsupported = is_set(body, "is_unsupported");
    let is_typed = are_among(body, &MESSAGE)
        && quick_reply.is_none_or(|reply| are_among(reply, &["payload"]))
        && field(body, "reply_to").is_none_or(is_whole_reply)
        && attached.iter().all(is_whole_attachment);
    Ok(element.inbound(inbound, body, is_typed))
}

/// The fields of a customer's message that are read, or can be ignored: `seq` counted messages in 2017.
const MESSAGE: [&str; 11] = [
    "mid",
    "text",
    "quick_reply",
    "attachments",
    "reply_to",
    "referral",
    "is_unsupported",
    "is_echo",
    "is_deleted",
    "admin_text",
    "seq",
];

fn postback(body: &Value, element: &Element<'_>) -> Result<EventKind, ()> {
    let map = body.as_object().filter(|_| !element.by_page && !element.to_itself).ok_or(())?;
    let mut inbound = Inbound::new(optional_id(map, "mid").map_err(drop)?, element.at);
    (inbound.text, inbound.payload) = (text(map, "title")?, text(map, "payload")?);
    inbound.postback = true;
    Ok(element.inbound(inbound, body, are_among(body, &["mid", "title", "payload", "referral"])))
}

/// Reads an edited message. Instagram sends an edit with the number 0 in place of a new message.
fn message_edit(body: &Value, element: &Element<'_>) -> Result<EventKind, ()> {
    let map = body.as_object().filter(|_| !element.by_page).ok_or(())?;
    let mid = optional_id::<MessageId>(map, "mid").map_err(drop)?.ok_or(())?;
    let text = text(map, "text")?;
    match field(body, "num_edit").and_then(number) {
        Some(0) => {
            let mut inbound = Inbound::new(Some(mid), element.at);
            inbound.must_be_fetched = text.is_none();
            inbound.text = text;
            Ok(element.inbound(inbound, body, are_among(body, &["mid", "text", "num_edit"])))
        }
        number => {
            let number = number.map_or(1, |number| u32::try_from(number).unwrap_or(u32::MAX));
            Ok(EventKind::Edited { mid, text, number })
        }
    }
}

fn read_receipt(body: &Value) -> EventKind {
    let mid = field(body, "mid").and_then(|mid| id(mid).ok().flatten());
    EventKind::Read { watermark: watermark(body), mid }
}

fn delivery(body: &Value) -> Result<EventKind, Broken> {
    object(body)?;
    let watermark = watermark(body);
    // Older receipts have a watermark only.
    let Some(mids) = field(body, "mids") else {
        return Ok(EventKind::Delivery { mids: Vec::new(), watermark });
    };
    let mids = mids.as_array().ok_or("message ids that are not an array")?;
    let mids = mids.iter().filter_map(|mid| id(mid).transpose()).collect::<Result<_, _>>()?;
    Ok(EventKind::Delivery { mids, watermark })
}

fn watermark(body: &Value) -> Option<Timestamp> {
    field(body, "watermark").and_then(number).and_then(until)
}

/// The watermark of a receipt: the earliest moment that the stamp can mean, or `None` for 0.
pub(super) fn until(stamp: u64) -> Option<Timestamp> {
    (stamp > 0).then(|| Span::from_platform(stamp).from)
}

fn attachment(raw: &Value) -> Attachment {
    let payload = field(raw, "payload");
    let of = |name| payload.and_then(|payload| field(payload, name));
    let string = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let mut attachment = Attachment::new(raw.get("type").and_then(Value::as_str).unwrap_or("unknown"));
    attachment.url =
        string(of("url").or_else(|| MEDIA_URLS.into_iter().find_map(of)).or_else(|| field(raw, "url")));
    let titles = [of("title"), field(raw, "title")];
    attachment.title = titles.into_iter().filter_map(string).find(|title| !title.is_empty());
    attachment.sticker_id = of("sticker_id").and_then(scalar);
    attachment.media_id = MEDIA_IDS.into_iter().find_map(of).and_then(scalar);
    attachment.template = string(of("template_type"));
    attachment
}

/// The field names of the id of a post, reel or story that was shared on Instagram.
const MEDIA_IDS: [&str; 4] = ["ig_post_media_id", "reel_video_id", "story_media_id", "media_id"];

const MEDIA_URLS: [&str; 1] = ["story_media_url"];

fn is_whole_attachment(raw: &Value) -> bool {
    let is_payload_whole = |payload: &Value| {
        let names = ["url", "title", "sticker_id", "template_type"];
        let known: Vec<_> = names.into_iter().chain(MEDIA_IDS).chain(MEDIA_URLS).collect();
        are_scalars(payload, &known)
            && MEDIA_IDS.into_iter().filter(|name| field(payload, name).is_some()).count() < 2
    };
    let beside = ["type", "url", "title"].into_iter().filter_map(|name| field(raw, name));
    are_among(raw, &["type", "payload", "url", "title"])
        && beside.into_iter().all(Value::is_string)
        && field(raw, "payload").is_none_or(is_payload_whole)
}

fn reply_to(raw: &Value) -> Option<ReplyTo> {
    let mut reply = ReplyTo::new();
    reply.mid = field(raw, "mid").and_then(|mid| id(mid).ok().flatten());
    reply.story = field(raw, "story").filter(|story| story.is_object()).map(|story| {
        let [id, url] = ["id", "url"].map(|name| field(story, name).and_then(scalar));
        Story::new(id, url)
    });
    reply.is_self_reply = is_set(raw, "is_self_reply");
    (reply != ReplyTo::new()).then_some(reply)
}

fn is_whole_reply(raw: &Value) -> bool {
    let mid = field(raw, "mid").is_none_or(|mid| id::<MessageId>(mid).is_ok());
    let story = field(raw, "story").is_none_or(|story| are_scalars(story, &["id", "url"]));
    mid && story && are_among(raw, &["mid", "story", "is_self_reply"])
}

fn referral(raw: &Value) -> Option<Referral> {
    let map = raw.as_object()?;
    let string = |name| map.get(name).and_then(scalar).filter(|text| !text.is_empty());
    let mut referral = Referral::new();
    (referral.source, referral.kind) = (string("source"), string("type"));
    (referral.referral, referral.ad_id) = (string("ref"), string("ad_id"));
    let is_whole = are_scalars(raw, &["source", "type", "ref", "ad_id"]);
    referral.raw = (!is_whole).then(|| Raw::new(raw.to_string()));
    Some(referral)
}

/// Whether the value is an object without fields other than these.
fn are_among(value: &Value, names: &[&str]) -> bool {
    let Value::Object(fields) = value else { return false };
    fields.iter().all(|(name, field)| field.is_null() || names.contains(&name.as_str()))
}

/// Whether the value is an object without fields other than these, all of them texts or numbers.
fn are_scalars(value: &Value, names: &[&str]) -> bool {
    let mut fields = value.as_object().into_iter().flat_map(Map::values);
    are_among(value, names) && fields.all(|field| field.is_null() || scalar(field).is_some())
}

fn object(body: &Value) -> Result<&Map<String, Value>, Broken> {
    body.as_object().ok_or("a body that is no object")
}

fn optional_id<T: DeserializeOwned>(body: &Map<String, Value>, name: &str) -> Result<Option<T>, Broken> {
    body.get(name).map_or(Ok(None), id)
}

fn text(body: &Map<String, Value>, name: &str) -> Result<Option<String>, ()> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(()),
    }
}

/// Reads `metadata`, which is free text and often JSON in a string. Plain JSON is kept as its text.
fn metadata(body: &Map<String, Value>) -> Option<String> {
    match body.get("metadata")? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
