//! The tolerant reader, which reads deliveries in all the shapes that were seen (docs/protocol.md#webhook-envelope).

use serde_json::Value;

use super::body;
use super::delivery::{Delivery, Object, ParseError};
use super::item::{self, Item};
use super::json::{self, field};
use crate::event::Channel;
use crate::id::PageId;

/// Reads a delivery. Elements that it does not understand become [`Item::Unknown`].
pub(super) fn read(body: &[u8]) -> Result<Delivery, ParseError> {
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

/// The arrays of an entry, in the order in which they are handled. Control events come in `messaging`, but an array of
/// their own is accepted too.
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

/// Turns an entry of WhatsApp into unknown items. Nothing in it is read, because its id is not a Page's and its threads
/// have other rules (docs/protocol.md#whatsapp).
fn read_whatsapp(mut entry: Value, items: &mut Vec<Item>) {
    match entry.get_mut("changes").map(Value::take) {
        Some(Value::Array(changes)) if !changes.is_empty() => {
            items.extend(changes.into_iter().map(|raw| Item::unknown(None, None, raw, item::A_CHANGE)));
        }
        _ => items.push(Item::unknown(None, None, entry, "an entry of WhatsApp")),
    }
}
