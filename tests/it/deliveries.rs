//! Deliveries of any size, redelivered, split and mixed: each message is notified once and answered once, and every
//! delivery is accepted in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use messenger_handover::call::{MessageKey, OutgoingMessage, SenderAction, ThreadOwner};
use messenger_handover::control::{CallError, Forwarded, HandoverClient, Sent};
use messenger_handover::event::{Channel, ControlChange, Event, EventKind, Inbound};
use messenger_handover::handover::{Handler, HandlerError, Handover, HandoverError, Notification};
use messenger_handover::id::{AppId, MessageId, PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::{MemoryStore, Records, ThreadStore};
use messenger_handover::thread::{Actions, CommandRefused, Limits, Notice, NoticeId, Timeouts};
use messenger_handover::time::Span;
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use crate::schedules::in_virtual_time;
use crate::world::Virtual;

const START: u64 = 1_790_000_000_000;

/// A platform on which every call succeeds after 1 ms; counts how often each text was sent.
#[derive(Debug, Default)]
struct Graph(Mutex<BTreeMap<String, usize>>);

#[async_trait]
impl HandoverClient for Graph {
    async fn pass_thread_control(
        &self,
        _: &ThreadKey,
        _: Option<&AppId>,
        _: Option<&str>,
    ) -> Result<(), CallError> {
        Ok(())
    }

    async fn take_thread_control(&self, _: &ThreadKey, _: Option<&str>) -> Result<(), CallError> {
        Ok(())
    }

    async fn request_thread_control(&self, _: &ThreadKey, _: Option<&str>) -> Result<Forwarded, CallError> {
        Ok(Forwarded::new())
    }

    async fn release_thread_control(&self, _: &ThreadKey) -> Result<(), CallError> {
        Ok(())
    }

    async fn thread_owner(&self, _: &ThreadKey) -> Result<ThreadOwner, CallError> {
        Ok(ThreadOwner::Idle)
    }

    async fn send_message(
        &self,
        thread: &ThreadKey,
        message: &OutgoingMessage,
        _: Option<&str>,
    ) -> Result<Sent, CallError> {
        sleep(Duration::from_millis(1)).await;
        let text = message.body()["text"].as_str().unwrap();
        *self.0.lock().unwrap().entry(format!("{thread} {text}")).or_default() += 1;
        Ok(Sent::default())
    }

    async fn sender_action(&self, _: &ThreadKey, _: SenderAction) -> Result<(), CallError> {
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Quick,
    Slow,
    FailsForAWhile,
    /// The handler never returns.
    Stuck,
}

/// Sends a reply to each message; counts how often each message was handled.
struct Bot {
    manner: Manner,
    began: Instant,
    told: Arc<Mutex<BTreeMap<String, usize>>>,
    /// Ids seen before: a notification is repeated if the queue of outgoing messages was full.
    ids: Mutex<BTreeSet<(ThreadKey, NoticeId)>>,
}

#[async_trait]
impl Handler for Bot {
    async fn notify(&self, _: &Handover, told: &Notification) -> Result<Actions, HandlerError> {
        let [inbound] = told.to_answer() else { return Ok(Actions::none()) };
        match self.manner {
            Manner::Slow => sleep(Duration::from_millis(50)).await,
            Manner::FailsForAWhile if self.began.elapsed() < Duration::from_secs(10) => {
                return Err("not now".into());
            }
            Manner::Quick | Manner::FailsForAWhile => {}
            Manner::Stuck => std::future::pending().await,
        }
        let mid = inbound.mid.clone().unwrap();
        if self.ids.lock().unwrap().insert((told.thread.clone(), told.id)) {
            *self.told.lock().unwrap().entry(format!("{} {mid}", told.thread)).or_default() += 1;
        }
        Ok(OutgoingMessage::text(mid.to_string())?.into())
    }
}

struct World {
    bot: Handover,
    graph: Arc<Graph>,
    store: Arc<MemoryStore>,
    told: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl World {
    fn new(manner: Manner, limits: Limits) -> Self {
        let (graph, store, began) = (Arc::<Graph>::default(), Arc::<MemoryStore>::default(), Instant::now());
        let told = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let handler = Bot { manner, began, told: Arc::clone(&told), ids: Mutex::default() };
        let policy = ThreadControlPolicy::BotPrimary;
        let bot = Handover::builder(AppId::from(1), Role::Bot, policy, Arc::clone(&graph), handler)
            .limits(limits)
            .store(Arc::clone(&store) as Arc<dyn ThreadStore>)
            .clock(Virtual(began))
            .start();
        Self { bot: bot.unwrap(), graph, store, told }
    }

    /// The size of the largest record of these customers, in bytes.
    async fn record(&self, customers: u64) -> usize {
        let keys: Vec<_> = (0..customers).map(thread).collect();
        let loaded = self.store.load(&keys).await.unwrap();
        let bytes = |(key, thread): (&ThreadKey, _)| Records::new().encode(key, thread).unwrap().len();
        let threads = loaded.into_iter().map(|loaded| loaded.thread.unwrap());
        keys.iter().zip(threads.collect::<Vec<_>>().iter().map(|thread| &**thread)).map(bytes).max().unwrap()
    }

    /// Whether every message was notified once and answered once.
    fn is_done(&self, messages: usize) -> bool {
        let once = |times: &BTreeMap<String, usize>| {
            assert!(times.values().all(|times| *times == 1), "more than once: {times:?}");
            times.len() == messages
        };
        once(&self.told.lock().unwrap()) & once(&self.graph.0.lock().unwrap())
    }

    async fn until_done(&self, messages: usize) {
        for _ in 0..100_000 {
            if self.is_done(messages) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{} of {messages} were told", self.told.lock().unwrap().len());
    }
}

fn thread(customer: u64) -> ThreadKey {
    ThreadKey::new(PageId::from(10), UserId::from(100 + customer))
}

fn message(customer: u64, number: usize) -> (ThreadKey, Event) {
    let at = Span::from_platform(START + number as u64);
    let mut inbound = Inbound::new(MessageId::new(format!("m_of_{customer}_{number}")).ok(), at);
    inbound.text = Some("What about my parcel?".into());
    let event = Event::new(Channel::Messaging, at, EventKind::Inbound(inbound));
    (thread(customer), event)
}

/// Redelivers until accepted, as the platform does. Returns the number of attempts.
async fn deliver(world: &World, delivery: &[(ThreadKey, Event)], spacing: Duration) -> usize {
    for times in 1..10_000 {
        match world.bot.events(delivery.to_vec()).await {
            Ok(()) => return times,
            Err(HandoverError::Refused(CommandRefused::NoticesFull) | HandoverError::TooSlow) => {}
            Err(error) => panic!("{error}"),
        }
        sleep(spacing).await;
    }
    panic!("it is never accepted");
}

/// A delivery of one customer is accepted at once, whatever its size and the handler; if the platform misses the
/// response and redelivers, no notification is repeated.
#[test]
fn deliveries_of_one_customer_are_notified_once() {
    for size in [1, 256, 257, 1_000, 2_000] {
        for manner in [Manner::Quick, Manner::Slow, Manner::FailsForAWhile] {
            for spacing in [200, 2_000].map(Duration::from_millis) {
                in_virtual_time(1, async {
                    let world = World::new(manner, Limits::default());
                    let delivery: Vec<_> = (0..size).map(|number| message(0, number)).collect();
                    for again in 0..5 {
                        let times = deliver(&world, &delivery, spacing).await;
                        assert_eq!(times, 1, "{size}, {manner:?}, {spacing:?}, {again}");
                        sleep(spacing).await;
                    }
                    world.until_done(size).await;
                    // Also over the full hour of redelivery.
                    for _ in 0..4 {
                        sleep(Duration::from_mins(15)).await;
                        deliver(&world, &delivery, spacing).await;
                    }
                    sleep(Duration::from_secs(30)).await;
                    assert!(world.is_done(size), "{size}, {manner:?}, {spacing:?}");
                    let record = world.record(1).await;
                    assert!(record < 12_000 + 12 * 2 * size, "{record} bytes remain of {size}");
                });
            }
        }
    }
}

/// The backlog of a stuck handler is bounded: deliveries by the queue's size plus one delivery, commands by the queue's
/// size.
#[test]
fn deliveries_to_a_stuck_handler_fill_a_bounded_queue() {
    in_virtual_time(1, async {
        let world = World::new(Manner::Stuck, Limits::default());
        let mut accepted = 0;
        for delivery in 0..20 {
            let delivery: Vec<_> = (0..100).map(|number| message(0, delivery * 100 + number)).collect();
            accepted += usize::from(world.bot.events(delivery).await.is_ok());
        }
        assert_eq!(accepted, 3, "256 are waiting after three");
        // Other customers are not blocked: their part of a mixed delivery is accepted.
        let mixed = vec![message(0, 9_000), message(1, 1)];
        let refused = world.bot.events(mixed).await.unwrap_err();
        assert!(matches!(refused, HandoverError::Refused(CommandRefused::NoticesFull)), "{refused:?}");
        assert!(!world.bot.thread(&thread(1)).await.unwrap().is_at_rest());

        world.bot.events(vec![message(2, 0)]).await.unwrap();
        let mut sent = 0;
        for number in 0..2_000 {
            let (key, text) =
                (MessageKey::new(format!("k{number}")).unwrap(), OutgoingMessage::text("Hi").unwrap());
            match world.bot.send(&thread(2), key, text).await {
                Ok(_) => sent += 1,
                Err(HandoverError::Refused(CommandRefused::NoticesFull | CommandRefused::QueueFull)) => {}
                Err(error) => panic!("{error}"),
            }
            sleep(Duration::from_millis(5)).await;
        }
        // Up to 100 messages may have been under way when the queue became full.
        assert!((255..=256 + 100).contains(&sent), "{sent} of 2,000 were accepted");
        let record = world.record(3).await;
        assert!(record < 100_000, "{record} bytes");
    });
}

/// If the handler's error is permanent, the notification is set aside visibly and the conversation continues.
#[test]
fn deliveries_to_a_failing_handler_do_not_stop_the_conversation() {
    /// A handler that fails on one message.
    struct Picky(Arc<AtomicUsize>, Arc<Mutex<Vec<String>>>);

    #[async_trait]
    impl Handler for Picky {
        async fn notify(&self, _: &Handover, told: &Notification) -> Result<Actions, HandlerError> {
            let Notice::Message { inbound, .. } = &told.notice else { return Ok(Actions::none()) };
            if inbound.mid.as_ref().is_some_and(|mid| *mid == *"m_of_0_1") {
                assert_eq!(self.0.fetch_add(1, Ordering::SeqCst) + 1, told.attempt as usize);
                return Err("this one never".into());
            }
            self.1.lock().unwrap().push(inbound.mid.clone().unwrap().to_string());
            Ok(Actions::none())
        }
    }

    in_virtual_time(1, async {
        let (attempts, heard) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let handler = Picky(Arc::clone(&attempts), Arc::clone(&heard));
        let graph = Arc::<Graph>::default();
        let policy = ThreadControlPolicy::BotPrimary;
        let bot = Handover::builder(AppId::from(1), Role::Bot, policy, graph, handler);
        let bot = bot.clock(Virtual(Instant::now())).start().unwrap();
        bot.events((0..4).map(|number| message(0, number)).collect()).await.unwrap();
        let begun = Instant::now();
        while heard.lock().unwrap().len() < 3 {
            assert!(begun.elapsed() < Duration::from_mins(30), "it stands still");
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(*heard.lock().unwrap(), ["m_of_0_0", "m_of_0_2", "m_of_0_3"]);
        let took = begun.elapsed();
        assert!(took > Duration::from_mins(8) && took < Duration::from_mins(16), "{took:?}");
        assert_eq!((attempts.load(Ordering::SeqCst), bot.stats().set_aside), (20, 1));

        let now = bot.thread(&thread(0)).await.unwrap();
        let aside: Vec<_> = now.set_aside().cloned().collect();
        assert!(matches!(&aside[..], [one] if one.attempts == 20), "{aside:?}");
        assert!(
            matches!(&aside[0].notice, Notice::Message { inbound, .. } if inbound.at.from.as_millis() == START + 1)
        );
        assert_eq!(bot.threads_needing_attention(None, 9).await.unwrap(), [thread(0)]);
        let wrong = bot.dismiss_set_aside(&thread(0), NoticeId(u64::MAX)).await.unwrap_err();
        assert!(matches!(wrong, HandoverError::Refused(CommandRefused::NoSuchNotice)), "{wrong:?}");
        bot.dismiss_set_aside(&thread(0), aside[0].id).await.unwrap();
        assert!(bot.thread(&thread(0)).await.unwrap().set_aside().next().is_none());
        assert!(bot.threads_needing_attention(None, 9).await.unwrap().is_empty());
    });
}

/// Every timer fires when it is due, not only the earliest.
#[test]
fn deliveries_and_timers_fire_when_due() {
    #[derive(Clone, Default)]
    struct Ends(Arc<Mutex<BTreeMap<ThreadKey, Instant>>>);

    #[async_trait]
    impl Handler for Ends {
        async fn notify(&self, _: &Handover, told: &Notification) -> Result<Actions, HandlerError> {
            if matches!(told.notice, Notice::MessageFailed { .. }) {
                self.0.lock().unwrap().insert(told.thread.clone(), Instant::now());
            }
            Ok(Actions::none())
        }
    }

    in_virtual_time(1, async {
        // Another app has control and never grants it, until the messages expire.
        let (ends, policy) = (Ends::default(), ThreadControlPolicy::BotPrimary);
        let graph = Arc::<Graph>::default();
        let desk = Handover::builder(AppId::from(1), Role::Desk, policy, graph, ends.clone());
        let mut timeouts = Timeouts::default();
        timeouts.grant = Duration::from_hours(10);
        timeouts.message_age = Duration::from_secs(20);
        let desk = desk.timeouts(timeouts).clock(Virtual(Instant::now())).start().unwrap();
        let mut due = BTreeMap::new();
        for customer in 0..200 {
            let key = thread(customer);
            let at = Span::from_platform(START);
            let change = ControlChange::new(None, Some(AppId::from(9)));
            let event = Event::new(Channel::Messaging, at, EventKind::PassThreadControl(change));
            desk.events(vec![(key.clone(), event)]).await.unwrap();
            let message = OutgoingMessage::text("Hello").unwrap();
            desk.send(&key, MessageKey::new("a").unwrap(), message).await.unwrap();
            due.insert(key, Instant::now() + Duration::from_secs(20));
            sleep(Duration::from_millis(37)).await;
        }
        sleep(Duration::from_mins(1)).await;
        let ends = ends.0.lock().unwrap();
        assert_eq!(ends.len(), due.len());
        let late = due.iter().map(|(key, due)| ends[key].saturating_duration_since(*due)).max().unwrap();
        assert!(late <= Duration::from_millis(5), "{late:?}");
    });
}

/// Messages of several customers, cut into mixed deliveries and redelivered with other cuts.
#[derive(Debug, Clone)]
struct Plan {
    manner: Manner,
    notices: usize,
    /// Number of messages per customer.
    sizes: Vec<usize>,
    /// Lengths of the pieces that the platform cuts the sequence into, used cyclically.
    cuts: Vec<usize>,
    spacing: Duration,
    /// Pieces that are redelivered although they were accepted.
    unheard: Vec<bool>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let manner = prop_oneof![Just(Manner::Quick), Just(Manner::Slow), Just(Manner::FailsForAWhile)];
    (
        manner,
        1_usize..300,
        prop::collection::vec(1_usize..250, 1..4),
        prop::collection::vec(1_usize..400, 1..6),
        prop_oneof![Just(200_u64), Just(2_000)],
        prop::collection::vec(any::<bool>(), 1..8),
    )
        .prop_map(|(manner, notices, sizes, cuts, spacing, unheard)| Plan {
            manner,
            notices,
            sizes,
            cuts,
            spacing: Duration::from_millis(spacing),
            unheard,
        })
}

fn pieces<'a>(
    mut all: &'a [(ThreadKey, Event)],
    cuts: impl Iterator<Item = usize> + 'a,
) -> Vec<&'a [(ThreadKey, Event)]> {
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, rest) = all.split_at(cut.min(all.len()));
        pieces.push(piece);
        all = rest;
        if all.is_empty() {
            break;
        }
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn deliveries_cut_mixed_and_repeated_are_notified_once(plan in plan()) {
        in_virtual_time(1, async {
            let limits = { let mut limits = Limits::default(); limits.notices = plan.notices; limits };
            let world = World::new(plan.manner, limits);
            let longest = plan.sizes.iter().copied().max().unwrap();
            let all: Vec<_> = (0..longest)
                .flat_map(|number| {
                    let writes = plan.sizes.iter().enumerate().filter(move |(_, size)| number < **size);
                    writes.map(move |(customer, _)| message(customer as u64, number))
                })
                .collect();
            let cuts = plan.cuts.iter().copied().cycle();
            for (piece, unheard) in pieces(&all, cuts).into_iter().zip(plan.unheard.iter().cycle()) {
                deliver(&world, piece, plan.spacing).await;
                if *unheard {
                    deliver(&world, piece, plan.spacing).await;
                }
            }
            // Everything once more, cut differently.
            let cuts = plan.cuts.iter().rev().map(|cut| cut + 1).cycle();
            for piece in pieces(&all, cuts) {
                deliver(&world, piece, plan.spacing).await;
            }
            world.until_done(all.len()).await;
            sleep(Duration::from_mins(1)).await;
            prop_assert!(world.is_done(all.len()));
            Ok(())
        })?;
    }
}
