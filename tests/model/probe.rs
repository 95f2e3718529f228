use super::*;
#[test]
fn probe() {
    let Ok(spec) = std::env::var("PROBE") else { return };
    for one in spec.split(';') {
        let mut budget = Budget::default();
        let (mut rules, mut policy, mut ep) = (Rules::primary(BOT), BotPrimary, false);
        for word in one.split(',') {
            let (name, n) = word.split_once('=').unwrap_or((word, "1"));
            let n: u8 = n.parse().unwrap_or(1);
            match name {
                "c" => budget.customer = n,
                "b" => budget.bot = n,
                "d" => budget.desk = n,
                "f" => budget.farewells = n,
                "i" => budget.interventions = n,
                "p" => budget.persons = n,
                "k" => budget.backs = n,
                "x" => budget.inbox = n,
                "y" => budget.days = n,
                "bf" => budget.bot_faults = n,
                "df" => budget.desk_faults = n,
                "l" => budget.late = n,
                "z" => budget.losses = n,
                "cr" => budget.crashes = n,
                "ed" => (rules, policy) = (Rules::primary(DESK), EdPrimary),
                "no" => (rules, policy) = (Rules::no_primary(), NoPrimary),
                "rb" => (rules, policy) = (Rules::default_app(BOT), BotPrimary),
                "rd" => (rules, policy) = (Rules::default_app(DESK), EdPrimary),
                "zc" => (rules, policy) = (Rules::zero_config(), NoPrimary),
                "bp" => {}
                "ep" => ep = true,
                other => panic!("{other}"),
            }
        }
        let mut scene = Scene::new(rules, policy, budget);
        if !ep {
            scene = scene.without_endpoint();
        }
        let one = one.to_owned();
        if let Err(why) = std::panic::catch_unwind(move || explore(&one, scene)) {
            let text = why.downcast_ref::<String>().unwrap();
            println!("FAIL {text}");
        }
    }
}
