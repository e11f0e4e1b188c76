//! `contact`: when the servers were last heard of. Kept by the agent for all its tasks, in its data directory.

use super::{Error, Fields, Record};

/// The last contact of a node to its servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// When, on the boot clock, in milliseconds.
    pub at_ms: u64,
    /// The boot in which that instant means something.
    pub boot_id: String,
}

impl Record for Contact {
    const KIND: &'static str = "contact";

    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        fields.put("at", self.at_ms);
        fields.put("boot", &self.boot_id);
        fields
    }

    fn from_fields(fields: &Fields) -> Result<Self, Error> {
        Ok(Contact { at_ms: fields.need("at")?, boot_id: fields.need("boot")? })
    }
}
