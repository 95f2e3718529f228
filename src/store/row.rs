//! Threads as rows, shared by the SQLite, Postgres and Redis stores.

use crate::id::{PageId, ThreadKey, UserId};
use crate::time::Timestamp;

use super::{Loaded, Records, StoreError, Write, WriteOutcome};

/// A [`Write`] with its thread encoded.
pub(super) struct EncodedWrite {
    pub(super) key: ThreadKey,
    pub(super) expected: i64,
    pub(super) version: i64,
    pub(super) wake: Option<i64>,
    pub(super) open: bool,
    pub(super) record: Option<Vec<u8>>,
}

impl EncodedWrite {
    pub(super) fn all(writes: Vec<Write>, records: &Records) -> Result<Vec<Self>, StoreError> {
        let write = |write: Write| {
            let record =
                write.thread.as_ref().map(|thread| records.encode(&write.key, thread)).transpose()?;
            Ok(Self {
                expected: write.expected.cast_signed(),
                version: write.version.cast_signed(),
                wake: write.wake.map(moment),
                open: write.needs_attention(),
                record,
                key: write.key,
            })
        };
        writes.into_iter().map(write).collect()
    }
}

/// The version and the encoded thread.
pub(super) type Record = (i64, Vec<u8>);

/// Decodes the records that were found, in the order of the keys.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) fn loaded(records: &Records, keys: &[ThreadKey], found: Vec<Option<Record>>) -> Vec<Loaded> {
    keys.iter().zip(found).map(|(key, found)| one_loaded(records, key, found)).collect()
}

/// Decodes a record; a fresh thread if none was found.
pub(super) fn one_loaded(records: &Records, key: &ThreadKey, found: Option<Record>) -> Loaded {
    match found {
        Some((version, record)) => Loaded::new(version.cast_unsigned(), records.decode(key, &record)),
        None => Loaded::fresh(),
    }
}

pub(super) fn verdict(written: bool) -> WriteOutcome {
    if written { WriteOutcome::Written } else { WriteOutcome::Conflict }
}

/// A timestamp in milliseconds, cut to `i64` because databases have no `u64`.
pub(super) fn moment(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The conversation of a row, or `None` if its ids are invalid.
pub(super) fn key(page: &str, user: &str) -> Option<ThreadKey> {
    Some(ThreadKey::new(PageId::new(page).ok()?, UserId::new(user).ok()?))
}

/// Logs how many rows a poll skipped. One bad row must not block all others.
pub(super) fn passed_over(rows: usize) {
    if rows > 0 {
        tracing::error!(
            rows,
            "stored conversations have ids that cannot be read and are passed over: repair or delete them"
        );
    }
}
