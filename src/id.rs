//! Identifiers as newtypes, so that an app id cannot be passed in place of a Page id.
//!
//! Meta sends ids as JSON strings and as JSON numbers, even [in the same field](crate::protocol#app-ids). Every newtype
//! here reads both and writes a string. An id is any non-empty text of at most [`MAX_ID_BYTES`] bytes without control
//! characters, because real ids are decimal but those of test platforms often are not.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The longest id that is accepted, in bytes.
pub const MAX_ID_BYTES: usize = 256;

/// The reason why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// The text is empty. It is refused so that two missing ids never match by accident.
    #[error("invalid id: empty")]
    Empty,
    /// The text is longer than [`MAX_ID_BYTES`].
    #[error("invalid id: longer than {MAX_ID_BYTES} bytes")]
    TooLong,
    /// The text contains a control character.
    #[error("invalid id: contains a control character")]
    ControlCharacter,
}

/// Canonical decimals that fit are stored as numbers, so that they need no allocation and are cheap to clone, hash and
/// compare.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Repr {
    Number(u64),
    Text(Arc<str>),
}

// The variant itself is not hashed, to save time.
impl Hash for Repr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Number(number) => state.write_u64(*number),
            Self::Text(text) => text.hash(state),
        }
    }
}

impl Repr {
    fn parse(text: &str) -> Result<Self, InvalidId> {
        if text.is_empty() {
            return Err(InvalidId::Empty);
        }
        if text.len() > MAX_ID_BYTES {
            return Err(InvalidId::TooLong);
        }
        // Canonical decimals; larger ones stay text.
        if (text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9')))
            && let Ok(number) = text.parse()
        {
            return Ok(Self::Number(number));
        }
        // A fast check first, because nearly all ids are ASCII.
        let printable = text.bytes().fold(true, |printable, byte| printable & matches!(byte, b' '..=b'~'));
        if !printable && text.chars().any(char::is_control) {
            return Err(InvalidId::ControlCharacter);
        }
        Ok(Self::Text(text.into()))
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.pad(text),
        }
    }
}

impl Serialize for Repr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct ReprVisitor;

impl Visitor<'_> for ReprVisitor {
    type Value = Repr;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id as a non-empty string or a non-negative integer")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Repr, E> {
        Ok(Repr::Number(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Repr, E> {
        u64::try_from(number)
            .map(Repr::Number)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Repr, E> {
        Repr::parse(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Repr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReprVisitor)
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Repr);

        impl $name {
            /// Reads an id from text.
            ///
            /// # Errors
            /// [`InvalidId`] if the text is empty, too long or contains a control character.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                Repr::parse(text.as_ref()).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidId;

            fn try_from(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, text: &str) -> bool {
                Repr::parse(text).is_ok_and(|parsed| parsed == self.0)
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, text: &&str) -> bool {
                *self == **text
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(Repr::Number(number))
            }
        }
    };
}

id! {
    /// The id of a Meta app, such as a bot, an agent desk or the Page inbox. `thread_owner` and control events name apps
    /// by it.
    AppId
}
id! {
    /// The id of a Facebook Page or of an Instagram professional account.
    PageId
}
id! {
    /// The id of a person for one Page: a PSID on Messenger, an IGSID on Instagram. Use it only with the Page that it came
    /// from, because other Pages have other ids for the same person. ED calls it the identity's `foreign_id`.
    UserId
}
id! {
    /// The platform's id of a message (`mid`).
    MessageId
}

#[cfg(feature = "webhook")]
impl PageId {
    /// Whether this Page is the given sender or recipient of an event.
    pub(crate) fn is(&self, party: &UserId) -> bool {
        self.0 == party.0
    }

    /// Takes the sender or recipient of an event as a Page.
    pub(crate) fn among_parties(party: UserId) -> Self {
        Self(party.0)
    }
}

/// The [app id](crate::protocol#app-ids) of the Page inbox. The 14-digit id on one of Meta's pages is a misprint.
pub const PAGE_INBOX: u64 = 263_902_037_430_900;
/// The [app id](crate::protocol#app-ids) of the Instagram inbox.
pub const INSTAGRAM_INBOX: u64 = 1_217_981_644_879_628;

/// The [app ids](crate::protocol#app-ids) attributed to [Meta's AI](crate::protocol#meta-ai) ("Business Agent"). The id
/// differs by Page and there may be others: read it from `thread_owner` while the AI owns a thread.
pub const META_AI: [u64; 3] = [622_851_382_610_562, 388_207_815_496_149, 928_891_643_393_937];
/// The app id of Meta's [lead ads](crate::protocol#lead-ads), which ask their questions and then pass or release control.
pub const LEAD_ADS: u64 = 413_038_776_280_800;

/// The key of a conversation, by a person and the Page that they write to. Meta's own `t_…` id is something else, which
/// no thread-control call uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ThreadKey {
    /// The Page or Instagram account.
    pub page: PageId,
    /// The person's id for that Page.
    pub user: UserId,
}

impl ThreadKey {
    /// Creates the key of the conversation of `user` with `page`.
    #[must_use]
    pub fn new(page: PageId, user: UserId) -> Self {
        Self { page, user }
    }
}

impl fmt::Display for ThreadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.page, self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_strings_are_the_same_id() {
        let number: AppId = serde_json::from_str("263902037430900").unwrap();
        let text: AppId = serde_json::from_str("\"263902037430900\"").unwrap();
        assert_eq!(number, text);
        assert_eq!(number, AppId::from(PAGE_INBOX));
        assert_eq!(serde_json::to_string(&number).unwrap(), "\"263902037430900\"");
    }

    #[test]
    fn text_that_is_no_canonical_number_stays_as_it_is() {
        for text in ["098765432", "BOT", "<PSID>", "99999999999999999999999", "0"] {
            assert_eq!(AppId::new(text).unwrap().to_string(), text);
        }
        assert_ne!(AppId::new("098").unwrap(), AppId::new("98").unwrap());
    }

    #[test]
    fn what_is_no_id_is_refused() {
        assert_eq!(AppId::new(""), Err(InvalidId::Empty));
        assert_eq!(AppId::new("a\nb"), Err(InvalidId::ControlCharacter));
        assert_eq!(AppId::new("x".repeat(MAX_ID_BYTES + 1)), Err(InvalidId::TooLong));
        for json in ["\"\"", "-1", "1.5", "null", "[]", "{}", "true"] {
            assert!(serde_json::from_str::<AppId>(json).is_err(), "{json}");
        }
    }
}
