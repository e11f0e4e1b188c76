//! How a run is named in requests.

/// A run by its id, or by a prefix that no other run has among those the caller may see, or of one tenant.
///
/// ```
/// use berth_client::RunRef;
///
/// let anywhere = RunRef::from("3kd9");
/// let of_acme = RunRef::from("3kd9").of_tenant("acme");
/// assert_ne!(anywhere, of_acme);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunRef {
    pub(crate) run: String,
    pub(crate) tenant: String,
}

impl RunRef {
    /// Looks a prefix up among the runs of this tenant.
    #[must_use]
    pub fn of_tenant(mut self, tenant: impl Into<String>) -> RunRef {
        self.tenant = tenant.into();
        self
    }
}

impl From<&str> for RunRef {
    fn from(run: &str) -> RunRef {
        RunRef { run: run.to_owned(), tenant: String::new() }
    }
}

impl From<String> for RunRef {
    fn from(run: String) -> RunRef {
        RunRef { run, tenant: String::new() }
    }
}

impl From<&String> for RunRef {
    fn from(run: &String) -> RunRef {
        RunRef::from(run.as_str())
    }
}
