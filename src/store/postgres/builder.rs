use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, raw_sql};

use super::db::Db;
use super::writers::Writers;
use super::{PostgresStore, schema};
use crate::secret::DatabaseUrl;
use crate::store::{Records, StoreError};

/// How a Postgres database is used.
#[derive(Debug, Clone)]
pub struct Builder {
    url: DatabaseUrl,
    schema: String,
    records: Records,
    connections: u32,
    answers_within: Duration,
    behind_transaction_pooler: bool,
}

impl Builder {
    pub(super) fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            schema: "public".to_owned(),
            records: Records::new(),
            connections: 8,
            answers_within: Duration::from_secs(10),
            behind_transaction_pooler: false,
        }
    }

    /// The schema that holds the tables; created if it does not exist. `public` if nothing is set.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// How threads are written down; readable by whoever reads the database if nothing is set.
    #[must_use]
    pub fn records(mut self, records: Records) -> Self {
        self.records = records;
        self
    }

    /// How many connections there are at most; at least 2, half of them for writes. 8 if nothing is set.
    #[must_use]
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(2);
        self
    }

    /// After how long the database counts as away, if it neither answers nor refuses. 10 s if nothing is set.
    #[must_use]
    pub fn answers_within(mut self, answers_within: Duration) -> Self {
        self.answers_within = answers_within;
        self
    }

    /// The URL is that of a pooler that may hand each transaction to another connection of the database, such as pgbouncer with
    /// `pool_mode = transaction`. Statements are then unnamed, each in a transaction of its own with its `statement_timeout`, which
    /// takes two more round trips to the pooler. A URL with `statement-cache-capacity=0` says the same.
    #[must_use]
    pub fn behind_transaction_pooler(mut self) -> Self {
        self.behind_transaction_pooler = true;
        self
    }

    /// Connects, and brings the tables up to date: one replica does it, others wait for it.
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be reached, the schema has no valid name, or the tables were made by a newer
    /// version of this crate.
    pub async fn connect(self) -> Result<PostgresStore, StoreError> {
        // The error may repeat what is in the URL.
        let options: PgConnectOptions =
            self.url.expose_secret().parse().map_err(|_| StoreError::new("no URL of a Postgres database"))?;
        let options = options.application_name("messenger-handover");
        let mut pool =
            PgPoolOptions::new().max_connections(self.connections).acquire_timeout(self.answers_within);
        // A statement that nobody waits for any more ends too, and is not done later.
        let timeout = format!("statement_timeout = {}", self.answers_within.as_millis());
        let (options, begin) = if self.behind_transaction_pooler || says_unnamed(&self.url) {
            // Poolers refuse the parameter unless they are told to ignore it, and no number here is a floating one.
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
        let schema = schema::quoted(&self.schema)?;
        let db = Db::new(pool.connect_lazy_with(options), &schema, begin, self.answers_within);
        schema::migrate(&db, &self.schema, &schema).await?;
        Ok(PostgresStore {
            records: self.records,
            writers: Writers::start(&db, self.connections.div_ceil(2)),
            db,
        })
    }
}

/// Whether a URL asks that no statement be kept by name.
fn says_unnamed(url: &DatabaseUrl) -> bool {
    let Ok(url) = url::Url::parse(url.expose_secret()) else { return false };
    url.query_pairs().any(|(name, value)| name == "statement-cache-capacity" && value == "0")
}
