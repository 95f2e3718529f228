//! Tests of Meta's own apps (docs/protocol.md#lead-ads, docs/protocol.md#meta-ai).

use super::*;

#[test]
fn a_lead_ad_asks_in_silence_and_hands_over_with_its_outcome() {
    for rules in [Rules::default_app(BOT), Rules::zero_config(), Rules::primary(BOT)] {
        let mut world = world(rules);
        let (page, user) = (page(), user());
        world.platform.lead_ad_begins(&page, &user, world.now).unwrap();
        world.platform.customer_writes(&page, &user, "A. Person", world.now);
        assert!(world.platform.take_outgoing().is_empty(), "nobody is told anything");
        for call in [send("hi"), take(), request(), release(), pass(Some(BOT))] {
            assert_eq!(world.call(BOT, &call).unwrap_err().subcode, Some(2_018_321), "{call:?}");
        }
        let (to, now) = (Some(AppId::from(DESK)), world.now);
        world.platform.lead_ad_ends(&page, &user, true, to.as_ref(), Some("Name: A. Person"), now).unwrap();
        assert_eq!(world.platform.owner(&page, &user, world.now), to);
        let told = world.platform.take_outgoing();
        assert_eq!(told.iter().map(|one| one.label).collect::<Vec<_>>(), ["pass_thread_control", "message"]);
        assert!(told.iter().all(|one| one.app == AppId::from(DESK)));
        assert_eq!(
            told[0].item["pass_thread_control"],
            json!({"previous_owner_app_id": LEAD_APP, "new_owner_app_id": DESK,
                "metadata": "messenger_lead_gen_complete"})
        );
        assert_eq!(told[0].hop_context.as_ref().unwrap()[0]["app_id"], LEAD_APP);
        assert_eq!(told[1].item["timestamp"], world.now.as_millis() / 1000);
        assert_eq!(told[1].item["hop_context"]["metadata"], "messenger_lead_gen_complete");
        let said = world.platform.conversation(&page, &user);
        assert_eq!(said.last().unwrap().text(), Some("A. Person"), "the summary stands in no conversation");
        assert!(world.platform.lead_ad_ends(&page, &user, true, None, None, world.now).is_err());
    }
    let mut world = world(Rules::default_app(BOT));
    world.platform.lead_ad_begins(&page(), &user(), world.now).unwrap();
    world.platform.lead_ad_ends(&page(), &user(), false, None, None, world.now).unwrap();
    assert_eq!(world.platform.owner(&page(), &user(), world.now), None);
    assert!(world.platform.take_outgoing().is_empty());
}

#[test]
fn the_inbox_can_always_grab_a_thread_from_a_lead_ad() {
    let mut world = world(Rules::default_app(BOT));
    world.platform.lead_ad_begins(&page(), &user(), world.now).unwrap();
    world.platform.inbox_replies(&page(), &user(), "I am a person.", world.now).unwrap();
    assert_eq!(world.platform.owner(&page(), &user(), world.now), Some(AppId::from(INBOX)));
}

#[test]
fn the_ai_takes_four_times_in_seconds_answers_as_the_inbox_and_leaves_in_words() {
    let mut world = world(Rules::zero_config()).owned_by(Some(BOT));
    drop(world.platform.take_outgoing());
    world.platform.ai_takes(&page(), &user(), world.now).unwrap();
    let told = world.platform.take_outgoing();
    assert_eq!(told.len(), 4);
    assert!(told.iter().all(|one| one.app == AppId::from(BOT) && one.item == told[0].item));
    assert_eq!(told[0].item["timestamp"], world.now.as_millis() / 1000);
    let body = &told[0].item["take_thread_control"];
    assert_eq!(body["new_owner_app_id"], AI_APP.to_string());
    assert_eq!(body["metadata"], "axon_take_thread_control");

    // A request to the AI succeeds without effect (docs/protocol.md#request).
    assert!(world.call(DESK, &request()).is_ok());
    assert!(world.platform.take_outgoing().is_empty());
    assert_eq!(world.call(BOT, &send("hi")).unwrap_err().subcode, Some(2_018_300));
    world.platform.ai_answers(&page(), &user(), "I am an AI.", world.now).unwrap();
    let told = world.platform.take_outgoing();
    assert!(told.iter().all(|one| one.channel == Channel::Standby), "{told:?}");
    assert_eq!(told[0].item["message"]["ai_generated"], true);
    assert_eq!(told[0].item["message"]["app_id"], INBOX);
    assert_eq!(told[0].hop_context, Some(json!({"is_ai_thread_owner": true})));
    world.platform.ai_leaves(&page(), &user(), "The AI has left.", world.now).unwrap();
    let told = world.platform.take_outgoing();
    assert!(told.iter().all(|one| one.label == "echo" && one.item["message"]["admin_text"].is_object()));
    assert!(world.platform.ai_leaves(&page(), &user(), "again", world.now).is_err());
}
