//! Transfers as people experience them, over real HTTP: the default bot and desk on the simulated platform.

use std::time::Duration;

use messenger_handover::handover::Handover;
use messenger_handover::id::AppId;
use messenger_handover::policy::ThreadControlPolicy::{self, BotPrimary, EdPrimary, NoPrimary};
use messenger_handover::routes::BodyLimits;
use messenger_handover::thread::{Note, Target};
use messenger_handover::webhook::dangerous_parse_unverified;
use messenger_sim::{self as sim, Rules, Server};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use crate::hosts::agent_desk::settings::serve::{self, Limits};
use crate::hosts::{self, agent_desk, bot as shipped};
use crate::world::{
    BOT, BOT_SECRET, BOT_TOKEN, DESK, DESK_SECRET, DESK_TOKEN, PAGE, VERIFY_TOKEN, bot, desk, thread,
};

const QUIET: Duration = Duration::from_millis(150);

struct Shop {
    sim: Server,
    bots: Handover,
    desk_url: Url,
    agent: reqwest::Client,
}

async fn serve(router: axum::Router) -> Url {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(serve::serve(listener, router, Limits::default(), std::future::pending()));
    url
}

impl Shop {
    async fn open(rules: Rules, policy: ThreadControlPolicy) -> Self {
        let platform = sim::Platform::new()
            .with_app(sim::App::new(BOT, "Bot", BOT_SECRET, VERIFY_TOKEN))
            .with_app(sim::App::new(DESK, "Desk", DESK_SECRET, VERIFY_TOKEN).may_take(true))
            .with_page(sim::Page::new(PAGE, rules).app(BOT, BOT_TOKEN).app(DESK, DESK_TOKEN));
        let sim = Server::start(platform).await.unwrap();
        let graph: Url = sim.url().parse().unwrap();
        let settings = |app: AppId, desk_url| hosts::settings(&app, policy, &graph, desk_url);
        let bodies = BodyLimits::default();
        let (router, _) = agent_desk::router(&settings(desk(), None), hosts::a_store(), bodies).unwrap();
        let desk_url = serve(router).await;
        let (router, bots) =
            shipped::router(&settings(bot(), Some(&desk_url)), hosts::a_store(), bodies).unwrap();
        let bot_url = serve(router).await;
        for (app, url) in [(bot(), &bot_url), (desk(), &desk_url)] {
            sim.set_callback(&app, url.join("webhook").unwrap());
            sim.verify_webhook(&app).await.unwrap();
        }
        let agent = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { sim, bots, desk_url, agent }
    }

    /// The customer's view of the conversation, once both hosts are at rest.
    async fn reads(&self) -> Vec<String> {
        assert!(self.sim.settled(Duration::from_secs(10)).await);
        let mut last = Vec::new();
        for _ in 0..100 {
            tokio::time::sleep(QUIET).await;
            assert!(self.sim.settled(Duration::from_secs(10)).await);
            let said = self.sim.conversation(&thread().page, &thread().user);
            let said: Vec<_> = said.iter().filter_map(|said| said.text().map(str::to_owned)).collect();
            if said == last && self.bots.threads_needing_attention(None, 1).await.unwrap().is_empty() {
                return said;
            }
            last = said;
        }
        panic!("it never ends: {last:?}");
    }

    async fn customer_writes(&self, text: &str) -> Vec<String> {
        self.sim.customer_writes(&thread().page, &thread().user, text);
        self.reads().await
    }

    fn owner(&self) -> Option<AppId> {
        self.sim.owner(&thread().page, &thread().user)
    }

    async fn agent(&self, action: &str, text: &'static str) {
        let url = self.desk_url.join(&format!("agent/{}/{action}", thread().user)).unwrap();
        let answer = self.agent.post(url).body(text).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    async fn shown(&self) -> Value {
        let url = self.desk_url.join(&format!("agent/{}", thread().user)).unwrap();
        let shown = self.agent.get(url).send().await.unwrap();
        serde_json::from_slice(&shown.bytes().await.unwrap()).unwrap()
    }
}

const PERSON: &str = "a person please";
const WILL_COME: &str = "I am a bot. A colleague will be with you in a moment.";

/// After the customer asks for a person, the bot stays silent until people are done, under all policies and rules.
#[tokio::test]
async fn people_keep_a_customer_who_asked_for_a_person() {
    for (rules, policy) in [
        (Rules::primary(BOT), BotPrimary),
        (Rules::primary(DESK), EdPrimary),
        (Rules::no_primary(), NoPrimary),
        (Rules::default_app(BOT), BotPrimary),
        (Rules::default_app(DESK), EdPrimary),
        (Rules::zero_config(), NoPrimary),
    ] {
        let case = format!("{policy} under {rules:?}");
        let shop = Shop::open(rules, policy).await;
        assert_eq!(shop.customer_writes(PERSON).await, [PERSON, WILL_COME], "{case}");
        assert_eq!(shop.owner(), Some(desk()), "{case}");
        let waits = [PERSON, WILL_COME, "are you there?"];
        assert_eq!(shop.customer_writes("are you there?").await, waits, "{case}");
        let shown = shop.shown().await;
        assert_eq!(
            (&shown["owner"], &shown["waiting_for_people"]),
            (&json!("us"), &json!(true)),
            "{case}: {shown}"
        );
        assert_eq!(shown["unanswered"], json!(["are you there?"]), "{case}");

        shop.agent("open", "").await;
        shop.agent("answer/ticket-7", "yes").await;
        let said = shop.reads().await;
        assert_eq!(said.last().unwrap(), "yes", "{case}");
        let shown = shop.shown().await;
        assert_eq!(shown["sent"], json!([{"key": "ticket-7", "state": "sent", "reason": null}]), "{case}");
        assert_eq!(
            (&shown["unanswered"], &shown["waiting_for_people"]),
            (&json!([]), &json!(false)),
            "{case}"
        );
        shop.agent("close", "").await;
        shop.reads().await;
        // Engage Digital notifies the bot that the intervention is closed.
        shop.bots.intervention_closed(&thread(), None).await.unwrap();
        shop.reads().await;
        let said = shop.customer_writes("hello again").await;
        assert!(said.last().unwrap().contains("You wrote \"hello again\""), "{case}: {said:?}");
    }
}

/// The bot's note and categories reach the agents, through Graph and through Engage Digital's endpoint.
#[tokio::test]
async fn people_see_the_note_of_the_bot() {
    let shop = Shop::open(Rules::primary(BOT), BotPrimary).await;
    shop.customer_writes(PERSON).await;
    let events = shop.shown().await["events"].to_string();
    assert!(events.contains("control gained: the customer asked for a person"), "{events}");

    shop.bots.resume_bot(&thread()).await.unwrap();
    shop.agent("close", "").await;
    shop.customer_writes("hello").await;
    let note = Note::new("angry").with_categories(["42", "43"]);
    shop.bots.hand_over_with_note(&thread(), Target::Desk, note).await.unwrap();
    shop.reads().await;
    let events = shop.shown().await["events"].to_string();
    assert!(events.contains("control gained: angry") && events.contains("BotToAgent 42 43"), "{events}");
}

/// The shop's owner writes from the phone app, which has no app id and needs no control.
#[tokio::test]
async fn people_in_the_phone_app_silence_the_bot() {
    let shop = Shop::open(Rules::primary(BOT), BotPrimary).await;
    assert_eq!(shop.customer_writes("hello").await.len(), 2);
    let echo = json!({"object": "page", "entry": [{"id": thread().page, "messaging": [{
        "sender": {"id": thread().page}, "recipient": {"id": thread().user}, "timestamp": u64::MAX / 4,
        "message": {"mid": "m_maria", "is_echo": true, "text": "this is Maria, let me look"}}]}]});
    let delivery = dangerous_parse_unverified(echo.to_string().as_bytes()).unwrap();
    shop.bots.receive(delivery).await.unwrap();
    let said = shop.customer_writes("thank you Maria").await;
    assert_eq!(said.last().unwrap(), "thank you Maria");
}
