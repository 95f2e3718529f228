//! Whose token it is: `GET /me`.

use serde::Deserialize;
use serde_json::Value;

use super::client::GraphClient;
use super::info::Platform;
use super::request::{EdgeCall, Node};
use crate::call::FailureKind;
use crate::control::CallError;
use crate::id::PageId;

/// Whom a token speaks for, as `GET /me` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenOwner {
    /// The Page; with Instagram Login, the app's own id of the account.
    pub id: Option<PageId>,
    /// Its name.
    pub name: Option<String>,
    /// The Instagram accounts that the token also speaks for: those linked to the Page, or with Instagram Login the
    /// account itself.
    pub instagram: Vec<PageId>,
}

impl GraphClient {
    /// Asks whom the token that is configured for `page` really speaks for.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn token_owner(&self, page: &PageId, platform: Platform) -> Result<TokenOwner, CallError> {
        match platform {
            Platform::Messenger => self.me(page, "id,name").await,
            Platform::Instagram => {
                let linked = "id,name,instagram_business_account,connected_instagram_account";
                match self.me(page, linked).await {
                    // An account of Instagram Login has other fields than a Page.
                    Err(error) if error.kind() == FailureKind::Invalid => {
                        self.me(page, "id,username,user_id").await
                    }
                    answered => answered,
                }
            }
        }
    }

    async fn me(&self, page: &PageId, fields: &str) -> Result<TokenOwner, CallError> {
        let auth = self.auth(page).await?;
        // Not the Page's own path: that would answer whatever id it is asked for.
        let fields = [("fields", fields)];
        let request = EdgeCall::read(page, Node::Root, "me", &fields);
        Ok(TokenOwner::read(&self.once(&request, &auth, None).await?.json))
    }
}

impl TokenOwner {
    fn read(answer: &Value) -> Self {
        let id = |value: Option<&Value>| value.and_then(|value| PageId::deserialize(value).ok());
        let linked = ["instagram_business_account", "connected_instagram_account"];
        let linked = linked.map(|field| id(answer.get(field).and_then(|account| account.get("id"))));
        let mut instagram = Vec::new();
        for account in linked.into_iter().chain([id(answer.get("user_id"))]).flatten() {
            if !instagram.contains(&account) {
                instagram.push(account);
            }
        }
        let name = answer.get("name").or_else(|| answer.get("username"));
        Self { id: id(answer.get("id")), name: name.and_then(Value::as_str).map(str::to_owned), instagram }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_shape_of_an_owner() {
        let owner = |answer: Value| TokenOwner::read(&answer);
        let page = |id: u64| Some(PageId::from(id));
        let plain = owner(json!({"id": "10", "name": "Shop"}));
        assert_eq!((plain.id, plain.name.as_deref(), plain.instagram.len()), (page(10), Some("Shop"), 0));
        let account = json!({"id": "77"});
        let linked = owner(
            json!({"id": 10, "instagram_business_account": account, "connected_instagram_account": account}),
        );
        assert_eq!((linked.id, linked.instagram), (page(10), vec![PageId::from(77)]));
        let own = owner(json!({"id": "5", "user_id": 77, "username": "shop"}));
        assert_eq!(
            (own.id, own.name.as_deref(), own.instagram),
            (page(5), Some("shop"), vec![PageId::from(77)])
        );
        let odd = owner(json!({"id": null, "name": 7, "instagram_business_account": []}));
        assert_eq!(odd, TokenOwner { id: None, name: None, instagram: Vec::new() });
    }
}
