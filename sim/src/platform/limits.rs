//! The limits of the Send API: types, tags, actions, sizes. Graph refuses with code 100; the wording is assumed.

use serde_json::Value;

use super::GraphError;

/// The longest text of a message, in characters (docs/protocol.md#sends).
const MAX_TEXT: usize = 2000;
/// The longest text of a message on Instagram, in bytes (docs/protocol.md#sends).
const MAX_INSTAGRAM_TEXT: usize = 1000;
/// The longest metadata of a message, in characters (docs/protocol.md#sends).
const MAX_METADATA: usize = 1000;
/// The most quick replies of a message (docs/protocol.md#sends).
const MAX_QUICK_REPLIES: usize = 13;
/// The most attachments of one message; documented for images.
const MAX_ATTACHMENTS: usize = 30;

/// The longest address of an attachment, in bytes. A limit of the simulator.
const MAX_URL: usize = 4096;

/// The types of attachments that can be uploaded.
pub(super) const MEDIA: [&str; 4] = ["image", "audio", "video", "file"];
/// The types of attachments that only Instagram has.
const INSTAGRAM_MEDIA: [&str; 2] = ["like_heart", "MEDIA_SHARE"];
/// The values of `messaging_type`. Meta's SDK also lists `UTILITY`, whose own rules are not modelled.
const TYPES: [&str; 4] = ["RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY"];
/// The [sender actions](messenger_handover::protocol#sender-actions). Meta's SDK writes them in capitals.
const ACTIONS: [&str; 5] = ["typing_on", "typing_off", "mark_seen", "react", "unreact"];

/// Checks a message object.
pub(super) fn check_message(message: &Value) -> Result<(), GraphError> {
    let Some(fields) = message.as_object() else {
        return Err(GraphError::invalid("message", "must be an object"));
    };
    match (fields.get("text"), fields.get("attachment").or_else(|| fields.get("attachments"))) {
        (Some(text), _) => match text.as_str().map(|text| text.chars().count()) {
            Some(1..=MAX_TEXT) => {}
            _ => return Err(GraphError::invalid("message[text]", "must hold 1 to 2000 characters")),
        },
        (None, Some(_)) => {}
        (None, None) => {
            return Err(GraphError::invalid("message", "must provide a text or an attachment"));
        }
    }
    match fields.get("metadata") {
        None => {}
        Some(Value::String(text)) if text.chars().count() <= MAX_METADATA => {}
        Some(Value::String(_)) => {
            return Err(GraphError::invalid("message[metadata]", "must hold at most 1000 characters"));
        }
        Some(_) => return Err(GraphError::invalid("message[metadata]", "must be a string")),
    }
    check_quick_replies(fields.get("quick_replies"))?;
    check_attachments(message)
}

/// Titles of more than 20 characters are cut when they are shown, not refused.
fn check_quick_replies(replies: Option<&Value>) -> Result<(), GraphError> {
    match replies {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(replies)) if replies.len() <= MAX_QUICK_REPLIES => Ok(()),
        Some(_) => Err(GraphError::invalid("message[quick_replies]", "must be a list of at most 13")),
    }
}

fn check_attachments(message: &Value) -> Result<(), GraphError> {
    let sent = sent_attachments(message);
    if message.get("text").is_none() && (sent.is_empty() || sent.len() > MAX_ATTACHMENTS) {
        return Err(GraphError::invalid("message[attachment]", "must be an object, or a list of 1 to 30"));
    }
    for sent in sent {
        let kind = sent["type"].as_str().unwrap_or_default();
        let payload = &sent["payload"];
        if kind == "template" {
            if !payload["template_type"].is_string() {
                return Err(GraphError::missing("message[attachment][payload][template_type]"));
            }
        } else if MEDIA.contains(&kind) {
            check_url(payload)?;
            let named = ["url", "attachment_id", "filedata"].iter().any(|name| !payload[*name].is_null());
            if !named {
                return Err(GraphError::invalid(
                    "message[attachment][payload]",
                    "must have a url, an attachment_id or a file",
                ));
            }
        } else if !INSTAGRAM_MEDIA.contains(&kind) {
            let why = "must be image, audio, video, file or template";
            return Err(GraphError::invalid("message[attachment][type]", why));
        }
    }
    Ok(())
}

/// Checks the address of an attachment's content, which is stored with its id.
pub(super) fn check_url(payload: &Value) -> Result<(), GraphError> {
    match payload.get("url") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(url)) if (1..=MAX_URL).contains(&url.len()) => Ok(()),
        Some(_) => Err(GraphError::invalid("message[attachment][payload][url]", "must be a URL")),
    }
}

/// Checks the message of an app to an Instagram account or to a Page.
pub(super) fn check_for(instagram: bool, message: &Value) -> Result<(), GraphError> {
    if instagram && message["text"].as_str().is_some_and(|text| text.len() > MAX_INSTAGRAM_TEXT) {
        return Err(GraphError::invalid("message[text]", "must hold at most 1000 bytes"));
    }
    let is_of_instagram =
        |sent: &Value| sent["type"].as_str().is_some_and(|kind| INSTAGRAM_MEDIA.contains(&kind));
    if !instagram && sent_attachments(message).into_iter().any(is_of_instagram) {
        let why = "must be image, audio, video, file or template";
        return Err(GraphError::invalid("message[attachment][type]", why));
    }
    Ok(())
}

/// Checks `messaging_type` and `tag`. A missing type is accepted, as Meta's samples leave it out; that a tag beside another type
/// is refused was seen in 2018.
pub(super) fn check_type(messaging_type: Option<&str>, tag: Option<&str>) -> Result<(), GraphError> {
    match messaging_type {
        Some("MESSAGE_TAG") if tag.is_none_or(str::is_empty) => Err(GraphError::missing("tag")),
        None | Some("MESSAGE_TAG") => Ok(()),
        Some(known) if TYPES.contains(&known) => match tag.filter(|tag| !tag.is_empty()) {
            Some(_) => {
                let words = "(#100) Messaging type should be MESSAGE_TAG for tagged messages.";
                Err(GraphError::new(100, None, words))
            }
            None => Ok(()),
        },
        Some(_) => Err(GraphError::invalid("messaging_type", "must be RESPONSE, UPDATE or MESSAGE_TAG")),
    }
}

/// Checks a `sender_action`.
pub(super) fn check_action(action: &str) -> Result<(), GraphError> {
    if ACTIONS.contains(&action.to_lowercase().as_str()) {
        return Ok(());
    }
    let why = "must be typing_on, typing_off, mark_seen, react or unreact";
    Err(GraphError::invalid("sender_action", why))
}

/// The attachments of a message object: one under `attachment`, or a list under `attachments`.
pub(super) fn sent_attachments(message: &Value) -> Vec<&Value> {
    match (message.get("attachment"), message.get("attachments")) {
        (Some(one @ Value::Object(_)), _) | (_, Some(one @ Value::Object(_))) => vec![one],
        (_, Some(Value::Array(list))) => list.iter().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_of_a_message() {
        let reply = json!({"content_type": "text", "title": "a title of more than twenty characters"});
        let media =
            |kind: &str| json!({"attachment": {"type": kind, "payload": {"url": "https://a.example/"}}});
        let template = json!({"attachment": {"type": "template", "payload": {"template_type": "generic"}}});
        for good in [
            json!({"text": "é".repeat(2000), "metadata": "é".repeat(1000)}),
            json!({"text": "hi", "quick_replies": vec![reply.clone(); 13]}),
            json!({"text": "hi", "attachments": []}),
            json!({"attachments": [{"type": "image", "payload": {"attachment_id": 7}}]}),
            media("image"),
            media("file"),
            media("like_heart"),
            template,
        ] {
            assert_eq!(check_message(&good), Ok(()), "{good}");
        }
        for bad in [
            json!("hi"),
            json!({}),
            json!({"text": ""}),
            json!({"text": "é".repeat(2001)}),
            json!({"text": 1}),
            json!({"text": "hi", "metadata": "x".repeat(1001)}),
            json!({"text": "hi", "metadata": {"a": 1}}),
            json!({"text": "hi", "quick_replies": vec![reply; 14]}),
            json!({"text": "hi", "quick_replies": "x"}),
            json!({"attachment": "x"}),
            json!({"attachments": []}),
            json!({"attachments": vec![media("image")["attachment"].clone(); 31]}),
            json!({"attachment": {"type": "image", "payload": {}}}),
            json!({"attachment": {"type": "image", "payload": {"url": 7}}}),
            json!({"attachment": {"type": "image", "payload": {"url": "x".repeat(5000)}}}),
            json!({"attachment": {"type": "template", "payload": {}}}),
            json!({"attachment": {"payload": {"url": "x"}}}),
            media("picture"),
        ] {
            assert_eq!(check_message(&bad).unwrap_err().code, 100, "{bad}");
        }
    }

    #[test]
    fn limits_of_instagram() {
        let long = json!({"text": "é".repeat(501)});
        assert_eq!(check_for(true, &long).unwrap_err().code, 100);
        assert_eq!(check_for(false, &long), Ok(()));
        let heart = json!({"attachment": {"type": "like_heart"}});
        assert_eq!(check_for(true, &heart), Ok(()));
        assert_eq!(check_for(false, &heart).unwrap_err().code, 100);
    }

    #[test]
    fn limits_of_types_tags_and_actions() {
        for (messaging_type, tag, good) in [
            (None, None, true),
            (None, Some("HUMAN_AGENT"), true),
            (Some("RESPONSE"), None, true),
            (Some("RESPONSE"), Some(""), true),
            (Some("UPDATE"), None, true),
            (Some("MESSAGE_TAG"), Some("HUMAN_AGENT"), true),
            (Some("MESSAGE_TAG"), None, false),
            (Some("MESSAGE_TAG"), Some(""), false),
            (Some("RESPONSE"), Some("HUMAN_AGENT"), false),
            (Some("NON_PROMOTIONAL_SUBSCRIPTION"), None, false),
            (Some("response"), None, false),
        ] {
            assert_eq!(check_type(messaging_type, tag).is_ok(), good, "{messaging_type:?} {tag:?}");
        }
        for (action, good) in [("typing_on", true), ("MARK_SEEN", true), ("react", true), ("typing", false)] {
            assert_eq!(check_action(action).is_ok(), good, "{action}");
        }
    }
}
