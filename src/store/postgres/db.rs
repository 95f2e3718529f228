use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row};

use crate::id::ThreadKey;
use crate::store::StoreError;
use crate::store::row::{self, Record, Write};

/// How often a statement is tried whose transaction lost against another.
const TRIES: usize = 5;
/// `deadlock_detected` and `serialization_failure`.
const LOST: [&str; 2] = ["40P01", "40001"];

/// The statements, each for many threads at once.
#[derive(Clone)]
pub(super) struct Db {
    pub(super) pool: PgPool,
    sql: Arc<Sql>,
    answers_within: Duration,
}

struct Sql {
    load: Arc<str>,
    /// Those that are kept and stay so; most are.
    update: Arc<str>,
    /// Those that are new or are removed.
    come_and_go: Arc<str>,
    due: Arc<str>,
    open: Arc<str>,
    forget: Arc<str>,
}

type Statement<'a> = Query<'a, Postgres, PgArguments>;

impl Db {
    /// With the name of a schema that is quoted already.
    pub(super) fn new(pool: PgPool, schema: &str, answers_within: Duration) -> Self {
        let table = format!("{schema}.handover_threads");
        let sql = |text: &str| text.replace("{table}", &table).into();
        let sql = Sql {
            load: sql("SELECT page, customer, version, record FROM {table}
                JOIN UNNEST($1::text[], $2::text[]) AS wanted (page, customer) USING (page, customer)"),
            update: sql("UPDATE {table} AS kept
                SET version = given.version, wake = given.wake, open = given.open, record = given.record
                FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bool[], $7::bytea[])
                    WITH ORDINALITY AS given (page, customer, expected, version, wake, open, record, place)
                WHERE kept.page = given.page AND kept.customer = given.customer AND kept.version = given.expected
                RETURNING given.place"),
            // No thread is in it twice, so that the parts never meet.
            come_and_go: sql("WITH given AS (
                    SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bool[], $7::bytea[])
                        WITH ORDINALITY AS given (page, customer, expected, version, wake, open, record, place)
                ), removed AS (
                    DELETE FROM {table} AS kept USING given
                    WHERE kept.page = given.page AND kept.customer = given.customer AND kept.version = given.expected
                        AND given.record IS NULL
                    RETURNING given.place
                ), inserted AS (
                    INSERT INTO {table} (page, customer, version, wake, open, record)
                    SELECT page, customer, version, wake, open, record FROM given WHERE record IS NOT NULL
                    ON CONFLICT DO NOTHING
                    RETURNING page, customer
                )
                SELECT place FROM removed UNION ALL SELECT place FROM inserted JOIN given USING (page, customer)"),
            due: sql("WITH due AS (
                    SELECT page, customer, wake FROM {table} WHERE wake <= $1
                    ORDER BY wake, page, customer LIMIT $3 FOR UPDATE SKIP LOCKED
                ), leased AS (
                    UPDATE {table} AS kept SET wake = $2 FROM due
                    WHERE kept.page = due.page AND kept.customer = due.customer
                    RETURNING due.page, due.customer, due.wake
                )
                SELECT page, customer FROM leased ORDER BY wake, page, customer"),
            open: sql("SELECT page, customer FROM {table} WHERE open AND (page, customer) > ($1, $2)
                ORDER BY page, customer LIMIT $3"),
            forget: sql("DELETE FROM {table} AS kept USING UNNEST($1::text[], $2::text[]) AS given (page, customer)
                WHERE kept.page = given.page AND kept.customer = given.customer"),
        };
        Self { pool, sql: Arc::new(sql), answers_within }
    }

    pub(super) async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<(ThreadKey, Record)>, StoreError> {
        let rows = self.ask(&self.sql.load, |statement| bind_keys(statement, keys.iter())).await?;
        rows.iter()
            .map(|row| Ok((key(row)?, (row.try_get(2).map_err(failed)?, row.try_get(3).map_err(failed)?))))
            .collect()
    }

    /// Whether each was written or removed; none may be among them twice.
    pub(super) async fn swap(&self, writes: &[&Write]) -> Result<Vec<bool>, StoreError> {
        let stays = |place: &usize| writes[*place].expected != 0 && writes[*place].record.is_some();
        let (stay, others): (Vec<usize>, Vec<usize>) = (0..writes.len()).partition(stays);
        let mut written = vec![false; writes.len()];
        for (sql, places) in [(&self.sql.update, stay), (&self.sql.come_and_go, others)] {
            if places.is_empty() {
                continue;
            }
            let these = || places.iter().map(|place| writes[*place]);
            let bind = |statement| {
                bind_keys(statement, these().map(|write| &write.key))
                    .bind(these().map(|write| write.expected).collect::<Vec<_>>())
                    .bind(these().map(|write| write.version).collect::<Vec<_>>())
                    .bind(these().map(|write| write.wake).collect::<Vec<_>>())
                    .bind(these().map(|write| write.open).collect::<Vec<_>>())
                    .bind(these().map(|write| write.record.as_deref()).collect::<Vec<_>>())
            };
            for row in self.ask(sql, bind).await? {
                // They are counted from 1.
                let place: i64 = row.try_get(0).map_err(failed)?;
                let place = usize::try_from(place - 1).ok().and_then(|place| places.get(place));
                written[*place.ok_or_else(|| StoreError::new("Postgres answers what was not asked"))?] = true;
            }
        }
        Ok(written)
    }

    pub(super) async fn due(&self, now: i64, until: i64, limit: i64) -> Result<Vec<ThreadKey>, StoreError> {
        let rows = self.ask(&self.sql.due, |statement| statement.bind(now).bind(until).bind(limit)).await?;
        rows.iter().map(key).collect()
    }

    pub(super) async fn open(
        &self,
        after: Option<&ThreadKey>,
        limit: i64,
    ) -> Result<Vec<ThreadKey>, StoreError> {
        // No id is empty, so that all come behind these.
        let (page, user) = after.map(|key| (key.page.to_string(), key.user.to_string())).unwrap_or_default();
        let bind =
            |statement: Statement<'static>| statement.bind(page.clone()).bind(user.clone()).bind(limit);
        self.ask(&self.sql.open, bind).await?.iter().map(key).collect()
    }

    pub(super) async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        self.ask(&self.sql.forget, |statement| bind_keys(statement, keys.iter())).await.map(drop)
    }

    /// Runs a statement, if need be again, and never for longer than the database may take.
    async fn ask(
        &self,
        sql: &Arc<str>,
        bind: impl Fn(Statement<'static>) -> Statement<'static>,
    ) -> Result<Vec<PgRow>, StoreError> {
        for _ in 0..TRIES {
            let mut connection = self.pool.acquire().await.map_err(failed)?;
            let statement = bind(sqlx::query(AssertSqlSafe(Arc::clone(sql))));
            match tokio::time::timeout(self.answers_within, statement.fetch_all(&mut *connection)).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) if has_lost(&error) => {}
                Ok(Err(error)) => return Err(failed(error)),
                Err(_) => {
                    connection.close_on_drop();
                    return Err(StoreError::new("Postgres does not answer in time"));
                }
            }
        }
        Err(StoreError::new("others write the same conversations again and again"))
    }
}

fn bind_keys<'a>(
    statement: Statement<'static>,
    keys: impl Iterator<Item = &'a ThreadKey>,
) -> Statement<'static> {
    let (pages, users): (Vec<_>, Vec<_>) =
        keys.map(|key| (key.page.to_string(), key.user.to_string())).unzip();
    statement.bind(pages).bind(users)
}

fn has_lost(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| LOST.contains(&&*code))
}

pub(super) fn failed(error: sqlx::Error) -> StoreError {
    StoreError::new("Postgres answers an error").with_source(error)
}

fn key(row: &PgRow) -> Result<ThreadKey, StoreError> {
    row::key(row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?)
}
