//! One call of the Graph API: who may make it, and the rule that answers it.

use super::{ApiAnswer, ApiCall, GraphError, Platform, is_inbox, limits};
use messenger_handover::id::{AppId, PageId, ThreadKey};
use messenger_handover::time::Timestamp;

impl Platform {
    /// Makes one call of the Graph API as an app.
    ///
    /// # Errors
    /// [`GraphError`] where Graph refuses.
    pub fn call(
        &mut self,
        app: &AppId,
        page: &PageId,
        call: &ApiCall,
        now: Timestamp,
    ) -> Result<ApiAnswer, GraphError> {
        let account = self.account_of(page, call.user());
        let answer = self.dispatch(app, page, &account, call, now);
        answer.map_err(|refusal| self.traced(self.in_the_words_of(&account, refusal)))
    }

    /// Adds an `fbtrace_id` to a refusal.
    pub(crate) fn traced(&mut self, refusal: GraphError) -> GraphError {
        self.refusals += 1;
        GraphError { fbtrace_id: format!("Asim{:019}", self.refusals), ..refusal }
    }

    fn dispatch(
        &mut self,
        app: &AppId,
        page: &PageId,
        account: &PageId,
        call: &ApiCall,
        now: Timestamp,
    ) -> Result<ApiAnswer, GraphError> {
        let known = self
            .pages
            .get(page)
            .ok_or_else(|| GraphError::unsupported(method_of(call), &page.to_string()))?;
        if !known.apps.contains(app) {
            return Err(GraphError::no_role());
        }
        let needed = call.needs();
        let mut own = known.tokens.iter().filter(|token| token.app == *app).peekable();
        // A test may call as an app without a token.
        let has = |scope: &String| needed.contains(&scope.as_str());
        if own.peek().is_some() && !own.any(|token| token.scopes.iter().any(has)) {
            return Err(GraphError::scope_missing(needed[0]));
        }
        let Some(user) = call.user() else { return self.about_page(app, page, call) };
        let is_known = self.pages.get(account).is_some_and(|account| account.people.contains_key(user));
        let reads = method_of(call) == "get";
        if !is_known && (!reads || matches!(call, ApiCall::ThreadOwner { .. })) {
            return Err(GraphError::no_such_person());
        }
        let key = ThreadKey::new(account.clone(), user.clone());
        self.lapse(&key, now);
        if !reads && self.is_asked_by_meta(&key) && !is_inbox(app) {
            return Err(GraphError::asked_by_meta());
        }
        self.may_call(&key, call)?;
        match call {
            ApiCall::Pass { target, metadata, .. } => {
                self.pass(app, &key, target.as_ref(), metadata.as_deref(), now)
            }
            ApiCall::Take { metadata, .. } => self.take(app, &key, metadata.as_deref(), now),
            ApiCall::Request { metadata, .. } => self.request(app, &key, metadata.as_deref(), now),
            ApiCall::Release { .. } => self.release(app, &key),
            ApiCall::Extend { duration, .. } => self.extend(app, &key, *duration, now),
            ApiCall::ThreadOwner { .. } => Ok(self.thread_owner(app, &key)),
            ApiCall::Conversation { fields, .. } => Ok(self.conversation_of(app, &key, fields, now)),
            ApiCall::Thread { fields, .. } => self.thread(app, &key, fields, now),
            ApiCall::ThreadMessages { fields, limit, .. } => self.thread_messages(&key, fields, *limit),
            ApiCall::Send { message, messaging_type, tag, thread_control, .. } => {
                limits::check_type(messaging_type.as_deref(), tag.as_deref())?;
                let tag = tag.as_deref().filter(|_| messaging_type.as_deref() == Some("MESSAGE_TAG"));
                self.send(app, &key, message, tag, thread_control.as_ref(), now)
            }
            ApiCall::SenderAction { action, .. } => self.act(app, &key, action, now),
            page_call => self.about_page(app, page, page_call),
        }
    }
}

fn method_of(call: &ApiCall) -> &'static str {
    match call {
        ApiCall::ThreadOwner { .. }
        | ApiCall::SecondaryReceivers
        | ApiCall::FeatureStatus
        | ApiCall::Node { .. }
        | ApiCall::SubscribedApps
        | ApiCall::Conversation { .. }
        | ApiCall::Thread { .. }
        | ApiCall::ThreadMessages { .. }
        | ApiCall::Message { .. } => "get",
        _ => "post",
    }
}
