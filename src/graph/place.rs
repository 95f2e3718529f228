use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use http::Uri;
use url::Url;

/// Where a call goes, in both forms that it is needed in: it travels with the request, so that nobody has to read the
/// URL again. It may hold a secret, so it cannot be shown.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) edge: &'static str,
    pub(super) url: Url,
    pub(super) uri: Uri,
}

impl Place {
    pub(super) fn new(edge: &'static str, url: Url) -> Option<Self> {
        let uri = url.as_str().parse().ok()?;
        Some(Self { edge, url, uri })
    }
}

/// Places that are the same for every call of their edge.
#[derive(Default)]
pub(super) struct Places(RwLock<HashMap<&'static str, Place>>);

impl Places {
    pub(super) fn get(&self, edge: &str) -> Option<Place> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(edge).cloned()
    }

    pub(super) fn keep(&self, place: &Place) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(place.edge, place.clone());
    }
}
