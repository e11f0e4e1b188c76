//! The agent's measurements.

use berth_daemon::metrics::{Counter, Gauge, Registry};

use crate::supervisor::Figures;

/// The measurements named `berth_agent_...`.
#[derive(Debug)]
pub(super) struct Meters {
    running: Gauge,
    ended: Gauge,
    kept: Gauge,
    reports: Gauge,
    connected: Gauge,
    sessions: Counter,
    rogues: Gauge,
    refused: Counter,
    started: Counter,
    not_removed: Counter,
    stuck: Gauge,
    shown: Figures,
}

impl Meters {
    pub(super) fn new(registry: &Registry) -> Meters {
        let agent = registry.component("agent");
        Meters {
            running: agent.gauge("running_attempts", "Attempts of which something may run"),
            ended: agent.gauge("ended_attempts", "Attempts that are over and not yet forgotten"),
            kept: agent.gauge("kept_attempts", "Forgotten attempts whose logs are still there"),
            reports: agent.gauge("unacknowledged_reports", "Reports that the leader has not acknowledged"),
            connected: agent.gauge("connected_sessions", "1 while a leader has welcomed this agent, else 0"),
            sessions: agent.counter("sessions", "Sessions that a leader has welcomed"),
            rogues: agent.gauge("rogue_attempts", "What runs here and belongs to no attempt; it is killed"),
            refused: agent.counter("refused_messages", "Messages of servers that the fence has refused"),
            started: agent.counter("started_attempts", "Attempts given to an executor"),
            not_removed: agent
                .counter("failed_removals", "Directories of attempts that could not be put aside"),
            stuck: agent.gauge("stuck_directories", "Directories on their way out that cannot be deleted"),
            shown: Figures::default(),
        }
    }

    /// The gauge of directories that cannot be deleted, for whoever empties the trash.
    pub(super) fn stuck(&self) -> Gauge {
        self.stuck.clone()
    }

    pub(super) fn show(&mut self, figures: Figures) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.running.set(number(figures.live));
        self.ended.set(number(figures.ended));
        self.kept.set(number(figures.forgotten));
        self.reports.set(number(figures.reports));
        self.connected.set(i64::from(figures.connected));
        self.rogues.set(number(figures.rogues));
        self.sessions.inc_by(figures.sessions.saturating_sub(self.shown.sessions));
        self.refused.inc_by(figures.refused.saturating_sub(self.shown.refused));
        self.started.inc_by(figures.started.saturating_sub(self.shown.started));
        self.not_removed.inc_by(figures.not_removed.saturating_sub(self.shown.not_removed));
        self.shown = figures;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_under_names_that_say_component_and_unit() {
        let registry = Registry::new();
        let mut meters = Meters::new(&registry);
        meters.show(Figures { live: 3, started: 5, rogues: 1, ..Figures::default() });
        meters.show(Figures { live: 2, started: 6, ..Figures::default() });
        let text = registry.encode();
        let lines = [
            "berth_agent_running_attempts 2",
            "berth_agent_started_attempts_total 6",
            "berth_agent_rogue_attempts 0",
        ];
        for line in lines {
            assert!(text.lines().any(|found| found == line), "{line} in:\n{text}");
        }
        let named = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        for name in named.filter_map(|line| line.split(' ').next()) {
            assert!(name.starts_with("berth_agent_"), "{name}");
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        }
    }
}
