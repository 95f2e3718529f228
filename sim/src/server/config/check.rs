//! Validates a configuration.

use std::collections::BTreeSet;
use std::fmt;

use url::Url;

use super::{Config, InstagramAccount, InstagramConfig, RouteConfig};
use crate::platform::{INSTAGRAM_FIELDS, KNOWN_FIELDS};
use messenger_handover::id::{AppId, PAGE_INBOX};

/// The fastest clock. With a faster one a day would end before a client gets its response.
pub(crate) const MAX_SPEED: f64 = 1e6;

/// The problems of an invalid configuration, each with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The problems, such as `pages[0].default_app: there is no app 9`.
    pub problems: Vec<String>,
}

impl Config {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        let mut wrong = |place: String, why: String| problems.push(format!("{place}: {why}"));
        let apps: BTreeSet<_> = self.apps.iter().map(|app| &app.id).collect();
        for (index, app) in self.apps.iter().enumerate() {
            let at = |field: &str| format!("apps[{index}].{field}");
            if self.apps[..index].iter().any(|other| other.id == app.id) {
                wrong(at("id"), format!("there are two apps {}", app.id));
            }
            if app.secret.is_empty() {
                wrong(at("secret"), "must not be empty".to_owned());
            }
            let url = app.callback_url.as_deref().map(Url::parse);
            let good = |url: &Result<Url, _>| {
                url.as_ref().is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            };
            if url.is_some_and(|url| !good(&url)) {
                wrong(at("callback_url"), "must be an http(s) URL".to_owned());
            }
            for field in app.fields.iter().filter(|field| !KNOWN_FIELDS.contains(&field.as_str())) {
                wrong(at("fields"), format!("{field} is not a webhook field (the names are plural)"));
            }
        }
        for (index, app) in self.apps.iter().enumerate() {
            let fields = app.instagram_fields.iter().flatten();
            for field in fields.filter(|field| !INSTAGRAM_FIELDS.contains(&field.as_str())) {
                let place = format!("apps[{index}].instagram_fields");
                wrong(place, format!("{field} is not a webhook field of Instagram"));
            }
        }
        let mut ids = BTreeSet::new();
        let mut tokens = BTreeSet::new();
        for (index, page) in self.pages.iter().enumerate() {
            let at = |field: &str| format!("pages[{index}].{field}");
            if !ids.insert(&page.id) {
                wrong(at("id"), format!("there are two Pages {}", page.id));
            }
            let (instagram, of_instagram) = match &page.instagram {
                None => (None, None),
                Some(InstagramConfig::Id(id)) => (Some(id), None),
                Some(InstagramConfig::Account(InstagramAccount { id, tokens, .. })) => {
                    (Some(id), Some(tokens))
                }
            };
            if instagram.is_some_and(|id| !ids.insert(id)) {
                wrong(at("instagram"), "the id is taken".to_owned());
            }
            // An app that is not connected could own a thread, and would get no webhook of it.
            let known = |app: &AppId| page.tokens.contains_key(app) || *app == AppId::from(PAGE_INBOX);
            if let Some(app) = page.default_app.as_ref().filter(|app| !known(app)) {
                wrong(at("default_app"), format!("the Page has no token of app {app}"));
            }
            for (app, days) in page.routes.values().map(RouteConfig::target) {
                if !known(app) {
                    wrong(at("routes"), format!("the Page has no token of app {app}"));
                }
                if !(1..=30).contains(&days) {
                    wrong(at("routes"), "control_days must be 1 to 30".to_owned());
                }
            }
            for (app, token) in page.tokens.iter().chain(of_instagram.into_iter().flatten()) {
                if !apps.contains(app) {
                    wrong(at("tokens"), format!("there is no app {app}"));
                }
                if token.is_empty() || !tokens.insert(token) {
                    wrong(at("tokens"), format!("the token of app {app} is empty or taken"));
                }
            }
        }
        for (index, fault) in self.faults.iter().enumerate() {
            if let Err(error) = fault.check() {
                wrong(format!("faults[{index}]"), error.to_string());
            }
        }
        if !(0.0..=MAX_SPEED).contains(&self.clock.speed) {
            wrong("clock.speed".to_owned(), format!("must be from 0 to {MAX_SPEED}"));
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}

impl ConfigError {
    pub(super) fn one(problem: String) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_and_the_documented_shape_work() {
        Config::default().platform().unwrap();
        let text = r#"{"apps":[{"id":"999","name":"Bot","secret":"APP_SECRET","verify_token":"V",
            "callback_url":"http://127.0.0.1:3000/webhook",
            "fields":["messages","messaging_postbacks","messaging_handovers","standby","message_echoes"],"may_take":true}],
            "pages":[{"id":"987654321098765","name":"Shop","rules":"routing","default_app":"999","instagram":null,
            "tokens":{"999":"PAGE_TOKEN"},"people":[{"id":"1234567890123456","name":"Ana"}]}],
            "clock":{"speed":1.0},"limits":{}}"#;
        let config = Config::from_json(text).unwrap();
        config.platform().unwrap();
        let toml =
            "[[apps]]\nid = 999\n[[pages]]\nid = \"7\"\ndefault_app = \"999\"\ntokens = { 999 = \"T\" }\n";
        Config::from_toml(toml).unwrap().platform().unwrap();
        assert_eq!(Config::from_json("{}").unwrap().apps.len(), 2);
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_place() {
        let text = r#"{"apps":[{"id":"1","callback_url":"localhost:3000","fields":["messaging_handover"]},{"id":"1"}],
            "pages":[{"id":"7","default_app":"9","instagram":"7","tokens":{"1":"t","2":"t"}}],
            "faults":[{"on":"call","do":"lose"}],"clock":{"speed":-1.0}}"#;
        let told = Config::from_json(text).unwrap_err().to_string();
        for expected in [
            "apps[0].callback_url: must be",
            "apps[0].fields: messaging_handover is not",
            "apps[1].id: there are two",
            "pages[0].default_app: the Page has no token of app 9",
            "pages[0].instagram: the id is taken",
            "pages[0].tokens: there is no app 2",
            "pages[0].tokens: the token of app 2 is empty or taken",
            "faults[0]: that cannot be done",
            "clock.speed",
        ] {
            assert!(told.contains(expected), "{expected} in {told}");
        }
        for (text, expected) in [
            ("", "EOF"),
            (r#"{"pags":[]}"#, "unknown field `pags`"),
            (r#"{"pages":[{"id":"7","rules":"rooting"}]}"#, "rooting"),
            (r#"{"pages":[{"id":"7","instagram":{"id":"8","peple":[]}}]}"#, "InstagramConfig"),
            (r#"{"pages":[{"id":"7","tokens":"PAGE_TOKEN"}]}"#, "invalid type: a string"),
        ] {
            let told = Config::from_json(text).unwrap_err().to_string();
            assert!(told.contains(expected) && !told.contains("PAGE_TOKEN"), "{told}");
        }
        let told = Config::from_toml("[[apps]]\nid = 1\napp_secret = \"TOP\"\n").unwrap_err().to_string();
        assert!(told.contains("app_secret") && told.contains("line") && !told.contains("TOP"), "{told}");
    }
}
