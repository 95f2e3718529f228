//! Any notification of Engage Digital is parsed or refused, and none of its events is lost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use messenger_handover::engage::{Notification, ParseError};
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let read = Notification::parse(body);
    if let Ok(notification) = &read {
        for event in &notification.events {
            assert!(event.intervention().is_none_or(|about| !about.id.is_empty()));
        }
    }
    // The crate accepts an unpaired surrogate; JSON decoders do not.
    let Ok(json) = serde_json::from_slice::<Value>(body) else { return };
    let events = json["events"].as_array().map(Vec::len);
    match read {
        Ok(notification) => assert_eq!(Some(notification.events.len()), events),
        Err(error) => assert_eq!((error, events), (ParseError::NoEvents, None)),
    }
});
