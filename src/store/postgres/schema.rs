//! The tables of the Postgres store, and their migrations.
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};

use super::db::{Db, failed};
use crate::store::StoreError;

/// The migrations from each version of the tables to the next. A released one never changes. Ids are compared byte by byte,
/// whatever the database's locale.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE {schema}.handover_threads (
        page text COLLATE \"C\" NOT NULL,
        customer text COLLATE \"C\" NOT NULL,
        version bigint NOT NULL,
        wake bigint,
        open boolean NOT NULL,
        record bytea NOT NULL,
        PRIMARY KEY (page, customer)
    );
    CREATE INDEX handover_wake ON {schema}.handover_threads (wake) WHERE wake IS NOT NULL;
    CREATE INDEX handover_open ON {schema}.handover_threads (page, customer) WHERE open;
"];

/// The key of the advisory lock: any number that other programs do not use.
const LOCK: i64 = 0x6d68_6f5f_7462_6c73;

/// The timeout of a migration, including the wait for another replica's.
const LONGEST: Duration = Duration::from_secs(2 * 60);

/// The longest name that Postgres does not truncate, in bytes.
const LONGEST_NAME: usize = 63;

/// Quotes the name of a schema for use in a statement.
pub(super) fn quoted(name: &str) -> Result<String, StoreError> {
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if letters && !name.is_empty() && name.len() <= LONGEST_NAME {
        Ok(format!("\"{name}\""))
    } else {
        Err(StoreError::new(format!(
            "{name:?} is no name of a schema: letters, digits and underscores, at most {LONGEST_NAME}"
        )))
    }
}

/// Migrates the tables. One replica does it while the others wait. A role that may not create anything suffices where nothing
/// is missing.
pub(super) async fn migrate(db: &Db, name: &str, schema: &str) -> Result<(), StoreError> {
    let migrated = tokio::time::timeout(LONGEST, bring_up_to_date(db, name, schema)).await;
    migrated.unwrap_or_else(|_| Err(StoreError::new("somebody else holds the tables for too long")))
}

async fn bring_up_to_date(db: &Db, name: &str, schema: &str) -> Result<(), StoreError> {
    let mut connection = db.connection().await?;
    let mut transaction = connection.begin().await.map_err(told)?;
    // The wait for another replica's migration may take longer than a statement.
    run(&mut transaction, "SET LOCAL statement_timeout = 0", schema).await?;
    // Unnamed, because a pooler may not have the named statement on its next connection.
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).persistent(false);
    lock.execute(&mut *transaction).await.map_err(told)?;
    if !exists(&mut transaction, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", name).await? {
        run(&mut transaction, "CREATE SCHEMA {schema}", schema).await?;
    }
    let table = format!("{schema}.handover_tables");
    if !exists(&mut transaction, "SELECT to_regclass($1) IS NOT NULL", &table).await? {
        let create = "CREATE TABLE {schema}.handover_tables (version int NOT NULL);
            INSERT INTO {schema}.handover_tables VALUES (0)";
        run(&mut transaction, create, schema).await?;
    }
    let version = AssertSqlSafe(format!("SELECT version FROM {table}"));
    let version: i32 =
        sqlx::query_scalar(version).persistent(false).fetch_one(&mut *transaction).await.map_err(told)?;
    let missing = usize::try_from(version).ok().and_then(|version| MIGRATIONS.get(version..));
    let Some(missing) = missing else {
        return Err(StoreError::new(format!(
            "its tables have version {version}, and this version of the crate knows up to {}: update it",
            MIGRATIONS.len()
        )));
    };
    for migration in missing {
        run(&mut transaction, migration, schema).await?;
    }
    if !missing.is_empty() {
        let version = format!("UPDATE {{schema}}.handover_tables SET version = {}", MIGRATIONS.len());
        run(&mut transaction, &version, schema).await?;
    }
    transaction.commit().await.map_err(told)
}

async fn exists(db: &mut PgConnection, question: &'static str, name: &str) -> Result<bool, StoreError> {
    sqlx::query_scalar(question).bind(name).persistent(false).fetch_one(db).await.map_err(told)
}

async fn run(db: &mut PgConnection, sql: &str, schema: &str) -> Result<(), StoreError> {
    let sql = AssertSqlSafe(sql.replace("{schema}", schema));
    raw_sql(sql).execute(db).await.map(drop).map_err(told)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn told(error: sqlx::Error) -> StoreError {
    failed(&error)
}
