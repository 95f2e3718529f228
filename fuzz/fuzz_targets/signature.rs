//! Only the one valid signature of a body is accepted. The input is a header and a body, separated by a line break.
#![no_main]

use libfuzzer_sys::fuzz_target;
use messenger_handover::secret::AppSecret;
use messenger_handover::webhook::{Verifier, sign};

fuzz_target!(|input: &[u8]| {
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (header, body) = (&input[..at], input.get(at + 1..).unwrap_or_default());
    let header = String::from_utf8_lossy(header);
    let secret = AppSecret::new("the app's secret");
    let right = sign(&secret, body);
    let verifier = Verifier::new(secret);
    let accepted = verifier.verify(Some(&header), body).is_ok();
    let (prefix, digits) = right.split_once('=').expect("sha256=…");
    let same = header.trim().strip_prefix(prefix).and_then(|rest| rest.strip_prefix('='));
    assert_eq!(accepted, same.is_some_and(|given| given.eq_ignore_ascii_case(digits)));
    assert!(verifier.verify(Some(&right), body).is_ok());
    assert!(verifier.verify(None, body).is_err());
});
