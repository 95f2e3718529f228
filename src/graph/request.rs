//! One call of an edge, and its form as an HTTP request.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request};
use serde::Serialize;
use serde_json::{Map, Value};
use url::Url;

use super::tokens::Auth;
use crate::call::{Failure, FailureKind};
use crate::control::CallError;
use crate::id::{PageId, UserId};

/// The node that an edge belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Page,
    Root,
}

/// A call of an edge. With a body it is a POST that acts; without one it is a GET that reads.
pub(super) struct EdgeCall<'a> {
    pub(super) page: &'a PageId,
    pub(super) node: Node,
    pub(super) edge: &'static str,
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Option<Map<String, Value>>,
}

/// The base URL and the beginning of all paths.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) base_url: Url,
    pub(super) version: String,
    /// Whether paths hold the Page's id instead of `me`.
    pub(super) by_id: bool,
}

impl<'a> EdgeCall<'a> {
    pub(super) fn read(
        page: &'a PageId,
        node: Node,
        edge: &'static str,
        query: &'a [(&'a str, &'a str)],
    ) -> Self {
        Self { page, node, edge, query, body: None }
    }

    /// # Errors
    /// [`FailureKind::Invalid`] if the body is not a JSON object.
    pub(super) fn act(
        page: &'a PageId,
        edge: &'static str,
        body: &impl Serialize,
        recipient: Option<&UserId>,
    ) -> Result<Self, CallError> {
        let Ok(Value::Object(mut body)) = serde_json::to_value(body) else {
            return Err(invalid("the body cannot be written as JSON"));
        };
        if let Some(user) = recipient {
            body.insert("recipient".to_owned(), serde_json::json!({"id": user}));
        }
        Ok(Self { page, node: Node::Page, edge, query: &[], body: Some(body) })
    }

    pub(super) fn acts(&self) -> bool {
        self.body.is_some()
    }

    /// Writes the call as an HTTP request with a token.
    pub(super) fn to_http(&self, root: &Root, auth: &Auth) -> Result<Request<Bytes>, CallError> {
        let not_http = || invalid("the request cannot be written as HTTP");
        let mut url = self.url(root)?;
        let mut body = Vec::new();
        if let Some(own) = &self.body {
            let mut own = own.clone();
            own.extend(auth.proof.iter().map(|proof| ("appsecret_proof".to_owned(), proof.as_str().into())));
            body = serde_json::to_vec(&own).map_err(|_| not_http())?;
        } else if let Some(proof) = &auth.proof {
            url.query_pairs_mut().append_pair("appsecret_proof", proof);
        }
        let mut request = Request::new(Bytes::from(body));
        *request.uri_mut() = url.as_str().parse().map_err(|_| not_http())?;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, auth.header.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if self.acts() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.method_mut() = Method::POST;
        }
        Ok(request)
    }

    fn url(&self, root: &Root) -> Result<Url, CallError> {
        let mut url = root.base_url.clone();
        let by_id = root.by_id.then(|| self.page.to_string());
        let node = (self.node == Node::Page).then(|| by_id.as_deref().unwrap_or("me"));
        let edge = Some(self.edge).filter(|edge| !edge.is_empty());
        let parts = [Some(root.version.as_str()), node, edge];
        let mut segments = url.path_segments_mut().map_err(|()| invalid("the base URL takes no path"))?;
        segments.pop_if_empty().extend(parts.into_iter().flatten());
        drop(segments);
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(self.query);
        }
        Ok(url)
    }
}

fn invalid(message: &str) -> CallError {
    CallError::refused(Failure::new(FailureKind::Invalid, message))
}
