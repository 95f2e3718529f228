use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::id::ThreadKey;
use crate::store::Swapped;
use crate::store::row::{self, Record, Write, at_most, moment, verdict};
use crate::time::Timestamp;

fn key(row: &Row<'_>) -> Result<ThreadKey> {
    let (page, user): (String, String) = (row.get(0)?, row.get(1)?);
    row::key(&page, &user).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// The record of each thread, if it is kept.
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

pub(super) fn swap(db: &Connection, writes: &[Write]) -> Result<Vec<Swapped>> {
    let mut insert = db.prepare_cached(
        "INSERT INTO handover_threads (page, customer, version, wake, open, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO NOTHING",
    )?;
    let mut update = db.prepare_cached(
        "UPDATE handover_threads SET version = ?3, wake = ?4, open = ?5, record = ?6
         WHERE page = ?1 AND customer = ?2 AND version = ?7",
    )?;
    let mut remove =
        db.prepare_cached("DELETE FROM handover_threads WHERE page = ?1 AND customer = ?2 AND version = ?3")?;
    let mut write = |write: &Write| {
        let Write { key, expected, version, wake, open, record } = write;
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
        "SELECT page, customer FROM handover_threads WHERE wake <= ?1 ORDER BY wake, page, customer LIMIT ?2",
    )?;
    let due = select.query_map(params![moment(now), at_most(limit)], key)?.collect::<Result<Vec<_>>>()?;
    let mut lease =
        db.prepare_cached("UPDATE handover_threads SET wake = ?3 WHERE page = ?1 AND customer = ?2")?;
    for key in &due {
        lease.execute(params![key.page.to_string(), key.user.to_string(), moment(until)])?;
    }
    Ok(due)
}

pub(super) fn open(db: &Connection, after: Option<&ThreadKey>, limit: usize) -> Result<Vec<ThreadKey>> {
    let mut select = db.prepare_cached(
        "SELECT page, customer FROM handover_threads WHERE open = 1 AND (page, customer) > (?1, ?2)
         ORDER BY page, customer LIMIT ?3",
    )?;
    // No id is empty, so that all come behind these.
    let (page, user) = after.map(|key| (key.page.to_string(), key.user.to_string())).unwrap_or_default();
    select.query_map(params![page, user, at_most(limit)], key)?.collect()
}

pub(super) fn forget(db: &Connection, keys: &[ThreadKey]) -> Result<()> {
    let mut delete = db.prepare_cached("DELETE FROM handover_threads WHERE page = ?1 AND customer = ?2")?;
    for key in keys {
        delete.execute([key.page.to_string(), key.user.to_string()])?;
    }
    Ok(())
}
