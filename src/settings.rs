//! The settings of a host: from environment variables, or from any format that serde reads.
//!
//! ```no_run
//! use messenger_handover::prelude::*;
//! use messenger_handover::settings::Settings;
//!
//! # async fn start(handler: impl Handler) -> Result<(), BoxError> {
//! let settings = Settings::from_env()?;
//! let handover = settings.bot(handler)?.store(settings.open_store().await?).start()?;
//! let endpoint = settings.webhook(handover.clone());
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use url::Url;

use crate::bots_api;
use crate::graph::{BuildError, GraphClient};
use crate::handover::{BoxError, Builder, Handler, Handover};
use crate::id::{AppId, PageId};
use crate::policy::{Role, ThreadControlPolicy};
use crate::secret::{AppSecret, DatabaseUrl, EdToken, PageToken, VerifyToken};
use crate::store::{self, StoreError, ThreadStore};
use crate::webhook::{Endpoint, Verifier};

/// The settings of a host with one Page. Each field is also the name of its environment variable, in capitals. `Debug` shows no
/// secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Our app's id.
    pub app_id: AppId,
    /// Our app's secret, with which Meta signs webhooks.
    pub app_secret: AppSecret,
    /// The token of the webhook subscription, of our own choice.
    pub verify_token: VerifyToken,
    /// The Page.
    pub page_id: PageId,
    /// The Page's access token for our app.
    pub page_token: PageToken,
    /// The primary app of the Page: `bot_primary`, `ed_primary` or `no_primary`.
    pub policy: ThreadControlPolicy,
    /// Where Graph is, if not at Meta.
    #[serde(default)]
    pub graph_url: Option<Url>,
    /// For a bot: Engage Digital's domain.
    #[serde(default)]
    pub ed_url: Option<Url>,
    /// For a bot the token of Engage Digital's API; for a desk the token that bots have to send.
    #[serde(default)]
    pub ed_token: Option<EdToken>,
    /// For a bot: the desk's app id.
    #[serde(default)]
    pub desk_app_id: Option<AppId>,
    /// The store of conversations, as [`store::open`] takes it. `memory:` if not set, which loses all state at a restart.
    #[serde(default)]
    pub store: Option<DatabaseUrl>,
}

/// The mistakes in the settings, all at once, each by the name of its variable. It shows no value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for SettingsError {}

/// Reads variables and collects what is wrong with them.
struct Variables<F> {
    value: F,
    problems: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    fn optional<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Option<T> {
        let value = (self.value)(name)?;
        // A blank variable is not set, as `docker compose` writes it.
        if value.trim().is_empty() {
            return None;
        }
        value.trim().parse().map_err(|error| self.problems.push(format!("{name}: {error}"))).ok()
    }

    fn required<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, purpose: &str) -> Option<T> {
        if !self.is_set(name) {
            self.problems.push(format!("{name}: missing ({purpose})"));
        }
        self.optional(name)
    }

    fn secret<T: From<String>>(&mut self, name: &str, purpose: &str) -> Option<T> {
        if !self.is_set(name) {
            self.problems.push(format!("{name}: missing ({purpose})"));
        }
        self.optional_secret(name)
    }

    fn optional_secret<T: From<String>>(&self, name: &str) -> Option<T> {
        (self.value)(name).filter(|value| !value.trim().is_empty()).map(T::from)
    }

    fn is_set(&self, name: &str) -> bool {
        (self.value)(name).is_some_and(|value| !value.trim().is_empty())
    }
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`SettingsError`] names every variable that is missing or wrong, and what it is for.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// Reads variables by name, from wherever they are.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_variables(value: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut variables = Variables { value, problems: Vec::new() };
        let app_id = variables.required("APP_ID", "the id of our app");
        let app_secret =
            variables.secret("APP_SECRET", "the secret of our app, with which Meta signs webhooks");
        let verify_token = variables.secret("VERIFY_TOKEN", "the token of the webhook subscription");
        let page_id = variables.required("PAGE_ID", "the id of the Page");
        let page_token = variables.secret("PAGE_TOKEN", "the access token of the Page for our app");
        let policy = variables.required("POLICY", "who is primary: bot_primary, ed_primary or no_primary");
        let graph_url = variables.optional("GRAPH_URL");
        let ed_url = variables.optional("ED_URL");
        let ed_token = variables.optional_secret("ED_TOKEN");
        let desk_app_id = variables.optional("DESK_APP_ID");
        let store = variables.optional_secret("STORE");
        let problems = std::mem::take(&mut variables.problems);
        match (app_id, app_secret, verify_token, page_id, page_token, policy) {
            (
                Some(app_id),
                Some(app_secret),
                Some(verify_token),
                Some(page_id),
                Some(page_token),
                Some(policy),
            ) if problems.is_empty() => Ok(Self {
                app_id,
                app_secret,
                verify_token,
                page_id,
                page_token,
                policy,
                graph_url,
                ed_url,
                ed_token,
                desk_app_id,
                store,
            }),
            _ => Err(SettingsError(problems)),
        }
    }

    /// A client of Graph for the Page.
    ///
    /// # Errors
    /// [`BuildError`] names the setting that is wrong.
    pub fn graph(&self) -> Result<GraphClient, BuildError> {
        let graph = GraphClient::builder().page(self.page_id.clone(), self.page_token.clone());
        match &self.graph_url {
            Some(url) => graph.base_url(url.clone()).build(),
            None => graph.build(),
        }
    }

    /// A bot, with the desk that it hands over to.
    ///
    /// # Errors
    /// A setting that Graph or Engage Digital's client does not take, or an `ed_url` without an `ed_token`.
    pub fn bot(&self, handler: impl Handler) -> Result<Builder, BoxError> {
        let mut bot = Handover::builder(self.app_id.clone(), Role::Bot, self.policy, self.graph()?, handler);
        if let Some(desk) = &self.desk_app_id {
            bot = bot.desk_app(desk.clone());
        }
        if let Some(url) = &self.ed_url {
            let token = self.ed_token.clone().ok_or("ED_TOKEN: missing (the token for ED_URL)")?;
            bot = bot.desk_endpoint(bots_api::Client::new(url, token)?);
        }
        Ok(bot)
    }

    /// A desk.
    ///
    /// # Errors
    /// A setting that Graph does not take.
    pub fn desk(&self, handler: impl Handler) -> Result<Builder, BoxError> {
        Ok(Handover::builder(self.app_id.clone(), Role::Desk, self.policy, self.graph()?, handler))
    }

    /// The endpoint at which bots ask this desk for people, with [`ed_token`](Self::ed_token) as the token that they send.
    ///
    /// # Errors
    /// [`SettingsError`] if the token is not set.
    pub fn bots_api(&self, desk: Handover) -> Result<bots_api::Endpoint, SettingsError> {
        let missing =
            || SettingsError(vec!["ED_TOKEN: missing (the token that bots have to send)".to_owned()]);
        let token = self.ed_token.clone().ok_or_else(missing)?;
        Ok(bots_api::Endpoint::new(token, desk, bots_api::OnePage(self.page_id.clone())))
    }

    /// Opens the store, for [`Builder::store`].
    ///
    /// # Errors
    /// As [`store::open`].
    pub async fn open_store(&self) -> Result<Arc<dyn ThreadStore>, StoreError> {
        store::open(self.store.clone().unwrap_or_else(|| "memory:".into())).await
    }

    /// The endpoint of Meta's webhook.
    #[must_use]
    pub fn webhook(&self, handover: Handover) -> Endpoint {
        Endpoint::new(Verifier::new(self.app_secret.clone()), self.verify_token.clone(), handover)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(&str, &str); 6] = [
        ("APP_ID", "1"),
        ("APP_SECRET", "s3cret"),
        ("VERIFY_TOKEN", "v"),
        ("PAGE_ID", "10"),
        ("PAGE_TOKEN", "t0ken"),
        ("POLICY", "bot_primary"),
    ];

    fn read(changed: &[(&str, Option<&str>)]) -> Result<Settings, SettingsError> {
        Settings::from_variables(|name| {
            let changed = changed.iter().find(|(changed, _)| *changed == name).map(|(_, value)| *value);
            let value = changed
                .unwrap_or_else(|| ALL.iter().find(|(known, _)| *known == name).map(|(_, value)| *value));
            value.map(str::to_owned)
        })
    }

    #[test]
    fn settings_errors_name_every_variable_and_its_purpose() {
        assert!(read(&[]).is_ok());
        let wrong =
            [("APP_ID", Some("")), ("PAGE_TOKEN", None), ("POLICY", Some("x")), ("GRAPH_URL", Some("no"))];
        let error = read(&wrong).unwrap_err().to_string();
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines.len(), 4, "{error}");
        assert_eq!(lines[0], "APP_ID: missing (the id of our app)");
        assert_eq!(lines[1], "PAGE_TOKEN: missing (the access token of the Page for our app)");
        assert!(lines[2].starts_with("POLICY: ") && lines[3].starts_with("GRAPH_URL: "), "{error}");
    }

    #[test]
    fn settings_take_a_blank_variable_as_not_set() {
        let blank = ["GRAPH_URL", "ED_URL", "ED_TOKEN", "DESK_APP_ID", "STORE"].map(|name| (name, Some(" ")));
        let settings = read(&blank).unwrap();
        assert!(settings.graph_url.is_none() && settings.ed_token.is_none() && settings.store.is_none());
    }

    #[test]
    fn settings_are_deserialised_and_show_no_secret() {
        let json = r#"{"app_id": 1, "app_secret": "s3cret", "verify_token": "v", "page_id": "10", "page_token": "t0ken",
            "policy": "ed_primary", "graph_url": "http://127.0.0.1:9"}"#;
        let settings: Settings = serde_json::from_str(json).unwrap();
        assert_eq!((&settings.app_id, settings.policy), (&AppId::from(1), ThreadControlPolicy::EdPrimary));
        let shown = format!("{settings:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
        assert!(settings.graph().is_ok());
    }
}
