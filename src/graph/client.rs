//! The calls of [`HandoverClient`] as Graph requests.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use serde_json::{Map, Value, json};
use url::Url;

use super::builder::{BuildError, GraphClientBuilder};
use super::response::{self, Asked};
use super::transport::Transport;
use crate::call::{MessagingType, OutgoingMessage, Refusal, RefusalKind, ThreadOwner};
use crate::control::{CallError, Forwarded, HandoverClient, Receiver, Sent};
use crate::id::{AppId, PageId, ThreadKey};
use crate::secret::PageToken;

/// A client of the Graph API for any number of Pages. Cheap to clone; clones share their tokens.
#[derive(Clone)]
pub struct GraphClient {
    shared: Arc<Shared>,
}

struct Shared {
    base_url: Url,
    version: String,
    pages: RwLock<HashMap<PageId, PageAuth>>,
    transport: Arc<dyn Transport>,
}

impl GraphClient {
    /// Starts a client.
    pub fn builder() -> GraphClientBuilder {
        GraphClientBuilder::default()
    }

    /// Adds a Page to the running client, or replaces its token: the remedy for
    /// [`RefusalKind::Token`]. Calls under way keep the token that they started with.
    ///
    /// # Errors
    /// [`BuildError::Token`] if the token is empty or has characters that no header can carry.
    pub fn set_page(&self, page: PageId, token: PageToken) -> Result<(), BuildError> {
        let auth = PageAuth::new(&page, token)?;
        self.shared.pages.write().unwrap_or_else(PoisonError::into_inner).insert(page, auth);
        Ok(())
    }

    /// Forgets a Page and its token. Whether there was one.
    pub fn remove_page(&self, page: &PageId) -> bool {
        self.shared.pages.write().unwrap_or_else(PoisonError::into_inner).remove(page).is_some()
    }

    pub(super) fn assemble(
        base_url: Url,
        version: String,
        pages: HashMap<PageId, PageAuth>,
        transport: Arc<dyn Transport>,
    ) -> Self {
        Self { shared: Arc::new(Shared { base_url, version, pages: RwLock::new(pages), transport }) }
    }

    async fn control(
        &self,
        thread: &ThreadKey,
        edge: &'static str,
        mut body: Map<String, Value>,
        metadata: Option<&str>,
    ) -> Result<Value, CallError> {
        if let Some(metadata) = metadata {
            body.insert("metadata".to_owned(), metadata.into());
        }
        self.post(thread, edge, body).await
    }

    async fn post(
        &self,
        thread: &ThreadKey,
        edge: &'static str,
        mut body: Map<String, Value>,
    ) -> Result<Value, CallError> {
        body.insert("recipient".to_owned(), json!({ "id": thread.user }));
        let body = Bytes::from(Value::Object(body).to_string());
        self.exchange(&thread.page, Method::POST, self.url(edge)?, edge, body).await
    }

    async fn read(
        &self,
        page: &PageId,
        edge: &'static str,
        query: [(&str, &str); 1],
    ) -> Result<Value, CallError> {
        let mut url = self.url(edge)?;
        url.query_pairs_mut().extend_pairs(query);
        self.exchange(page, Method::GET, url, edge, Bytes::new()).await
    }

    fn url(&self, edge: &str) -> Result<Url, CallError> {
        let mut url = self.shared.base_url.clone();
        url.path_segments_mut().map_err(|()| invalid("the base URL takes no path"))?.pop_if_empty().extend([
            self.shared.version.as_str(),
            "me",
            edge,
        ]);
        Ok(url)
    }

    async fn exchange(
        &self,
        page: &PageId,
        method: Method,
        url: Url,
        edge: &'static str,
        body: Bytes,
    ) -> Result<Value, CallError> {
        let auth = self.auth(page)?;
        let asked = Asked { acts: method == Method::POST, token: auth.token };
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(AUTHORIZATION, auth.header)
            .header(ACCEPT, "application/json");
        if asked.acts {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(body).map_err(|_| invalid("the request cannot be written as HTTP"))?;
        let result = match self.shared.transport.send(request).await {
            Ok(answer) => response::read(&answer, &asked),
            Err(error) => Err(response::not_answered(error, &asked)),
        };
        match &result {
            Ok(_) => tracing::debug!(%page, edge, "graph call"),
            Err(error) => tracing::debug!(
                %page,
                edge,
                kind = %error.kind(),
                code = error.refusal().code,
                subcode = error.refusal().subcode,
                may_have_acted = error.may_have_acted(),
                "graph call failed"
            ),
        }
        result
    }

    fn auth(&self, page: &PageId) -> Result<PageAuth, CallError> {
        let pages = self.shared.pages.read().unwrap_or_else(PoisonError::into_inner);
        pages.get(page).cloned().ok_or_else(|| {
            let message = format!("no token for Page {page}: give the client one");
            CallError::refused(Refusal::new(RefusalKind::Token, message))
        })
    }
}

impl fmt::Debug for GraphClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages = self.shared.pages.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("GraphClient")
            .field("base_url", &self.shared.base_url.as_str())
            .field("version", &self.shared.version)
            .field("pages", &pages.keys().collect::<Vec<_>>())
            .field("transport", &self.shared.transport)
            .finish()
    }
}

#[async_trait]
impl HandoverClient for GraphClient {
    async fn pass_thread_control(
        &self,
        thread: &ThreadKey,
        target: Option<&AppId>,
        metadata: Option<&str>,
    ) -> Result<(), CallError> {
        let mut body = Map::new();
        if let Some(target) = target {
            body.insert("target_app_id".to_owned(), target.to_string().into());
        }
        response::success(&self.control(thread, "pass_thread_control", body, metadata).await?)
    }

    async fn take_thread_control(&self, thread: &ThreadKey, metadata: Option<&str>) -> Result<(), CallError> {
        response::taken(&self.control(thread, "take_thread_control", Map::new(), metadata).await?)
    }

    async fn request_thread_control(
        &self,
        thread: &ThreadKey,
        metadata: Option<&str>,
    ) -> Result<Forwarded, CallError> {
        let answer = self.control(thread, "request_thread_control", Map::new(), metadata).await?;
        response::success(&answer).map(|()| Forwarded::new())
    }

    async fn release_thread_control(&self, thread: &ThreadKey) -> Result<(), CallError> {
        response::success(&self.control(thread, "release_thread_control", Map::new(), None).await?)
    }

    async fn extend_thread_control(&self, thread: &ThreadKey, duration: Duration) -> Result<(), CallError> {
        let body = Map::from_iter([("duration".to_owned(), duration.as_secs().into())]);
        response::success(&self.control(thread, "extend_thread_control", body, None).await?)
    }

    async fn thread_owner(&self, thread: &ThreadKey) -> Result<ThreadOwner, CallError> {
        // The bare id here, where the other edges take an object (facts §3.2).
        let query = [("recipient", thread.user.to_string())];
        let query = query.each_ref().map(|(name, value)| (*name, value.as_str()));
        response::owner(&self.read(&thread.page, "thread_owner", query).await?)
    }

    /// The first page of the answer: 25 apps by Graph's default, more than a Page has.
    async fn secondary_receivers(&self, page: &PageId) -> Result<Vec<Receiver>, CallError> {
        response::receivers(&self.read(page, "secondary_receivers", [("fields", "id,name")]).await?)
    }

    async fn send_message(
        &self,
        thread: &ThreadKey,
        message: &OutgoingMessage,
        metadata: Option<&str>,
    ) -> Result<Sent, CallError> {
        let mut content = message.body().clone();
        if let Some(metadata) = metadata {
            content.insert("metadata".to_owned(), metadata.into());
        }
        let (messaging_type, tag) = match message.is() {
            MessagingType::Response => ("RESPONSE", None),
            MessagingType::Update => ("UPDATE", None),
            MessagingType::HumanAgent => ("MESSAGE_TAG", Some("HUMAN_AGENT")),
        };
        let mut body = Map::from_iter([
            ("messaging_type".to_owned(), messaging_type.into()),
            ("message".to_owned(), Value::Object(content)),
        ]);
        if let Some(tag) = tag {
            body.insert("tag".to_owned(), tag.into());
        }
        response::sent(&self.post(thread, "messages", body).await?)
    }
}

/// A Page's token, ready to be sent.
#[derive(Clone)]
pub(super) struct PageAuth {
    token: PageToken,
    header: HeaderValue,
}

impl PageAuth {
    pub(super) fn new(page: &PageId, token: PageToken) -> Result<Self, BuildError> {
        let wrong = || BuildError::Token { page: page.clone() };
        if token.expose().is_empty() || !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong());
        }
        let header = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut header = header.map_err(|_| wrong())?;
        header.set_sensitive(true);
        Ok(Self { token, header })
    }
}

fn invalid(message: &str) -> CallError {
    CallError::refused(Refusal::new(RefusalKind::Invalid, message))
}
