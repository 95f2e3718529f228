//! The tables of the SQLite store, and their migrations.

use rusqlite::{Connection, TransactionBehavior};

use super::connect::failed;
use crate::store::StoreError;

/// The migrations from each version of the tables to the next. A released one never changes.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE handover_threads (
        page TEXT NOT NULL,
        customer TEXT NOT NULL,
        version INTEGER NOT NULL,
        wake INTEGER,
        open INTEGER NOT NULL,
        record BLOB NOT NULL,
        PRIMARY KEY (page, customer)
    ) STRICT;
    CREATE INDEX handover_wake ON handover_threads (wake) WHERE wake IS NOT NULL;
    CREATE INDEX handover_open ON handover_threads (page, customer) WHERE open = 1;
"];

/// Migrates the tables. One process does it while the others wait.
pub(super) fn migrate(db: &mut Connection) -> Result<(), StoreError> {
    let failed = |error| failed("the tables cannot be brought up to date", &error);
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let version: u32 =
        transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let Some(missing) = MIGRATIONS.get(version as usize..) else {
        return Err(StoreError::new(format!(
            "its tables have version {version}, and this version of the crate knows up to {}: update it",
            MIGRATIONS.len()
        )));
    };
    for migration in missing {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    transaction
        .pragma_update(None, "user_version", u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX))
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}
