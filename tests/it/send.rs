use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use messenger_handover::call::{AnswerKey, OutgoingMessage};
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{BoxError, Handler, Handover, Told};
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::sim::{App, Page, Platform, Rules, Server};
use messenger_handover::thread::AnswerStatus;

struct Silent;

#[async_trait]
impl Handler for Silent {
    async fn told(&self, _: &Handover, _: &Told) -> Result<(), BoxError> {
        Ok(())
    }
}

/// The agent's message sent while the bot has control is refused (#10), control is taken, and the
/// message is sent again; closing the intervention releases.
#[tokio::test]
async fn ed_primary_takes_and_sends_again_and_releases() {
    let (page, user) = (PageId::from(10), UserId::from(77));
    let (ed, bot) = (AppId::from(1), AppId::from(2));
    let platform = Platform::new()
        .with_app(App::new(ed.clone(), "ED", "ed-secret", "verify"))
        .with_app(App::new(bot.clone(), "Bot", "bot-secret", "verify"))
        .with_page(
            Page::new(page.clone(), Rules::primary(ed.clone()))
                .app(ed.clone(), "ED_TOKEN")
                .app(bot, "BOT_TOKEN"),
        );
    let sim = Server::start(platform).await.unwrap();
    sim.customer_writes(&page, &user, "hello");
    let graph =
        GraphClient::builder().base_url(sim.url().parse().unwrap()).page(page.clone(), "ED_TOKEN".into());
    let graph = Arc::new(graph.build().unwrap());
    // ED owns the thread by now; the bot gets it.
    let thread = ThreadKey::new(page.clone(), user.clone());
    let handover = Handover::builder(ed, Role::Desk, ThreadControlPolicy::EdPrimary, graph.clone(), Silent)
        .start()
        .unwrap();
    messenger_handover::control::HandoverClient::pass_thread_control(
        &*graph,
        &thread,
        Some(&AppId::from(2)),
        None,
    )
    .await
    .unwrap();
    let keys = ["a", "b", "c"].map(|key| AnswerKey::new(key).unwrap());
    for key in &keys {
        handover.send(&thread, key.clone(), OutgoingMessage::text(key.as_str()).unwrap()).await.unwrap();
    }
    handover.close_intervention(&thread).await.unwrap();
    for _ in 0..200 {
        if sim.owner(&page, &user).is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let read: Vec<_> =
        sim.conversation(&page, &user).iter().filter_map(|said| said.text().map(str::to_owned)).collect();
    assert_eq!(read, ["hello", "a", "b", "c"]);
    assert_eq!(sim.owner(&page, &user), None, "released");
    let status = handover.answer(&thread, &keys[2]).await.unwrap();
    assert!(matches!(status, Some(AnswerStatus::Delivered { mid: Some(_), .. })), "{status:?}");
}
