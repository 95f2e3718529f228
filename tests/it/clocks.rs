//! Hosts whose clocks are hours off.

use std::time::Duration;

use messenger_handover::policy::ThreadControlPolicy::{BotPrimary, EdPrimary, NoPrimary};
use messenger_handover::sim::{ApiCall, Rules};
use messenger_handover::thread::Notice;

use crate::world::{BOT, DESK, Setup, World, bot, desk, thread};

/// No agent's answer fails because of the clock: what the platform stamps seems to be older than all its answers then.
#[tokio::test]
async fn clocks_ahead_fail_no_answer() {
    for ahead in [Duration::ZERO, Duration::from_hours(2), Duration::from_hours(30)] {
        for (rules, policy) in [
            (Rules::primary(BOT), BotPrimary),
            (Rules::primary(DESK), EdPrimary),
            (Rules::no_primary(), NoPrimary),
        ] {
            let mut setup = Setup::new(rules, policy);
            setup.ahead = ahead;
            // So that a grant which is not believed shows.
            setup.timeouts.grant = Duration::from_secs(60);
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
            let failed = |notice: &Notice| matches!(notice, Notice::AnswerFailed { .. });
            assert!(!world.desk.ear.heard(failed), "{policy}, {ahead:?}: {:?}", world.desk.ear.all());
        }
    }
}
