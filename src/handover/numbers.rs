//! The numbers of a service under their names for Prometheus and for the `metrics` facade.

use std::fmt;

use super::stats::{CallCount, Stats};

/// One of a service's [numbers](Stats::numbers). `Display` writes it as a line of the format of Prometheus.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Number {
    /// The name, in the list of `docs/operations.md`.
    pub name: &'static str,
    /// Whether it only grows. Otherwise it is the value of this moment.
    pub is_counter: bool,
    /// The labels, as names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for (at, (name, value)) in self.labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(f, "{open}{name}=\"{value}\"")?;
        }
        let close = if self.labels.is_empty() { "" } else { "}" };
        write!(f, "{close} {}", self.value)
    }
}

impl Stats {
    /// All numbers with their names.
    ///
    /// ```
    /// # fn metrics(handover: &messenger_handover::handover::Handover) {
    /// for number in handover.stats().numbers() {
    ///     println!("{number}"); // handover_messages_sent_total 42
    /// }
    /// # }
    /// ```
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "values are floating point numbers")]
    pub fn numbers(&self) -> Vec<Number> {
        let number = |name, is_counter, value| Number { name, is_counter, labels: Vec::new(), value };
        let gauge = |name, value| number(name, false, value);
        let counter = |name, value: u64| number(name, true, value as f64);
        let mut numbers = vec![
            gauge("handover_events_under_way", self.events_under_way as f64),
            gauge("handover_tasks", self.tasks as f64),
            gauge("handover_calls_waiting", self.calls_waiting as f64),
            gauge("handover_usage_percent", self.usage_percent as f64),
            gauge("handover_due_lag_seconds", self.due_lag.as_secs_f64()),
            counter("handover_events_accepted_total", self.events_accepted),
            counter("handover_deliveries_refused_total", self.deliveries_refused),
            counter("handover_messages_sent_total", self.messages_sent),
            counter("handover_messages_failed_total", self.messages_failed),
            counter("handover_messages_unknown_total", self.messages_unknown),
            counter("handover_control_gained_total", self.control_gained),
            counter("handover_control_lost_total", self.control_lost),
            counter("handover_control_not_granted_total", self.control_not_granted),
            counter("handover_transfers_failed_total", self.transfers_failed),
            counter("handover_handler_failures_total", self.handler_failures),
            counter("handover_set_aside_total", self.set_aside),
            counter("handover_damaged_records_total", self.damaged_records),
            counter("handover_store_calls_total", self.store_calls),
            counter("handover_store_failures_total", self.store_failures),
            number("handover_store_seconds_total", true, self.store_time.as_secs_f64()),
        ];
        numbers.extend(self.calls.iter().map(|CallCount { call, failure, count }| {
            let result = failure.map_or_else(|| "done".to_owned(), |failure| failure.to_string());
            let labels = vec![("call", (*call).to_owned()), ("result", result)];
            Number { labels, ..counter("handover_calls_total", *count) }
        }));
        numbers
    }
}

/// Reports the numbers through the `metrics` facade. A fraction of a counter is reported as a gauge, because the facade's counters
/// are integers.
#[cfg(feature = "metrics")]
pub(super) fn report(stats: &Stats) {
    for Number { name, is_counter, labels, value } in stats.numbers() {
        let labels: Vec<_> =
            labels.into_iter().map(|(name, value)| metrics::Label::new(name, value)).collect();
        if is_counter && name != "handover_store_seconds_total" {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it was an unsigned integer"
            )]
            metrics::counter!(name, labels).absolute(value as u64);
        } else {
            metrics::gauge!(name, labels).set(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::call::FailureKind;

    #[test]
    fn numbers_are_lines_for_prometheus_and_are_documented() {
        let labels = vec![("call", "messages".to_owned()), ("result", "a \"b\" \\ c\nd".to_owned())];
        let number = Number { name: "calls_total", is_counter: true, labels, value: 2.0 };
        assert_eq!(number.to_string(), r#"calls_total{call="messages",result="a \"b\" \\ c\nd"} 2"#);
        let calls = vec![CallCount { call: "messages", failure: Some(FailureKind::Transient), count: 1 }];
        let documented = include_str!("../../docs/operations.md");
        let names: BTreeSet<_> =
            Stats { calls, ..Stats::default() }.numbers().iter().map(|it| it.name).collect();
        let missing: Vec<_> =
            names.iter().filter(|name| !documented.contains(&format!("`{name}`"))).collect();
        assert!(names.len() == 21 && missing.is_empty(), "{missing:?}");
    }
}
