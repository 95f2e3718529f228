use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::AppId;
use crate::time::Timestamp;

use super::is_default;

/// The most apps that are remembered as waiting for control.
const MAX_REQUESTS: usize = 8;

/// Apps that asked us for control, in order. Any change of the owner voids them: who still wants
/// control asks the new owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub(super) struct Requests(VecDeque<Request>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Request {
    by: AppId,
    at: Timestamp,
    granted: bool,
    /// Control was passed to it, and whether it went is not known.
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

    /// Notes a request, and answers whether it is news for the host. Who asks asks again while nothing comes of it: that is
    /// the same request, also where the host has refused it, for as long as a request is waited for.
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

    /// The host refuses what an app asked for, if it did.
    pub(super) fn refuse(&mut self, app: &AppId, now: Timestamp) -> bool {
        let request = self.0.iter_mut().find(|request| request.by == *app && !request.refused);
        let Some(request) = request else { return false };
        (request.at, request.refused, request.granted) = (now, true, false);
        true
    }

    /// Grants what an app asked for, if it did.
    pub(super) fn grant(&mut self, app: &AppId) -> bool {
        let request = self.0.iter_mut().find(|request| request.by == *app);
        request.map(|request| (request.granted, request.refused) = (true, false)).is_some()
    }

    /// Control may have gone to that app, if the thread was not idle.
    pub(super) fn may_have_gone(&mut self, app: &AppId, was_owned: bool) {
        if let Some(request) = self.0.iter_mut().find(|request| request.by == *app) {
            request.unsure = was_owned;
        }
    }

    /// Control may have gone to an app that asked for it, and nobody has it: it went, and was released. If not, who
    /// asked finds the thread idle.
    pub(super) fn came_back(&mut self) {
        self.0.retain(|request| !request.unsure);
    }

    /// Takes out what was asked for too long ago to be passed a second time: control may have gone then, and have
    /// been released, and come to us again since.
    pub(super) fn take_stale(&mut self, now: Timestamp, grant: Duration) -> Option<AppId> {
        let at = self.0.iter().position(|request| request.unsure && request.at.plus(grant) <= now)?;
        self.0.remove(at).map(|request| request.by)
    }

    /// Forgets what an app asked for, if it did.
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
