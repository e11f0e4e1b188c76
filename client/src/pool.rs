//! The servers that a client knows, and which of them it asks first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::error::Error;

/// How many addresses of leaders, beyond the configured ones, are kept.
const LEARNED_MAX: usize = 16;

/// The servers: the configured ones, and leaders that these have named.
#[derive(Debug)]
pub(crate) struct Pool {
    config: Config,
    configured: Vec<Arc<Endpoint>>,
    learned: RwLock<Vec<Arc<Endpoint>>>,
    /// Place among `configured` of the one that answered last.
    preferred: AtomicUsize,
}

impl Pool {
    pub(crate) fn new(config: Config) -> Result<Pool, Error> {
        if config.endpoints.is_empty() {
            let reason = "no server was named".to_owned();
            return Err(Error::Endpoint { endpoint: String::new(), reason });
        }
        let configured = config
            .endpoints
            .iter()
            .map(|e| Endpoint::new(e, &config).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Pool { config, configured, learned: RwLock::default(), preferred: AtomicUsize::new(0) })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The configured servers.
    pub(crate) fn configured(&self) -> &[Arc<Endpoint>] {
        &self.configured
    }

    /// The one that is asked first.
    pub(crate) fn preferred(&self) -> Arc<Endpoint> {
        let at = self.preferred.load(Ordering::Relaxed) % self.configured.len();
        Arc::clone(&self.configured[at])
    }

    /// The one after `endpoint`, going round; the first after a learned one.
    pub(crate) fn after(&self, endpoint: &Arc<Endpoint>) -> Arc<Endpoint> {
        let next = self.place(endpoint).map_or(0, |at| at + 1);
        Arc::clone(&self.configured[next % self.configured.len()])
    }

    /// It answered: it is asked first from now on.
    pub(crate) fn prefer(&self, endpoint: &Arc<Endpoint>) {
        if let Some(at) = self.place(endpoint) {
            self.preferred.store(at, Ordering::Relaxed);
        }
    }

    /// It broke a stream: others are asked first, unless that has changed already.
    pub(crate) fn pass_over(&self, endpoint: &Arc<Endpoint>) {
        if let Some(at) = self.place(endpoint) {
            let next = (at + 1) % self.configured.len();
            let _ = self.preferred.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The server at an address that another one gave; `None` when it is no address.
    pub(crate) fn at_address(&self, address: &str) -> Option<Arc<Endpoint>> {
        let wanted = Endpoint::new(address, &self.config).ok()?;
        let named = |known: &&Arc<Endpoint>| known.name() == wanted.name();
        if let Some(known) = self.configured.iter().find(named) {
            return Some(Arc::clone(known));
        }
        let mut learned = self.learned.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = learned.iter().find(named) {
            return Some(Arc::clone(known));
        }
        if learned.len() == LEARNED_MAX {
            learned.remove(0);
        }
        let endpoint = Arc::new(wanted);
        learned.push(Arc::clone(&endpoint));
        Some(endpoint)
    }

    fn place(&self, endpoint: &Arc<Endpoint>) -> Option<usize> {
        self.configured.iter().position(|known| Arc::ptr_eq(known, endpoint))
    }
}
