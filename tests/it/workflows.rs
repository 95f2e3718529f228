//! The four workflows of Engage Digital's documentation (docs/protocol.md#ed-workflows), as the quickstart plays them.

use messenger_sim::RequestUnderDefaultApp::Refused;

#[path = "../../examples/quickstart/diagram.rs"]
mod diagram;
#[path = "../../examples/quickstart/plays.rs"]
mod plays;
#[path = "../../examples/quickstart/stage.rs"]
mod stage;

async fn play(name: &str) -> plays::Played {
    let played = plays::run(name, Refused).await.expect("a workflow of this name").unwrap();
    assert_eq!(played.deviations, Vec::<String>::new(), "{}", diagram::text(&played.arrows));
    assert_eq!(played.conversation.len(), 3, "{:?}", played.conversation);
    played
}

macro_rules! workflows {
    ($($test:ident: $name:literal,)*) => {
        $(#[tokio::test]
        async fn $test() {
            assert!(plays::NAMES.contains(&$name));
            play($name).await;
        })*
    };
}

workflows! {
    handover_bot_primary: "handover-bot-primary",
    handover_ed_primary: "handover-ed-primary",
    handover_no_primary: "handover-no-primary",
    handover_agent_interrupts_bot: "handover-agent-interrupts-bot",
    routing_bot_primary: "routing-bot-primary",
    routing_ed_primary: "routing-ed-primary",
    routing_no_primary: "routing-no-primary",
    routing_agent_interrupts_bot: "routing-agent-interrupts-bot",
}

/// The check detects a step that is missing, repeated or out of order.
#[tokio::test]
async fn workflows_detect_deviations_and_draw_every_arrow() {
    let played = play("handover-bot-primary").await;
    let steps: Vec<_> =
        played.arrows.iter().filter(|arrow| arrow.kind == diagram::Kind::Step).cloned().collect();
    let expected: Vec<_> = steps
        .iter()
        .map(|arrow| format!("{} > {}: {}", arrow.from.name(), arrow.to.name(), arrow.label))
        .collect();
    assert_eq!(plays::compare(&steps, &expected), None);
    for at in 0..steps.len() {
        let (mut lost, mut doubled) = (steps.clone(), steps.clone());
        lost.remove(at);
        doubled.insert(at, steps[at].clone());
        assert!(plays::compare(&lost, &expected).is_some(), "lost: {}", expected[at]);
        assert!(plays::compare(&doubled, &expected).is_some(), "doubled: {}", expected[at]);
        if at > 0 {
            let mut swapped = steps.clone();
            swapped.swap(at - 1, at);
            assert!(plays::compare(&swapped, &expected).is_some(), "swapped: {}", expected[at]);
        }
    }
    let (text, mermaid) = (diagram::text(&played.arrows), diagram::mermaid(&played.arrows));
    for arrow in &played.arrows {
        assert!(mermaid.contains(&arrow.label), "{}", arrow.label);
    }
    assert_eq!(text.lines().count(), 1 + 2 * played.arrows.len());
    assert!(mermaid.contains("ED->>Meta: request_thread_control\n"));
    assert!(mermaid.contains("Bot->>ED: POST /1.0/bots/handover?from=bot&to=agent\n"));
}
