//! `container.rec`: on disk before the engine is asked for anything, so that an attempt is never begun
//! twice, whatever becomes of engine, agent or container.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use berth_core::time::Timestamp;
use berth_shim::record::{Error, Fields, Record};

/// Its name in the attempt's directory.
const FILE: &str = "container.rec";

/// That an attempt was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trace {
    /// The container's name.
    pub(super) container: String,
    /// The boot of the machine in which it was begun, if that is known.
    pub(super) boot_id: Option<String>,
    /// When it began to run, if that is known.
    pub(super) started: Option<Timestamp>,
}

impl Trace {
    /// Leaves the trace of an attempt that begins now.
    ///
    /// # Errors
    /// `AlreadyExists` when it was begun before.
    pub(super) fn begin(&self, dir: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join(FILE))?;
        file.write_all(&self.encode())?;
        file.sync_data()
    }

    /// Adds what became known.
    pub(super) fn update(&self, dir: &Path) {
        if let Err(error) = self.write_atomically(&dir.join(FILE)) {
            // The engine knows it as well.
            tracing::error!(dir = %dir.display(), %error, "the start of a container cannot be noted");
        }
    }

    /// Whether there is a trace, and what it says if it is whole.
    pub(super) fn find(dir: &Path) -> Option<Option<Trace>> {
        let path = dir.join(FILE);
        path.exists().then(|| Trace::read(&path).ok().flatten())
    }
}

impl Record for Trace {
    const KIND: &'static str = "container";

    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        fields.put("container", &self.container);
        fields.put_some("boot", self.boot_id.as_ref());
        fields.put_some("started", self.started.map(|started| started.0));
        fields
    }

    fn from_fields(fields: &Fields) -> Result<Self, Error> {
        let started = fields.get("started")?.map(Timestamp);
        Ok(Trace { container: fields.need("container")?, boot_id: fields.get("boot")?, started })
    }
}
