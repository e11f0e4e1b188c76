//! Where what tasks wrote is read from: the nodes that keep it, each over one stream that carries many reads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use berth_proto::agent::{self, LogFrame, LogRequest, log_request};
use tokio::sync::mpsc;

/// Frames of one read that wait for whoever reads. Credit bounds their bytes, this their number.
const FRAMES_MAX: usize = 1_024;
/// How many bytes a node may send ahead of whoever reads.
pub const CREDIT: u64 = 512 * 1024;
/// Requests that wait for one node.
const REQUESTS_MAX: usize = 256;

/// The streams of all nodes that are connected to this server. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct LogHub {
    // Held for look-ups only, never while anything waits.
    links: Arc<Mutex<BTreeMap<String, Link>>>,
    next_link: Arc<AtomicU64>,
}

#[derive(Debug, Clone)]
struct Link {
    number: u64,
    requests: mpsc::Sender<LogRequest>,
    readers: Arc<Mutex<BTreeMap<u64, mpsc::Sender<LogFrame>>>>,
    next_id: Arc<AtomicU64>,
}

/// The server's end of a node's stream.
#[derive(Debug)]
pub struct NodeLink {
    hub: LogHub,
    node: String,
    link: Link,
}

/// One read. Dropping it ends it.
#[derive(Debug)]
pub struct Reading {
    id: u64,
    link: Link,
    frames: mpsc::Receiver<LogFrame>,
}

impl LogHub {
    /// A node has opened its stream; what is to be asked of it comes out of the receiver. An older stream of the
    /// node is no longer used.
    pub fn connect(&self, node: &str) -> (NodeLink, mpsc::Receiver<LogRequest>) {
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        let number = self.next_link.fetch_add(1, Ordering::Relaxed);
        let link = Link { number, requests, readers: Arc::default(), next_id: Arc::new(AtomicU64::new(1)) };
        lock(&self.links).insert(node.to_owned(), link.clone());
        (NodeLink { hub: self.clone(), node: node.to_owned(), link }, receiver)
    }

    /// Begins to read from a node. `None` when it is not connected here.
    pub async fn open(&self, node: &str, mut open: agent::LogOpen) -> Option<Reading> {
        let link = lock(&self.links).get(node).cloned()?;
        let id = link.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, frames) = mpsc::channel(FRAMES_MAX);
        lock(&link.readers).insert(id, sender);
        let reading = Reading { id, link, frames };
        open.credit_bytes = CREDIT;
        let request = LogRequest { id, message: Some(log_request::Message::Open(open)) };
        reading.link.requests.send(request).await.ok()?;
        Some(reading)
    }
}

impl NodeLink {
    /// Hands a frame to whoever reads it.
    pub fn deliver(&self, frame: LogFrame) {
        let id = frame.id;
        let reader = lock(&self.link.readers).get(&id).cloned();
        // One that does not read is cut; it may go on from the offset it has.
        if reader.is_none_or(|reader| reader.try_send(frame).is_err()) {
            lock(&self.link.readers).remove(&id);
            let cancel = LogRequest { id, message: Some(log_request::Message::Cancel(agent::LogCancel {})) };
            let _ = self.link.requests.try_send(cancel);
        }
    }
}

impl Drop for NodeLink {
    fn drop(&mut self) {
        let mut links = lock(&self.hub.links);
        if links.get(&self.node).is_some_and(|link| link.number == self.link.number) {
            links.remove(&self.node);
        }
        drop(links);
        lock(&self.link.readers).clear();
    }
}

impl Reading {
    /// The next frame; `None` when the node's stream has ended.
    pub async fn next(&mut self) -> Option<LogFrame> {
        self.frames.recv().await
    }

    /// Lets the node send so many more bytes.
    pub async fn grant(&self, bytes: u64) {
        let request = LogRequest { id: self.id, message: Some(log_request::Message::CreditBytes(bytes)) };
        // When the stream is gone, `next` says so.
        let _ = self.link.requests.send(request).await;
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if lock(&self.link.readers).remove(&self.id).is_some() {
            let cancel =
                LogRequest { id: self.id, message: Some(log_request::Message::Cancel(agent::LogCancel {})) };
            // A node that takes no requests gives up by itself when it gets no credit.
            let _ = self.link.requests.try_send(cancel);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
