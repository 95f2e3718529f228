//! A call of the Bots API is read or refused, and what was read is written as the same call.
#![no_main]

use libfuzzer_sys::fuzz_target;
use messenger_handover::bots_api::HandoverRequest;
use url::form_urlencoded;

fuzz_target!(|query: &str| {
    match HandoverRequest::from_query(query) {
        Ok(request) => {
            let mut written = form_urlencoded::Serializer::new(String::new());
            request.write_query(&mut written);
            assert_eq!(HandoverRequest::from_query(&written.finish()), Ok(request));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
