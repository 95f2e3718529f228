//! A notification of Engage Digital is read or refused, and no event of it is lost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use messenger_handover::engage::{Notification, ParseError};
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let json = serde_json::from_slice::<Value>(body);
    match Notification::parse(body) {
        Ok(notification) => {
            // Half a surrogate pair is read here, and by no decoder.
            if let Ok(json) = json {
                assert_eq!(notification.events.len(), json["events"].as_array().expect("events").len());
            }
            for event in &notification.events {
                assert!(event.intervention().is_none_or(|about| !about.id.is_empty()));
            }
        }
        Err(ParseError::NotJson) => assert!(json.is_err()),
        Err(_) => assert!(!json.expect("it is JSON")["events"].is_array()),
    }
});
