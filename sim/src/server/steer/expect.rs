//! The steering call that waits for what a test expects.

use axum::body::Bytes;
use serde_json::json;

use super::{Answer, Platforms, Refused, known_page, ok, read};
use crate::server::expect::{Expectation, wait};
use crate::server::graph::Reply;

/// Waits until an expectation holds. 417 says which condition does not, with a diagram of the conversation.
pub(super) async fn expect(shared: Platforms, body: Bytes) -> Answer {
    let expected: Expectation = read(&body)?;
    known_page(&shared, &expected.page.to_string())?;
    wait(&shared, &expected).await.map_err(|unmet| {
        let error = json!({"message": unmet.to_string(), "why": unmet.why, "diagram": unmet.diagram});
        Refused(Box::new(Reply::json(417, &json!({ "error": error }))))
    })?;
    Ok(ok(&json!({"met": true})))
}
