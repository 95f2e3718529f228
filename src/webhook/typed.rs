//! The typed reader, which parses the common shapes of deliveries straight into types, at a third of the cost of a
//! [`serde_json::Value`].
//!
//! It refuses every delivery with another shape or with a field that it does not read, and leaves it to the tolerant
//! reader. The tolerant reader is the authority: if both read a delivery, both must return the same.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::body::until;
use super::delivery::{Delivery, Object};
use super::item::{Item, Parties};
use crate::event::{Attachment, Channel, ControlChange, ControlRequest, Echo, Event, EventKind, Inbound};
use crate::id::{AppId, MessageId, PageId, UserId};
use crate::time::Span;

/// Reads a delivery in which everything has a common shape; `None` for any other.
pub(super) fn read(body: &[u8]) -> Option<Delivery> {
    // The whole body must be UTF-8, ignored parts included.
    let Braced(body) = serde_json::from_str::<Braced<Body<'_>>>(std::str::from_utf8(body).ok()?).ok()?;
    let object = match body.object {
        "page" => Object::Page,
        "instagram" => Object::Instagram,
        _ => return None,
    };
    Some(Delivery { object, items: body.entry.0 })
}

/// A JSON object. Without this wrapper serde would also accept an array for a struct.
struct Braced<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Braced<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OfObject<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(OfObject(PhantomData)).map(Self)
    }
}

#[derive(Deserialize)]
struct Body<'a> {
    object: &'a str,
    entry: Entries,
}

/// The items of all entries. Each entry is turned into items before the next is read, so that memory is reused.
struct Entries(Vec<Item>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfArray;

        impl<'de> Visitor<'de> for OfArray {
            type Value = Vec<Item>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<Item>, A::Error> {
                let mut items = Vec::new();
                while let Some(Braced(entry)) = entries.next_element::<Braced<Entry>>()? {
                    entry.read(&mut items).ok_or_else(|| A::Error::custom("not an ordinary entry"))?;
                }
                Ok(items)
            }
        }

        deserializer.deserialize_seq(OfArray).map(Self)
    }
}

#[derive(Deserialize)]
struct Entry {
    id: PageId,
    #[serde(default)]
    messaging: Vec<Braced<Element>>,
    #[serde(default)]
    standby: Vec<Braced<Element>>,
    messaging_handovers: Option<IgnoredAny>,
    changes: Option<IgnoredAny>,
}

/// An element with exactly one body.
#[derive(Deserialize)]
#[serde(try_from = "Fields")]
struct Element {
    at: Span,
    sender: Option<UserId>,
    recipient: Option<UserId>,
    kind: EventKind,
}

/// An element's fields. Rare bodies are boxed, so that the struct is small to move.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    sender: Option<Braced<Party>>,
    recipient: Option<Braced<Party>>,
    timestamp: Option<u64>,
    message: Option<Braced<Message>>,
    postback: Option<Box<Braced<Postback>>>,
    pass_thread_control: Option<Box<Braced<Change>>>,
    take_thread_control: Option<Box<Braced<Change>>>,
    request_thread_control: Option<Box<Braced<Request>>>,
    read: Option<Box<Braced<Receipt>>>,
    delivery: Option<Box<Braced<Delivered>>>,
}

#[derive(Deserialize)]
struct Party {
    id: Option<UserId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    mid: Option<MessageId>,
    text: Option<String>,
    is_echo: Option<bool>,
    app_id: Option<AppId>,
    metadata: Option<String>,
    quick_reply: Option<Box<Braced<QuickReply>>>,
    #[serde(default)]
    attachments: Vec<Braced<Attached>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuickReply {
    payload: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attached {
    #[serde(rename = "type")]
    kind: String,
    payload: Option<Braced<Payload>>,
    url: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    url: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Postback {
    mid: Option<MessageId>,
    title: Option<String>,
    payload: Option<String>,
}

#[derive(Deserialize)]
struct Change {
    previous_owner_app_id: Option<AppId>,
    new_owner_app_id: Option<AppId>,
    metadata: Option<String>,
}

#[derive(Deserialize)]
struct Request {
    requested_owner_app_id: Option<AppId>,
    metadata: Option<String>,
}

#[derive(Deserialize)]
struct Receipt {
    watermark: Option<u64>,
    mid: Option<MessageId>,
}

#[derive(Deserialize)]
struct Delivered {
    mids: Option<Vec<MessageId>>,
    watermark: Option<u64>,
}

impl Entry {
    fn read(self, items: &mut Vec<Item>) -> Option<()> {
        if self.messaging_handovers.is_some() || self.changes.is_some() {
            return None;
        }
        if self.messaging.is_empty() && self.standby.is_empty() {
            return None;
        }
        for (channel, elements) in [(Channel::Messaging, self.messaging), (Channel::Standby, self.standby)] {
            for Braced(element) in elements {
                items.push(element.read(&self.id, channel)?);
            }
        }
        Some(())
    }
}

impl TryFrom<Fields> for Element {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        let Fields { sender, recipient, timestamp, message, postback, read, delivery, .. } = fields;
        let Fields { pass_thread_control: pass, take_thread_control: take, .. } = fields;
        let Fields { request_thread_control: request, .. } = fields;
        let at = timestamp.filter(|stamp| *stamp > 0).map_or(Span::UNKNOWN, Span::from_platform);
        let kind = match (message, postback, pass, take, request, read, delivery) {
            (Some(Braced(message)), None, None, None, None, None, None) => message.read(at),
            (None, Some(postback), None, None, None, None, None) => Some(postback.0.read(at)),
            (None, None, Some(change), None, None, None, None) => {
                Some(EventKind::PassThreadControl(change.0.into()))
            }
            (None, None, None, Some(change), None, None, None) => {
                Some(EventKind::TakeThreadControl(change.0.into()))
            }
            (None, None, None, None, Some(request), None, None) => Some(request.0.into()),
            (None, None, None, None, None, Some(read), None) => {
                let Receipt { watermark, mid } = read.0;
                Some(EventKind::Read { watermark: watermark.and_then(until), mid })
            }
            (None, None, None, None, None, None, Some(delivery)) => {
                let Delivered { mids, watermark } = delivery.0;
                let watermark = watermark.and_then(until);
                Some(EventKind::Delivery { mids: mids.unwrap_or_default(), watermark })
            }
            _ => None,
        };
        let kind = kind.ok_or("not one ordinary event")?;
        let of = |party: Option<Braced<Party>>| party.and_then(|Braced(party)| party.id);
        Ok(Self { at, sender: of(sender), recipient: of(recipient), kind })
    }
}

impl Element {
    fn read(self, page: &PageId, channel: Channel) -> Option<Item> {
        let Self { at, sender, recipient, kind } = self;
        let parties = Parties { page: Some(page), sender, recipient };
        if matches!(kind, EventKind::Inbound(_)) && (parties.sent_by_page() || parties.are_one()) {
            return None;
        }
        let thread = parties.thread(matches!(kind, EventKind::Echo(_))).ok()?;
        Some(Item::Event { thread, event: Event::new(channel, at, kind) })
    }
}

impl Message {
    fn read(self, at: Span) -> Option<EventKind> {
        let attachments = self.attachments.into_iter().map(|Braced(attached)| attached.into()).collect();
        if self.is_echo == Some(true) {
            let mut echo = Echo::new(self.mid, self.app_id);
            (echo.metadata, echo.text, echo.attachments) = (self.metadata, self.text, attachments);
            return Some(EventKind::Echo(echo));
        }
        if self.app_id.is_some() || self.metadata.is_some() {
            return None;
        }
        let mut inbound = Inbound::new(self.mid, at);
        inbound.payload = self.quick_reply.and_then(|reply| reply.0.payload);
        (inbound.text, inbound.attachments) = (self.text, attachments);
        Some(EventKind::Inbound(inbound))
    }
}

impl From<Attached> for Attachment {
    fn from(Attached { kind, payload, url }: Attached) -> Self {
        let mut attachment = Self::new(kind);
        attachment.url = payload.and_then(|Braced(payload)| payload.url).or(url);
        attachment
    }
}

impl Postback {
    fn read(self, at: Span) -> EventKind {
        let mut inbound = Inbound::new(self.mid, at);
        (inbound.text, inbound.payload, inbound.postback) = (self.title, self.payload, true);
        EventKind::Inbound(inbound)
    }
}

impl From<Change> for ControlChange {
    fn from(change: Change) -> Self {
        let mut read = Self::new(change.previous_owner_app_id, change.new_owner_app_id);
        read.metadata = change.metadata;
        read
    }
}

impl From<Request> for EventKind {
    fn from(Request { requested_owner_app_id, metadata }: Request) -> Self {
        let mut request = ControlRequest::new(requested_owner_app_id);
        request.metadata = metadata;
        Self::RequestThreadControl(request)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::{Value, json};

    use super::super::tolerant;
    use super::*;

    /// Asserts that both readers return the same. Returns whether the typed reader reads the delivery.
    fn compare(body: &[u8]) -> bool {
        let Some(ordinary) = read(body) else { return false };
        // The tolerant reader may fail on parts that the typed reader ignores.
        let Ok(tolerant) = tolerant::read(body) else { return false };
        assert_eq!(ordinary, tolerant, "{}", String::from_utf8_lossy(body));
        true
    }

    fn fixtures() -> Vec<Value> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/webhooks");
        let read = |entry: std::io::Result<fs::DirEntry>| {
            let fixture: Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
            fixture["payload"].clone()
        };
        fs::read_dir(folder).unwrap().map(read).collect()
    }

    /// Variants of the value: each part, one at a time, replaced by another value, wrapped or left out, and each object with
    /// one more field.
    fn changed(value: &Value) -> Vec<Value> {
        let others = [
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(-1),
            json!(1.5),
            json!(1_458_692_752_478_u64),
            json!("1458692752478"),
            json!(""),
            json!("a"),
            json!([]),
            json!({}),
        ];
        let mut all: Vec<Value> = others.into_iter().chain([json!([value]), json!({"id": value})]).collect();
        match value {
            Value::Array(parts) => {
                all.push(parts.iter().chain(parts).cloned().collect());
                for (at, part) in parts.iter().enumerate() {
                    for other in changed(part) {
                        let mut parts = parts.clone();
                        parts[at] = other;
                        all.push(parts.into());
                    }
                }
            }
            Value::Object(parts) => {
                for (name, other) in
                    [("new", json!("a")), ("new", json!(null)), ("referral", json!({"ref": "a"}))]
                {
                    let mut with = parts.clone();
                    with.entry(name).or_insert(other);
                    all.push(with.into());
                }
                for (name, part) in parts {
                    let mut without = parts.clone();
                    without.remove(name);
                    all.push(without.into());
                    for other in changed(part) {
                        let mut parts = parts.clone();
                        parts[name] = other;
                        all.push(parts.into());
                    }
                }
            }
            _ => {}
        }
        all
    }

    #[test]
    fn both_readers_say_the_same_of_whatever_both_can_read() {
        let fixtures = fixtures();
        let ordinary = fixtures.iter().filter(|payload| compare(payload.to_string().as_bytes())).count();
        assert!(ordinary >= 30, "{ordinary} of {} are ordinary", fixtures.len());
        let others: Vec<_> = fixtures.iter().flat_map(changed).collect();
        let ordinary = others.iter().filter(|payload| compare(payload.to_string().as_bytes())).count();
        assert!(ordinary >= 1_000, "{ordinary} of {} are ordinary", others.len());
    }

    #[test]
    fn a_changed_byte_makes_no_difference_between_them() {
        let body = br#"{"object":"page","entry":[{"id":"1","time":5,"standby":[{"sender":{"id":2},"recipient":{"id":"1"},
            "timestamp":1458692752478,"message":{"mid":"m","text":"\u00e4\\"}}],"messaging":[{"sender":{"id":"2"},
            "take_thread_control":{"new_owner_app_id":7,"metadata":"x"}}]}]}"#;
        assert!(compare(body));
        let mut ordinary = 0;
        for at in 0..body.len() {
            let mut changed = body.to_vec();
            for new in 0..=u8::MAX {
                changed[at] = new;
                ordinary += u32::from(compare(&changed));
            }
        }
        assert!(ordinary >= 1_000, "{ordinary}");
    }
}
