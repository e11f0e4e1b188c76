//! The shim's end of the socket. Nothing here waits: a peer that stalls is dropped.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;

use super::{BODY_MAX, Reply, Request, SOCKET};

/// Connections served at once; more are closed.
const PEERS_MAX: usize = 8;

/// The listener and its connections.
#[derive(Debug)]
pub(crate) struct Server {
    listener: UnixListener,
    peers: Vec<Peer>,
}

#[derive(Debug)]
struct Peer {
    stream: UnixStream,
    received: Vec<u8>,
    closed: bool,
}

impl Server {
    /// Listens in the current directory, which is the attempt's.
    pub(crate) fn bind() -> io::Result<Server> {
        match fs::remove_file(SOCKET) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(SOCKET)?;
        fs::set_permissions(SOCKET, fs::Permissions::from_mode(0o700))?;
        listener.set_nonblocking(true)?;
        Ok(Server { listener, peers: Vec::new() })
    }

    /// What to wait on.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd()).chain(self.peers.iter().map(|peer| peer.stream.as_fd()))
    }

    /// Takes new connections and answers what has come in with `handle`.
    pub(crate) fn serve(&mut self, mut handle: impl FnMut(Request) -> Reply) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.peers.len() < PEERS_MAX && may_ask(&stream) && stream.set_nonblocking(true).is_ok() {
                self.peers.push(Peer { stream, received: Vec::new(), closed: false });
            }
        }
        for peer in &mut self.peers {
            peer.serve(&mut handle);
        }
        self.peers.retain(|peer| !peer.closed);
    }
}

impl Peer {
    fn serve(&mut self, handle: &mut impl FnMut(Request) -> Reply) {
        let mut buffer = [0; 512];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.closed = true,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.closed = true,
            }
            if self.closed || self.received.len() > BODY_MAX {
                break;
            }
        }
        while let Some(frame) = self.next_frame() {
            let reply = Request::decode(&frame).map_or_else(Reply::Refused, &mut *handle);
            // A peer that told and left does not want the answer.
            let _ = self.stream.write_all(&reply.encode());
        }
    }

    /// Takes a whole frame, without its length, out of what was received.
    fn next_frame(&mut self) -> Option<Vec<u8>> {
        let length = u32::from_le_bytes(self.received.get(..4)?.try_into().expect("four bytes"));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > BODY_MAX + 2 {
            self.closed = true;
            return None;
        }
        let frame = self.received.get(4..4 + length)?.to_vec();
        self.received.drain(..4 + length);
        Some(frame)
    }
}

/// Only the same user and root may ask, whatever the directory's mode has become.
fn may_ask(stream: &UnixStream) -> bool {
    getsockopt(stream, PeerCredentials).is_ok_and(|peer| peer.uid() == 0 || peer.uid() == geteuid().as_raw())
}
