//! A thread as databases hold it.

use crate::id::{PageId, ThreadKey, UserId};
use crate::time::Timestamp;

use super::{Loaded, Records, StoreError, Swap, Swapped};

/// A thread to be written or removed.
pub(super) struct Write {
    pub(super) key: ThreadKey,
    pub(super) expected: i64,
    pub(super) version: i64,
    pub(super) wake: Option<i64>,
    pub(super) open: bool,
    pub(super) record: Option<Vec<u8>>,
}

impl Write {
    pub(super) fn all(swaps: Vec<Swap>, records: &Records) -> Result<Vec<Self>, StoreError> {
        let write = |swap: Swap| {
            let record = swap.thread.as_ref().map(|thread| records.encode(&swap.key, thread)).transpose()?;
            Ok(Self {
                expected: swap.expected.cast_signed(),
                version: swap.version.cast_signed(),
                wake: swap.wake.map(moment),
                open: swap.is_open(),
                record,
                key: swap.key,
            })
        };
        swaps.into_iter().map(write).collect()
    }
}

/// Version and bytes.
pub(super) type Record = (i64, Vec<u8>);

/// The threads of the records that were found, in the order of the keys.
pub(super) fn loaded(records: &Records, keys: &[ThreadKey], found: Vec<Option<Record>>) -> Vec<Loaded> {
    let decode = |(key, record): (&ThreadKey, Option<Record>)| match record {
        Some((version, record)) => Loaded::new(version.cast_unsigned(), records.decode(key, &record)),
        None => Loaded::fresh(),
    };
    keys.iter().zip(found).map(decode).collect()
}

pub(super) fn verdict(written: bool) -> Swapped {
    if written { Swapped::Written } else { Swapped::Conflict }
}

/// The end of time is earlier in databases.
pub(super) fn moment(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn key(page: &str, user: &str) -> Result<ThreadKey, StoreError> {
    let id = |error| StoreError::new("a row that is none of a conversation").with_source(error);
    Ok(ThreadKey::new(PageId::new(page).map_err(id)?, UserId::new(user).map_err(id)?))
}
