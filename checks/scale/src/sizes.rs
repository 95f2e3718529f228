//! The bytes that a store takes, as its server or the file system tells them.

use messenger_handover::handover::BoxError;
use redis::aio::MultiplexedConnection;
use sqlx::postgres::PgPool;

pub enum Sizes {
    Sqlite(String),
    Postgres(PgPool),
    Redis(MultiplexedConnection),
}

/// The table with what is kept aside of it, and its indexes.
const PARTS: [(&str, &str); 4] = [
    ("table", "pg_table_size('handover_threads')"),
    ("index_key", "pg_relation_size('handover_threads_pkey')"),
    ("index_wake", "pg_relation_size('handover_wake')"),
    ("index_open", "pg_relation_size('handover_open')"),
];

impl Sizes {
    pub async fn of(url: &str) -> Result<Self, BoxError> {
        Ok(match url.split_once(':') {
            Some(("sqlite", path)) => Self::Sqlite(path.to_owned()),
            Some(("postgres", _)) => Self::Postgres(PgPool::connect(url).await?),
            Some(("redis", _)) => {
                Self::Redis(redis::Client::open(url)?.get_multiplexed_async_connection().await?)
            }
            _ => return Err("no store whose size can be told".into()),
        })
    }

    /// Vacuums, as Postgres does by itself at intervals. Returns whether this store has a vacuum.
    pub async fn settle(&self) -> Result<bool, BoxError> {
        let Self::Postgres(pool) = self else { return Ok(false) };
        sqlx::raw_sql("VACUUM (ANALYZE) handover_threads").execute(pool).await?;
        Ok(true)
    }

    pub async fn bytes(&self) -> Result<Vec<(&'static str, u64)>, BoxError> {
        Ok(match self {
            Self::Sqlite(path) => vec![("file", std::fs::metadata(path)?.len())],
            Self::Postgres(pool) => {
                let mut bytes = Vec::new();
                for (name, question) in PARTS {
                    let question = sqlx::AssertSqlSafe(format!("SELECT {question}"));
                    let size: i64 = sqlx::query_scalar(question).fetch_one(pool).await?;
                    bytes.push((name, size.unsigned_abs()));
                }
                bytes
            }
            Self::Redis(connection) => {
                let info: redis::InfoDict =
                    redis::cmd("INFO").arg("memory").query_async(&mut connection.clone()).await?;
                vec![("memory", info.get("used_memory").ok_or("it does not say")?)]
            }
        })
    }
}
