//! Any delivery is parsed or refused; a parsed event survives a round trip through its record; and valid JSON in an
//! envelope is always parsed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use messenger_handover::event::Event;
use messenger_handover::webhook::{Item, ParseError, dangerous_parse_unverified};
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    match dangerous_parse_unverified(body) {
        Ok(delivery) => {
            for item in &delivery.items {
                let Item::Event { event, .. } = item else { continue };
                let saved = serde_json::to_string(event).expect("events can be saved");
                let read: Event = serde_json::from_str(&saved).expect("and read again");
                assert_eq!(read, *event);
            }
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let Ok(json) = serde_json::from_slice::<Value>(body) else { return };
            assert!(!matches!(error, ParseError::NotJson(_)), "it is JSON");
            assert!(!json["entry"].is_array(), "it is an envelope");
        }
    }
});
