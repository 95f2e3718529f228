//! Any call of the Bots API is parsed or refused, and a parsed call is written as the same call.
#![no_main]

use libfuzzer_sys::fuzz_target;
use messenger_handover::call::HandoverRequest;

fuzz_target!(|query: &str| {
    match HandoverRequest::from_query(query) {
        Ok(request) => {
            assert_eq!(HandoverRequest::from_query(&request.to_query()), Ok(request));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
