//! Requests of other apps for control, until they are granted, refused or voided by a new owner.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::AppId;
use crate::time::Timestamp;

use super::is_default;

/// The most requests stored; the oldest is dropped for one more.
const MAX_REQUESTS: usize = 8;

/// The apps that asked us for control, oldest first. A change of the owner voids all of them, because an app that
/// still wants control asks the new owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub(super) struct Requests(VecDeque<Request>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Request {
    by: AppId,
    at: Timestamp,
    granted: bool,
    /// A pass to this app has an unknown outcome.
    #[serde(default, skip_serializing_if = "is_default")]
    unsure: bool,
    /// The host refused it.
    #[serde(default, skip_serializing_if = "is_default")]
    refused: bool,
}

impl Requests {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Stores a request and returns whether it is news for the host. An app repeats its request until it is granted,
    /// so a repeat within `grant` is a duplicate, also after the host has refused it.
    pub(super) fn push(&mut self, by: AppId, granted: bool, at: Timestamp, grant: Duration) -> bool {
        if let Some(request) = self.0.iter_mut().find(|request| request.by == by) {
            let is_news = at.since(request.at) >= grant || granted && !request.granted;
            if !is_news && request.refused {
                return false;
            }
            request.granted |= granted;
            (request.at, request.refused) = (at, false);
            return is_news;
        }
        if self.0.len() >= MAX_REQUESTS {
            self.0.pop_front();
        }
        self.0.push_back(Request { by, at, granted, unsure: false, refused: false });
        true
    }

    /// Refuses the request of an app. Returns whether there was one.
    pub(super) fn refuse(&mut self, app: &AppId, now: Timestamp) -> bool {
        let request = self.0.iter_mut().find(|request| request.by == *app && !request.refused);
        let Some(request) = request else { return false };
        (request.at, request.refused, request.granted) = (now, true, false);
        true
    }

    /// Grants the request of an app. Returns whether there was one.
    pub(super) fn grant(&mut self, app: &AppId) -> bool {
        let request = self.0.iter_mut().find(|request| request.by == *app);
        request.map(|request| (request.granted, request.refused) = (true, false)).is_some()
    }

    /// A pass to this app has an unknown outcome. On an idle thread a pass that failed looks the same.
    pub(super) fn may_have_gone(&mut self, app: &AppId, was_owned: bool) {
        if let Some(request) = self.0.iter_mut().find(|request| request.by == *app) {
            request.unsure = was_owned;
        }
    }

    /// The app to which a pass has an unknown outcome, if it or an app without a name is the owner.
    pub(super) fn went_to(&self, owner: Option<&AppId>) -> Option<AppId> {
        let went = |request: &&Request| request.unsure && owner.is_none_or(|owner| *owner == request.by);
        self.0.iter().find(went).map(|request| request.by.clone())
    }

    /// The thread is idle after a pass with an unknown outcome: control was passed and released again, or it was
    /// never passed and the app finds the thread idle. Either way the request is done.
    pub(super) fn came_back(&mut self) {
        self.0.retain(|request| !request.unsure);
    }

    /// Removes a request that is too old to be passed a second time: control may have gone there, been released, and
    /// come back to us since.
    pub(super) fn take_stale(&mut self, now: Timestamp, grant: Duration) -> Option<AppId> {
        let at = self.0.iter().position(|request| request.unsure && request.at.plus(grant) <= now)?;
        self.0.remove(at).map(|request| request.by)
    }

    /// Removes the request of an app. Returns whether there was one.
    pub(super) fn remove(&mut self, app: &AppId) -> bool {
        let before = self.0.len();
        self.0.retain(|request| request.by != *app);
        self.0.len() < before
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn granted(&self) -> Option<&AppId> {
        self.0.iter().find(|request| request.granted).map(|request| &request.by)
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &AppId> {
        self.0.iter().filter(|request| !request.granted && !request.refused).map(|request| &request.by)
    }
}
