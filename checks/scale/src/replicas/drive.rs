//! One run: customers write in the order of time, agents act, webhooks go out, in slices of virtual time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use messenger_handover::handover::{BoxError, Handler};
use messenger_handover::id::AppId;
use messenger_sim::{self as sim, Platform, Rules};
use tokio::time::{sleep, timeout};

use super::Options;
use super::agents::{Agents, Office};
use super::ground::{BOT, DESK, Ground, PAGE, page, thread};
use super::hosts::{Bot, Desk, Host};
use super::judge::{self, Verdict};
use super::ledger::{Ledger, Side};
use super::post::{self, Sums};
use super::report::{Figures, Memory};
use crate::memory;

/// A slice of virtual time, in milliseconds. Webhooks of one slice share deliveries.
const SLICE: u32 = 10;
/// The run has settled when nothing has been under way for this virtual time.
const QUIET: Duration = Duration::from_mins(2);
/// Nothing may take longer after the last customer has written.
const PATIENCE: Duration = Duration::from_hours(1);

fn platform() -> Platform {
    Platform::new()
        .with_app(sim::App::new(BOT, "Bot", "s", "v"))
        .with_app(sim::App::new(DESK, "Desk", "s", "v"))
        .with_page(sim::Page::new(PAGE, Rules::primary(BOT)).app(BOT, "b").app(DESK, "d"))
}

struct World {
    ground: Arc<Ground>,
    office: Arc<Office>,
    options: Options,
    sums: Sums,
    /// The number of the next message.
    next: u32,
}

impl World {
    fn start(options: Options) -> Result<Self, BoxError> {
        let mut rng = Rng::with_seed(options.seed);
        let ledger = Ledger::plan(&options, &mut rng);
        let ground = Arc::new(Ground::new(platform(), rng, ledger));
        let agents = Arc::new(Agents::default());
        let bot: Arc<dyn Handler> = Arc::new(Bot(Arc::clone(&ground)));
        let desk: Arc<dyn Handler> =
            Arc::new(Desk { ground: Arc::clone(&ground), agents: Arc::clone(&agents) });
        let bot = Arc::new(Host::start(Side::Bot, &options, &ground, &bot)?);
        let desk = Arc::new(Host::start(Side::Desk, &options, &ground, &desk)?);
        let office = Arc::new(Office { ground: Arc::clone(&ground), agents, desk, bot });
        Ok(Self { ground, office, options, sums: Sums::default(), next: 0 })
    }

    /// The customers whose time has come write.
    fn write(&mut self, now: u32) {
        loop {
            let (key, text) = {
                let mut ledger = self.ground.ledger();
                let Some(message) = ledger.message(self.next).filter(|message| message.written <= now) else {
                    return;
                };
                // It is written now, and not at the moment within the slice for which it was planned.
                message.written = now;
                (thread(message.conversation), ledger.text(self.next))
            };
            let owner = self.ground.platform(|platform, now| {
                platform.customer_writes(&page(), &key.user, &text, now);
                platform.owner(&page(), &key.user, now)
            });
            if let Some(message) = self.ground.ledger().message(self.next) {
                message.owner = owner.and_then(side_of);
            }
            self.next += 1;
        }
    }

    /// One slice: everything that is due now happens.
    fn slice(&mut self) {
        let now = self.ground.now();
        let (ground, core) = (Arc::clone(&self.ground), self.ground.core.total());
        let begun = Instant::now();
        self.write(now);
        while let Some((conversation, act)) = self.office.agents.due(now) {
            tokio::spawn(Arc::clone(&self.office).act(conversation, act));
        }
        let hosts = [&self.office.bot, &self.office.desk];
        post::send_out(&ground, hosts, self.options.broken, &mut self.sums);
        let core = ground.core.total().saturating_sub(core);
        ground.own.add(begun.elapsed().saturating_sub(core));
    }

    /// The moment of the next act of a customer or an agent.
    fn next_act(&self) -> Option<u32> {
        let written = self.ground.ledger().message(self.next).map(|message| message.written);
        written.into_iter().chain(self.office.agents.next()).min()
    }

    /// Runs until everything is written and nothing is under way. Returns whether that happened in time.
    async fn play(&mut self) -> bool {
        let mut quiet_since = 0;
        let end = u32::try_from((self.options.lasts + PATIENCE).as_millis()).unwrap_or(u32::MAX);
        loop {
            self.slice();
            let now = self.ground.now();
            let next = self.next_act();
            if next.is_some() || self.ground.under_way() > 0 {
                quiet_since = now;
            }
            if u128::from(now - quiet_since) > QUIET.as_millis() {
                return true;
            }
            if now > end {
                return false;
            }
            // The next slice, or the first in which something happens.
            let until = next.unwrap_or(now + 1_000).saturating_sub(now).max(SLICE);
            let idle = Duration::from_millis((until - SLICE).into());
            // A signal of this slice's own acts counts too, because webhooks may have become due by them.
            let _ = timeout(idle, self.ground.posted.notified()).await;
            sleep(Duration::from_millis(SLICE.into())).await;
        }
    }
}

pub fn side_of(app: AppId) -> Option<Side> {
    match app {
        app if app == AppId::from(BOT) => Some(Side::Bot),
        app if app == AppId::from(DESK) => Some(Side::Desk),
        _ => None,
    }
}

pub async fn run(options: Options) -> Result<Figures, BoxError> {
    let begun = Instant::now();
    let mut world = World::start(options)?;
    let before = memory::resident();
    let (cpu, played) = (memory::cpu(), Instant::now());
    let settled = world.play().await;
    let (cpu, played) = (memory::cpu().saturating_sub(cpu), played.elapsed());
    let virtual_ms = world.ground.now();
    let World { ground, office, sums, .. } = world;
    let (core, own) = (ground.core.total(), ground.own.total());
    let verdict: Verdict = judge::judge(&ground, &office, options.conversations, settled).await?;
    let (bot, desk) = (&office.bot, &office.desk);
    let replicas = bot.replicas.iter().chain(&desk.replicas);
    let stats = replicas.map(|replica| replica.handover.stats()).collect();
    let counts = [Arc::clone(&bot.counts), Arc::clone(&desk.counts)];
    let (end, all) = (memory::resident(), memory::allocated());
    drop(office);
    // The replicas' tasks end.
    sleep(Duration::from_mins(1)).await;
    let without_hosts = memory::allocated();
    ground.drop_platform();
    let without_platform = memory::allocated();
    let hosts = all.zip(without_hosts).map(|(all, without)| all.saturating_sub(without));
    let platform = without_hosts.zip(without_platform).map(|(all, without)| all.saturating_sub(without));
    let memory = Memory { before, end, peak: memory::peak(), hosts, platform };
    let wall = begun.elapsed();
    Ok(Figures { options, verdict, stats, counts, sums, memory, wall, played, cpu, core, own, virtual_ms })
}
