//! Batches: requests of several conversations to the store, made at the same time, share one call.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;

use crate::store::StoreError;

/// The most concurrent calls of one kind. Further requests wait and share the next call.
const AT_ONCE: usize = 4;

/// The time after which a slow call no longer counts against [`AT_ONCE`].
const PATIENCE: Duration = Duration::from_secs(1);

/// The timeout of a call of the store.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Batches the requests (questions) to one method of the store.
pub(super) struct Batcher<Q, A>(Arc<Mutex<State<Q, A>>>);

struct State<Q, A> {
    running: usize,
    waiting: Vec<Waiting<Q, A>>,
    /// The number of the next request.
    next: u64,
}

struct Waiting<Q, A> {
    number: u64,
    question: Q,
    asker: oneshot::Sender<Turn<Q, A>>,
}

/// The question of a request, those of all others, and the right to call the store.
type Begun<Q, A> = (Q, Vec<Waiting<Q, A>>, Running<Q, A>);

/// The message that wakes a waiting request.
enum Turn<Q, A> {
    Answer(Result<A, StoreError>),
    /// Make the next call, with its own question and these.
    Ask {
        own: Q,
        others: Vec<Waiting<Q, A>>,
        running: Running<Q, A>,
    },
}

impl<Q, A> Default for Batcher<Q, A> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { running: 0, waiting: Vec::new(), next: 0 })))
    }
}

impl<Q, A> Batcher<Q, A> {
    /// Asks one question by a `call` that takes many and returns an answer to each, in order. It is asked `alone` after a call
    /// failed, unless too many calls are under way: the reason may be another question.
    ///
    /// # Errors
    /// The error of the call, for each question in it.
    pub(super) async fn ask<C>(
        &self,
        question: Q,
        alone: bool,
        call: impl FnOnce(Vec<Q>) -> C,
    ) -> Result<A, StoreError>
    where
        C: Future<Output = Result<Vec<A>, StoreError>>,
    {
        let (number, turn) = self.queue(question);
        if !alone {
            // Requests of the same moment queue up before the call is made.
            tokio::task::yield_now().await;
        }
        let (own, others, running) = match self.begin(number, alone) {
            Some(begun) => begun,
            None => match turn.await {
                Ok(Turn::Answer(answer)) => return answer,
                Ok(Turn::Ask { own, others, running }) => (own, others, running),
                Err(_) => return Err(StoreError::new("the call ended without an answer")),
            },
        };
        let (mut questions, mut askers) = (vec![own], Vec::new());
        for Waiting { question, asker, .. } in others {
            questions.push(question);
            askers.push(asker);
        }
        let asked = questions.len();
        let call = AssertUnwindSafe(call(questions)).catch_unwind();
        let mut call =
            pin!(async { call.await.unwrap_or_else(|_| Err(StoreError::new("the store panicked"))) });
        let mut answers = at_once(call.as_mut()).await;
        if answers.is_none() {
            answers = tokio::time::timeout(PATIENCE, call.as_mut()).await.ok();
        }
        // A call that hangs does not block later ones.
        drop(running);
        let answers = match answers {
            Some(answers) => answers,
            None => answered_in_time(call).await,
        };
        let answers = answers.and_then(|answers| {
            let is_complete = answers.len() == asked;
            is_complete
                .then_some(answers)
                .ok_or_else(|| StoreError::new("the store did not answer for each conversation"))
        });
        match answers {
            Ok(answers) => {
                let mut answers = answers.into_iter();
                let own = answers.next();
                for (asker, answer) in askers.into_iter().zip(answers) {
                    // Fails if the asker's task was aborted, which needs no answer.
                    let _ = asker.send(Turn::Answer(Ok(answer)));
                }
                own.ok_or_else(|| StoreError::new("the store did not answer"))
            }
            Err(error) => {
                for asker in askers {
                    let _ = asker.send(Turn::Answer(Err(error.clone())));
                }
                Err(error)
            }
        }
    }

    fn queue(&self, question: Q) -> (u64, oneshot::Receiver<Turn<Q, A>>) {
        let (asker, turn) = oneshot::channel();
        let mut state = lock(&self.0);
        let number = state.next;
        state.next += 1;
        state.waiting.push(Waiting { number, question, asker });
        (number, turn)
    }

    /// The right to call the store now with this question, and all others unless `alone`, if it still waits and not too many
    /// calls are under way.
    fn begin(&self, number: u64, alone: bool) -> Option<Begun<Q, A>> {
        let mut state = lock(&self.0);
        let place = state.waiting.iter().position(|waiting| waiting.number == number)?;
        if state.running == AT_ONCE {
            return None;
        }
        state.running += 1;
        let own = state.waiting.remove(place).question;
        let others = if alone { Vec::new() } else { all_waiting(&mut state) };
        Some((own, others, Running(Arc::clone(&self.0))))
    }
}

/// Takes the requests that wait, without those whose tasks were aborted.
fn all_waiting<Q, A>(state: &mut State<Q, A>) -> Vec<Waiting<Q, A>> {
    let mut waiting = std::mem::take(&mut state.waiting);
    waiting.retain(|waiting| !waiting.asker.is_closed());
    waiting
}

/// A call under way. When it is dropped, also by a panic, a waiting request makes the next call.
struct Running<Q, A>(Arc<Mutex<State<Q, A>>>);

impl<Q, A> Drop for Running<Q, A> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        let mut others = all_waiting(&mut state);
        if others.is_empty() {
            state.running -= 1;
            return;
        }
        drop(state);
        let Waiting { question, asker, .. } = others.remove(0);
        let running = Self(Arc::clone(&self.0));
        if let Err(Turn::Ask { others, running, .. }) =
            asker.send(Turn::Ask { own: question, others, running })
        {
            // The asker's task was aborted just now: the next one makes the call.
            lock(&self.0).waiting.splice(0..0, others);
            drop(running);
        }
    }
}

/// Ends a call of the store that hangs, so that its conversation goes on.
pub(super) async fn answered_in_time<T>(
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let answer = tokio::time::timeout(ANSWERS_WITHIN, call).await;
    answer.unwrap_or_else(|_| Err(StoreError::new("no answer within 30 s")))
}

/// The answer of a call that needs no waiting, and so no timer.
async fn at_once<T>(mut call: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn together_questions_of_one_moment_share_a_call_and_each_gets_its_answer() {
        let (together, calls) = (Arc::new(Batcher::default()), Arc::new(Mutex::new(Vec::new())));
        let ask = |number: u32| {
            let (together, calls) = (Arc::clone(&together), Arc::clone(&calls));
            tokio::spawn(async move {
                let call = async |numbers: Vec<u32>| {
                    calls.lock().unwrap().push(numbers.len());
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    Ok(numbers.into_iter().map(|number| number * 2).collect())
                };
                together.ask(number, false, call).await
            })
        };
        let mut asked = Vec::new();
        for moment in 0..7 {
            asked.extend((0..10).map(|number| ask(10 * moment + number)));
            // All of one moment have queued up and one of them calls, but the call has not ended.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        for (number, asked) in asked.into_iter().enumerate() {
            assert_eq!(asked.await.unwrap().unwrap(), u32::try_from(number).unwrap() * 2);
        }
        assert_eq!(*calls.lock().unwrap(), [10, 10, 10, 10, 30], "four at once");
        assert_eq!(lock(&together.0).running, 0);
    }

    /// A question that the store cannot answer does not keep those of the same moment from their answers for good.
    #[tokio::test(start_paused = true)]
    async fn together_questions_are_asked_alone_after_a_failure() {
        let together = Arc::new(Batcher::default());
        let call = async |numbers: Vec<u32>| {
            if numbers.contains(&0) { Err(StoreError::new("on purpose")) } else { Ok(numbers) }
        };
        let ask = |number: u32| {
            let together = Arc::clone(&together);
            tokio::spawn(async move {
                match together.ask(number, false, call).await {
                    Err(_) => together.ask(number, true, call).await,
                    answer => answer,
                }
            })
        };
        for (number, asked) in (0..5).map(ask).collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(asked.await.unwrap().is_ok(), number > 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn together_a_request_that_was_dropped_is_not_made_later() {
        let (together, asked) = (Batcher::default(), Mutex::new(Vec::new()));
        let call = async |numbers: Vec<u32>| {
            asked.lock().unwrap().extend(numbers.clone());
            Ok(numbers)
        };
        let dropped = together.ask(1, false, call).now_or_never();
        assert!(dropped.is_none(), "it waits for others of the same moment");
        assert_eq!(together.ask(2, false, call).await.unwrap(), 2);
        assert_eq!(*asked.lock().unwrap(), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn together_a_panic_or_a_dropped_asker_keeps_nobody_waiting() {
        let together = Arc::new(Batcher::<u32, u32>::default());
        let slow = |numbers: Vec<u32>| async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(!numbers.contains(&0), "on purpose");
            Ok(numbers)
        };
        let ask = |number| {
            let together = Arc::clone(&together);
            tokio::spawn(async move { together.ask(number, false, slow).await })
        };
        let asked: Vec<_> = [0, 0, 0, 0, 5, 6].map(ask).into();
        tokio::task::yield_now().await;
        asked[4].abort();
        for (place, asked) in asked.into_iter().enumerate() {
            match (place, asked.await) {
                (0..4, Ok(answer)) => assert!(answer.unwrap_err().to_string().contains("panicked")),
                (4, Err(error)) => assert!(error.is_cancelled()),
                // This request waited behind the aborted one.
                (5, Ok(answer)) => assert!(answer.is_err() || answer.is_ok_and(|answer| answer == 6)),
                (place, other) => panic!("{place}: {other:?}"),
            }
        }
        assert_eq!(together.ask(7, false, slow).await.unwrap(), 7);
        assert_eq!(lock(&together.0).running, 0);
    }
}
