//! The SQL statements of the SQLite store.
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::id::ThreadKey;
use crate::store::WriteOutcome;
use crate::store::row::{self, EncodedWrite, Record, at_most, moment, verdict};
use crate::time::Timestamp;

/// The ids of a row as stored, and its conversation, or `None` if the ids are invalid.
fn key(row: &Row<'_>) -> Result<(Vec<u8>, Vec<u8>, Option<ThreadKey>)> {
    let (page, user) = (row.get_ref(0)?.as_bytes()?, row.get_ref(1)?.as_bytes()?);
    let words = (std::str::from_utf8(page).ok(), std::str::from_utf8(user).ok());
    let key = if let (Some(page), Some(user)) = words { row::key(page, user) } else { None };
    Ok((page.to_owned(), user.to_owned(), key))
}

/// The record of each thread that is stored.
pub(super) fn load(db: &Connection, keys: &[ThreadKey]) -> Result<Vec<Option<Record>>> {
    let mut select =
        db.prepare_cached("SELECT version, record FROM handover_threads WHERE page = ?1 AND customer = ?2")?;
    keys.iter()
        .map(|key| {
            let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
            select.query_row([key.page.to_string(), key.user.to_string()], row).optional()
        })
        .collect()
}

/// Applies each write. A write that was done before counts as done, so that a caller that got no response may repeat it.
pub(super) fn compare_and_swap(db: &Connection, writes: &[EncodedWrite]) -> Result<Vec<WriteOutcome>> {
    let mut insert = db.prepare_cached(
        "INSERT INTO handover_threads (page, customer, version, wake, open, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET wake = excluded.wake WHERE version = excluded.version",
    )?;
    let mut update = db.prepare_cached(
        "UPDATE handover_threads SET version = ?3, wake = ?4, open = ?5, record = ?6
         WHERE page = ?1 AND customer = ?2 AND version IN (?7, ?3)",
    )?;
    let mut remove =
        db.prepare_cached("DELETE FROM handover_threads WHERE page = ?1 AND customer = ?2 AND version = ?3")?;
    let mut write = |write: &EncodedWrite| {
        let EncodedWrite { key, expected, version, wake, open, record } = write;
        let (page, user) = (key.page.to_string(), key.user.to_string());
        let changed = match record {
            None => remove.execute(params![page, user, expected])?,
            Some(record) if *expected == 0 => {
                insert.execute(params![page, user, version, wake, open, record])?
            }
            Some(record) => update.execute(params![page, user, version, wake, open, record, expected])?,
        };
        Ok(verdict(changed == 1))
    };
    writes.iter().map(&mut write).collect()
}

pub(super) fn due(db: &Connection, now: Timestamp, until: Timestamp, limit: usize) -> Result<Vec<ThreadKey>> {
    let mut select = db.prepare_cached(
        "SELECT page, customer, rowid FROM handover_threads WHERE wake <= ?1 ORDER BY wake, page, customer LIMIT ?2",
    )?;
    let rows =
        select.query_map(params![moment(now), at_most(limit)], |row| Ok((key(row)?.2, row.get(2)?)))?;
    let rows = rows.collect::<Result<Vec<(Option<ThreadKey>, i64)>>>()?;
    let mut lease = db.prepare_cached("UPDATE handover_threads SET wake = ?2 WHERE rowid = ?1")?;
    let mut due = Vec::new();
    for (key, row) in &rows {
        // An unreadable row gets no wake time, because it would be due at every poll.
        lease.execute(params![row, key.as_ref().map(|_| moment(until))])?;
        due.extend(key.clone());
    }
    row::passed_over(rows.len() - due.len());
    Ok(due)
}

pub(super) fn next_due(db: &Connection, after: Timestamp) -> Result<Option<Timestamp>> {
    let mut select = db.prepare_cached("SELECT MIN(wake) FROM handover_threads WHERE wake > ?1")?;
    let next: Option<i64> = select.query_row([moment(after)], |row| row.get(0))?;
    Ok(next.map(|wake| Timestamp::from_millis(wake.cast_unsigned())))
}

pub(super) fn needing_attention(
    db: &Connection,
    after: Option<&ThreadKey>,
    limit: usize,
) -> Result<Vec<ThreadKey>> {
    let mut select = db.prepare_cached(
        "SELECT page, customer FROM handover_threads WHERE open = 1 AND (page, customer) > (CAST(?1 AS TEXT), CAST(?2 AS TEXT))
         ORDER BY page, customer LIMIT ?3",
    )?;
    // No id is empty, so all keys come after these.
    let after = after.map(|key| (key.page.to_string(), key.user.to_string())).unwrap_or_default();
    let mut after = (after.0.into_bytes(), after.1.into_bytes());
    let (mut listed, mut unreadable) = (Vec::new(), 0);
    loop {
        let wanted = limit - listed.len();
        let rows =
            select.query_map(params![after.0, after.1, at_most(wanted)], key)?.collect::<Result<Vec<_>>>()?;
        let is_full = rows.len() == wanted;
        for (page, user, key) in rows {
            unreadable += usize::from(key.is_none());
            listed.extend(key);
            after = (page, user);
        }
        if !is_full || listed.len() >= limit {
            break;
        }
    }
    row::passed_over(unreadable);
    Ok(listed)
}

pub(super) fn forget(db: &Connection, keys: &[ThreadKey]) -> Result<()> {
    let mut delete = db.prepare_cached("DELETE FROM handover_threads WHERE page = ?1 AND customer = ?2")?;
    for key in keys {
        delete.execute([key.page.to_string(), key.user.to_string()])?;
    }
    Ok(())
}
