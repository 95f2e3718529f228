//! The steering calls that change Pages, people, apps and switches.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::extract::Path;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Change, Platforms, key, known_page, ok, read, refused};
use crate::platform::{Availability, INSTAGRAM_FIELDS, KNOWN_FIELDS, Restriction, Rules, Switches};
use crate::server::config::RuleSet;
use crate::server::state::Seen;
use messenger_handover::id::AppId;

/// A change of a Page. A missing field keeps its value; a `default_app` of null removes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageChange {
    rules: Option<RuleSet>,
    #[serde(default)]
    default_app: Change<AppId>,
    #[serde(default)]
    restriction: Change<Restriction>,
    hides_thread_owner: Option<bool>,
    ai_app: Option<AppId>,
}

pub(super) async fn change_page(shared: Platforms, Path(page): Path<String>, body: Bytes) -> Answer {
    let (page, change): (_, PageChange) = (known_page(&shared, &page)?, read(&body)?);
    let changed = shared.act(
        None,
        |platform, now| {
            let (old, first) = match platform.rules_of(&page) {
                Rules::Routing { default_app } => (RuleSet::Routing, default_app),
                Rules::Handover { primary } => (RuleSet::Handover, primary),
            };
            let first = match change.default_app {
                Change::Stays => first,
                Change::To(app) => app,
            };
            if let Some(app) = first.as_ref().filter(|app| !platform.is_connected(&page, app)) {
                return Err(format!("app {app} is not connected to the Page"));
            }
            let rules = match change.rules.unwrap_or(old) {
                RuleSet::Routing => Rules::Routing { default_app: first },
                RuleSet::Handover => Rules::Handover { primary: first },
            };
            platform.set_rules(&page, rules, now);
            if let Change::To(restriction) = change.restriction {
                platform.set_restriction(&page, restriction);
            }
            if let Some(hides) = change.hides_thread_owner {
                platform.set_hides_thread_owner(&page, hides);
            }
            if let Some(app) = change.ai_app {
                platform.set_ai_app(&page, app);
            }
            Ok(())
        },
        |_| Seen::default(),
    );
    changed.map_err(|why| refused(400, why))?;
    Ok(ok(&json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppChange {
    #[serde(default)]
    callback_url: Change<String>,
    may_take: Option<bool>,
    human_agent: Option<bool>,
    fields: Option<Vec<String>>,
    #[serde(default)]
    instagram_fields: Change<Vec<String>>,
}

pub(super) async fn change_app(shared: Platforms, Path(app): Path<String>, body: Bytes) -> Answer {
    let change: AppChange = read(&body)?;
    let app = AppId::new(app).map_err(|error| refused(400, error))?;
    if let Change::To(Some(url)) = &change.callback_url {
        let good = url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !good {
            return Err(refused(400, "callback_url must be an http(s) URL"));
        }
    }
    let unknown = |field: &&String| !KNOWN_FIELDS.contains(&field.as_str());
    if let Some(field) = change.fields.iter().flatten().find(unknown) {
        return Err(refused(400, format!("{field} is not a webhook field")));
    }
    if let Change::To(Some(fields)) = &change.instagram_fields
        && let Some(field) = fields.iter().find(|field| !INSTAGRAM_FIELDS.contains(&field.as_str()))
    {
        return Err(refused(400, format!("{field} is not a webhook field of Instagram")));
    }
    let mut state = shared.lock();
    if state.platform.app(&app).is_none() {
        return Err(refused(404, format!("there is no app {app}")));
    }
    let platform = &mut state.platform;
    if let Change::To(url) = change.callback_url {
        platform.set_callback(&app, url);
    }
    if let Some(may) = change.may_take {
        platform.set_may_take(&app, may);
    }
    if let Some(approved) = change.human_agent {
        platform.set_human_agent(&app, approved);
    }
    if let Some(fields) = change.fields {
        platform.set_fields(&app, fields.into_iter().collect::<BTreeSet<_>>());
    }
    if let Change::To(fields) = change.instagram_fields {
        platform.set_instagram_fields(&app, fields.map(|fields| fields.into_iter().collect()));
    }
    drop(state);
    Ok(ok(&json!({})))
}

pub(super) async fn change_switches(shared: Platforms, body: Bytes) -> Answer {
    // A missing field keeps its value.
    let change: Value = read(&body)?;
    let mut state = shared.lock();
    let mut all = json!(state.platform.switches());
    if let (Value::Object(all), Value::Object(change)) = (&mut all, change) {
        all.extend(change);
    }
    let now: Switches = serde_json::from_value(all.clone()).map_err(|error| refused(400, error))?;
    state.platform.set_switches(now);
    Ok(ok(&all))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonChange {
    availability: Availability,
}

pub(super) async fn change_person(
    shared: Platforms,
    Path((page, psid)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let (key, PersonChange { availability }) = (key(&shared, &page, &psid)?, read(&body)?);
    shared.lock().platform.set_availability(&key.page, &key.user, availability);
    Ok(ok(&json!({})))
}
