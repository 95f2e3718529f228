//! The calls of Engage Digital's REST API that a handover needs (facts §8.2).

use http::Method;
use serde_json::Value;

use super::domain::Domain;
use super::json::text;
use super::resource::{Identity, Intervention};
use crate::call::{Failure, FailureKind};
use crate::control::CallError;
use crate::id::UserId;

/// The most records that ED gives at once (facts §8.2).
const PAGE_SIZE: usize = 150;
/// Nobody has 3000 interventions; a list that never ends is a fault.
const MAX_PAGES: usize = 20;

/// Engage Digital's REST API. Cheap to clone. ED allows 500 calls a minute to a domain, whoever makes them;
/// over it a call is [`RateLimited`](FailureKind::RateLimited).
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
    /// The API of a domain.
    #[must_use]
    pub fn new(domain: Domain) -> Self {
        Self { domain }
    }

    /// `GET /identities?foreign_id=…`: the identities with this foreign id, on Messenger the PSID (INF). One
    /// person is another identity on each Page: give the `source` where there are several.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn identities(
        &self,
        foreign_id: &UserId,
        source: Option<&str>,
    ) -> Result<Vec<Identity>, CallError> {
        let foreign_id = foreign_id.to_string();
        let mut filters = vec![("foreign_id", foreign_id.clone())];
        filters.extend(source.map(|source| ("source_id", source.to_owned())));
        let mut found = read_all(&self.all(&["identities"], &filters).await?, Identity::read)?;
        // A filter that ED does not know is passed over: then everybody would be this person.
        found.retain(|identity| identity.foreign_id.as_deref() == Some(foreign_id.as_str()));
        Ok(found)
    }

    /// `GET /identities/{id}`. None if there is no such identity **or** the token's user may not read its
    /// source: ED answers both alike.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn identity(&self, id: &str) -> Result<Option<Identity>, CallError> {
        Ok(self.one(&["identities", id]).await?.map(|(id, body)| Identity::read(id, &body)))
    }

    /// `GET /interventions/{id}`. None as for [`Self::identity`].
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn intervention(&self, id: &str) -> Result<Option<Intervention>, CallError> {
        Ok(self.one(&["interventions", id]).await?.map(|(id, body)| Intervention::read(id, &body)))
    }

    /// `GET /interventions?identity_id=…`: those that engage the customer now, also deferred ones. Their
    /// localised `status` is not looked at.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn open_interventions(&self, identity: &str) -> Result<Vec<Intervention>, CallError> {
        let filters = [("identity_id", identity.to_owned())];
        let mut found = read_all(&self.all(&["interventions"], &filters).await?, Intervention::read)?;
        found.retain(|one| one.is_open() && one.identity.as_deref() == Some(identity));
        Ok(found)
    }

    /// `PUT /interventions/{id}/close`. ED closes only an intervention with an agent's answer in it, for
    /// its owner or whoever has the permission; the rest is refused with
    /// [`Permission`](FailureKind::Permission), and one that is being closed already with
    /// [`Conflict`](FailureKind::Conflict).
    ///
    /// # Errors
    /// [`CallError`]. Closing again is harmless.
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
            // What `count` counts is not documented; a page that is not full is the last.
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
