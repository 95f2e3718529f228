use std::time::Duration;

use super::RedisStore;
use super::connection::Connection;
use super::scripts::Scripts;
use crate::secret::DatabaseUrl;
use crate::store::{Records, StoreError};

/// The layout of the names and values that this version of the crate writes.
const LAYOUT: u32 = 1;

const LONGEST_PREFIX: usize = 64;

/// How Redis is used.
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

    /// It is a cluster: these are more of its nodes, for when the first is down. With none, the first tells the others.
    #[must_use]
    pub fn cluster<U: Into<DatabaseUrl>>(mut self, others: impl IntoIterator<Item = U>) -> Self {
        self.cluster = true;
        self.urls.extend(others.into_iter().map(Into::into));
        self
    }

    /// What all names begin with, so that several may share a Redis. `handover` if nothing is set.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How threads are written down; readable by whoever reads the database if nothing is set.
    #[must_use]
    pub fn records(mut self, records: Records) -> Self {
        self.records = records;
        self
    }

    /// After how long Redis counts as away, if it neither answers nor refuses. 5 s if nothing is set.
    #[must_use]
    pub fn answers_within(mut self, answers_within: Duration) -> Self {
        self.answers_within = answers_within;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// [`StoreError`] if Redis cannot be reached, the prefix is not valid, conversations could be evicted, or what is there was
    /// written by a newer version of this crate.
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

/// Conversations have no time to live: only some policies evict them.
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
