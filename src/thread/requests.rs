use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::id::AppId;

/// The most apps that are remembered as waiting for control.
const MAX_REQUESTS: usize = 8;

/// Apps that asked us for control, in order. Any change of the owner voids them: who still wants
/// control asks the new owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub(super) struct Requests(VecDeque<Request>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Request {
    by: AppId,
    granted: bool,
    /// Control was passed to it, and whether it went is not known.
    #[serde(default)]
    unsure: bool,
}

impl Requests {
    pub(super) fn push(&mut self, by: AppId, granted: bool) {
        if let Some(request) = self.0.iter_mut().find(|request| request.by == by) {
            request.granted |= granted;
            return;
        }
        if self.0.len() >= MAX_REQUESTS {
            self.0.pop_front();
        }
        self.0.push_back(Request { by, granted, unsure: false });
    }

    /// Grants what an app asked for, if it did.
    pub(super) fn grant(&mut self, app: &AppId) -> bool {
        let request = self.0.iter_mut().find(|request| request.by == *app);
        request.map(|request| request.granted = true).is_some()
    }

    /// Control may have gone to that app, if it was ours.
    pub(super) fn may_have_gone(&mut self, app: &AppId, had_control: bool) {
        if let Some(request) = self.0.iter_mut().find(|request| request.by == *app) {
            request.unsure = had_control;
        }
    }

    /// Control was ours, may have gone to an app that asked for it, and nobody has it: it went, and came back.
    pub(super) fn came_back(&mut self) {
        self.0.retain(|request| !request.unsure);
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
        self.0.iter().filter(|request| !request.granted).map(|request| &request.by)
    }
}
