//! The lookup of a desk with one Page.

use async_trait::async_trait;

use super::IdentityLookup;
use crate::call::HandoverRequest;
use crate::id::{PageId, ThreadKey};

/// Finds the conversation of an identity at a desk with one Page: every identity is a customer of that Page. One that is not gets
/// the platform's refusal.
#[derive(Debug, Clone)]
pub struct OnePage(pub PageId);

#[async_trait]
impl IdentityLookup for OnePage {
    async fn conversation(&self, request: &HandoverRequest) -> Option<ThreadKey> {
        Some(ThreadKey::new(self.0.clone(), request.identity.clone()?))
    }
}
