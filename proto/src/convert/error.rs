use std::fmt;

use berth_core::code::Code;
use berth_core::job_spec::SPEC_BYTES_MAX;
use berth_core::template;

/// What is wrong with a message, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The way to the field, such as `tasks[3].retry.max_attempts`; empty for the message as a whole.
    pub path: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes are no such message.
    #[error("malformed bytes: {0}")]
    Malformed(String),
    /// It is needed.
    #[error("missing")]
    Missing,
    /// An enum has the value 0, which stands for nothing.
    #[error("unspecified")]
    Unspecified,
    /// An enum has a value that this release does not know.
    #[error("unknown value {0}")]
    UnknownValue(i32),
    /// A number is out of its range.
    #[error("{value} is not from {min} to {max}")]
    OutOfRange { value: u64, min: u64, max: u64 },
    /// Bytes, text or a list have the wrong length.
    #[error("has a length of {is}, not {want}")]
    WrongLength { is: usize, want: usize },
    /// Bytes, text or a list are too long.
    #[error("has a length of {is}; {max} is the most")]
    TooLong { is: usize, max: usize },
    /// A spec has more bytes than fit in an entry of the log.
    #[error("the spec has {is} bytes when it is stored; {SPEC_BYTES_MAX} are the most")]
    SpecTooLarge { is: usize },
    /// Text is no name.
    #[error("`{text}` is not a legal name, which has {rule}")]
    NotAName { text: String, rule: &'static str },
    /// What occurs only once occurs again.
    #[error("`{0}` occurs twice")]
    Twice(String),
    /// Text is no template.
    #[error(transparent)]
    Template(template::Error),
    /// Something else.
    #[error("{0}")]
    Wrong(&'static str),
}

impl Error {
    /// Under which code of the catalogue users see it.
    pub fn code(&self) -> Code {
        if matches!(self.fault, Fault::SpecTooLarge { .. }) { Code::TooLarge } else { Code::Invalid }
    }

    /// What would help, where that is clear.
    pub fn help(&self) -> &'static str {
        if matches!(self.fault, Fault::SpecTooLarge { .. }) {
            "give a task that only differs in its number a `count`, keep long texts in files, or make several jobs of it"
        } else {
            ""
        }
    }

    /// A fault of the message as a whole.
    pub(crate) fn whole(fault: Fault) -> Error {
        Error { path: String::new(), fault }
    }

    /// A fault of a field.
    pub fn at(field: &str, fault: Fault) -> Error {
        Error { path: field.to_owned(), fault }
    }

    /// The same fault, seen from the message that has this one as a field.
    pub fn inside(mut self, field: &str) -> Error {
        self.path = match self.path.as_str() {
            "" => field.to_owned(),
            rest if rest.starts_with('[') => format!("{field}{rest}"),
            rest => format!("{field}.{rest}"),
        };
        self
    }

    /// The same fault, seen from the list that has this message at a place.
    pub(crate) fn element(self, place: usize) -> Error {
        self.inside(&format!("[{place}]"))
    }
}

impl From<prost::DecodeError> for Error {
    fn from(error: prost::DecodeError) -> Error {
        Error::whole(Fault::Malformed(error.to_string()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        self.fault.fmt(f)
    }
}
