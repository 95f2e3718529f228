use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::HashMap;

use crate::id::ThreadKey;
use crate::thread::{Input, NoticeId};

/// Notices that the handler has dealt with, and of which that is not saved yet: it waits a moment for the next write of
/// their conversations, to go with it. If the process is killed meanwhile they are told again, as they would be had it been
/// killed while the handler was at work.
#[derive(Debug)]
pub(super) struct Dealt {
    within: Duration,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Each with the round in which it was set.
    marks: HashMap<ThreadKey, (Mark, u64)>,
    /// Two of them are as long as anything may wait.
    round: u64,
    /// Whether a task saves what nothing else has saved in time.
    is_attended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    DealtWith(NoticeId),
    /// Another notice waits behind the one that is being told, which is not to wait for anything then.
    Awaited,
}

/// What is to be done after a mark was set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Next {
    /// To save at once that this notice was dealt with.
    pub(super) save: Option<NoticeId>,
    /// To attend to what is kept.
    pub(super) attend: bool,
}

impl Dealt {
    pub(super) fn new(within: Duration) -> Self {
        Self { within, kept: Mutex::default() }
    }

    /// How long until what is kept is to be gone through again.
    pub(super) fn round(&self) -> Duration {
        self.within / 2
    }

    /// The handler has dealt with this notice.
    pub(super) fn put(&self, key: &ThreadKey, id: NoticeId) -> Next {
        let save_at_once = Next { save: Some(id), attend: false };
        if self.within.is_zero() {
            return save_at_once;
        }
        let mut kept = self.kept();
        match kept.set(key, Mark::DealtWith(id)) {
            Some(Mark::Awaited) => {
                kept.marks.remove(key);
                save_at_once
            }
            _ => Next { save: None, attend: kept.attend() },
        }
    }

    /// Another notice of this conversation waits behind the one that is being told.
    pub(super) fn awaits(&self, key: &ThreadKey) -> Next {
        if self.within.is_zero() {
            return Next::default();
        }
        let mut kept = self.kept();
        match kept.set(key, Mark::Awaited) {
            Some(Mark::DealtWith(id)) => {
                kept.marks.remove(key);
                Next { save: Some(id), attend: false }
            }
            _ => Next { save: None, attend: kept.attend() },
        }
    }

    /// What was dealt with in each of these conversations, which are about to be written.
    pub(super) fn take<'a>(
        &self,
        keys: impl Iterator<Item = &'a ThreadKey>,
        mut of: impl FnMut(usize, NoticeId),
    ) {
        let mut kept = self.kept();
        if kept.marks.is_empty() {
            return;
        }
        for (place, key) in keys.enumerate() {
            if let Some((Mark::DealtWith(id), _)) = kept.marks.remove(key) {
                of(place, id);
            }
        }
    }

    /// The conversation could not be written: what was taken waits for its next write.
    pub(super) fn put_back(&self, key: &ThreadKey, id: NoticeId) -> Next {
        let mut kept = self.kept();
        if let Some(newer @ Mark::DealtWith(_)) = kept.set(key, Mark::DealtWith(id)) {
            kept.set(key, newer);
        }
        Next { save: None, attend: kept.attend() }
    }

    /// What has waited for long enough, to be saved now; nothing when nothing is kept any more, and nobody attends to it.
    pub(super) fn turn_over(&self) -> Option<Vec<(ThreadKey, Input)>> {
        let mut kept = self.kept();
        kept.is_attended = !kept.marks.is_empty();
        kept.round += 1;
        let round = kept.round;
        let waited = |_: &_, (_, since): &mut (Mark, u64)| *since + 2 <= round;
        kept.is_attended.then(|| inputs(kept.marks.extract_if(waited)))
    }

    /// All that is kept, to be saved now.
    pub(super) fn take_all(&self) -> Vec<(ThreadKey, Input)> {
        inputs(self.kept().marks.drain())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Answers what was there.
    fn set(&mut self, key: &ThreadKey, mark: Mark) -> Option<Mark> {
        self.marks.insert(key.clone(), (mark, self.round)).map(|(before, _)| before)
    }

    fn attend(&mut self) -> bool {
        !std::mem::replace(&mut self.is_attended, true)
    }
}

fn inputs(marks: impl Iterator<Item = (ThreadKey, (Mark, u64))>) -> Vec<(ThreadKey, Input)> {
    let input = |(key, (mark, _))| match mark {
        Mark::DealtWith(notice) => Some((key, Input::NoticeDone { notice, ok: true })),
        Mark::Awaited => None,
    };
    marks.filter_map(input).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PageId, UserId};

    const KEPT: Next = Next { save: None, attend: false };

    fn key(user: u64) -> ThreadKey {
        ThreadKey::new(PageId::from(1), UserId::from(user))
    }

    fn save(id: u64) -> Next {
        Next { save: Some(NoticeId(id)), attend: false }
    }

    fn done(user: u64, id: u64) -> (ThreadKey, Input) {
        (key(user), Input::NoticeDone { notice: NoticeId(id), ok: true })
    }

    fn taken(dealt: &Dealt, users: &[u64]) -> Vec<(usize, u64)> {
        let (keys, mut taken) = (users.iter().map(|user| key(*user)).collect::<Vec<_>>(), Vec::new());
        dealt.take(keys.iter(), |place, id| taken.push((place, id.0)));
        taken
    }

    #[test]
    fn it_waits_for_a_write_or_for_its_time() {
        let dealt = Dealt::new(Duration::from_secs(1));
        assert_eq!(dealt.round(), Duration::from_millis(500));
        assert_eq!(dealt.put(&key(1), NoticeId(10)), Next { save: None, attend: true });
        assert_eq!(dealt.put(&key(2), NoticeId(20)), KEPT);
        assert_eq!(taken(&dealt, &[7, 1]), [(1, 10)]);
        assert_eq!(taken(&dealt, &[7, 1]), []);
        assert_eq!(dealt.turn_over(), Some(Vec::new()));
        assert_eq!(dealt.put(&key(3), NoticeId(30)), KEPT);
        assert_eq!(dealt.turn_over(), Some(vec![done(2, 20)]));
        assert_eq!(dealt.turn_over(), Some(vec![done(3, 30)]));
        // Nobody attends to it any more.
        assert_eq!(dealt.turn_over(), None);
        assert_eq!(dealt.put(&key(1), NoticeId(11)), Next { save: None, attend: true });
        assert_eq!(dealt.take_all(), [done(1, 11)]);
        assert_eq!(dealt.take_all(), []);
    }

    #[test]
    fn what_is_awaited_does_not_wait() {
        let dealt = Dealt::new(Duration::from_secs(1));
        // Whichever is first.
        assert_eq!(dealt.awaits(&key(1)), Next { save: None, attend: true });
        assert_eq!(dealt.put(&key(1), NoticeId(10)), save(10));
        assert_eq!(dealt.put(&key(1), NoticeId(11)), KEPT);
        assert_eq!(dealt.awaits(&key(1)), save(11));
        assert_eq!(taken(&dealt, &[1]), []);
        // It was written, so what was awaited is being told, or was forgotten.
        assert_eq!(dealt.awaits(&key(1)), KEPT);
        assert_eq!(taken(&dealt, &[1]), []);
        assert_eq!(dealt.put(&key(1), NoticeId(12)), KEPT);
        assert_eq!(dealt.awaits(&key(2)), KEPT);
        dealt.turn_over();
        assert_eq!(dealt.turn_over(), Some(vec![done(1, 12)]));
        assert_eq!(dealt.turn_over(), None);
    }

    #[test]
    fn what_could_not_be_written_waits_again() {
        let dealt = Dealt::new(Duration::from_secs(1));
        assert_eq!(dealt.put_back(&key(1), NoticeId(10)), Next { save: None, attend: true });
        assert_eq!(taken(&dealt, &[1]), [(0, 10)]);
        // What was dealt with since is newer.
        assert_eq!(dealt.put(&key(1), NoticeId(11)), KEPT);
        assert_eq!(dealt.put_back(&key(1), NoticeId(10)), KEPT);
        assert_eq!(taken(&dealt, &[1]), [(0, 11)]);
    }

    #[test]
    fn without_time_nothing_is_kept() {
        let dealt = Dealt::new(Duration::ZERO);
        assert_eq!(dealt.awaits(&key(1)), KEPT);
        assert_eq!(dealt.put(&key(1), NoticeId(10)), save(10));
        assert_eq!(dealt.turn_over(), None);
    }
}
