use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A part of a thread that most threads have nothing in, and most steps leave as it is. It takes no memory while it is as
/// in a fresh thread, and copies of a thread share it until one of them changes it.
pub(super) struct Shared<T>(Option<Arc<T>>);

/// What a part is in a fresh thread: the same as its default.
pub(super) trait Fresh: Default + 'static {
    const FRESH: &'static Self;
}

impl<T: Fresh + PartialEq> Shared<T> {
    pub(super) fn is_fresh(&self) -> bool {
        self.0.as_ref().is_none_or(|part| **part == *T::FRESH)
    }

    /// Takes no memory for what is as in a fresh thread again.
    pub(super) fn tidy(&mut self) {
        if self.is_fresh() {
            self.0 = None;
        }
    }
}

impl<T: Fresh> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::FRESH)
    }
}

impl<T: Fresh + Clone> DerefMut for Shared<T> {
    /// Copies what is shared: look first whether there is anything to change.
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Fresh + PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        let same = self.0.as_ref().zip(other.0.as_ref()).is_some_and(|(a, b)| Arc::ptr_eq(a, b));
        same || **self == **other
    }
}

impl<T: Fresh + Eq> Eq for Shared<T> {}

impl<T: Fresh + Hash> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T: Fresh + fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Fresh + Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(|part| Self(Some(Arc::new(part))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::PageMemory;
    use super::super::{Inbox, Intervention, Outbox, Requests};
    use super::*;

    #[test]
    fn a_fresh_part_is_as_by_default_and_takes_no_memory() {
        fn check<T: Fresh + PartialEq + fmt::Debug + Clone>() {
            assert_eq!(*T::FRESH, T::default());
            let mut part = Shared::<T>::default();
            assert_eq!(*part, T::default());
            let _: &mut T = &mut part;
            assert!(part.0.is_some() && part == Shared::default());
            part.tidy();
            assert!(part.0.is_none());
        }
        check::<Inbox>();
        check::<Outbox>();
        check::<Intervention>();
        check::<Requests>();
        check::<PageMemory>();
    }

    #[test]
    fn copies_share_until_one_is_changed() {
        let mut one = Shared::<Intervention>::default();
        one.open();
        let mut other = one.clone();
        assert!(Arc::ptr_eq(one.0.as_ref().unwrap(), other.0.as_ref().unwrap()));
        other.close();
        assert!(one.is_open() && !other.is_open() && one != other);
        let json = serde_json::to_string(&one).unwrap();
        assert_eq!(json, serde_json::to_string(&*one).unwrap());
        assert_eq!(serde_json::from_str::<Shared<Intervention>>(&json).unwrap(), one);
    }
}
