//! The access of apps to Pages: their tokens, and what they are subscribed to.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Platform;
use super::config::Access;
use messenger_handover::id::{AppId, PageId};

impl Platform {
    /// Ends the tokens of an app for a Page with one of Graph's [subcodes](messenger_handover::protocol#tokens): 463 expired, 460
    /// password changed, 458 app removed; or makes them valid again with `None`. Does nothing if there is no such token.
    pub fn end_token(&mut self, page: &PageId, app: &AppId, subcode: impl Into<Option<i64>>) {
        let subcode = subcode.into();
        self.change_tokens(page, app, |token| token.ended = subcode);
    }

    /// Replaces the permissions of an app's tokens. Does nothing if there is no such token.
    pub fn set_scopes<S: AsRef<str>>(
        &mut self,
        page: &PageId,
        app: &AppId,
        scopes: impl IntoIterator<Item = S>,
    ) {
        let scopes: Vec<String> = scopes.into_iter().map(|scope| scope.as_ref().to_owned()).collect();
        self.change_tokens(page, app, |token| token.scopes.clone_from(&scopes));
    }

    fn change_tokens(&mut self, page: &PageId, app: &AppId, change: impl FnMut(&mut Access)) {
        let tokens =
            Arc::make_mut(&mut self.pages).get_mut(page).into_iter().flat_map(|page| &mut page.tokens);
        tokens.filter(|token| token.app == *app).for_each(change);
    }

    pub(crate) fn has_token(&self, page: &PageId, app: &AppId) -> bool {
        self.pages.get(page).is_some_and(|page| page.tokens.iter().any(|token| token.app == *app))
    }

    /// Gives an app the subscriptions of its configuration again, as an admin does after Meta
    /// [unsubscribed](messenger_handover::protocol#redelivery) it. Does nothing if there is no such Page.
    pub fn subscribe_again(&mut self, page: &PageId, app: &AppId) {
        if let Some(page) = Arc::make_mut(&mut self.pages).get_mut(page) {
            page.subscribed.remove(app);
        }
    }

    /// The apps of a Page, as ids and names.
    pub(crate) fn apps_of(&self, page: &PageId) -> Vec<(String, String)> {
        let apps = self.pages.get(page).into_iter().flat_map(|page| &page.apps);
        let named = |app: &AppId| (app.to_string(), self.name_of(app).unwrap_or_else(|| app.to_string()));
        apps.map(named).collect()
    }

    /// The fields to which each app is subscribed on a Page.
    pub(crate) fn subscriptions(&self, page: &PageId) -> Value {
        let apps = self.pages.get(page).map(|page| page.apps.clone()).unwrap_or_default();
        let known = apps.into_iter().filter(|app| self.apps.contains_key(app));
        known
            .map(|app| (app.to_string(), json!(self.fields_of(page, &app))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}
