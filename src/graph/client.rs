//! [`GraphClient`]: makes the calls of [`HandoverClient`] as Graph requests.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use http::header::{DATE, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::body::{Control, Sending};
use super::clock::Clock;
use super::error::BuildError;
use super::pace::{Because, Kind, Pace, Probe, Turn};
use super::request::{EdgeCall, Node, Root};
use super::response;
use super::tokens::{App, Auth, TokenError, TokenProvider};
use crate::call::{Failure, FailureKind, OutgoingMessage, SenderAction, ThreadOwner};
use crate::control::{CallError, Forwarded, HandoverClient, Sent};
use crate::http::{Transport, date, not_answered};
use crate::id::{AppId, PageId, ThreadKey};
use crate::secret::PageToken;
use crate::time::Timestamp;

/// A client of the Graph API for any number of Pages. Cheap to clone: clones share tokens, connections and rate limits.
#[derive(Clone)]
pub struct GraphClient {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) root: Root,
    pub(super) app: Option<App>,
    pub(super) pages: RwLock<HashMap<PageId, Arc<Auth>>>,
    pub(super) provider: Option<Arc<dyn TokenProvider>>,
    pub(super) pace: Option<Pace>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) clock: Clock,
}

/// A successful response.
pub(super) struct Answer {
    pub(super) json: Value,
    /// The unparsed `Date` header.
    date: Option<HeaderValue>,
}

impl GraphClient {
    /// Adds a Page to the running client, or replaces its token. Call it with a new token after a
    /// [`FailureKind::Token`]; calls that are under way keep the old one.
    ///
    /// # Errors
    /// [`BuildError::Token`] if the token is empty or has characters that no header can carry: correct the token.
    pub fn set_page(&self, page: PageId, token: PageToken) -> Result<(), BuildError> {
        let auth = Auth::of_page(&page, token, self.app())?;
        self.shared.pages.write().unwrap_or_else(PoisonError::into_inner).insert(page, auth);
        Ok(())
    }

    /// Removes a Page and its token. Returns whether the client had the Page.
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
        let call = EdgeCall::act(&thread.page, edge, body, Some(&thread.user))?;
        Ok(self.exchange(&call).await?.json)
    }

    pub(super) async fn post(
        &self,
        page: &PageId,
        edge: &'static str,
        body: &(impl Serialize + Sync),
    ) -> Result<Value, CallError> {
        Ok(self.exchange(&EdgeCall::act(page, edge, body, None)?).await?.json)
    }

    pub(super) async fn read(
        &self,
        page: &PageId,
        edge: &'static str,
        query: &[(&str, &str)],
    ) -> Result<Answer, CallError> {
        self.exchange(&EdgeCall::read(page, Node::Page, edge, query)).await
    }

    /// Reads the platform's clock from the `Date` header of a small call, in whole seconds; `None` without that header.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::advice`] says what to do.
    pub async fn platform_time(&self, page: &PageId) -> Result<Option<Timestamp>, CallError> {
        Ok(self.read(page, "", &[("fields", "id")]).await?.date.as_ref().and_then(date))
    }

    /// Makes one call. Makes it once more if the platform refused the token (so that nothing was done) and the Page has
    /// another token by now.
    async fn exchange(&self, call: &EdgeCall<'_>) -> Result<Answer, CallError> {
        let page = call.page;
        let auth = self.auth(page).await?;
        let result = self.once(call, &auth, None).await;
        match &result {
            Err(error) if error.kind() == FailureKind::Token && !error.may_have_acted() => {
                if let Some(provider) = &self.shared.provider {
                    provider.refused(page, &auth.token).await;
                }
                match self.auth(page).await {
                    Ok(fresh) if fresh.token.expose_secret() != auth.token.expose_secret() => {
                        self.once(call, &fresh, None).await
                    }
                    _ => result,
                }
            }
            _ => result,
        }
    }

    /// Makes one HTTP exchange. `shown` is a second token, in the URL, that must not appear in errors either.
    pub(super) async fn once(
        &self,
        call: &EdgeCall<'_>,
        auth: &Auth,
        shown: Option<&Auth>,
    ) -> Result<Answer, CallError> {
        let EdgeCall { page, edge, .. } = *call;
        let request = call.to_http(&self.shared.root, auth)?;
        let secrets: Vec<_> = [Some(auth), shown].into_iter().flatten().flat_map(Auth::secrets).collect();
        let acts = call.acts();
        let kind = match edge {
            "messages" if acts => Kind::Message,
            _ if acts => Kind::Control,
            _ => Kind::Read,
        };
        let probe = self.wait_for_turn(page, kind).await?;
        let result = match self.shared.transport.send(request).await {
            Ok(answer) => {
                let result = response::read(&answer, acts, &secrets);
                self.shared.clock.check(answer.headers());
                if let Some(pace) = &self.shared.pace {
                    let failure = result.as_ref().err().map(CallError::failure);
                    pace.answered(page, kind, probe, answer.headers(), failure, Instant::now());
                }
                result.map(|json| Answer { json, date: answer.headers().get(DATE).cloned() })
            }
            Err(error) => {
                if let Some(pace) = &self.shared.pace {
                    pace.unanswered(page, kind, probe);
                }
                Err(not_answered(error, acts))
            }
        };
        match &result {
            Ok(_) => tracing::debug!(%page, edge, "graph call"),
            Err(error) => tracing::debug!(
                %page,
                edge,
                kind = %error.kind(),
                code = error.failure().code,
                subcode = error.failure().subcode,
                may_have_acted = error.may_have_acted(),
                "graph call failed"
            ),
        }
        result
    }

    /// Waits near a limit of the platform. At the limit and on a restricted Page it refuses the call, except one probe.
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
                CallError::refused(Failure::new(FailureKind::Transport, words)).with_source(error)
            }
        })?;
        Auth::new(token, self.app()).map(Arc::new).ok_or_else(|| no_token(page))
    }
}

/// The failure of a call that is not made because the platform refused the one before it.
fn not_called(wait: Duration, because: Because) -> Failure {
    let words = match because.kind {
        FailureKind::Restricted => "not called: the platform restricts this Page for a while",
        _ => "not called: the platform's limit is reached",
    };
    let mut failure = Failure::new(because.kind, words);
    (failure.code, failure.subcode) = (because.code, because.subcode);
    failure.retry_after = Some(wait);
    failure
}

fn no_token(page: &PageId) -> CallError {
    let message = format!("no usable token for Page {page}: give the client one");
    CallError::refused(Failure::new(FailureKind::Token, message))
}

impl fmt::Debug for GraphClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages = self.shared.pages.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("GraphClient")
            .field("base_url", &self.shared.root.base_url.as_str())
            .field("version", &self.shared.root.version)
            .field("pages", &pages.keys().collect::<Vec<_>>())
            .field("app", &self.shared.app)
            .field("provider", &self.shared.provider)
            .field("transport", &self.shared.transport)
            .finish()
    }
}

#[async_trait]
impl HandoverClient for GraphClient {
    fn usage_percent(&self) -> Option<u64> {
        self.shared.pace.as_ref().map(Pace::usage_percent)
    }

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

    async fn thread_owner(&self, thread: &ThreadKey) -> Result<ThreadOwner, CallError> {
        // This edge takes the bare id, the others an object (docs/protocol.md#call-parameters).
        let user = thread.user.to_string();
        let query = [("recipient", user.as_str())];
        response::owner(&self.read(&thread.page, "thread_owner", &query).await?.json)
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
