//! The calls of [`HandoverClient`] as Graph requests.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue};
use http::{Method, Request};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::body::{Body, Control, Recipient, Sending, Write};
use super::builder::{BuildError, GraphClientBuilder};
use super::clock::Clock;
use super::pace::{Because, Kind, Pace, Probe, Turn};
use super::place::{Place, Places};
use super::response::{self, Asked};
use super::tokens::{App, Auth, TokenError, TokenProvider};
use super::transport::Transport;
use crate::call::{OutgoingMessage, Refusal, RefusalKind, SenderAction, ThreadOwner};
use crate::control::{CallError, Forwarded, HandoverClient, Receiver, Sent};
use crate::id::{AppId, PageId, ThreadKey};
use crate::secret::PageToken;
use crate::time::Timestamp;

/// A client of the Graph API for any number of Pages. Cheap to clone; clones share their tokens, their
/// connections and their pace.
#[derive(Clone)]
pub struct GraphClient {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) base_url: Url,
    pub(super) version: String,
    /// Pages are named by their ids in paths, and not as `me`.
    pub(super) by_id: bool,
    pub(super) app: Option<App>,
    pub(super) places: Places,
    pub(super) pages: RwLock<HashMap<PageId, Arc<Auth>>>,
    pub(super) provider: Option<Arc<dyn TokenProvider>>,
    pub(super) pace: Option<Pace>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) clock: Mutex<Clock>,
}

/// What an edge belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Page,
    Root,
}

/// A success.
pub(super) struct Answer {
    pub(super) json: Value,
    /// The `Date` header, as it came.
    date: Option<HeaderValue>,
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
        let auth = Auth::of_page(&page, token, self.app())?;
        self.shared.pages.write().unwrap_or_else(PoisonError::into_inner).insert(page, auth);
        Ok(())
    }

    /// Forgets a Page and its token. Whether there was one.
    pub fn remove_page(&self, page: &PageId) -> bool {
        self.shared.pages.write().unwrap_or_else(PoisonError::into_inner).remove(page).is_some()
    }

    pub(super) fn assemble(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }

    pub(super) fn app(&self) -> Option<&App> {
        self.shared.app.as_ref()
    }

    pub(super) async fn post_to(
        &self,
        thread: &ThreadKey,
        edge: &'static str,
        body: &(impl Serialize + Sync),
    ) -> Result<Value, CallError> {
        self.post(&thread.page, edge, body, Some(Recipient { id: &thread.user })).await
    }

    pub(super) async fn post(
        &self,
        page: &PageId,
        edge: &'static str,
        own: &(impl Serialize + Sync),
        recipient: Option<Recipient<'_>>,
    ) -> Result<Value, CallError> {
        let place = self.place(page, Node::Page, edge, &[])?;
        let write =
            |proof: Option<&str>| serde_json::to_vec(&Body { own, recipient, appsecret_proof: proof });
        Ok(self.exchange(page, &place, Some(&write)).await?.json)
    }

    pub(super) async fn read(
        &self,
        page: &PageId,
        edge: &'static str,
        query: &[(&str, &str)],
    ) -> Result<Answer, CallError> {
        let place = self.place(page, Node::Page, edge, query)?;
        self.exchange(page, &place, None).await
    }

    /// The platform's clock, in whole seconds, as its answer to a small question tells; none if the
    /// answer does not.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn platform_time(&self, page: &PageId) -> Result<Option<Timestamp>, CallError> {
        Ok(self.read(page, "", &[("fields", "id")]).await?.date.as_ref().and_then(response::date))
    }

    pub(super) fn place(
        &self,
        page: &PageId,
        node: Node,
        edge: &'static str,
        query: &[(&str, &str)],
    ) -> Result<Place, CallError> {
        let is_general = node == Node::Page && !self.shared.by_id && query.is_empty();
        if is_general && let Some(place) = self.shared.places.get(edge) {
            return Ok(place);
        }
        let mut url = self.shared.base_url.clone();
        let by_id = self.shared.by_id.then(|| page.to_string());
        let node = (node == Node::Page).then(|| by_id.as_deref().unwrap_or("me"));
        let parts = [Some(self.shared.version.as_str()), node, Some(edge).filter(|edge| !edge.is_empty())];
        let mut segments = url.path_segments_mut().map_err(|()| invalid("the base URL takes no path"))?;
        segments.pop_if_empty().extend(parts.into_iter().flatten());
        drop(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let place = Place::new(edge, url).ok_or_else(not_http)?;
        if is_general {
            self.shared.places.keep(&place);
        }
        Ok(place)
    }

    /// One call, which acts if it has a body; and one more where the token was refused, and so certainly nothing done, and
    /// there is another token meanwhile.
    async fn exchange(
        &self,
        page: &PageId,
        place: &Place,
        body: Option<Write<'_>>,
    ) -> Result<Answer, CallError> {
        let auth = self.auth(page).await?;
        let result = self.once(page, place, body, &auth, None).await;
        match &result {
            Err(error) if error.kind() == RefusalKind::Token && !error.may_have_acted() => {
                if let Some(provider) = &self.shared.provider {
                    provider.refused(page, &auth.token).await;
                }
                match self.auth(page).await {
                    Ok(fresh) if fresh.token.expose_secret() != auth.token.expose_secret() => {
                        self.once(page, place, body, &fresh, None).await
                    }
                    _ => result,
                }
            }
            _ => result,
        }
    }

    /// One exchange over the wire. `shown` is a token that is in the URL, too.
    pub(super) async fn once(
        &self,
        page: &PageId,
        place: &Place,
        body: Option<Write<'_>>,
        auth: &Auth,
        shown: Option<&Auth>,
    ) -> Result<Answer, CallError> {
        let acts = body.is_some();
        let edge = place.edge;
        let mut place = place.clone();
        if let (Some(proof), None) = (&auth.proof, body) {
            place.url.query_pairs_mut().append_pair("appsecret_proof", proof);
            place = Place::new(edge, place.url).ok_or_else(not_http)?;
        }
        let body = body.map(|write| write(auth.proof.as_deref())).transpose();
        let body = body.map_err(|_| invalid("the body cannot be written as JSON"))?.unwrap_or_default();
        let mut request = Request::new(Bytes::from(body));
        *request.uri_mut() = place.uri.clone();
        request.extensions_mut().insert(place);
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, auth.header.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if acts {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.method_mut() = Method::POST;
        }
        let secrets: Vec<_> = [Some(auth), shown].into_iter().flatten().flat_map(Auth::secrets).collect();
        let asked = Asked { acts, secrets: &secrets };
        let kind = match edge {
            "messages" if acts => Kind::Message,
            _ if acts => Kind::Control,
            _ => Kind::Read,
        };
        let probe = self.wait_for_turn(page, kind).await?;
        let result = match self.shared.transport.send(request).await {
            Ok(answer) => {
                let result = response::read(&answer, &asked);
                self.shared.check_clock(answer.headers());
                if let Some(pace) = &self.shared.pace {
                    let refusal = result.as_ref().err().map(CallError::refusal);
                    pace.answered(page, kind, probe, answer.headers(), refusal, Instant::now());
                }
                result.map(|json| Answer { json, date: answer.headers().get(DATE).cloned() })
            }
            Err(error) => {
                if let Some(pace) = &self.shared.pace {
                    pace.unanswered(page, kind, probe);
                }
                Err(response::not_answered(error, &asked))
            }
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

    /// Near a limit of the platform calls wait a little. Beyond it, and on a restricted Page, they are not made, but for
    /// one that tries whether that is over.
    async fn wait_for_turn(&self, page: &PageId, kind: Kind) -> Result<Probe, CallError> {
        let Some(limits) = &self.shared.pace else { return Ok(None) };
        match limits.turn(page, kind, Instant::now()) {
            Turn::After(wait, probe) => {
                if !wait.is_zero() {
                    tracing::debug!(%page, ?wait, "near a limit of the platform: waiting");
                    tokio::time::sleep(wait).await;
                }
                Ok(probe)
            }
            Turn::Refused(wait, because) => Err(CallError::refused(not_called(wait, because))),
        }
    }

    pub(super) async fn auth(&self, page: &PageId) -> Result<Arc<Auth>, CallError> {
        let own = {
            let pages = self.shared.pages.read().unwrap_or_else(PoisonError::into_inner);
            pages.get(page).cloned()
        };
        let token = match (own, &self.shared.provider) {
            (Some(auth), _) => return Ok(auth),
            (None, Some(provider)) => provider.page_token(page).await,
            (None, None) => Err(TokenError::UnknownPage),
        };
        let token = token.map_err(|error| match error {
            TokenError::UnknownPage => no_token(page),
            TokenError::Unavailable(_) => {
                let words = format!("the token of Page {page} could not be fetched");
                CallError::refused(Refusal::new(RefusalKind::Transport, words)).with_source(error)
            }
        })?;
        Auth::new(token, self.app()).map(Arc::new).ok_or_else(|| no_token(page))
    }
}

/// The platform refused a call before this one, and would refuse it too.
fn not_called(wait: Duration, because: Because) -> Refusal {
    let words = match because.kind {
        RefusalKind::Restricted => "not called: the platform restricts this Page for a while",
        _ => "not called: the platform's limit is reached",
    };
    let mut refusal = Refusal::new(because.kind, words);
    (refusal.code, refusal.subcode) = (because.code, because.subcode);
    refusal.retry_after = Some(wait);
    refusal
}

fn not_http() -> CallError {
    invalid("the request cannot be written as HTTP")
}

fn no_token(page: &PageId) -> CallError {
    let message = format!("no usable token for Page {page}: give the client one");
    CallError::refused(Refusal::new(RefusalKind::Token, message))
}

impl fmt::Debug for GraphClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages = self.shared.pages.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("GraphClient")
            .field("base_url", &self.shared.base_url.as_str())
            .field("version", &self.shared.version)
            .field("pages", &pages.keys().collect::<Vec<_>>())
            .field("app", &self.shared.app)
            .field("provider", &self.shared.provider)
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
        let body = Control { target_app_id: target, metadata, ..Control::default() };
        response::success(&self.post_to(thread, "pass_thread_control", &body).await?)
    }

    async fn take_thread_control(&self, thread: &ThreadKey, metadata: Option<&str>) -> Result<(), CallError> {
        let body = Control { metadata, ..Control::default() };
        response::taken(&self.post_to(thread, "take_thread_control", &body).await?)
    }

    async fn request_thread_control(
        &self,
        thread: &ThreadKey,
        metadata: Option<&str>,
    ) -> Result<Forwarded, CallError> {
        let body = Control { metadata, ..Control::default() };
        let answer = self.post_to(thread, "request_thread_control", &body).await?;
        response::success(&answer).map(|()| Forwarded::new())
    }

    async fn release_thread_control(&self, thread: &ThreadKey) -> Result<(), CallError> {
        response::success(&self.post_to(thread, "release_thread_control", &Control::default()).await?)
    }

    async fn extend_thread_control(&self, thread: &ThreadKey, duration: Duration) -> Result<(), CallError> {
        let body = Control { duration: Some(duration.as_secs()), ..Control::default() };
        response::success(&self.post_to(thread, "extend_thread_control", &body).await?)
    }

    async fn thread_owner(&self, thread: &ThreadKey) -> Result<ThreadOwner, CallError> {
        // The bare id here, where the other edges take an object (facts §3.2).
        let user = thread.user.to_string();
        let query = [("recipient", user.as_str())];
        response::owner(&self.read(&thread.page, "thread_owner", &query).await?.json)
    }

    /// The first page of the answer: 25 apps by Graph's default, more than a Page has.
    async fn secondary_receivers(&self, page: &PageId) -> Result<Vec<Receiver>, CallError> {
        let query = [("fields", "id,name")];
        response::receivers(&self.read(page, "secondary_receivers", &query).await?.json)
    }

    async fn send_message(
        &self,
        thread: &ThreadKey,
        message: &OutgoingMessage,
        metadata: Option<&str>,
    ) -> Result<Sent, CallError> {
        response::sent(&self.post_to(thread, "messages", &Sending::new(message, metadata)).await?)
    }

    async fn sender_action(&self, thread: &ThreadKey, action: SenderAction) -> Result<(), CallError> {
        let body = Map::from_iter([("sender_action".to_owned(), action.as_str().into())]);
        response::sent(&self.post_to(thread, "messages", &body).await?).map(drop)
    }
}

fn invalid(message: &str) -> CallError {
    CallError::refused(Refusal::new(RefusalKind::Invalid, message))
}
