//! The record format: a thread in MessagePack with the names of its fields, plain or sealed.
use std::error::Error as StdError;
use std::fmt;
use std::io::Cursor;
use std::sync::Arc;

use serde::Deserialize;

use crate::id::ThreadKey;
use crate::thread::Thread;

use super::StoreError;
use super::record::{FORMAT, RecordError};

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
        let unwritable = |error| StoreError::new("a thread cannot be written down").with_source(error);
        let mut record;
        if let Some(seal) = &self.seal {
            let plain = rmp_serde::to_vec_named(thread).map_err(unwritable)?;
            let sealed = seal.seal(key, &plain);
            let sealed = sealed.map_err(|error| StoreError {
                source: Some(error.into()),
                ..StoreError::new("a record cannot be sealed")
            })?;
            record = format!("{FORMAT} {SEALED}\n").into_bytes();
            record.extend(sealed);
        } else {
            record = format!("{FORMAT} {PLAIN}\n").into_bytes();
            rmp_serde::encode::write_named(&mut record, thread).map_err(unwritable)?;
        }
        Ok(record)
    }

    /// Decodes a record.
    ///
    /// # Errors
    /// [`RecordError`], each kind with its remedy.
    pub fn decode(&self, key: &ThreadKey, record: &[u8]) -> Result<Thread, RecordError> {
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
        match how {
            PLAIN => thread(body),
            SEALED => {
                let seal = self.seal.as_ref().ok_or(RecordError::Sealed(None))?;
                let plain = seal.open(key, body).map_err(|error| RecordError::Sealed(Some(error.into())))?;
                thread(&plain)
            }
            _ => Err(damaged("neither plain nor sealed")),
        }
    }
}

fn damaged(words: &str) -> RecordError {
    RecordError::Damaged(words.into())
}

/// The thread in a record's body, and nothing behind it.
fn thread(body: &[u8]) -> Result<Thread, RecordError> {
    let mut reader = rmp_serde::Deserializer::new(Cursor::new(body));
    let thread = Thread::deserialize(&mut reader);
    let read = usize::try_from(reader.position()).unwrap_or(usize::MAX);
    // serde's message may quote the record, so only the position is reported.
    thread.ok().filter(|_| read == body.len()).ok_or_else(|| damaged(&format!("byte {read} of its body")))
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
        assert_eq!(plain, b"1 plain\n\x80", "an empty map");
        let sealed = Records::sealed(Rot).encode(&key(1), &thread).unwrap();
        assert!(sealed.starts_with(b"1 sealed\n") && !sealed.ends_with(b"\x80"));
        for record in [&plain, &sealed] {
            assert_eq!(Records::sealed(Rot).decode(&key(1), record).unwrap(), thread);
        }
        assert!(matches!(Records::new().decode(&key(1), &sealed), Err(RecordError::Sealed(None))));
        assert!(matches!(Records::sealed(Rot).decode(&key(2), &sealed), Err(RecordError::Sealed(Some(_)))));
    }

    #[test]
    fn nothing_is_guessed() {
        let decode = |bytes: &[u8]| Records::new().decode(&key(1), bytes).unwrap_err();
        assert!(matches!(decode(b"2 plain\n\x80"), RecordError::Newer(2)));
        for bytes in [
            &b""[..],
            b"\x80",
            b"1\n\x80",
            b"x plain\n\x80",
            b"0 plain\n\x80",
            b"1 packed\n\x80",
            b"1 plain\n",
            b"1 plain\n\x81",
            b"1 plain\n\x80\x80",
            b"1 plain\n{}",
            b"\xff \n",
        ] {
            assert!(matches!(decode(bytes), RecordError::Damaged(_)), "{bytes:?}");
        }
        let words = decode(b"1 plain\n\x81\xa6belief\xa6secret").to_string();
        assert!(words.contains("byte") && !words.contains("secret"), "{words}");
    }
}
