//! The calls of Engage Digital's REST API that a handover needs (docs/protocol.md#ed-api).

use http::Method;
use serde_json::Value;

use super::domain::Domain;
use super::json::text;
use super::resource::{Identity, Intervention};
use crate::call::{Failure, FailureKind};
use crate::control::CallError;
use crate::id::UserId;

/// The most records in one response of ED (docs/protocol.md#ed-api).
const PAGE_SIZE: usize = 150;
/// The most responses of one list. Nobody has 3,000 interventions, so a longer list is a fault of ED.
const MAX_PAGES: usize = 20;

/// A client of Engage Digital's [REST API](crate::protocol#ed-api). Cheap to clone. ED allows 500 calls a minute to a
/// domain, from all clients together; further calls fail with [`RateLimited`](FailureKind::RateLimited).
#[derive(Debug, Clone)]
pub struct Api {
    domain: Domain,
}

impl From<Domain> for Api {
    fn from(domain: Domain) -> Self {
        Self { domain }
    }
}

impl Api {
    /// Creates a client of a domain's API.
    #[must_use]
    pub fn new(domain: Domain) -> Self {
        Self { domain }
    }

    /// Lists the identities with this foreign id, on Messenger the PSID
    /// ([inferred](crate::protocol#ed-bots-endpoint)), with `GET /identities?foreign_id=…`. Pass the `source` if the domain
    /// has several Pages, because a person has another identity on each Page.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::advice`] says what to do.
    pub async fn identities(
        &self,
        foreign_id: &UserId,
        source: Option<&str>,
    ) -> Result<Vec<Identity>, CallError> {
        let foreign_id = foreign_id.to_string();
        let mut filters = vec![("foreign_id", foreign_id.clone())];
        filters.extend(source.map(|source| ("source_id", source.to_owned())));
        let mut found = read_all(&self.all(&["identities"], &filters).await?, Identity::read)?;
        // ED ignores a filter that it does not know, and would return everybody.
        found.retain(|identity| identity.foreign_id.as_deref() == Some(foreign_id.as_str()));
        Ok(found)
    }

    /// Reads an identity with `GET /identities/{id}`. Returns `None` if it does not exist **or** the token's user may not
    /// read its source, because ED responds with 404 to both.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::advice`] says what to do.
    pub async fn identity(&self, id: &str) -> Result<Option<Identity>, CallError> {
        Ok(self.one(&["identities", id]).await?.map(|(id, body)| Identity::read(id, &body)))
    }

    /// Reads an intervention with `GET /interventions/{id}`. Returns `None` in the same cases as [`Self::identity`].
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::advice`] says what to do.
    pub async fn intervention(&self, id: &str) -> Result<Option<Intervention>, CallError> {
        Ok(self.one(&["interventions", id]).await?.map(|(id, body)| Intervention::read(id, &body)))
    }

    /// Lists the open interventions of an identity, deferred ones included, with `GET /interventions?identity_id=…`. Ignores
    /// their `status`, because it is [localised](crate::protocol#ed-api).
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::advice`] says what to do.
    pub async fn open_interventions(&self, identity: &str) -> Result<Vec<Intervention>, CallError> {
        let filters = [("identity_id", identity.to_owned())];
        let mut found = read_all(&self.all(&["interventions"], &filters).await?, Intervention::read)?;
        found.retain(|one| one.is_open() && one.identity.as_deref() == Some(identity));
        Ok(found)
    }

    /// Closes an intervention with `PUT /interventions/{id}/close`. Repeating the call is harmless.
    ///
    /// # Errors
    /// [`CallError`]. [`Permission`](FailureKind::Permission) if the intervention has no agent's message, or the token's
    /// user neither owns it nor has the permission; [`Conflict`](FailureKind::Conflict) while it is being closed.
    pub async fn close_intervention(&self, id: &str) -> Result<Intervention, CallError> {
        let answer = self.domain.call(Method::PUT, &["interventions", id, "close"], &[]).await?;
        let closed = text(&answer.json, "id").ok_or_else(|| CallError::unknown(not_understood()))?;
        Ok(Intervention::read(closed, &answer.json))
    }

    async fn one(&self, path: &[&str]) -> Result<Option<(String, Value)>, CallError> {
        let Some(answer) = self.domain.find(path).await? else { return Ok(None) };
        let id = text(&answer.json, "id").ok_or_else(|| CallError::refused(not_understood()))?;
        Ok(Some((id, answer.json)))
    }

    /// All records of a list, page by page.
    async fn all(&self, path: &[&str], filters: &[(&'static str, String)]) -> Result<Vec<Value>, CallError> {
        let mut records = Vec::new();
        for _ in 0..MAX_PAGES {
            let mut query = filters.to_vec();
            query.push(("offset", records.len().to_string()));
            query.push(("limit", PAGE_SIZE.to_string()));
            let mut answer = self.domain.call(Method::GET, path, &query).await?.json;
            let Some(Value::Array(page)) = answer.get_mut("records").map(Value::take) else {
                return Err(CallError::refused(not_understood()));
            };
            // The last page is one that is not full, because the meaning of `count` is not documented.
            let limit = answer.get("limit").and_then(Value::as_u64).unwrap_or(PAGE_SIZE as u64);
            let full = !page.is_empty() && page.len() as u64 >= limit;
            records.extend(page);
            if !full {
                return Ok(records);
            }
        }
        let words = "the desk's list does not end";
        Err(CallError::refused(Failure::new(FailureKind::Protocol, words)))
    }
}

fn read_all<T>(records: &[Value], read: impl Fn(String, &Value) -> T) -> Result<Vec<T>, CallError> {
    let one = |record| Ok(read(text(record, "id").ok_or_else(not_understood)?, record));
    records.iter().map(one).collect::<Result<_, Failure>>().map_err(CallError::refused)
}

fn not_understood() -> Failure {
    Failure::new(FailureKind::Protocol, "the desk's answer is not understood")
}
