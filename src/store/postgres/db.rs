//! The SQL statements of the Postgres store, each for many threads at once.
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::error::DatabaseError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Postgres, Row};
use tokio::sync::Mutex;

use crate::id::ThreadKey;
use crate::store::StoreError;
use crate::store::row::{self, EncodedWrite, Record};
use crate::time::Timestamp;

/// The most attempts at a statement that loses a conflict with another transaction.
const TRIES: usize = 5;
/// SQLSTATEs of a lost conflict: `deadlock_detected` and `serialization_failure`.
const LOST: [&str; 2] = ["40P01", "40001"];
/// The SQLSTATE classes of errors that a row causes: data exceptions, integrity violations, limits exceeded.
const OF_ROWS: [&str; 3] = ["22", "23", "54"];
/// The timeout of finding out why there is no connection, and the time for which the reason is cached.
const FINDING_OUT: Duration = Duration::from_secs(1);

/// The pool and the statements.
#[derive(Clone)]
pub(super) struct Db {
    pool: PgPool,
    sql: Arc<Sql>,
    /// The start of each statement's transaction, behind a pooler.
    begin: Option<Arc<str>>,
    answers_within: Duration,
    why_none: Arc<Mutex<Option<(Instant, StoreError)>>>,
}

/// A failed statement.
pub(super) enum Failed {
    /// The rows caused the error: the statement may succeed without some of them.
    Rows(StoreError),
    All(StoreError),
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Rows(error) | Failed::All(error) => error,
        }
    }
}

struct Sql {
    load: Arc<str>,
    /// Overwrites stored threads, which most writes do.
    update: Arc<str>,
    /// Inserts new threads and deletes stored ones.
    come_and_go: Arc<str>,
    due: Arc<str>,
    next_due: Arc<str>,
    rest: Arc<str>,
    open: Arc<str>,
    forget: Arc<str>,
}

type Statement<'a> = Query<'a, Postgres, PgArguments>;

impl Db {
    /// `schema` must be quoted already.
    pub(super) fn new(pool: PgPool, schema: &str, begin: Option<Arc<str>>, answers_within: Duration) -> Self {
        let table = format!("{schema}.handover_threads");
        let sql = |text: &str| text.replace("{table}", &table).into();
        let sql = Sql {
            load: sql("SELECT page, customer, version, record FROM {table}
                JOIN UNNEST($1::text[], $2::text[]) AS wanted (page, customer) USING (page, customer)"),
            update: sql("UPDATE {table} AS kept
                SET version = given.version, wake = given.wake, open = given.open, record = given.record
                FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bool[], $7::bytea[])
                    WITH ORDINALITY AS given (page, customer, expected, version, wake, open, record, place)
                WHERE kept.page = given.page AND kept.customer = given.customer
                    AND kept.version IN (given.expected, given.version)
                RETURNING given.place"),
            // No thread occurs twice in one statement, so its parts never touch the same row.
            come_and_go: sql("WITH given AS (
                    SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bool[], $7::bytea[])
                        WITH ORDINALITY AS given (page, customer, expected, version, wake, open, record, place)
                ), removed AS (
                    DELETE FROM {table} AS kept USING given
                    WHERE kept.page = given.page AND kept.customer = given.customer AND kept.version = given.expected
                        AND given.record IS NULL
                    RETURNING given.place
                ), inserted AS (
                    INSERT INTO {table} AS kept (page, customer, version, wake, open, record)
                    SELECT page, customer, version, wake, open, record FROM given WHERE record IS NOT NULL
                    ON CONFLICT (page, customer) DO UPDATE SET wake = EXCLUDED.wake
                        WHERE kept.version = EXCLUDED.version
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
            next_due: sql("SELECT MIN(wake) FROM {table} WHERE wake > $1"),
            rest: sql("UPDATE {table} AS kept SET wake = NULL FROM UNNEST($1::text[], $2::text[]) AS given (page, customer)
                WHERE kept.page = given.page AND kept.customer = given.customer"),
            open: sql("SELECT page, customer FROM {table} WHERE open AND (page, customer) > ($1, $2)
                ORDER BY page, customer LIMIT $3"),
            forget: sql("DELETE FROM {table} AS kept USING UNNEST($1::text[], $2::text[]) AS given (page, customer)
                WHERE kept.page = given.page AND kept.customer = given.customer"),
        };
        Self { pool, sql: Arc::new(sql), begin, answers_within, why_none: Arc::default() }
    }

    pub(super) async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<(ThreadKey, Record)>, StoreError> {
        let rows = self.ask(&self.sql.load, |statement| bind_keys(statement, keys.iter())).await?;
        let mut found = Vec::new();
        for row in &rows {
            let record = row.try_get(2).and_then(|version| Ok((version, row.try_get(3)?)));
            let record = record.map_err(|error| failed(&error))?;
            found.extend(key(row).map(|key| (key, record)));
        }
        Ok(found)
    }

    /// Returns whether each write was done; no thread may occur twice. A write that was done before counts as done, so that a
    /// caller that got no response may repeat it.
    pub(super) async fn compare_and_swap(&self, writes: &[&EncodedWrite]) -> Result<Vec<bool>, Failed> {
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
                // Postgres counts from 1.
                let place: i64 = row.try_get(0).map_err(|error| Failed::All(failed(&error)))?;
                let place = usize::try_from(place - 1).ok().and_then(|place| places.get(place));
                let unasked = || Failed::All(StoreError::new("Postgres answers what was not asked"));
                written[*place.ok_or_else(unasked)?] = true;
            }
        }
        Ok(written)
    }

    pub(super) async fn due(&self, now: i64, until: i64, limit: i64) -> Result<Vec<ThreadKey>, StoreError> {
        let rows = self.ask(&self.sql.due, |statement| statement.bind(now).bind(until).bind(limit)).await?;
        let due: Vec<_> = rows.iter().filter_map(key).collect();
        row::passed_over(rows.len() - due.len());
        let unreadable: Vec<_> = rows.iter().filter(|row| key(row).is_none()).filter_map(ids).collect();
        if !unreadable.is_empty() {
            // Otherwise they would be due at every poll. If this fails, they are due again when their lease expires.
            let (pages, users): (Vec<_>, Vec<_>) = unreadable.into_iter().unzip();
            if let Err(error) =
                self.ask(&self.sql.rest, |statement| statement.bind(pages.clone()).bind(users.clone())).await
            {
                tracing::warn!(error = %StoreError::from(error), "unreadable rows stay due");
            }
        }
        Ok(due)
    }

    pub(super) async fn next_due(&self, after: i64) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.ask(&self.sql.next_due, |statement| statement.bind(after)).await?;
        let next = rows.first().map(|row| row.try_get::<Option<i64>, _>(0)).transpose();
        let next = next.map_err(|error| failed(&error))?.flatten();
        Ok(next.map(|wake| Timestamp::from_millis(wake.cast_unsigned())))
    }

    pub(super) async fn needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, StoreError> {
        // No id is empty, so all keys come after these.
        let mut after = after.map(|key| (key.page.to_string(), key.user.to_string())).unwrap_or_default();
        let (mut listed, mut unreadable) = (Vec::new(), 0);
        loop {
            let wanted = limit - listed.len();
            let bind = |statement: Statement<'static>| {
                statement.bind(after.0.clone()).bind(after.1.clone()).bind(row::at_most(wanted))
            };
            let rows = self.ask(&self.sql.open, bind).await?;
            let before = listed.len();
            listed.extend(rows.iter().filter_map(key));
            unreadable += rows.len() - (listed.len() - before);
            match rows.last().and_then(ids) {
                Some(last) if rows.len() == wanted && listed.len() < limit => after = last,
                _ => break,
            }
        }
        row::passed_over(unreadable);
        Ok(listed)
    }

    pub(super) async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        self.ask(&self.sql.forget, |statement| bind_keys(statement, keys.iter())).await?;
        Ok(())
    }

    /// Runs a statement, again if it loses a conflict, with a timeout for each attempt.
    async fn ask(
        &self,
        sql: &Arc<str>,
        bind: impl Fn(Statement<'static>) -> Statement<'static>,
    ) -> Result<Vec<PgRow>, Failed> {
        for _ in 0..TRIES {
            let mut connection = self.connection().await.map_err(Failed::All)?;
            let statement = bind(sqlx::query(AssertSqlSafe(Arc::clone(sql))));
            let run = run(&mut connection, statement, self.begin.as_ref());
            match tokio::time::timeout(self.answers_within, run).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) if code(&error).is_some_and(|code| LOST.contains(&&*code)) => {}
                Ok(Err(error)) => return Err(of_statement(&error)),
                Err(_) => {
                    connection.close_on_drop();
                    return Err(Failed::All(StoreError::new("Postgres does not answer in time")));
                }
            }
        }
        Err(Failed::All(StoreError::new("others write the same conversations again and again")))
    }

    pub(super) async fn connection(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        match self.pool.acquire().await {
            Err(sqlx::Error::PoolTimedOut) => Err(self.why_none().await),
            acquired => acquired.map_err(|error| failed(&error)),
        }
    }

    /// Finds out why there is no connection, because the pool does not report it.
    async fn why_none(&self) -> StoreError {
        let mut known = self.why_none.lock().await;
        if let Some((since, error)) = &*known
            && since.elapsed() < FINDING_OUT
        {
            return error.clone();
        }
        let options = self.pool.connect_options();
        let error = match tokio::time::timeout(FINDING_OUT, options.connect()).await {
            Ok(Ok(connection)) => {
                // Nothing depends on how this ends.
                let _ = connection.close().await;
                StoreError::new("Postgres: all connections of the pool are in use")
            }
            Ok(Err(error)) => failed(&error),
            Err(_) => StoreError::new("Postgres: a connection is neither accepted nor refused"),
        };
        *known = Some((Instant::now(), error.clone()));
        error
    }
}

/// Runs a statement: behind a pooler in a transaction, because the connection may otherwise change between parsing and running.
async fn run(
    connection: &mut PgConnection,
    statement: Statement<'static>,
    begin: Option<&Arc<str>>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let Some(begin) = begin else { return statement.fetch_all(connection).await };
    let mut transaction = connection.begin_with(AssertSqlSafe(Arc::clone(begin))).await?;
    let rows = statement.persistent(false).fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(rows)
}

fn bind_keys<'a>(
    statement: Statement<'static>,
    keys: impl Iterator<Item = &'a ThreadKey>,
) -> Statement<'static> {
    let (pages, users): (Vec<_>, Vec<_>) =
        keys.map(|key| (key.page.to_string(), key.user.to_string())).unzip();
    statement.bind(pages).bind(users)
}

fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(DatabaseError::code)
}

fn of_statement(error: &sqlx::Error) -> Failed {
    let of_rows = code(error).is_some_and(|code| OF_ROWS.iter().any(|class| code.starts_with(class)));
    // The latter two are detected before anything is sent.
    if of_rows || matches!(error, sqlx::Error::Encode(_) | sqlx::Error::Protocol(_)) {
        Failed::Rows(failed(error))
    } else {
        Failed::All(failed(error))
    }
}

/// Keeps only the server's primary message, because a detail may repeat a row.
pub(super) fn failed(error: &sqlx::Error) -> StoreError {
    StoreError::new(match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            format!("Postgres: {} (SQLSTATE {code})", error.message())
        }
        sqlx::Error::Io(error) => format!("Postgres: {error}"),
        error => format!("Postgres: {error}"),
    })
}

/// The ids of a row as stored.
fn ids(row: &PgRow) -> Option<(String, String)> {
    Some((row.try_get(0).ok()?, row.try_get(1).ok()?))
}

/// The conversation of a row, or `None` if its ids are invalid.
fn key(row: &PgRow) -> Option<ThreadKey> {
    row::key(row.try_get(0).ok()?, row.try_get(1).ok()?)
}
