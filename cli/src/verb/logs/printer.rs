//! Pieces of one attempt's logs on stdout.

use berth_client::{LogDecoder, LogPiece, LogStream};
use berth_shim::log::UNKNOWN_GAP;
use serde_json::json;

use crate::failure::Failure;
use crate::output::{Output, say};
use crate::units;

/// A line longer than this many bytes is shown in parts where lines of several tasks are mixed.
const LINE_MAX: usize = 64 << 10;

/// Puts the pieces of one attempt on stdout: as the task wrote them, as text for a terminal, line by line behind the name of
/// the task, or as JSON.
#[derive(Debug)]
pub(crate) struct Printer {
    output: Output,
    /// Control characters are written out.
    escape: bool,
    task: String,
    index: u32,
    decoder: LogDecoder,
    lines: Option<Lines>,
}

/// Lines that have begun, and what each line is shown behind.
#[derive(Debug)]
struct Lines {
    prefix: String,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Printer {
    pub(crate) fn new(output: Output, escape: bool, task: &str, index: u32) -> Printer {
        let task = task.to_owned();
        Printer { output, escape, task, index, decoder: LogDecoder::default(), lines: None }
    }

    /// Shows whole lines only, each behind this name, so that other tasks' lines can stand between them.
    #[must_use]
    pub(crate) fn behind(mut self, name: &str) -> Printer {
        let prefix = format!("{} | ", berth_spec::escape(name));
        self.lines = Some(Lines { prefix, stdout: Vec::new(), stderr: Vec::new() });
        self
    }

    pub(crate) fn piece(&mut self, piece: &LogPiece) -> Result<(), Failure> {
        if self.output.is_json() {
            return self.json(piece);
        }
        if let Some(lines) = &mut self.lines {
            let bytes = lines.take(piece, self.escape);
            if !bytes.is_empty() {
                self.output.raw(&bytes)?;
            }
        } else if self.escape {
            if let Some(found) = self.decoder.text(piece) {
                self.output.raw(escaped(&found.text).as_bytes())?;
            }
        } else if let LogPiece::Data { bytes, .. } = piece {
            self.output.raw(bytes)?;
        }
        if let LogPiece::Gap { bytes, .. } = piece {
            let prefix = self.lines.as_ref().map_or("", |lines| &lines.prefix);
            let what = match *bytes {
                UNKNOWN_GAP => "some output may be missing here; how much is not known".to_owned(),
                bytes => format!("{} are no longer kept", units::bytes(bytes)),
            };
            say(&format!("{prefix}... {what} ..."));
        }
        Ok(())
    }

    fn json(&mut self, piece: &LogPiece) -> Result<(), Failure> {
        let (task, index) = (&self.task, self.index);
        if let Some(found) = self.decoder.text(piece) {
            let attempt = match piece {
                LogPiece::Data { attempt, .. } => Some(*attempt),
                LogPiece::Gap { .. } | LogPiece::End { .. } => None,
            };
            self.output.json_line(&json!({
                "task": task,
                "index": index,
                "attempt": attempt,
                "stream": name(found.stream),
                "offset": found.offset,
                "text": found.text,
            }))?;
        }
        if let LogPiece::Gap { stream, offset, bytes } = piece {
            self.output.json_line(&json!({
                "task": task, "index": index, "stream": name(*stream), "offset": offset, "gap_bytes": bytes,
            }))?;
        }
        Ok(())
    }
}

impl Lines {
    /// The lines that are complete with this piece.
    fn take(&mut self, piece: &LogPiece, escape: bool) -> Vec<u8> {
        let (stream, bytes): (_, &[u8]) = match piece {
            LogPiece::Data { stream, bytes, .. } => (stream, bytes),
            LogPiece::Gap { stream, .. } | LogPiece::End { stream, .. } => (stream, &[]),
        };
        let over = bytes.is_empty();
        let begun = match stream {
            LogStream::Stdout => &mut self.stdout,
            LogStream::Stderr => &mut self.stderr,
        };
        begun.extend_from_slice(bytes);
        let complete = match begun.iter().rposition(|&byte| byte == b'\n') {
            _ if over || begun.len() > LINE_MAX => begun.len(),
            Some(end) => end + 1,
            None => 0,
        };
        let rest = begun.split_off(complete);
        let lines = std::mem::replace(begun, rest);
        let mut shown = Vec::with_capacity(lines.len() + self.prefix.len());
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            shown.extend_from_slice(self.prefix.as_bytes());
            if escape {
                shown.extend_from_slice(escaped(&String::from_utf8_lossy(line)).as_bytes());
            } else {
                shown.extend_from_slice(line);
            }
            shown.push(b'\n');
        }
        shown
    }
}

fn name(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
    }
}

/// Text for a terminal: lines and tabs stay, nothing else acts on it.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            safe.push('\n');
        }
        for (at, cell) in line.split('\t').enumerate() {
            if at > 0 {
                safe.push('\t');
            }
            safe.push_str(&berth_spec::escape(cell));
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(stream: LogStream, bytes: &[u8]) -> LogPiece {
        LogPiece::Data { stream, attempt: 1, offset: 0, bytes: bytes.into() }
    }

    #[test]
    fn logs_on_a_terminal_cannot_act_on_it() {
        assert_eq!(escaped("a\tb\n\x1b[2Jc\r\n\u{fc}"), "a\tb\n\\x1b[2Jc\\r\n\u{fc}");
    }

    #[test]
    fn lines_of_several_tasks_stay_whole_and_name_their_task() {
        let mut lines = Lines { prefix: "count[3] | ".into(), stdout: Vec::new(), stderr: Vec::new() };
        let mut take = |piece: &LogPiece| String::from_utf8(lines.take(piece, false)).unwrap();
        assert_eq!(take(&data(LogStream::Stdout, b"one\ntw")), "count[3] | one\n");
        assert_eq!(take(&data(LogStream::Stderr, b"\xc3")), "");
        assert_eq!(take(&data(LogStream::Stdout, b"o\n\nthree")), "count[3] | two\ncount[3] | \n");
        assert_eq!(take(&data(LogStream::Stderr, b"\xbc\n")), "count[3] | \u{fc}\n");
        let end = LogPiece::End { stream: LogStream::Stdout, offset: 0, complete: true };
        assert_eq!(take(&end), "count[3] | three\n");
        assert_eq!(take(&end), "");
        assert!(take(&data(LogStream::Stdout, &[b'x'; LINE_MAX + 1])).ends_with("x\n"));
    }
}
