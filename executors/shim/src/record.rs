//! The small files by which shim and agent tell each other what happened, also across a crash.
//!
//! ```text
//! berth-record 1 exit 123 8d7f2c1a
//! outcome exited 0
//! finished 1700000000000
//! ```
//! The first line names format version, kind, and length and CRC-32C of the rest. A file that was
//! torn by a crash fails the check and counts as absent. Unknown keys are ignored, so an older agent
//! can read a newer shim's records.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub use contact::Contact;
pub use exit::{ExitRecord, LogEnds, Outcome};
pub use order::{LeashOrder, LogSizes, Order};
pub use run::RunRecord;

mod contact;
mod exit;
mod order;
mod run;
#[cfg(test)]
mod tests;

/// The order of the agent, written before anything runs; its lock tells that the shim lives.
pub const ORDER_FILE: &str = "order.rec";
/// Written by the shim when the task runs.
pub const RUN_FILE: &str = "run.rec";
/// Written by the shim when the task is over.
pub const EXIT_FILE: &str = "exit.rec";

const MAGIC: &str = "berth-record";
const VERSION: &str = "1";

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("cannot access the record")]
    Io(#[from] io::Error),
    /// It is not a record, is cut short, or its checksum does not match.
    #[error("the record is torn or is none")]
    Torn,
    /// It is a record of another kind or version.
    #[error("the record is of kind `{found}`, not `{wanted}`")]
    Kind { wanted: &'static str, found: String },
    /// A field is missing or cannot be read.
    #[error("the record's field `{0}` is missing or wrong")]
    Field(&'static str),
}

/// A value that has a file form.
pub trait Record: Sized {
    /// The word in the first line.
    const KIND: &'static str;

    /// The fields, in the order in which they are written.
    fn fields(&self) -> Fields;

    /// The value again.
    ///
    /// # Errors
    /// [`Error::Field`] names what is missing or wrong.
    fn from_fields(fields: &Fields) -> Result<Self, Error>;

    /// The bytes of the file.
    fn encode(&self) -> Vec<u8> {
        let body = self.fields().text();
        let sum = crc32c::crc32c(body.as_bytes());
        format!("{MAGIC} {VERSION} {} {} {sum:08x}\n{body}", Self::KIND, body.len()).into_bytes()
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// As [`Error`] lists.
    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(bytes).map_err(|_| Error::Torn)?;
        let (head, body) = text.split_once('\n').ok_or(Error::Torn)?;
        let head: Vec<&str> = head.split(' ').collect();
        let &[MAGIC, version, kind, length, sum] = head.as_slice() else { return Err(Error::Torn) };
        if version != VERSION || kind != Self::KIND {
            return Err(Error::Kind { wanted: Self::KIND, found: format!("{kind} {version}") });
        }
        let intact = length.parse() == Ok(body.len())
            && u32::from_str_radix(sum, 16) == Ok(crc32c::crc32c(body.as_bytes()));
        if !intact {
            return Err(Error::Torn);
        }
        Self::from_fields(&Fields::parse(body))
    }

    /// Reads a file; `None` if it is absent or torn.
    ///
    /// # Errors
    /// The file is there but cannot be read, or is whole and yet of another kind.
    fn read(path: &Path) -> Result<Option<Self>, Error> {
        match fs::read(path) {
            Ok(bytes) => match Self::decode(&bytes) {
                Ok(record) => Ok(Some(record)),
                Err(Error::Torn) => Ok(None),
                Err(error) => Err(error),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the file in place and makes it durable; a crash on the way leaves a torn file.
    ///
    /// # Errors
    /// The file cannot be written.
    fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = create(path)?;
        file.write_all(&self.encode())?;
        file.sync_data()
    }

    /// Writes the file so that it appears whole or not at all, and makes it durable, name and content.
    ///
    /// # Errors
    /// The file cannot be written.
    fn write_atomically(&self, path: &Path) -> io::Result<()> {
        let draft = path.with_extension("tmp");
        self.write(&draft)?;
        fs::rename(&draft, path)?;
        sync_parent(path)
    }
}

/// Makes the names in a file's directory durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// An empty file, in place of whatever had its name.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// The `key value` lines of a record. A key may come more than once.
#[derive(Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Adds a line.
    pub fn put(&mut self, key: &str, value: impl std::fmt::Display) {
        self.0.push((key.to_owned(), value.to_string()));
    }

    /// Adds a line if there is a value.
    pub fn put_some(&mut self, key: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    /// All values of a key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// The lines as they stand in the file.
    fn text(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.0 {
            text.push_str(key);
            text.push(' ');
            for character in value.chars() {
                match character {
                    '\\' => text.push_str("\\\\"),
                    '\n' => text.push_str("\\n"),
                    // `lines` would take one before the end of a line for a part of that end.
                    '\r' => text.push_str("\\r"),
                    other => text.push(other),
                }
            }
            text.push('\n');
        }
        text
    }

    /// The first value of a key, read as `T`; `None` when the key is absent.
    ///
    /// # Errors
    /// The value cannot be read as `T`.
    pub fn get<T: std::str::FromStr>(&self, key: &'static str) -> Result<Option<T>, Error> {
        self.all(key).next().map(|value| value.parse().map_err(|_| Error::Field(key))).transpose()
    }

    /// The first value of a key, which must be there.
    ///
    /// # Errors
    /// The key is absent or its value cannot be read as `T`.
    pub fn need<T: std::str::FromStr>(&self, key: &'static str) -> Result<T, Error> {
        self.get(key)?.ok_or(Error::Field(key))
    }

    fn parse(body: &str) -> Fields {
        let lines = body.lines().filter_map(|line| line.split_once(' '));
        Fields(lines.map(|(key, value)| (key.to_owned(), unescape(value))).collect())
    }
}

fn unescape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some(other) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    text
}
