//! An [`InterventionHandler`] that looks interventions up in Engage Digital's API.

use std::collections::HashMap;

use async_trait::async_trait;

use super::api::Api;
use super::endpoint::InterventionHandler;
use super::event::Event;
use super::resource::Intervention;
use crate::call::FailureKind;
use crate::handover::BoxError;
use crate::id::{PageId, ThreadKey, UserId};

/// An [`InterventionHandler`] that looks up identities and open interventions through [`Api`]. It makes one call for each
/// event of an intervention and one more when an intervention closes. The token's user must be allowed to read the sources.
#[derive(Debug, Clone)]
pub struct Directory {
    api: Api,
    pages: HashMap<String, PageId>,
}

impl Directory {
    /// Creates a directory over this API. `pages` maps ED's source ids to Pages (or Instagram accounts); find the ids in
    /// ED's administration, because its API does not give this mapping.
    #[must_use]
    pub fn new(api: Api, pages: impl IntoIterator<Item = (String, PageId)>) -> Self {
        Self { api, pages: pages.into_iter().collect() }
    }
}

#[async_trait]
impl InterventionHandler for Directory {
    async fn conversation(&self, about: &Intervention) -> Result<Option<ThreadKey>, BoxError> {
        let page = about.source.as_ref().and_then(|source| self.pages.get(source));
        let (Some(page), Some(identity)) = (page, &about.identity) else { return Ok(None) };
        let found = match self.api.identity(identity).await {
            Ok(found) => found,
            // A retry would be refused too and would hold up the other events of the request.
            Err(error) if matches!(error.kind(), FailureKind::Permission | FailureKind::Invalid) => {
                tracing::warn!(%error, "Engage Digital refuses to tell who an identity is");
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let Some(found) = found else {
            tracing::warn!("an identity of a known source cannot be read: may the token's user?");
            return Ok(None);
        };
        let person = found.foreign_id.and_then(|id| UserId::new(id).ok());
        Ok(person.map(|person| ThreadKey::new(page.clone(), person)))
    }

    async fn still_engaged(&self, closed: &Intervention) -> Result<bool, BoxError> {
        let Some(identity) = &closed.identity else { return Ok(false) };
        let open = self.api.open_interventions(identity).await?;
        Ok(open.iter().any(|one| one.id != closed.id))
    }

    async fn notify(&self, _: Option<&ThreadKey>, _: &Event) -> Result<(), BoxError> {
        Ok(())
    }
}
