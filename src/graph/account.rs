//! Reads the Page or account that a token belongs to, with `GET /me`.

use serde::Deserialize;
use serde_json::Value;

use super::client::GraphClient;
use super::info::Platform;
use super::request::{EdgeCall, Node};
use crate::call::FailureKind;
use crate::control::CallError;
use crate::id::PageId;

/// The Page or account that a token belongs to, from `GET /me`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenOwner {
    /// The Page's id; with Instagram Login, the id of the account that is specific to the app.
    pub id: Option<PageId>,
    /// The name of the Page or account.
    pub name: Option<String>,
    /// The Instagram accounts that the token also covers: those linked to the Page, or with Instagram Login the account
    /// itself.
    pub instagram: Vec<PageId>,
}

impl GraphClient {
    /// Reads which Page or account the token configured for `page` belongs to. Compare the result with `page`: with
    /// another Page's token all calls succeed, for the other Page.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::advice`] says what to do.
    pub async fn token_owner(&self, page: &PageId, platform: Platform) -> Result<TokenOwner, CallError> {
        match platform {
            Platform::Messenger => self.me(page, "id,name").await,
            Platform::Instagram => {
                let linked = "id,name,instagram_business_account,connected_instagram_account";
                match self.me(page, linked).await {
                    // With Instagram Login an account has other fields than a Page.
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
        // The Page's own path would repeat the id in the path, whatever the token.
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
