//! A machine's clock that is hours off is logged once as a warning, and no message fails because of it.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use messenger_handover::control::HandoverClient;
use messenger_handover::event::{Channel, Event, EventKind};
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{Clock, Handover, SystemClock};
use messenger_handover::id::PageId;
use messenger_handover::policy::ThreadControlPolicy::{BotPrimary, EdPrimary, NoPrimary};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::thread::Notice;
use messenger_handover::time::Span;
use messenger_sim::{ApiCall, Rules};
use serde_json::json;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::world::{BOT, DESK, Ear, PAGE, Setup, World, bot, desk, thread};

const HOURS: Duration = Duration::from_hours(2);

/// The log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn listen() -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false);
        let guard = tracing::subscriber::set_default(subscriber.with_writer(log.clone()).finish());
        (log, guard)
    }

    fn about_the_clock(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains("clock")).map(str::to_owned).collect()
    }
}

/// A mock of Graph whose clock shows this time.
async fn graph_at(time: Option<SystemTime>) -> (MockServer, GraphClient) {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_json(json!({"data": []}));
    let answer = match time {
        Some(time) => answer.insert_header("date", httpdate::fmt_http_date(time)),
        None => answer.insert_header("date", "yesterday"),
    };
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let client = GraphClient::builder().base_url(server.uri().parse().unwrap());
    (server, client.page(PageId::from(PAGE), "token".into()).build().unwrap())
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the clocks are what is tested")]
async fn clock_hours_off_graphs_is_warned_of_once() {
    let now = SystemTime::now();
    for (graphs, words) in [
        (
            Some(now - HOURS - Duration::from_secs(10)),
            Some("this machine's clock is 2 h 0 min ahead of Graph's"),
        ),
        (
            Some(now + HOURS + Duration::from_secs(50)),
            Some("this machine's clock is 2 h 0 min behind Graph's"),
        ),
        (Some(now), None),
        (None, None),
    ] {
        let (log, _guard) = Log::listen();
        let (_server, client) = graph_at(graphs).await;
        for _ in 0..50 {
            client.thread_owner(&thread()).await.unwrap();
        }
        let warned = log.about_the_clock();
        assert_eq!(warned.len(), usize::from(words.is_some()), "{warned:?}");
        assert!(
            words.is_none_or(|words| warned[0].contains("WARN") && warned[0].contains(words)),
            "{warned:?}"
        );
    }
}

#[tokio::test]
async fn clock_behind_the_stamps_of_events_is_warned_of_once() {
    let now = SystemClock.now();
    for (stamp, words) in [
        (
            now.plus(HOURS + Duration::from_secs(10)),
            Some("this machine's clock is 2 h 0 min behind the platform's"),
        ),
        (now.plus(Duration::from_mins(4)), None),
        // The same event, redelivered.
        (now.minus(HOURS), None),
    ] {
        let (log, _guard) = Log::listen();
        let (_server, client) = graph_at(None).await;
        let policy = ThreadControlPolicy::BotPrimary;
        let handover = Handover::builder(bot(), Role::Bot, policy, Arc::new(client), Ear::default());
        let handover = handover.start().unwrap();
        for number in 0..20 {
            let at = Span::at(stamp.plus(Duration::from_millis(number)));
            let read = EventKind::Read { watermark: None, mid: None };
            let event = Event::new(Channel::Messaging, at, read);
            handover.events(vec![(thread(), event)]).await.unwrap();
        }
        let warned = log.about_the_clock();
        assert_eq!(warned.len(), usize::from(words.is_some()), "{warned:?}");
        assert!(
            words.is_none_or(|words| warned[0].contains("WARN") && warned[0].contains(words)),
            "{warned:?}"
        );
    }
}

/// No message fails because of the clock, although the platform's timestamps then look older than every message.
#[tokio::test]
async fn clocks_ahead_fail_no_message() {
    for ahead in [Duration::ZERO, Duration::from_hours(2), Duration::from_hours(30)] {
        for (rules, policy) in [
            (Rules::primary(BOT), BotPrimary),
            (Rules::primary(DESK), EdPrimary),
            (Rules::no_primary(), NoPrimary),
        ] {
            let mut setup = Setup::new(rules, policy);
            setup.ahead = ahead;
            // With this timeout the test fails if a grant is ignored.
            setup.timeouts.grant = Duration::from_mins(1);
            let world = World::start(setup).await;
            for round in 0..6 {
                world.customer_writes("hello");
                world.rest().await;
                let by = world.owner().unwrap_or_else(bot);
                if by != bot() || world.owner().is_none() {
                    let pass = ApiCall::Pass { user: thread().user, target: Some(bot()), metadata: None };
                    world.sim.with_platform(|platform, now| {
                        platform.call(&by, &thread().page, &pass, now).unwrap()
                    });
                    world.rest().await;
                }
                let (key, case) = (format!("{round}"), format!("{policy}, {ahead:?}, {round}"));
                world.desk.send(&key).await.unwrap();
                world.until(&case, |world| world.conversation().contains(&key)).await;
                world.rest().await;
                assert_eq!(world.owner(), Some(desk()), "{case}");
                if round % 2 == 0 {
                    world.desk.handover.close_intervention(&thread()).await.unwrap();
                    world.rest().await;
                }
            }
            let failed = |notice: &Notice| matches!(notice, Notice::MessageFailed { .. });
            assert!(!world.desk.ear.heard(failed), "{policy}, {ahead:?}: {:?}", world.desk.ear.all());
        }
    }
}
