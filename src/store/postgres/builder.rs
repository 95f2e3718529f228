//! The settings of the Postgres store.
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, raw_sql};

use super::db::Db;
use super::writers::Writers;
use super::{PostgresStore, schema};
use crate::secret::DatabaseUrl;
use crate::store::{Records, StoreError};

/// Settings of a [`PostgresStore`].
#[derive(Debug, Clone)]
pub struct Builder {
    database: Database,
    schema: String,
    records: Records,
    connections: u32,
    answers_within: Duration,
    behind_transaction_pooler: bool,
}

/// Where the connections come from.
#[derive(Debug, Clone)]
pub(super) enum Database {
    Url(DatabaseUrl),
    /// The host's own pool.
    Pool(PgPool),
}

impl Builder {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database,
            schema: "public".to_owned(),
            records: Records::new(),
            connections: 8,
            answers_within: Duration::from_secs(10),
            behind_transaction_pooler: false,
        }
    }

    /// The schema that holds the tables; created if it does not exist. Default: `public`.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// The encoding of threads. Default: plain, readable by anyone who can read the database.
    #[must_use]
    pub fn records(mut self, records: Records) -> Self {
        self.records = records;
        self
    }

    /// The most connections, half of them for writes. At least 2; default: 8. A pool of the host's keeps its own limit: give the
    /// same number here.
    #[must_use]
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(2);
        self
    }

    /// The timeout of waiting for a connection and of each attempt at a statement. Default: 10 s.
    #[must_use]
    pub fn answers_within(mut self, answers_within: Duration) -> Self {
        self.answers_within = answers_within;
        self
    }

    /// Prepares for a pooler that may run each transaction on another connection, such as pgbouncer with `pool_mode =
    /// transaction`. Each statement is then unnamed and has a transaction of its own with its `statement_timeout`, which takes
    /// four round trips to the pooler instead of one. A URL with `statement-cache-capacity=0` has the same effect.
    #[must_use]
    pub fn behind_transaction_pooler(mut self) -> Self {
        self.behind_transaction_pooler = true;
        self
    }

    /// Connects and migrates the tables. One replica migrates while the others wait.
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be reached, the name of the schema is invalid, a migration takes longer than
    /// 2 minutes, or a newer version of this crate made the tables.
    pub async fn connect(self) -> Result<PostgresStore, StoreError> {
        // Ends also a statement whose caller has given up, so that it is not done later.
        let timeout = format!("statement_timeout = {}", self.answers_within.as_millis());
        let (pool, begin) = match &self.database {
            // Other users of the pool keep their own timeout.
            Database::Pool(pool) => (pool.clone(), Some(format!("BEGIN; SET LOCAL {timeout}").into())),
            Database::Url(url) => self.pool(url, &timeout)?,
        };
        let schema = schema::quoted(&self.schema)?;
        let db = Db::new(pool, &schema, begin, self.answers_within);
        schema::migrate(&db, &self.schema, &schema).await?;
        Ok(PostgresStore {
            records: self.records,
            writers: Writers::start(&db, self.connections.div_ceil(2)),
            db,
        })
    }

    /// A pool of our own, and the start of each transaction if it needs one.
    fn pool(&self, url: &DatabaseUrl, timeout: &str) -> Result<(PgPool, Option<Arc<str>>), StoreError> {
        // The cause is left out because it may repeat the URL.
        let options: PgConnectOptions =
            url.expose_secret().parse().map_err(|_| StoreError::new("no URL of a Postgres database"))?;
        let options = options.application_name("messenger-handover");
        let mut pool =
            PgPoolOptions::new().max_connections(self.connections).acquire_timeout(self.answers_within);
        let (options, begin) = if self.behind_transaction_pooler || says_unnamed(url) {
            // Poolers refuse this parameter unless they are configured to ignore it, and no column here is a floating-point
            // number.
            let options = options.statement_cache_capacity(0).extra_float_digits(None);
            (options, Some(format!("BEGIN; SET LOCAL {timeout}").into()))
        } else {
            let timeout: Arc<str> = format!("SET {timeout}").into();
            pool = pool.after_connect(move |connection, _| {
                let timeout = AssertSqlSafe(Arc::clone(&timeout));
                Box::pin(async move { raw_sql(timeout).execute(connection).await.map(drop) })
            });
            (options, None)
        };
        Ok((pool.connect_lazy_with(options), begin))
    }
}

/// Whether a URL turns named statements off.
fn says_unnamed(url: &DatabaseUrl) -> bool {
    let Ok(url) = url::Url::parse(url.expose_secret()) else { return false };
    url.query_pairs().any(|(name, value)| name == "statement-cache-capacity" && value == "0")
}
