//! Raw JSON of the platform, bounded in size.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::shown::Text;

/// JSON as the platform sent it, for events and fields without a type in this crate: an object with its fields in no
/// particular order.
///
/// It is saved with the conversation, so it holds at most [`Raw::MAX_BYTES`]. Of longer JSON only the size is stored,
/// and [`json`](Self::json) is `None`. It may contain people's texts, so `Debug` shows only its size.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Raw(Arc<Json>);

/// Serialised as the text, or as its size in bytes.
#[derive(PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
enum Json {
    Kept(String),
    TooLong(usize),
}

impl Raw {
    /// The longest JSON that is stored: 8,192 bytes.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// Stores this JSON, or only its size if it is longer than [`Raw::MAX_BYTES`].
    #[must_use]
    pub fn new(json: impl Into<String>) -> Self {
        let json = json.into();
        let fits = json.len() <= Self::MAX_BYTES;
        Self(Arc::new(if fits { Json::Kept(json) } else { Json::TooLong(json.len()) }))
    }

    /// The JSON. `None` if it was longer than [`Raw::MAX_BYTES`].
    #[must_use]
    pub fn json(&self) -> Option<&str> {
        match &*self.0 {
            Json::Kept(json) => Some(json),
            Json::TooLong(_) => None,
        }
    }

    /// The size of the JSON in bytes, also if it is not stored.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &*self.0 {
            Json::Kept(json) => json.len(),
            Json::TooLong(bytes) => *bytes,
        }
    }

    /// Deserialises the JSON into a type of the host. `None` if it was too long or does not fit the type.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.json()?).ok()
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Json::Kept(json) => f.debug_tuple("Raw").field(&Text(json)).finish(),
            Json::TooLong(bytes) => write!(f, "Raw(<{bytes} bytes, not kept>)"),
        }
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Json::deserialize(deserializer).map(|json| Self(Arc::new(json)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_is_bounded_and_says_how_long_it_was() {
        let text = |bytes: usize| format!("\"{}\"", "a".repeat(bytes - 2));
        let kept = Raw::new(text(Raw::MAX_BYTES));
        assert_eq!((kept.json().map(str::len), kept.bytes()), (Some(8192), 8192));
        assert_eq!(kept.read::<String>().map(|text| text.len()), Some(8190));
        let cut = Raw::new(text(Raw::MAX_BYTES + 1));
        assert_eq!((cut.json(), cut.bytes(), cut.read::<String>()), (None, 8193, None));
        for raw in [kept, cut] {
            let saved = serde_json::to_string(&raw).unwrap();
            assert_eq!(serde_json::from_str::<Raw>(&saved).unwrap(), raw);
            assert!(!format!("{raw:?}").contains("aaa"));
        }
    }
}
