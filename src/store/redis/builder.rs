//! The settings of the Redis store.
use std::time::Duration;

use super::RedisStore;
use super::connection::Connection;
use super::scripts::Scripts;
use crate::secret::DatabaseUrl;
use crate::store::{Records, StoreError};

/// The version of the layout of keys and values that this version of the crate writes.
const LAYOUT: u32 = 1;

const LONGEST_PREFIX: usize = 64;

/// Settings of a [`RedisStore`].
#[derive(Debug, Clone)]
pub struct Builder {
    urls: Vec<DatabaseUrl>,
    cluster: bool,
    prefix: String,
    records: Records,
    answers_within: Duration,
}

impl Builder {
    pub(super) fn new(url: DatabaseUrl) -> Self {
        Self {
            urls: vec![url],
            cluster: false,
            prefix: "handover".to_owned(),
            records: Records::new(),
            answers_within: Duration::from_secs(5),
        }
    }

    /// Connects to a cluster. `others` are more of its nodes, for when the first is down; without them the first names the
    /// others.
    #[must_use]
    pub fn cluster<U: Into<DatabaseUrl>>(mut self, others: impl IntoIterator<Item = U>) -> Self {
        self.cluster = true;
        self.urls.extend(others.into_iter().map(Into::into));
        self
    }

    /// The prefix of all keys, so that several hosts may share a Redis: 1 to 64 bytes without spaces, control characters and
    /// braces. Default: `handover`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The encoding of threads. Default: plain, readable by anyone who can read the database.
    #[must_use]
    pub fn records(mut self, records: Records) -> Self {
        self.records = records;
        self
    }

    /// The timeout of connecting and of each response. Default: 5 s.
    #[must_use]
    pub fn answers_within(mut self, answers_within: Duration) -> Self {
        self.answers_within = answers_within;
        self
    }

    /// Connects to Redis and checks its settings.
    ///
    /// # Errors
    /// [`StoreError`] if Redis cannot be reached, the prefix is invalid, the `maxmemory-policy` may evict conversations
    /// (`allkeys-…`), or a newer version of this crate wrote the data.
    pub async fn connect(self) -> Result<RedisStore, StoreError> {
        let prefix = self.prefix;
        let letters = prefix.chars().all(|c| !c.is_control() && !c.is_whitespace() && !"{}".contains(c));
        if prefix.is_empty() || prefix.len() > LONGEST_PREFIX || !letters {
            return Err(StoreError::new(format!(
                "{prefix:?} is no prefix: 1 to {LONGEST_PREFIX} letters, no braces"
            )));
        }
        let connection = if self.cluster {
            Connection::cluster(&self.urls, self.answers_within).await?
        } else {
            Connection::alone(&self.urls[0], self.answers_within).await?
        };
        keeps_what_is_written(&connection).await?;
        let layout = format!("{{{prefix}}}:layout");
        let () = connection.ask(redis::cmd("SET").arg(&layout).arg(LAYOUT).arg("NX")).await?;
        let found: u32 = connection.ask(redis::cmd("GET").arg(&layout)).await?;
        if found != LAYOUT {
            return Err(StoreError::new(format!(
                "its names have layout {found}, and this version of the crate knows {LAYOUT}: update it"
            )));
        }
        Ok(RedisStore { records: self.records, prefix, scripts: Scripts::new(), connection })
    }
}

/// Refuses a Redis that may evict conversations. They have no time to live, so only the `allkeys-…` policies evict them.
async fn keeps_what_is_written(connection: &Connection) -> Result<(), StoreError> {
    for memory in connection.info("memory").await? {
        let policy: Option<String> = memory.get("maxmemory_policy");
        if let Some(policy) = policy.filter(|policy| policy.starts_with("allkeys")) {
            return Err(StoreError::new(format!(
                "its maxmemory-policy is {policy}, which evicts conversations: set noeviction"
            )));
        }
    }
    Ok(())
}
