//! The Redis store: for hosts with several replicas that have Redis 6 or later, alone or as a cluster, and accept its guarantees.
//!
//! **Data loss.** Redis acknowledges a write before it is on its disk or on its replicas. With `appendfsync everysec` a crash
//! loses the last second (2 s at worst); with `always` nothing; without an append-only file everything since the last snapshot.
//! A failover loses the writes that the new primary had not received, whatever `appendfsync` says. A conversation that loses
//! writes is in an older state again: messages accepted since then are gone without a notice, and messages sent since then may
//! be sent a second time. Where that is unacceptable, use Postgres.
//!
//! A Redis that may evict keys without a time to live (`maxmemory-policy allkeys-…`) is refused.
//!
//! Conversations are spread over [`PARTITIONS`] hash tags, so that a cluster can spread them over its nodes. Each script
//! touches the keys of one slot.

mod builder;
mod connection;
mod node;
mod scripts;

pub use builder::Builder;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use sha2::{Digest, Sha256};

use super::row::{self, EncodedWrite, verdict};
use super::{Loaded, RecordError, Records, StoreError, ThreadStore, Write, WriteOutcome};
use crate::id::ThreadKey;
use crate::secret::DatabaseUrl;
use crate::time::Timestamp;

use connection::Connection;
use scripts::Scripts;

/// The number of hash tags that conversations are spread over. Part of the layout, so it never changes.
pub const PARTITIONS: u8 = 16;

/// The most conversations in one script, because Redis runs nothing else meanwhile.
const PART: usize = 128;

/// The most rounds of leasing in one poll. A round leases less than it could when other processes lease the same threads.
const ROUNDS: usize = 8;

/// The separator of a conversation's two ids. Ids hold no control characters.
const BETWEEN: char = '\u{1f}';

/// Stores threads in Redis.
pub struct RedisStore {
    records: Records,
    prefix: String,
    scripts: Scripts,
    connection: Connection,
}

impl RedisStore {
    /// Settings for the Redis at `redis://user:password@host/0`, or `rediss://…` for TLS.
    pub fn builder(url: impl Into<DatabaseUrl>) -> Builder {
        Builder::new(url.into())
    }

    /// Connects to a Redis that is not a cluster, with the default settings.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be reached, may evict conversations, or holds data of a newer version of this crate.
    pub async fn connect(url: impl Into<DatabaseUrl>) -> Result<Self, StoreError> {
        Self::builder(url).connect().await
    }

    fn name(&self, partition: u8, what: &str) -> String {
        format!("{{{}:{partition}}}:{what}", self.prefix)
    }

    /// The keys of a partition's two sorted sets, and of the hashes of these conversations.
    fn names<'a>(&self, partition: u8, members: impl Iterator<Item = &'a String>) -> Vec<String> {
        let sets = [self.name(partition, "wake"), self.name(partition, "open")];
        let thread = |member| self.name(partition, &format!("thread:{member}"));
        sets.into_iter().chain(members.map(thread)).collect()
    }
}

struct Part<'a, T> {
    partition: u8,
    items: Vec<(usize, String, &'a T)>,
}

impl<T> Part<'_, T> {
    fn members(&self) -> impl Iterator<Item = &String> {
        self.items.iter().map(|(_, member, _)| member)
    }
}

/// Splits items into parts for one script each: of one partition, at most [`PART`], in order, with their positions in `all`.
fn parts<T>(all: &[T], key: impl Fn(&T) -> &ThreadKey) -> Vec<Part<'_, T>> {
    parts_of(all.iter().map(|item| (member(key(item)), item)))
}

fn parts_of<'a, T>(all: impl Iterator<Item = (String, &'a T)>) -> Vec<Part<'a, T>> {
    let mut partitions: Vec<Part<'a, T>> = Vec::new();
    for (place, (member, item)) in all.enumerate() {
        let partition = partition(&member);
        let part = partitions.iter_mut().rfind(|part| part.partition == partition);
        match part.filter(|part| part.items.len() < PART) {
            Some(part) => part.items.push((place, member, item)),
            None => partitions.push(Part { partition, items: vec![(place, member, item)] }),
        }
    }
    partitions
}

fn member(key: &ThreadKey) -> String {
    format!("{}{BETWEEN}{}", key.page, key.user)
}

fn partition(member: &str) -> u8 {
    Sha256::digest(member)[0] % PARTITIONS
}

fn key(member: &str) -> Option<ThreadKey> {
    let (page, user) = member.split_once(BETWEEN)?;
    row::key(page, user)
}

/// A member as text and its conversation, or `None` if it is invalid.
fn readable(member: &[u8]) -> Option<(&str, ThreadKey)> {
    let member = std::str::from_utf8(member).ok()?;
    Some((member, key(member)?))
}

/// Cuts a time to 2^53, up to which Redis's floating-point scores are exact.
fn score(millis: i64) -> i64 {
    millis.min(1 << 53)
}

/// The version and the record of a conversation, each if it is stored.
type Row = (Option<Vec<u8>>, Option<Vec<u8>>);

/// A wake time and the member that is due.
type Due = (i64, String);

impl RedisStore {
    fn one_loaded(&self, key: &ThreadKey, row: Row) -> Loaded {
        let number = |version: &[u8]| std::str::from_utf8(version).ok()?.parse().ok();
        if row == (None, None) {
            return Loaded::fresh();
        }
        let (version, record) = row;
        match version.as_deref().and_then(number).zip(record) {
            Some(stored) => row::one_loaded(&self.records, key, Some(stored)),
            None => Loaded::unreadable(RecordError::Damaged("no version, or no record with it".into())),
        }
    }

    /// The longest overdue threads of all partitions, not leased yet.
    async fn seen_due(&self, now: i64, limit: usize) -> Result<Vec<Due>, StoreError> {
        let ask = async |partition| -> Result<Vec<(Vec<u8>, f64)>, StoreError> {
            let mut ask = redis::cmd("ZRANGEBYSCORE");
            ask.arg(self.name(partition, "wake")).arg("-inf").arg(now).arg("WITHSCORES");
            ask.arg("LIMIT").arg(0).arg(row::at_most(limit));
            self.connection.ask(&ask).await
        };
        let mut due: Vec<Due> = Vec::new();
        for (partition, found) in (0..PARTITIONS).zip(try_join_all((0..PARTITIONS).map(ask)).await?) {
            let mut unreadable = Vec::new();
            for (member, score) in found {
                match readable(&member) {
                    #[allow(clippy::cast_possible_truncation, reason = "it was written as a whole number")]
                    Some((member, _)) => due.push((score as i64, member.to_owned())),
                    None => unreadable.push(member),
                }
            }
            if !unreadable.is_empty() {
                row::passed_over(unreadable.len());
                // Otherwise they would be due at every poll.
                let mut remove = redis::cmd("ZREM");
                remove.arg(self.name(partition, "wake")).arg(unreadable);
                let () = self.connection.ask(&remove).await?;
            }
        }
        due.sort_unstable();
        due.truncate(limit);
        Ok(due)
    }

    /// Leases the threads that no other process has leased or written meanwhile, in their order.
    async fn take(&self, due: Vec<Due>, until: i64) -> Result<Vec<ThreadKey>, StoreError> {
        let mut leased = vec![None; due.len()];
        let parts = parts_of(due.iter().map(|(_, member)| member.clone()).zip(&due));
        let ask = async |part: &Part<'_, Due>| -> Result<Vec<bool>, StoreError> {
            let words =
                part.items.iter().flat_map(|(_, member, (score, ..))| [member.clone(), score.to_string()]);
            let words: Vec<_> =
                std::iter::once(until.to_string()).chain(words).map(String::into_bytes).collect();
            self.connection.run(&self.scripts.lease, &[self.name(part.partition, "wake")], &words).await
        };
        for (part, taken) in parts.iter().zip(try_join_all(parts.iter().map(ask)).await?) {
            for ((place, member, _), _) in part.items.iter().zip(taken).filter(|(_, taken)| *taken) {
                leased[*place] = key(member);
            }
        }
        Ok(leased.into_iter().flatten().collect())
    }
}

#[async_trait]
impl ThreadStore for RedisStore {
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        let mut loaded: Vec<_> = keys.iter().map(|_| Loaded::fresh()).collect();
        let ask = async |part: &Part<'_, ThreadKey>| -> Result<Vec<Row>, StoreError> {
            let names = self.names(part.partition, part.members());
            self.connection.run(&self.scripts.load, &names, &[]).await
        };
        let parts = parts(keys, |key| key);
        for (part, rows) in parts.iter().zip(try_join_all(parts.iter().map(ask)).await?) {
            for ((place, _, key), row) in part.items.iter().zip(rows) {
                loaded[*place] = self.one_loaded(key, row);
            }
        }
        Ok(loaded)
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        let writes = EncodedWrite::all(writes, &self.records)?;
        let mut swapped = vec![WriteOutcome::Conflict; writes.len()];
        let ask = async |part: &Part<'_, EncodedWrite>| -> Result<Vec<bool>, StoreError> {
            let names = self.names(part.partition, part.members());
            let words = |(_, member, write): &(usize, String, &EncodedWrite)| {
                [
                    member.clone().into_bytes(),
                    write.expected.to_string().into_bytes(),
                    write.version.to_string().into_bytes(),
                    write.wake.map(|wake| score(wake).to_string()).unwrap_or_default().into_bytes(),
                    u8::from(write.open).to_string().into_bytes(),
                    write.record.clone().unwrap_or_default(),
                ]
            };
            let words: Vec<_> = part.items.iter().flat_map(words).collect();
            self.connection.run(&self.scripts.write, &names, &words).await
        };
        let parts = parts(&writes, |write| &write.key);
        for (part, written) in parts.iter().zip(try_join_all(parts.iter().map(ask)).await?) {
            for ((place, ..), written) in part.items.iter().zip(written) {
                swapped[*place] = verdict(written);
            }
        }
        Ok(swapped)
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        let (now, until) = (score(row::moment(now)), score(row::moment(now.plus(lease))));
        let mut leased = Vec::new();
        // Threads that others lease leave room for more. The rounds are limited so that the poll ends.
        for _ in 0..ROUNDS {
            let wanted = limit - leased.len();
            let seen = self.seen_due(now, wanted).await?;
            let full = seen.len() == wanted;
            let taken = self.take(seen, until).await?;
            leased.extend(taken);
            if !full || leased.len() >= limit {
                break;
            }
        }
        Ok(leased)
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let first = async |partition| -> Result<Option<i64>, StoreError> {
            let mut ask = redis::cmd("ZRANGEBYSCORE");
            ask.arg(self.name(partition, "wake")).arg(format!("({}", score(row::moment(after)))).arg("+inf");
            ask.arg("WITHSCORES").arg("LIMIT").arg(0).arg(1);
            let found: Vec<(Vec<u8>, f64)> = self.connection.ask(&ask).await?;
            #[allow(clippy::cast_possible_truncation, reason = "it was written as a whole number")]
            Ok(found.first().map(|(_, score)| *score as i64))
        };
        let firsts = try_join_all((0..PARTITIONS).map(first)).await?;
        let next = firsts.into_iter().flatten().min();
        Ok(next.map(|wake| Timestamp::from_millis(wake.cast_unsigned())))
    }

    async fn needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, StoreError> {
        let after = after.map(member);
        let first = after.as_deref().map_or(0, partition);
        let (mut listed, mut unreadable) = (Vec::new(), 0);
        for partition in first..PARTITIONS {
            let mut from = match &after {
                Some(after) if partition == first => format!("({after}").into_bytes(),
                _ => b"-".to_vec(),
            };
            loop {
                let wanted = limit - listed.len();
                let mut ask = redis::cmd("ZRANGEBYLEX");
                ask.arg(self.name(partition, "open")).arg(&from).arg("+");
                ask.arg("LIMIT").arg(0).arg(row::at_most(wanted));
                let found: Vec<Vec<u8>> = self.connection.ask(&ask).await?;
                listed.extend(found.iter().filter_map(|member| Some(readable(member)?.1)));
                unreadable += found.iter().filter(|member| readable(member).is_none()).count();
                let Some(last) = found.last().filter(|_| found.len() == wanted && listed.len() < limit)
                else {
                    break;
                };
                from = [b"(", last.as_slice()].concat();
            }
            if listed.len() >= limit {
                break;
            }
        }
        row::passed_over(unreadable);
        Ok(listed)
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        let ask = async |part: Part<'_, ThreadKey>| -> Result<(), StoreError> {
            let names = self.names(part.partition, part.members());
            let words: Vec<_> = part.members().map(|member| member.clone().into_bytes()).collect();
            self.connection.run(&self.scripts.forget, &names, &words).await
        };
        try_join_all(parts(keys, |key| key).into_iter().map(ask)).await.map(drop)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.prefix)
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}
