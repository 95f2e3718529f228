//! Parses deliveries with the typed reader, and with the tolerant one if the typed reader refuses.

use super::delivery::{Delivery, ParseError};
use super::signature::VerifiedBody;
use super::{tolerant, typed};

/// Parses a verified delivery. Unknown and unreadable elements become [`Item::Unknown`](super::Item::Unknown).
///
/// # Errors
/// [`ParseError`] if the body is not a delivery: respond with 400.
pub fn parse(body: &VerifiedBody<'_>) -> Result<Delivery, ParseError> {
    dangerous_parse_unverified(body.bytes())
}

/// Parses an unverified delivery. Use it only for recorded deliveries and behind something that has verified the signature,
/// because anybody who knows the URL can send one.
///
/// # Errors
/// As [`parse`].
pub fn dangerous_parse_unverified(body: &[u8]) -> Result<Delivery, ParseError> {
    typed::read(body).map_or_else(|| tolerant::read(body), Ok)
}

#[cfg(test)]
mod tests {
    use super::super::item::{self, Item};
    use super::*;
    use crate::event::Channel;

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
        let told = Err((Some(Channel::Messaging), "invalid id"));
        assert_eq!(read("instagram", "messaging_handover", &broken), told);

        let not_ours = Err((None, item::A_CHANGE));
        for value in [r#"{"item":"comment","message":"hi"}"#, r#"{"sender":"2","message":{}}"#, "null", "[]"]
        {
            assert_eq!(read("page", "feed", value), not_ours, "{value}");
        }
        // WhatsApp is recognised by its object or by its product.
        assert_eq!(read("whatsapp_business_account", "messages", &message), not_ours);
        let product = value(r#""messaging_product":"whatsapp","message":{"mid":"m"}"#);
        assert_eq!(read("page", "messages", &product), not_ours);
    }
}
