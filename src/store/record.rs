//! The record format: a thread as bytes, plain or sealed.
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::id::ThreadKey;
use crate::thread::Thread;

use super::StoreError;

/// The record format that this version of the crate writes. It reads this one and all older ones. The number rises with every
/// change of the written data, including a new field.
pub const FORMAT: u32 = 1;

type BoxError = Box<dyn StdError + Send + Sync>;

/// Encodes threads as bytes for a store, and decodes them.
///
/// A record starts with its format number and whether it is sealed. It holds no token or secret, but it holds pending messages
/// of customers and agents: use a [`Seal`] where these must not be readable in the database.
#[derive(Clone, Default)]
pub struct Records {
    seal: Option<Arc<dyn Seal>>,
}

/// Encrypts records with a key of the host. Use an authenticated cipher.
///
/// Records from before the seal was configured are still read. To change the key, write its number into the sealed bytes and
/// open each record with the key of its number. Error messages are logged, so they must hold neither the key nor the data.
pub trait Seal: Send + Sync + 'static {
    /// Encrypts a record and binds it to its conversation: a record moved to another conversation must not open.
    ///
    /// # Errors
    /// Any error fails the write, which is retried like any failure of the store.
    fn seal(&self, thread: &ThreadKey, plain: &[u8]) -> Result<Vec<u8>, BoxError>;

    /// Decrypts a record.
    ///
    /// # Errors
    /// Any error becomes [`RecordError::Sealed`]: the conversation cannot be processed.
    fn open(&self, thread: &ThreadKey, sealed: &[u8]) -> Result<Vec<u8>, BoxError>;
}

/// The reason why a record cannot be read. The conversation is skipped: its state is neither guessed nor overwritten.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A newer version of this crate wrote the record: update this process.
    #[error("the record has format {0}, and this version of the crate reads up to {FORMAT}: update it")]
    Newer(u32),
    /// The record is sealed, and there is no [`Seal`] or it cannot open the record: configure the right key.
    #[error("the record is sealed and cannot be opened with what was configured")]
    Sealed(#[source] Option<Arc<dyn StdError + Send + Sync>>),
    /// The record is damaged or not a record at all: restore it, or forget the conversation.
    #[error("the record is damaged: {0}")]
    Damaged(Arc<str>),
}

impl RecordError {
    /// Whether no process can ever read the record. Webhooks for its conversation are then dropped and logged, because to have
    /// them [redelivered](crate::protocol#redelivery) would end with the app unsubscribed from the Page.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}

const PLAIN: &str = "plain";
const SEALED: &str = "sealed";

impl Records {
    /// Plain records: readable by anyone who can read the database.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Records that `seal` encrypts.
    #[must_use]
    pub fn sealed(seal: impl Seal) -> Self {
        Self { seal: Some(Arc::new(seal)) }
    }

    /// Encodes a thread.
    ///
    /// # Errors
    /// [`StoreError`] if the thread cannot be serialized or sealed.
    pub fn encode(&self, key: &ThreadKey, thread: &Thread) -> Result<Vec<u8>, StoreError> {
        let json = |words| move |error| StoreError::new(words).with_source(error);
        let mut record;
        if let Some(seal) = &self.seal {
            let plain = serde_json::to_vec(thread).map_err(json("a thread cannot be written down"))?;
            let sealed = seal.seal(key, &plain);
            let sealed = sealed.map_err(|error| StoreError {
                source: Some(error.into()),
                ..StoreError::new("a record cannot be sealed")
            })?;
            record = format!("{FORMAT} {SEALED}\n").into_bytes();
            record.extend(sealed);
        } else {
            record = format!("{FORMAT} {PLAIN}\n").into_bytes();
            serde_json::to_writer(&mut record, thread).map_err(json("a thread cannot be written down"))?;
        }
        Ok(record)
    }

    /// Decodes a record.
    ///
    /// # Errors
    /// [`RecordError`], each kind with its remedy.
    pub fn decode(&self, key: &ThreadKey, record: &[u8]) -> Result<Thread, RecordError> {
        let damaged = |words: &str| RecordError::Damaged(words.into());
        let end = record.iter().take(32).position(|byte| *byte == b'\n').ok_or_else(|| damaged("no head"))?;
        let (head, body) = (&record[..end], &record[end + 1..]);
        let head = std::str::from_utf8(head).map_err(|_| damaged("no head"))?;
        let (format, how) = head.split_once(' ').ok_or_else(|| damaged("no head"))?;
        let format: u32 = format.parse().map_err(|_| damaged("no format"))?;
        match format {
            0 => return Err(damaged("no format")),
            1..=FORMAT => {}
            newer => return Err(RecordError::Newer(newer)),
        }
        // Records of an older format are migrated here.
        let thread = match how {
            PLAIN => serde_json::from_slice(body),
            SEALED => {
                let seal = self.seal.as_ref().ok_or(RecordError::Sealed(None))?;
                let plain = seal.open(key, body).map_err(|error| RecordError::Sealed(Some(error.into())))?;
                serde_json::from_slice(&plain)
            }
            _ => return Err(damaged("neither plain nor sealed")),
        };
        // serde's message may quote the record, so only the position is reported.
        thread.map_err(|error| damaged(&format!("line {}, column {}", error.line(), error.column())))
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("sealed", &self.seal.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PageId, UserId};

    fn key(user: u64) -> ThreadKey {
        ThreadKey::new(PageId::from(1), UserId::from(user))
    }

    /// Binds records to their conversation, but does not encrypt them.
    struct Rot;

    impl Seal for Rot {
        fn seal(&self, thread: &ThreadKey, plain: &[u8]) -> Result<Vec<u8>, BoxError> {
            let mut sealed = format!("{thread}|").into_bytes();
            sealed.extend(plain.iter().map(|byte| byte ^ 0x55));
            Ok(sealed)
        }

        fn open(&self, thread: &ThreadKey, sealed: &[u8]) -> Result<Vec<u8>, BoxError> {
            let rest = sealed.strip_prefix(format!("{thread}|").as_bytes()).ok_or("moved")?;
            Ok(rest.iter().map(|byte| byte ^ 0x55).collect())
        }
    }

    #[test]
    fn a_record_says_what_it_is() {
        let thread = Thread::new();
        let plain = Records::new().encode(&key(1), &thread).unwrap();
        assert_eq!(plain, b"1 plain\n{}");
        let sealed = Records::sealed(Rot).encode(&key(1), &thread).unwrap();
        assert!(sealed.starts_with(b"1 sealed\n") && !sealed.ends_with(b"{}"));
        for record in [&plain, &sealed] {
            assert_eq!(Records::sealed(Rot).decode(&key(1), record).unwrap(), thread);
        }
        assert!(matches!(Records::new().decode(&key(1), &sealed), Err(RecordError::Sealed(None))));
        assert!(matches!(Records::sealed(Rot).decode(&key(2), &sealed), Err(RecordError::Sealed(Some(_)))));
    }

    #[test]
    fn nothing_is_guessed() {
        let decode = |bytes: &[u8]| Records::new().decode(&key(1), bytes).unwrap_err();
        assert!(matches!(decode(b"2 plain\n{}"), RecordError::Newer(2)));
        for bytes in [
            &b""[..],
            b"{}",
            b"1\n{}",
            b"x plain\n{}",
            b"0 plain\n{}",
            b"1 packed\n{}",
            b"1 plain\n",
            b"1 plain\n[",
            b"\xff \n",
        ] {
            assert!(matches!(decode(bytes), RecordError::Damaged(_)), "{bytes:?}");
        }
        let words = decode(b"1 plain\n{\"belief\":\"secret words\"}").to_string();
        assert!(!words.contains("secret"), "{words}");
    }
}
