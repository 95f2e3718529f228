//! Records encrypted by a real cipher, as a host would do it: bound to their conversation, with key rotation.

use std::collections::BTreeMap;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use messenger_handover::handover::BoxError;
use messenger_handover::id::{ThreadKey, UserId};
use messenger_handover::store::{
    RecordError, Records, Seal, SqliteStore, ThreadStore, Write, WriteOutcome, conformance,
};

use crate::{File, contains, key, thread};

/// A ciphertext starts with the key's number, followed by the nonce.
struct Keys {
    keys: BTreeMap<u8, XChaCha20Poly1305>,
}

impl Keys {
    fn new(keys: &[u8]) -> Self {
        // A real host would load the keys from its key management.
        let key = |number: &u8| (*number, XChaCha20Poly1305::new(&Key::from([*number; 32])));
        Self { keys: keys.iter().map(key).collect() }
    }
}

const NONCE: usize = 24;

/// The associated data of a record. Length prefixes distinguish `1` + `23` from `12` + `3`.
fn bound_to(thread: &ThreadKey) -> Vec<u8> {
    let (page, user) = (thread.page.to_string(), thread.user.to_string());
    format!("{}:{page}{user}", page.len()).into_bytes()
}

impl Seal for Keys {
    fn seal(&self, thread: &ThreadKey, plain: &[u8]) -> Result<Vec<u8>, BoxError> {
        let (number, cipher) = self.keys.last_key_value().ok_or("no key")?;
        let nonce = XNonce::generate();
        let payload = Payload { msg: plain, aad: &bound_to(thread) };
        let sealed = cipher.encrypt(&nonce, payload).map_err(|_| "it cannot be sealed")?;
        Ok([&[*number][..], &nonce, &sealed].concat())
    }

    fn open(&self, thread: &ThreadKey, sealed: &[u8]) -> Result<Vec<u8>, BoxError> {
        let (number, rest) = sealed.split_first().ok_or("it is empty")?;
        let cipher = self.keys.get(number).ok_or("its key is not known")?;
        let (nonce, sealed) = rest.split_at_checked(NONCE).ok_or("it is too short")?;
        let payload = Payload { msg: sealed, aad: &bound_to(thread) };
        let nonce = XNonce::try_from(nonce)?;
        cipher.decrypt(&nonce, payload).map_err(|_| "it does not open".into())
    }
}

fn open(file: &File, records: Records) -> SqliteStore {
    SqliteStore::builder(file.path()).records(records).open().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sealed_store_conforms() {
    let file = File::new();
    let report = conformance::check(Arc::new(open(&file, Records::sealed(Keys::new(&[1]))))).await;
    assert!(report.is_ok(), "{report}");
}

#[tokio::test]
async fn sealed_records_are_read_with_their_key() {
    let file = File::new();
    let write = |user, version| Write::new(key(user), version - 1, version, thread("a private matter"), None);
    let plain = open(&file, Records::new());
    plain.compare_and_swap(vec![write(1, 1)]).await.unwrap();
    assert!(contains(&file.bytes(), "a private matter"));
    plain.forget(&[key(1)]).await.unwrap();
    // A record from before encryption was configured.
    let old = thread("nothing private");
    plain.compare_and_swap(vec![Write::new(key(3), 0, 1, old.clone(), None)]).await.unwrap();

    let sealed = open(&file, Records::sealed(Keys::new(&[1])));
    assert_eq!(
        sealed.compare_and_swap(vec![write(1, 1), write(2, 1)]).await.unwrap(),
        [WriteOutcome::Written; 2]
    );
    assert!(!contains(&file.bytes(), "a private matter"));
    // Key rotation: records under the old key are readable, and are encrypted under the new key when written.
    let renewed = open(&file, Records::sealed(Keys::new(&[1, 2])));
    renewed.compare_and_swap(vec![write(1, 2)]).await.unwrap();
    let loaded = renewed.load(&[key(1), key(2), key(3)]).await.unwrap();
    let loaded: Vec<_> = loaded.into_iter().map(|loaded| loaded.thread.unwrap()).collect();
    assert_eq!(loaded, [thread("a private matter"), thread("a private matter"), old].map(Into::into));
    // The old key alone opens only its own records.
    let loaded = sealed.load(&[key(1), key(2)]).await.unwrap();
    assert!(matches!(loaded[0].thread, Err(RecordError::Sealed(Some(_)))) && loaded[1].thread.is_ok());
    let without = plain.load(&[key(2)]).await.unwrap().remove(0);
    assert!(matches!(without.thread, Err(RecordError::Sealed(None))));
}

#[test]
fn sealed_record_opens_only_unmodified_and_for_its_thread() {
    let records = Records::sealed(Keys::new(&[1]));
    let record = records.encode(&key(1), &thread("a private matter")).unwrap();
    assert!(records.decode(&key(1), &record).is_ok());
    assert!(matches!(records.decode(&key(2), &record), Err(RecordError::Sealed(Some(_)))));
    let other = ThreadKey::new("1".parse().unwrap(), UserId::new("01").unwrap());
    assert!(records.decode(&other, &record).is_err());
    for at in "1 sealed\n".len()..record.len() {
        let mut broken = record.clone();
        broken[at] ^= 1;
        let error = records.decode(&key(1), &broken).unwrap_err();
        assert!(matches!(error, RecordError::Sealed(Some(_))), "{at}: {error}");
        assert!(matches!(records.decode(&key(1), &record[..at]).unwrap_err(), RecordError::Sealed(_)));
    }
}
