//! The shape of an echo: the message as webhooks show it, which is not the body of the Send API.

use serde_json::{Map, Value, json};

use super::limits::sent_attachments;
use super::uploads::Uploads;
use messenger_handover::id::{AppId, MessageId};

/// The templates that webhooks no longer know; their echo has a `fallback` (inferred: Meta names no list).
const UNKNOWN_TEMPLATES: [&str; 2] = ["list", "open_graph"];

/// The `message` of an [echo](messenger_handover::protocol#echoes). Quick replies do not appear in it, and an attachment is in the
/// list `attachments`.
pub(super) fn echo_of(
    message: &Value,
    mid: &MessageId,
    app: &AppId,
    uploads: &Uploads,
) -> Map<String, Value> {
    let mut echo = content_of(message, uploads);
    echo.insert("mid".to_owned(), json!(mid));
    echo.insert("is_echo".to_owned(), json!(true));
    echo.insert("app_id".to_owned(), super::api::number(app));
    if let Some(metadata) = message.get("metadata").filter(|metadata| metadata.is_string()) {
        echo.insert("metadata".to_owned(), metadata.clone());
    }
    echo
}

/// Text and attachments of a message object, as a webhook has them.
fn content_of(message: &Value, uploads: &Uploads) -> Map<String, Value> {
    let mut content = Map::new();
    let sent = sent_attachments(message);
    let of_button = || sent.iter().find_map(|sent| sent["payload"]["text"].as_str());
    if let Some(text) = message["text"].as_str().or_else(of_button) {
        content.insert("text".to_owned(), json!(text));
    }
    if !sent.is_empty() {
        let shown: Vec<Value> = sent.into_iter().map(|sent| attachment(sent, uploads)).collect();
        content.insert("attachments".to_owned(), json!(shown));
    }
    content
}

/// One attachment as webhooks show it.
fn attachment(sent: &Value, uploads: &Uploads) -> Value {
    let (kind, payload) = (&sent["type"], &sent["payload"]);
    if kind != "template" {
        return json!({"type": kind, "payload": {"url": uploads.url_of(payload)}});
    }
    let first = &payload["elements"][0];
    let title = first["title"].as_str().unwrap_or_default();
    if payload["template_type"].as_str().is_some_and(|kind| UNKNOWN_TEMPLATES.contains(&kind)) {
        return json!({"title": title, "url": first["url"], "type": "fallback", "payload": null});
    }
    let mut shown = payload.clone();
    // The text of a button template is the text of the message.
    if let Value::Object(fields) = &mut shown {
        fields.remove("text");
    }
    json!({"title": title, "url": null, "type": "template", "payload": shown})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(message: &Value) -> Value {
        echo_of(message, &MessageId::new("m_1").unwrap(), &AppId::from(7), &Uploads::default()).into()
    }

    #[test]
    fn echo_of_a_text_has_no_quick_replies() {
        let sent = json!({"text": "Red?", "metadata": "k", "quick_replies": [{"content_type": "text", "title": "Red"}]});
        let told = json!({"mid": "m_1", "is_echo": true, "app_id": 7, "text": "Red?", "metadata": "k"});
        assert_eq!(echo(&sent), told);
    }

    #[test]
    fn echo_of_a_button_template_has_its_text_beside_it() {
        let buttons =
            json!([{"type": "web_url", "url": "https://www.messenger.com/", "title": "Visit Messenger"}]);
        let payload = json!({"template_type": "button", "text": "Button text", "buttons": buttons});
        let told = echo(&json!({"attachment": {"type": "template", "payload": payload}}));
        assert_eq!(told["text"], "Button text");
        let payload = json!({"template_type": "button", "buttons": buttons});
        assert_eq!(
            told["attachments"],
            json!([{"title": "", "url": null, "type": "template", "payload": payload}])
        );
        assert!(told.get("attachment").is_none());
    }

    #[test]
    fn echo_of_a_generic_template_has_the_title_of_its_first_element() {
        let elements = json!([{"title": "A", "subtitle": "a"}, {"title": "B"}]);
        let payload = json!({"template_type": "generic", "sharable": true, "elements": elements});
        let told = echo(&json!({"attachment": {"type": "template", "payload": payload}}));
        assert_eq!(
            told["attachments"],
            json!([{"title": "A", "url": null, "type": "template", "payload": payload}])
        );
        assert!(told.get("text").is_none());
    }

    #[test]
    fn echo_of_a_retired_template_is_a_fallback() {
        let payload = json!({"template_type": "open_graph", "elements": [{"url": "https://a.example/"}]});
        let told = echo(&json!({"attachment": {"type": "template", "payload": payload}}));
        let fallback = json!({"title": "", "url": "https://a.example/", "type": "fallback", "payload": null});
        assert_eq!(told["attachments"], json!([fallback]));
    }

    #[test]
    fn echo_of_media_has_the_url_alone() {
        let media = |url| json!({"type": "image", "payload": {"url": url, "is_reusable": true}});
        let told = echo(&json!({"attachment": media("https://a.example/1.png")}));
        let shown = |url| json!({"type": "image", "payload": {"url": url}});
        assert_eq!(told["attachments"], json!([shown("https://a.example/1.png")]));
        let told = echo(&json!({"attachments": [media("a"), media("b")]}));
        assert_eq!(told["attachments"], json!([shown("a"), shown("b")]));
    }
}
