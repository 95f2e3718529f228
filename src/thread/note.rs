//! Notes: the text and categories that go with a change of control.

use serde::{Deserialize, Serialize};

use crate::event::PrivateText;

use super::is_default;

/// A note to the app that gets control or is asked for it. Other apps may read it, so it must hold no personal data.
///
/// On Graph the text is the call's [`metadata`](crate::protocol#call-parameters), which the platform repeats in the
/// webhook of a pass, take or request. Engage Digital's endpoint has no parameter for a text, but takes categories
/// for its thread. Each call uses the parts it has a parameter for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Note {
    /// The text.
    #[serde(skip_serializing_if = "is_default")]
    pub text: Option<PrivateText>,
    /// The categories that Engage Digital gives its thread: `thread_category_ids[]`.
    #[serde(skip_serializing_if = "is_default")]
    pub thread_category_ids: Vec<String>,
}

impl Note {
    /// A note with a text.
    #[must_use]
    pub fn new(text: impl Into<PrivateText>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// Adds categories for Engage Digital's thread.
    #[must_use]
    pub fn with_categories<T: Into<String>>(mut self, ids: impl IntoIterator<Item = T>) -> Self {
        self.thread_category_ids.extend(ids.into_iter().map(Into::into));
        self
    }
}

impl From<&str> for Note {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Note {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<PrivateText> for Note {
    fn from(text: PrivateText) -> Self {
        Self::new(text)
    }
}
