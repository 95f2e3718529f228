//! A bot's client of the Bots API endpoint.

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::PATH;
use crate::call::HandoverRequest;
use crate::control::{CallError, DeskEndpoint};
use crate::engage::{Domain, DomainError, call_error};
use crate::id::{AppId, UserId};
use crate::secret::EdToken;

/// A bot's client of Engage Digital's [Bots API](crate::protocol#ed-bots-endpoint). Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    domain: Domain,
}

impl Client {
    /// Creates a client of one ED domain, such as `https://domain-test.api.engagement.dimelo.com`.
    ///
    /// # Errors
    /// As [`Domain::new`].
    pub fn new(base_url: &Url, token: EdToken) -> Result<Self, DomainError> {
        Domain::new(base_url, token).map(Self::from)
    }

    /// Asks the desk to hand the conversation to an agent. Success means that the desk requests control, and the bot must
    /// then [pass it itself](crate::protocol#ed-bots-endpoint).
    ///
    /// # Errors
    /// As [`DeskEndpoint::handover`].
    pub async fn bot_to_agent(&self, identity: &UserId) -> Result<(), CallError> {
        self.handover(&HandoverRequest::bot_to_agent(identity.clone())).await
    }

    /// Asks the desk to pass control to the bot's app. Succeeds only while
    /// [no intervention is open](crate::protocol#ed-bots-endpoint).
    ///
    /// # Errors
    /// As [`DeskEndpoint::handover`].
    pub async fn agent_to_bot(&self, identity: &UserId, app: &AppId) -> Result<(), CallError> {
        self.handover(&HandoverRequest::agent_to_bot(identity.clone(), app.clone())).await
    }
}

impl From<Domain> for Client {
    fn from(domain: Domain) -> Self {
        Self { domain }
    }
}

#[async_trait]
impl DeskEndpoint for Client {
    /// Makes the call. If the returned future is dropped, the call may or may not have been made; repeating it is harmless.
    async fn handover(&self, request: &HandoverRequest) -> Result<(), CallError> {
        let path: Vec<_> = PATH.split('/').skip(2).collect();
        let answer = self.domain.call(Method::POST, &path, &request.to_pairs()).await;
        let result = answer.and_then(|answer| match refused_in_body(&answer.json) {
            None => Ok(()),
            Some(status) => {
                Err(call_error(status, Some(&answer.json), &answer.headers, true, &self.domain.secrets()))
            }
        });
        tracing::debug!(direction = ?request.direction, error = result.as_ref().err().map(tracing::field::display),
            "bots/handover");
        result
    }
}

/// The failure status that a body names under a successful HTTP status, as an integer or a string.
fn refused_in_body(body: &Value) -> Option<StatusCode> {
    let told = body
        .get("status")
        .and_then(|status| status.as_u64().or_else(|| status.as_str()?.trim().parse().ok()));
    match told.and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok()) {
        Some(status) => Some(status).filter(|status| !status.is_success()),
        None => body.get("error").map(|_| StatusCode::UNPROCESSABLE_ENTITY),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::{Request, Response};

    use super::*;
    use crate::call::FailureKind;
    use crate::http::{Transport, TransportError};

    /// A transport that responds to every call with this body.
    #[derive(Debug)]
    struct Answers(&'static str);

    #[async_trait]
    impl Transport for Answers {
        async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
            assert_eq!(request.uri().path(), PATH);
            Ok(Response::new(Bytes::from(self.0)))
        }
    }

    async fn ask(body: &'static str) -> Result<(), CallError> {
        let url = Url::parse("https://ed.example").unwrap();
        let domain = Domain::with_transport(&url, EdToken::new("s3cret"), Arc::new(Answers(body))).unwrap();
        Client::from(domain).bot_to_agent(&UserId::from(1)).await
    }

    #[tokio::test]
    async fn success_in_every_documented_shape() {
        for body in [
            r#"{"status":200,"message":"Success"}"#,
            r#"{"status":"200","message":"Success"}"#,
            "{\n  \"status\": 200,\n  \"message\": \"Success\",\n}\n",
            r#"{"message":"Success"}"#,
        ] {
            assert!(ask(body).await.is_ok(), "{body}");
        }
    }

    #[tokio::test]
    async fn a_refusal_under_a_successful_status() {
        for (body, kind) in [
            (r#"{"error":"x","message":"no","status":"422"}"#, FailureKind::Conflict),
            (r#"{"error":"x","message":"no"}"#, FailureKind::Conflict),
            (r#"{"error":"x","message":"no","status":403}"#, FailureKind::Permission),
            ("<html>ok</html>", FailureKind::Protocol),
        ] {
            assert_eq!(ask(body).await.unwrap_err().kind(), kind, "{body}");
        }
    }
}
