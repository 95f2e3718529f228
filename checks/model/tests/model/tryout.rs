use crate::budget::Budget;
use crate::scene::{BOT, DESK, Scene};
use messenger_handover::id::PAGE_INBOX;
use messenger_handover::policy::ThreadControlPolicy::{BotPrimary, EdPrimary, NoPrimary};
use messenger_sim::Rules;
use stateright::{Checker, HasDiscoveries, Model};

#[test]
fn tryout() {
    let Ok(want) = std::env::var("TRY") else { return };
    let only = std::env::var("CONF").unwrap_or_default();
    let most: usize = std::env::var("MOST").map_or(1_000_000, |m| m.parse().unwrap());
    let configs = [
        ("bh", Rules::primary(BOT), BotPrimary),
        ("eh", Rules::primary(DESK), EdPrimary),
        ("nh", Rules::no_primary(), NoPrimary),
        ("br", Rules::default_app(BOT), BotPrimary),
        ("er", Rules::default_app(DESK), EdPrimary),
        ("nr", Rules::default_app(PAGE_INBOX), NoPrimary),
        ("bz", Rules::zero_config(), BotPrimary),
        ("ez", Rules::zero_config(), EdPrimary),
        ("nz", Rules::zero_config(), NoPrimary),
    ];
    if want == "all" {
        for (name, rules, policy) in &configs {
            if !only.is_empty() && !only.split(',').any(|c| c == *name) {
                continue;
            }
            let run = |story: &str, scene: Scene| {
                let shown = scene.clone();
                let begun = std::time::Instant::now();
                let checker = scene
                    .checker()
                    .threads(2)
                    .target_state_count(most)
                    .finish_when(HasDiscoveries::Any)
                    .spawn_dfs()
                    .join();
                let bad = checker.discoveries().keys().copied().collect::<Vec<_>>();
                println!(
                    "{name} {story}: {} {:.1}s{} {bad:?} {:?}",
                    checker.unique_state_count(),
                    begun.elapsed().as_secs_f32(),
                    if checker.state_count() < most { "" } else { " CUT" },
                    shown
                        .seen()
                        .into_iter()
                        .filter(|s| *s as usize > crate::seen::Seen::Unsent as usize)
                        .collect::<Vec<_>>()
                );
            };
            for (story, b) in crate::stories::INPUTS {
                run(story, Scene::new(rules.clone(), *policy, b));
            }
            for (story, b) in crate::stories::ENDPOINT_INPUTS {
                run(story, Scene::new(rules.clone(), *policy, b).endpoint());
            }
        }
        return;
    }
    for story in want.split(';') {
        let mut b = Budget::NONE;
        let mut endpoint = false;
        for part in story.split(',') {
            let (name, n) = part.split_once('=').unwrap_or((part, "1"));
            let n: u8 = n.parse().unwrap();
            match name {
                "endpoint" => endpoint = true,
                "customer" => b.customer = n,
                "unsends" => b.unsends = n,
                "bot" => b.bot = n,
                "desk" => b.desk = n,
                "replies" => b.replies = n,
                "farewells" => b.farewells = n,
                "interventions" => b.interventions = n,
                "persons" => b.persons = n,
                "backs" => b.backs = n,
                "inbox" => b.inbox = n,
                "days" => b.days = n,
                "claims" => b.claims = n,
                "releases" => b.releases = n,
                "br" => b.bot_reports = n,
                "dr" => b.desk_reports = n,
                "decisions" => b.decisions = n,
                "cancels" => b.cancels = n,
                "resumes" => b.resumes = n,
                "asks" => b.handler_asks = n,
                "bf" => b.bot_faults = n,
                "df" => b.desk_faults = n,
                "late" => b.late = n,
                "losses" => b.losses = n,
                "crashes" => b.crashes = n,
                "bx" => b.bot_failures = n,
                "dx" => b.desk_failures = n,
                "delays" => b.delays = n,
                other => panic!("{other}"),
            }
        }
        for (name, rules, policy) in &configs {
            if !only.is_empty() && !only.split(',').any(|c| c == *name) {
                continue;
            }
            let mut scene = Scene::new(rules.clone(), *policy, b);
            if endpoint {
                scene = scene.endpoint();
            }
            let shown = scene.clone();
            let begun = std::time::Instant::now();
            let options = |scene: Scene| {
                scene.checker().threads(2).target_state_count(most).finish_when(HasDiscoveries::Any)
            };
            let checker = options(scene).spawn_dfs().join();
            let mut bad = String::new();
            if !checker.discoveries().is_empty() {
                let found = options(shown.clone()).spawn_bfs().join().discoveries();
                let (property, path) = found.into_iter().chain(checker.discoveries()).next().unwrap();
                let last = path.last_state().broken;
                bad = format!(" VIOLATION {property}: {last:?}\n{}", shown.draw(path.into_actions()));
            }
            let cut = if checker.state_count() < most { "" } else { " CUT" };
            println!(
                "{name} {story}: {} {:.1}s{cut} {:?}{bad}",
                checker.unique_state_count(),
                begun.elapsed().as_secs_f32(),
                shown
                    .seen()
                    .into_iter()
                    .filter(|s| *s as usize > crate::seen::Seen::Unsent as usize)
                    .collect::<Vec<_>>()
            );
        }
    }
}
