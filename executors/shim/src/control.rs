//! The socket of a shim, by which an agent on the same machine asks and stops.
//!
//! A frame is a little-endian u32 length of what follows, a version byte, a kind byte, and a body of
//! at most [`BODY_MAX`] bytes. Kinds and body fields are only ever added: shims outlive agents. A
//! shim answers a version or kind that it does not know with a refusal.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use crate::process::Pidfd;

pub(crate) use server::Server;

mod server;
#[cfg(test)]
mod tests;

/// The socket's name in the attempt's directory.
pub const SOCKET: &str = "control";
/// Version of the frames.
pub const VERSION: u8 = 1;
/// Bytes of a frame's body at most.
pub const BODY_MAX: usize = 4096;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a shim can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// How the task does.
    Status,
    /// Send this signal to the task's program.
    Signal(i32),
    /// SIGTERM now, and the whole task killed after so many milliseconds.
    Stop { grace_ms: u64 },
}

/// What a shim answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It was done.
    Done,
    /// The task's state in words of `key value` lines: `state running|stopping`, `pid N`.
    Status(String),
    /// It was not done; the text says why.
    Refused(String),
}

impl Request {
    fn encode(self) -> Vec<u8> {
        match self {
            Request::Status => frame(1, b""),
            Request::Signal(signal) => frame(2, signal.to_string().as_bytes()),
            Request::Stop { grace_ms } => frame(3, grace_ms.to_string().as_bytes()),
        }
    }

    /// Reads a frame without its length.
    fn decode(frame: &[u8]) -> Result<Request, String> {
        let (kind, body) = open(frame)?;
        let wrong = || format!("the body of kind {kind} is wrong");
        match kind {
            1 => Ok(Request::Status),
            2 => body.parse().map(Request::Signal).map_err(|_| wrong()),
            3 => body.parse().map(|grace_ms| Request::Stop { grace_ms }).map_err(|_| wrong()),
            _ => Err(format!("kind {kind} is not known")),
        }
    }
}

impl Reply {
    fn encode(&self) -> Vec<u8> {
        match self {
            Reply::Done => frame(128, b""),
            Reply::Status(text) => frame(129, text.as_bytes()),
            Reply::Refused(cause) => frame(130, cause.as_bytes()),
        }
    }

    fn decode(frame: &[u8]) -> Result<Reply, String> {
        let (kind, body) = open(frame)?;
        match kind {
            128 => Ok(Reply::Done),
            129 => Ok(Reply::Status(body.to_owned())),
            130 => Ok(Reply::Refused(body.to_owned())),
            _ => Err(format!("kind {kind} is not known")),
        }
    }
}

/// A connection to a shim.
#[derive(Debug)]
pub struct Client(UnixStream);

impl Client {
    /// Connects to the shim of the attempt in `dir`.
    ///
    /// # Errors
    /// `NotFound` or `ConnectionRefused` when no shim is there (yet, or any more).
    pub fn connect(dir: &Path) -> io::Result<Client> {
        // Socket addresses hold 108 bytes; the directory's descriptor makes a short path of any.
        let opened = File::options().read(true).custom_flags(libc::O_DIRECTORY).open(dir)?;
        let stream = UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client(stream))
    }

    /// A handle on the process at the other end, which is the shim if that still lives.
    ///
    /// # Errors
    /// It has ended, or descriptors have run out.
    pub fn shim(&self) -> io::Result<Pidfd> {
        Pidfd::of(getsockopt(&self.0, PeerCredentials)?.pid())
    }

    /// Sends a request without waiting for the answer.
    ///
    /// # Errors
    /// The shim is gone.
    pub fn tell(&mut self, request: Request) -> io::Result<()> {
        self.0.write_all(&request.encode())
    }

    /// Sends a request and waits for the answer, at most two seconds.
    ///
    /// # Errors
    /// The shim is gone, hangs, or answers something that is no frame.
    pub fn ask(&mut self, request: Request) -> io::Result<Reply> {
        self.tell(request)?;
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > BODY_MAX + 2 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long"));
        }
        let mut frame = vec![0; length];
        self.0.read_exact(&mut frame)?;
        Reply::decode(&frame).map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))
    }
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let body = &body[..body.len().min(BODY_MAX)];
    let length = u32::try_from(body.len() + 2).expect("bodies are short");
    let mut frame = length.to_le_bytes().to_vec();
    frame.extend_from_slice(&[VERSION, kind]);
    frame.extend_from_slice(body);
    frame
}

/// Kind and body of a frame.
fn open(frame: &[u8]) -> Result<(u8, &str), String> {
    match frame {
        [VERSION, kind, body @ ..] => {
            std::str::from_utf8(body).map(|body| (*kind, body)).map_err(|_| "the body is no text".to_owned())
        }
        [version, _, ..] => Err(format!("version {version} is not known; this shim speaks {VERSION}")),
        _ => Err("the frame is too short".to_owned()),
    }
}
