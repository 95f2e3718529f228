//! Tests of webhook bodies and subscriptions (docs/protocol.md#webhook-envelope, docs/protocol.md#page-subscriptions).

use super::*;

#[test]
fn control_events_look_like_the_samples() {
    let mut world = world(Rules::primary(BOT)).owned_by(Some(DESK));
    let take = ApiCall::Take { user: user(), metadata: Some("why".to_owned()) };
    world.call(BOT, &take).unwrap();
    let stamp = world.now.as_millis();
    let told = world.platform.take_outgoing();
    assert_eq!(
        told[0].item,
        json!({
            "sender": {"id": "9"}, "recipient": {"id": "7"}, "timestamp": stamp,
            "take_thread_control":
                {"previous_owner_app_id": "2", "new_owner_app_id": 1, "metadata": "why"},
        })
    );
    world.call(BOT, &pass(Some(DESK))).unwrap();
    let told = world.platform.take_outgoing();
    let body = json!({"previous_owner_app_id": "1", "new_owner_app_id": "2"});
    assert_eq!(told[0].item["pass_thread_control"], body);
    world.call(DESK, &release()).unwrap();
    world.call(DESK, &pass(Some(DESK))).unwrap();
    let told = world.platform.take_outgoing();
    let body = json!({"previous_owner_app_id": null, "new_owner_app_id": "2"});
    assert_eq!(told[0].item["pass_thread_control"], body);
}

#[test]
fn an_echo_repeats_the_message_with_its_metadata() {
    let mut world = world(Rules::primary(BOT)).owned_by(Some(BOT));
    let ApiAnswer::Sent { mid, .. } = world.call(BOT, &send("hi")).unwrap() else { panic!("not sent") };
    let stamp = world.now.as_millis();
    let told = world.platform.take_outgoing();
    assert_eq!(
        told[0].item,
        json!({
            "sender": {"id": "7"}, "recipient": {"id": "9"}, "timestamp": stamp,
            "message": {"mid": mid, "is_echo": true, "app_id": 1, "text": "hi", "metadata": "k1"},
        })
    );
    let said = world.platform.conversation(&page(), &user()).last().unwrap().clone();
    assert_eq!((said.text(), &said.mid), (Some("hi"), &mid));
    assert_eq!(said.from, Speaker::App(AppId::from(BOT)));
}

#[test]
fn a_postback_on_standby_says_nothing_except_to_the_app_that_sent_the_button() {
    let mut world = world(Rules::primary(BOT)).owned_by(Some(BOT));
    let button = json!({"attachment": {"type": "template", "payload":
        {"template_type": "button", "text": "Yes?", "buttons": [{"type": "postback", "payload": "YES"}]}}});
    let call = ApiCall::Send {
        user: user(),
        message: button,
        messaging_type: None,
        tag: None,
        thread_control: None,
    };
    world.call(BOT, &call).unwrap();
    world.call(BOT, &pass(Some(DESK))).unwrap();
    let _ = world.told();
    world.platform.customer_presses(&page(), &user(), "Yes", "YES", world.now);
    let told = world.platform.take_outgoing();
    let seen: Vec<_> = told
        .iter()
        .map(|d| (d.channel, d.item["postback"]["payload"].as_str(), d.item["postback"]["title"].as_str()))
        .collect();
    let whole = (Channel::Messaging, Some("YES"), Some("Yes"));
    assert_eq!(seen, [whole, whole, (Channel::Standby, None, None)]);
}

#[test]
fn fields_decide_what_arrives() {
    let mut world = world(Rules::primary(BOT)).owned_by(Some(BOT));
    let mut subscribe = |app: u64, fields: &[&str]| {
        let app = std::sync::Arc::make_mut(&mut world.platform.apps).get_mut(&AppId::from(app)).unwrap();
        app.fields = fields.iter().map(|field| (*field).to_owned()).collect();
    };
    subscribe(BOT, &["messages", "message_deliveries", "message_reads"]);
    subscribe(DESK, &["messages", "message_echoes", "messaging_handovers"]);
    subscribe(THIRD, &["standby", "messages"]);
    world.call(BOT, &send("hi")).unwrap();
    assert_eq!(world.told(), ["1 messaging delivery"]);
    world.writes();
    assert_eq!(world.told(), ["1 messaging message", "3 standby message"]);
    world.platform.customer_reads(&page(), &user(), world.now);
    assert_eq!(world.told(), ["1 messaging read"]);
    world.call(DESK, &request()).unwrap();
    assert_eq!(world.told(), Vec::<String>::new(), "the bot has no messaging_handovers");
}

#[test]
fn an_echo_that_waits_can_be_lost_when_control_leaves() {
    let expected = [
        (Echoes::Always, vec!["1 messaging echo", "2 standby echo"]),
        (Echoes::LostWhenControlLeaves, vec!["2 standby echo"]),
    ];
    for (echoes, kept) in expected {
        let mut world = world(Rules::primary(BOT)).owned_by(Some(BOT));
        world.platform.switches.echoes = echoes;
        world.call(BOT, &send("hi")).unwrap();
        world.call(BOT, &pass(Some(DESK))).unwrap();
        let told = world.told();
        let told: Vec<_> =
            told.iter().filter(|told| told.ends_with("echo") && !told.starts_with('3')).collect();
        assert_eq!(told, kept.iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_customer_attaches_reacts_and_unsends() {
    let mut world = world(Rules::primary(BOT)).owned_by(Some(BOT));
    let fields = ["messages", "standby", "message_reactions"].map(str::to_owned).into();
    world.platform.set_fields(&AppId::from(BOT), fields);
    let (page, user, url) = (page(), user(), "https://example.com/cat.jpg");
    let mid = world.platform.customer_attaches(&page, &user, "image", url, world.now);
    let told = world.platform.take_outgoing();
    let message = json!({"mid": mid, "attachments": [{"type": "image", "payload": {"url": url}}]});
    assert_eq!((told[0].channel, &told[0].item["message"]), (Channel::Messaging, &message));

    let owner = world.platform.lease(&page, &user, world.now);
    world.tick();
    for (reaction, body) in [
        (Some("love"), json!({"mid": mid, "action": "react", "reaction": "love", "emoji": "\u{2764}"})),
        (Some("shrug"), json!({"mid": mid, "action": "react", "reaction": "other"})),
        (None, json!({"mid": mid, "action": "unreact"})),
    ] {
        world.platform.customer_reacts(&page, &user, &mid, reaction, world.now);
        let told = world.platform.take_outgoing();
        assert_eq!((told.len(), &told[0].item["reaction"]), (1, &body), "only the bot has the field");
        assert_eq!(world.platform.conversation(&page, &user).last().unwrap().reaction.as_deref(), reaction);
    }
    world.platform.customer_unsends(&page, &user, &mid, world.now);
    assert_eq!(world.told(), ["1 messaging message", "2 standby message", "3 standby message"]);
    assert!(world.platform.conversation(&page, &user).last().unwrap().unsent);
    assert_eq!(world.platform.lease(&page, &user, world.now), owner, "neither prolongs control");
}
