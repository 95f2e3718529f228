//! The envelope of a delivery: objects, entries, arrays (facts §4.5).

use serde_json::Value;

use super::body;
use super::item::{self, Item};
use super::json::{self, field};
use super::ordinary;
use super::signature::VerifiedBody;
use crate::event::Channel;
use crate::id::PageId;

/// What one webhook delivery says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Delivery {
    /// What it is about.
    pub object: Object,
    /// Everything in it, in the order to be handled: the entries as they came, and in each the arrays
    /// `messaging`, `standby`, `messaging_handovers`, `changes`.
    pub items: Vec<Item>,
}

/// The kind of account that a delivery is about. For information: Meta's pages disagree on what
/// Instagram threads come with (facts §4.5), so tell accounts apart by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Object {
    /// `page`
    Page,
    /// `instagram`
    Instagram,
    /// Anything else; empty if the delivery has none.
    Other(String),
}

impl Object {
    fn is_whatsapp(&self) -> bool {
        matches!(self, Self::Other(name) if name.starts_with("whatsapp"))
    }
}

/// Why a body is not a webhook delivery. It shows none of the body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Not JSON: cut off, not UTF-8, nested too deep, or something else altogether.
    #[error("the body is not JSON (line {}, column {})", .0.line(), .0.column())]
    NotJson(#[source] serde_json::Error),
    /// JSON, but no object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// An object without an array `entry`.
    #[error("the body has no array `entry`")]
    NoEntries,
}

/// Reads a delivery. Whatever is not understood in it is kept as [`Item::Unknown`].
///
/// # Errors
/// [`ParseError`] if the body is no delivery at all.
pub fn parse(body: &VerifiedBody<'_>) -> Result<Delivery, ParseError> {
    dangerous_parse_unverified(body.bytes())
}

/// Reads a delivery that nobody verified. Anybody who knows the address can have sent it: use it for
/// recorded deliveries and behind something that verified already.
///
/// # Errors
/// As [`parse`].
pub fn dangerous_parse_unverified(body: &[u8]) -> Result<Delivery, ParseError> {
    ordinary::read(body).map_or_else(|| read_tolerantly(body), Ok)
}

/// Reads whatever comes, and keeps what is not understood.
pub(super) fn read_tolerantly(body: &[u8]) -> Result<Delivery, ParseError> {
    let body = json::read(body).map_err(ParseError::NotJson)?;
    let Value::Object(mut body) = body else { return Err(ParseError::NotAnObject) };
    let Some(Value::Array(entries)) = body.remove("entry") else { return Err(ParseError::NoEntries) };
    let object = match body.remove("object") {
        Some(Value::String(object)) => match object.as_str() {
            "page" => Object::Page,
            "instagram" => Object::Instagram,
            _ => Object::Other(object),
        },
        _ => Object::Other(String::new()),
    };
    let mut items = Vec::with_capacity(entries.len());
    for entry in entries {
        read_entry(entry, &object, &mut items);
    }
    Ok(Delivery { object, items })
}

/// The arrays of an entry, in the order in which they are handled. Control events come in
/// `messaging`; an array of their own is tolerated.
const ARRAYS: [(&str, Channel); 3] = [
    ("messaging", Channel::Messaging),
    ("standby", Channel::Standby),
    ("messaging_handovers", Channel::Messaging),
];

fn read_entry(mut entry: Value, object: &Object, items: &mut Vec<Item>) {
    if object.is_whatsapp() {
        return read_whatsapp(entry, items);
    }
    let page = match field(&entry, "id").map(body::id::<PageId>) {
        None => None,
        Some(Ok(page)) => page,
        Some(Err(_)) => return items.push(Item::unknown(None, None, entry, "entry with an unreadable id")),
    };
    let page = page.as_ref();
    let before = items.len();
    for (name, channel) in ARRAYS {
        match entry.get_mut(name).map(Value::take) {
            None | Some(Value::Null) => {}
            Some(Value::Array(events)) => {
                for event in events {
                    item::read(page, channel, event, items);
                }
            }
            Some(other) => {
                items.push(Item::unknown(page, Some(channel), other, "events that are not an array"));
            }
        }
    }
    match entry.get_mut("changes").map(Value::take) {
        None | Some(Value::Null) => {}
        Some(Value::Array(changes)) => {
            for change in changes {
                item::read_change(page, change, items);
            }
        }
        Some(other) => items.push(Item::unknown(page, None, other, "changes that are not an array")),
    }
    if items.len() == before {
        items.push(Item::unknown(page, None, entry, "entry without events"));
    }
}

/// An entry of WhatsApp: its id is an account, no Page, and its threads have rules of their own (facts
/// §7). Nothing in it is read, whatever it looks like.
fn read_whatsapp(mut entry: Value, items: &mut Vec<Item>) {
    match entry.get_mut("changes").map(Value::take) {
        Some(Value::Array(changes)) if !changes.is_empty() => {
            items.extend(changes.into_iter().map(|raw| Item::unknown(None, None, raw, item::A_CHANGE)));
        }
        _ => items.push(Item::unknown(None, None, entry, "an entry of WhatsApp")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prefix_and_no_changed_byte_panics() {
        let body = br#"{"object":"page","entry":[{"id":"1","standby":[
            {"sender":{"id":2},"timestamp":5,"message":{"mid":"m","text":"\ud83d\ude00\\"}},
            {"recipient":{"id":"2"},"message":{"is_echo":true,"app_id":7,"metadata":"\u00e4"}}],
            "messaging":[{"sender":{"id":"2"},"take_thread_control":{"new_owner_app_id":-1}}]}]}"#;
        assert_eq!(dangerous_parse_unverified(body).map(|read| read.items.len()).unwrap(), 3);
        for end in 0..body.len() {
            assert!(dangerous_parse_unverified(&body[..end]).is_err());
        }
        for at in 0..body.len() {
            let mut changed = body.to_vec();
            for new in 0..=u8::MAX {
                changed[at] = new;
                let _ = dangerous_parse_unverified(&changed);
            }
        }
    }

    #[test]
    fn a_change_that_is_an_event_of_a_conversation_is_read_as_one() {
        let value = |body: &str| format!(r#"{{"sender":{{"id":"2"}},"recipient":{{"id":"1"}},{body}}}"#);
        let message = value(r#""timestamp":"1700000000","message":{"mid":"m"}"#);
        let read = |object: &str, field: &str, value: &str| {
            let body = format!(
                r#"{{"object":"{object}","entry":[{{"id":"1","changes":[{{"field":"{field}","value":{value}}}]}}]}}"#
            );
            match dangerous_parse_unverified(body.as_bytes()).unwrap().items.remove(0) {
                Item::Event { event, .. } => Ok(event.channel),
                Item::Unknown { channel, why, .. } => Err((channel, why)),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(read("instagram", "messages", &message), Ok(Channel::Messaging));
        assert_eq!(read("instagram", "standby", &message), Ok(Channel::Standby));
        let pass = value(r#""pass_thread_control":{"new_owner_app_id":"7"}"#);
        assert_eq!(read("instagram", "messaging_handover", &pass), Ok(Channel::Messaging));
        let broken = value(r#""pass_thread_control":{"new_owner_app_id":true}"#);
        let told = Err((Some(Channel::Messaging), "an id that is none"));
        assert_eq!(read("instagram", "messaging_handover", &broken), told);

        let not_ours = Err((None, item::A_CHANGE));
        for value in [r#"{"item":"comment","message":"hi"}"#, r#"{"sender":"2","message":{}}"#, "null", "[]"]
        {
            assert_eq!(read("page", "feed", value), not_ours, "{value}");
        }
        // WhatsApp, by its object or by its product.
        assert_eq!(read("whatsapp_business_account", "messages", &message), not_ours);
        let product = value(r#""messaging_product":"whatsapp","message":{"mid":"m"}"#);
        assert_eq!(read("page", "messages", &product), not_ours);
    }
}
