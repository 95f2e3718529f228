use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::id::ThreadKey;
use crate::thread::Thread;

use super::StoreError;

/// The format that this version of the crate writes. It reads this one and all before it. The number goes up with every
/// change of what is written, a new field included.
pub const FORMAT: u32 = 1;

type BoxError = Box<dyn StdError + Send + Sync>;

/// Turns threads into the bytes that a store keeps, and back.
///
/// A record says the number of its format, and whether it is sealed. No token or secret is in it; what customers
/// and agents wrote is, while it waits: give a [`Seal`] where that must not be readable in the database.
#[derive(Clone, Default)]
pub struct Records {
    seal: Option<Arc<dyn Seal>>,
}

/// Encrypts records with a key that the host keeps, by an authenticated cipher.
///
/// Records that were written before there was a seal are still read. To change the key, write its number into what
/// is sealed, and open with the key of that number. The words of its errors must hold neither the key nor what was
/// sealed: they are logged.
pub trait Seal: Send + Sync + 'static {
    /// Encrypts a record, bound to its conversation: moved to another one it must not open.
    ///
    /// # Errors
    /// The write fails, and is tried again as after any failure of the store.
    fn seal(&self, thread: &ThreadKey, plain: &[u8]) -> Result<Vec<u8>, BoxError>;

    /// Decrypts a record.
    ///
    /// # Errors
    /// [`RecordError::Sealed`]: the conversation cannot be worked on.
    fn open(&self, thread: &ThreadKey, sealed: &[u8]) -> Result<Vec<u8>, BoxError>;
}

/// Why a record cannot be read. The conversation is left alone: nothing of it is guessed, and nothing overwritten.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A newer version of this crate wrote it: update this process.
    #[error("the record has format {0}, and this version of the crate reads up to {FORMAT}: update it")]
    Newer(u32),
    /// It is sealed, and there is no [`Seal`] or the seal does not open it: set the right key.
    #[error("the record is sealed and cannot be opened with what was configured")]
    Sealed(#[source] Option<Arc<dyn StdError + Send + Sync>>),
    /// It is damaged, or not a record at all: restore it, or forget the conversation.
    #[error("the record is damaged: {0}")]
    Damaged(Arc<str>),
}

impl RecordError {
    /// Whether neither another process nor a later moment can read the record: what is delivered for its conversation is
    /// dropped and logged, since to have the platform deliver it again would only end all deliveries.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}

const PLAIN: &str = "plain";
const SEALED: &str = "sealed";

impl Records {
    /// Records that can be read by whoever reads the database.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Records that the host seals.
    #[must_use]
    pub fn sealed(seal: impl Seal) -> Self {
        Self { seal: Some(Arc::new(seal)) }
    }

    /// The record of a thread.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be sealed.
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

    /// The thread of a record.
    ///
    /// # Errors
    /// [`RecordError`].
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
        // A format that is older than this one would be brought up to it here.
        let thread = match how {
            PLAIN => serde_json::from_slice(body),
            SEALED => {
                let seal = self.seal.as_ref().ok_or(RecordError::Sealed(None))?;
                let plain = seal.open(key, body).map_err(|error| RecordError::Sealed(Some(error.into())))?;
                serde_json::from_slice(&plain)
            }
            _ => return Err(damaged("neither plain nor sealed")),
        };
        // An error of serde may hold a piece of what was written.
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

    /// Bound to its conversation, and no cipher.
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
