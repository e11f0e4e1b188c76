//! One registry of measurements a process, shown on `/metrics`, with its health on `/health`.
//!
//! Names are `berth_<component>_<what>_<unit>`: a component asks the registry for its own corner
//! and names the rest. Counters get `_total` behind it, as the format asks.

mod endpoint;
mod health;

pub use endpoint::{Endpoint, Error};
pub use health::{Health, Status};

use std::collections::BTreeSet;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::{Metric, Registry as Inner};

/// A number that only grows.
pub type Counter = prometheus_client::metrics::counter::Counter;
/// A number that goes up and down.
pub type Gauge = prometheus_client::metrics::gauge::Gauge;
/// A fraction or a duration that goes up and down.
pub type FloatGauge = prometheus_client::metrics::gauge::Gauge<f64, AtomicU64>;
/// The distribution of an observed quantity.
pub type Histogram = prometheus_client::metrics::histogram::Histogram;
/// One measurement for each set of label values. Labels must have few values: a tenant or a reason,
/// never a run.
pub type Family<L, M> = prometheus_client::metrics::family::Family<L, M>;

/// All measurements of a process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Registry {
    // Locked to register at the start and to encode a scrape; measuring takes no lock.
    registered: Arc<Mutex<Registered>>,
}

#[derive(Default)]
struct Registered {
    inner: Inner,
    names: BTreeSet<String>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("names", &self.lock().names).finish_non_exhaustive()
    }
}

/// A component's corner of a registry.
#[derive(Clone, Debug)]
pub struct Component {
    registry: Registry,
    name: &'static str,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The corner of the component called `name`, a lower-case word such as `raft`.
    ///
    /// # Panics
    /// When `name` is not made of lower-case letters, digits and single underscores.
    #[must_use]
    pub fn component(&self, name: &'static str) -> Component {
        assert_name(name);
        Component { registry: self.clone(), name }
    }

    /// The state of all measurements as OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut output = String::new();
        text::encode(&mut output, &self.lock().inner).expect("writing to a String cannot fail");
        output
    }

    fn lock(&self) -> MutexGuard<'_, Registered> {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each of these registers `berth_<component>_<name>`; `help` is one sentence without a full stop.
///
/// # Panics
/// All of them, when a name is no lower-case snake case or is registered twice in one registry.
impl Component {
    /// A counter; name it by what is counted, such as `entries`.
    #[must_use]
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.register(name, help, Counter::default())
    }

    /// A gauge; the name ends in its unit, such as `queue_commands` or `log_bytes`.
    #[must_use]
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.register(name, help, Gauge::default())
    }

    /// A gauge of fractions; the name ends in its unit, such as `load_ratio`.
    #[must_use]
    pub fn float_gauge(&self, name: &'static str, help: &'static str) -> FloatGauge {
        self.register(name, help, FloatGauge::default())
    }

    /// A histogram with the given upper bounds of its buckets.
    #[must_use]
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        buckets: impl IntoIterator<Item = f64>,
    ) -> Histogram {
        self.register(name, help, Histogram::new(buckets))
    }

    /// A histogram of durations from 0.1 ms to 26 s; the name ends in `_seconds`.
    #[must_use]
    pub fn seconds(&self, name: &'static str, help: &'static str) -> Histogram {
        self.histogram(name, help, exponential_buckets(0.000_1, 2.0, 19))
    }

    /// A counter for each set of label values.
    #[must_use]
    pub fn counters<L>(&self, name: &'static str, help: &'static str) -> Family<L, Counter>
    where
        L: EncodeLabelSet + Clone + Hash + Eq + fmt::Debug + Send + Sync + 'static,
    {
        self.register(name, help, Family::default())
    }

    /// A gauge for each set of label values.
    #[must_use]
    pub fn gauges<L>(&self, name: &'static str, help: &'static str) -> Family<L, Gauge>
    where
        L: EncodeLabelSet + Clone + Hash + Eq + fmt::Debug + Send + Sync + 'static,
    {
        self.register(name, help, Family::default())
    }

    /// Something that is asked for its measurements at each scrape, for what is cheaper to read than
    /// to keep. It names them as the other functions do; `berth_<component>_` comes before.
    pub fn collect(&self, collector: Box<dyn Collector>) {
        let mut registered = self.registry.lock();
        let corner = registered.inner.sub_registry_with_prefix(format!("berth_{}", self.name));
        corner.register_collector(collector);
    }

    fn register<M: Metric + Clone>(&self, name: &'static str, help: &'static str, metric: M) -> M {
        assert_name(name);
        let full = format!("berth_{}_{name}", self.name);
        let mut registered = self.registry.lock();
        assert!(registered.names.insert(full.clone()), "the metric {full} is registered twice");
        registered.inner.register(full, help, metric.clone());
        metric
    }
}

fn assert_name(name: &str) {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    assert!(name.split('_').all(word), "\"{name}\" is no lower-case snake case");
}

#[cfg(test)]
mod tests;
