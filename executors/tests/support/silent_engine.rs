//! A socket that takes connections as a Docker engine does, and answers only what it is told to: an engine that hangs.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[derive(Debug)]
pub(crate) struct SilentEngine {
    pub(crate) socket: PathBuf,
    greets: Arc<AtomicBool>,
}

impl SilentEngine {
    /// Listens in this directory. Its threads end with the test's process.
    pub(crate) fn new(dir: &Path) -> SilentEngine {
        let socket = dir.join("engine.sock");
        let listener = UnixListener::bind(&socket).expect("the directory is new");
        let greets = Arc::new(AtomicBool::new(false));
        let engine = SilentEngine { socket, greets: Arc::clone(&greets) };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let greets = Arc::clone(&greets);
                thread::spawn(move || serve(stream, &greets));
            }
        });
        engine
    }

    /// Whether it says what version it is, and with that seems ready. Everything else stays unanswered.
    pub(crate) fn greet(&self, greets: bool) {
        self.greets.store(greets, Ordering::SeqCst);
    }
}

fn serve(stream: UnixStream, greets: &AtomicBool) {
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    while let Some(request) = lines.next() {
        // None of the requests that are answered has a body.
        let _ = lines.by_ref().take_while(|line| !line.is_empty()).count();
        let path = request.split(' ').nth(1).unwrap_or_default();
        if greets.load(Ordering::SeqCst) && (path.ends_with("/version") || path.ends_with("/info")) {
            let body = r#"{"Version":"0","ApiVersion":"1.41","MinAPIVersion":"1.24"}"#;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json";
            // The caller may be gone.
            let _ = write!(&stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    }
}
