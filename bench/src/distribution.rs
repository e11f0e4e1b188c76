use std::time::Duration;

/// How long things took.
#[derive(Debug, Default)]
pub(crate) struct Distribution {
    sorted: Vec<Duration>,
}

impl Distribution {
    /// Of these.
    pub(crate) fn of(mut spans: Vec<Duration>) -> Distribution {
        spans.sort_unstable();
        Distribution { sorted: spans }
    }

    /// The span that a share of all, in thousandths, does not exceed; zero when there is none.
    pub(crate) fn per_mille(&self, share: usize) -> Duration {
        let at = (self.sorted.len() * share / 1000).min(self.sorted.len().saturating_sub(1));
        self.sorted.get(at).copied().unwrap_or_default()
    }

    /// The longest.
    pub(crate) fn max(&self) -> Duration {
        self.sorted.last().copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Distribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [half, most, nearly] = [500, 990, 999].map(|share| millis(self.per_mille(share)));
        write!(f, "p50 {half:.3}, p99 {most:.3}, p99.9 {nearly:.3}, max {:.3} ms", millis(self.max()))
    }
}

/// A span in milliseconds.
pub(crate) fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}
