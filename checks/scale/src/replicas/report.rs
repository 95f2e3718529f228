//! The result table of a run.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use messenger_handover::handover::Stats;

use super::Options;
use super::judge::{Times, Verdict};
use super::ledger::Side;
use super::post::Sums;
use super::store::Counts;

/// Memory in bytes.
pub struct Memory {
    /// Resident, with the plan of the run, before anybody writes.
    pub before: u64,
    pub end: u64,
    pub peak: u64,
    /// Allocated by the hosts with their stores, and by the platform, where that is counted.
    pub hosts: Option<u64>,
    pub platform: Option<u64>,
}

pub struct Figures {
    pub options: Options,
    pub verdict: Verdict,
    pub stats: Vec<Stats>,
    pub counts: [Arc<Counts>; 2],
    pub sums: Sums,
    pub memory: Memory,
    /// The time of the whole program, and of the run without its judgement.
    pub wall: Duration,
    pub played: Duration,
    /// CPU time of the run, in nanoseconds.
    pub cpu: u64,
    /// Time in the core and in this program's own work.
    pub core: Duration,
    pub own: Duration,
    pub virtual_ms: u32,
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn float(number: u64) -> f64 {
    number as f64
}

fn percentile(sorted: &[u32], per_mille: usize) -> u32 {
    let place = (sorted.len() * per_mille / 1_000).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}

fn row(name: &str, value: impl std::fmt::Display) {
    println!("{name} {value}");
}

impl Figures {
    /// Prints the table, one figure per line.
    pub fn print(&self) {
        let Self { options, verdict, sums, .. } = self;
        let total = |of: fn(&Stats) -> u64| self.stats.iter().map(of).sum::<u64>();
        let events = total(|stats| stats.events_accepted);
        row("conversations", options.conversations);
        row("replicas", options.replicas);
        row("virtual_minutes", self.virtual_ms / 60_000);
        row("messages_of_customers", verdict.written);
        row("messages_of_bot", verdict.by_bot);
        row("messages_of_agents", verdict.by_agents);
        row("handovers", verdict.handovers);
        row("events", events);
        row("deliveries", sums.deliveries);
        row("deliveries_doubled", sums.doubled);
        row("deliveries_late", sums.late);
        row("deliveries_lost", sums.lost);
        row("deliveries_refused", total(|stats| stats.deliveries_refused));
        row("lost", verdict.lost);
        row("doubled", verdict.doubled);
        row("out_of_order", verdict.out_of_order);
        row("wrong_side", verdict.wrong_side);
        row("threads_at_rest", verdict.at_rest);
        row("threads_not_at_rest", verdict.restless);
        row("wrong_beliefs", verdict.wrong_belief);
        row("troubles", verdict.troubles);
        row("settled", if verdict.settled { "yes" } else { "no" });
        self.print_store();
        self.print_costs(events);
        for (name, side) in [("bot", Side::Bot), ("agent", Side::Desk)] {
            print_times(name, &verdict.times[side as usize]);
        }
    }

    fn print_store(&self) {
        for (name, counts) in ["bot", "desk"].into_iter().zip(&self.counts) {
            let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
            row(&format!("store_loads_{name}"), count(&counts.loads));
            row(&format!("store_writes_{name}"), count(&counts.writes));
            row(&format!("store_conflicts_{name}"), count(&counts.conflicts));
        }
        let calls = self.stats.iter().map(|stats| stats.store_calls).sum::<u64>();
        row("store_calls", calls);
    }

    fn print_costs(&self, events: u64) {
        let played = self.played.as_secs_f64();
        let each = float(self.cpu) / 1e3 / float(events.max(1));
        // One thread: shares of its time are shares of its CPU time.
        let [core, own] = [self.core, self.own].map(|part| part.as_secs_f64() / played);
        let hosts = (1.0 - core - own).max(0.0);
        row("wall_s", format!("{:.1}", self.wall.as_secs_f64()));
        row("wall_of_run_s", format!("{played:.1}"));
        row("cpu_us_per_event", format!("{each:.2}"));
        row("cpu_us_per_event_platform", format!("{:.2}", each * core));
        row("cpu_us_per_event_program", format!("{:.2}", each * own));
        row("cpu_us_per_event_hosts", format!("{:.2}", each * hosts));
        row("hosts_share_percent", format!("{:.0}", hosts * 100.0));
        let Memory { before, end, peak, hosts, platform } = self.memory;
        let mebibytes = |bytes: u64| format!("{:.1}", float(bytes) / 1_048_576.0);
        row("memory_before_mib", mebibytes(before));
        row("memory_end_mib", mebibytes(end));
        row("memory_peak_mib", mebibytes(peak));
        let each = |bytes: u64| bytes / u64::from(self.options.conversations);
        row("memory_bytes_per_conversation", each(end.saturating_sub(before)));
        for (name, bytes) in [("hosts", hosts), ("platform", platform)] {
            if let Some(bytes) = bytes {
                row(&format!("allocated_bytes_per_conversation_{name}"), each(bytes));
            }
        }
    }
}

fn print_times(name: &str, times: &Times) {
    let mut sorted = times.clone();
    sorted.sort_unstable();
    for (of, per_mille) in [("p50", 500), ("p99", 990), ("max", 1_000)] {
        row(&format!("answer_of_{name}_{of}_ms"), percentile(&sorted, per_mille));
    }
}
