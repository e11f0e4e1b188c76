//! Pieces of logs as text: a character that is cut between two pieces stays whole.

use crate::logs::{LogPiece, LogStream};

/// Makes text of the pieces of one [`crate::Logs`]. Programs write bytes, and pieces end wherever a buffer did, so that the
/// last character of a piece may end in the next one of the same stream; its first bytes, at most three, wait here for
/// the rest. What is not UTF-8 becomes U+FFFD.
///
/// ```
/// use berth_client::{LogDecoder, LogPiece, LogStream};
///
/// let piece = |offset, bytes: &[u8]| LogPiece::Data { stream: LogStream::Stdout, attempt: 1, offset, bytes: bytes.into() };
/// let mut decoder = LogDecoder::default();
/// let first = decoder.text(&piece(0, b"gr\xc3")).expect("there is text");
/// let second = decoder.text(&piece(3, b"\xbc\xc3\x9fe")).expect("there is text");
/// assert_eq!((first.text.as_str(), second.text.as_str()), ("gr", "\u{fc}\u{df}e"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct LogDecoder {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Text of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogText {
    /// Which stream.
    pub stream: LogStream,
    /// Where its first byte stands in the stream; at most three bytes before the piece that completed it.
    pub offset: u64,
    /// Never empty.
    pub text: String,
}

impl LogDecoder {
    /// The text that is complete with this piece. A gap or the end of a stream gives up the character that had only begun.
    /// `None` when there is nothing to show yet.
    pub fn text(&mut self, piece: &LogPiece) -> Option<LogText> {
        let (&stream, offset, bytes): (_, _, Option<&[u8]>) = match piece {
            LogPiece::Data { stream, offset, bytes, .. } => (stream, *offset, Some(bytes)),
            LogPiece::Gap { stream, offset, .. } | LogPiece::End { stream, offset, .. } => {
                (stream, *offset, None)
            }
        };
        let tail = match stream {
            LogStream::Stdout => &mut self.stdout,
            LogStream::Stderr => &mut self.stderr,
        };
        let begun = u64::try_from(tail.len()).unwrap_or(0);
        let mut all = std::mem::take(tail);
        let text = match bytes {
            Some(bytes) => {
                all.extend_from_slice(bytes);
                *tail = all.split_off(all.len() - unfinished(&all));
                String::from_utf8_lossy(&all).into_owned()
            }
            None => String::from_utf8_lossy(&all).into_owned(),
        };
        (!text.is_empty()).then(|| LogText { stream, offset: offset.saturating_sub(begun), text })
    }
}

/// How many bytes at the end begin a character that may go on.
fn unfinished(bytes: &[u8]) -> usize {
    // A character has at most four bytes, so that what is before the last three is complete or wrong.
    (1..=bytes.len().min(3))
        .find(|&length| {
            let end = &bytes[bytes.len() - length..];
            matches!(str::from_utf8(end), Err(error) if error.valid_up_to() == 0 && error.error_len().is_none())
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(stream: LogStream, offset: usize, bytes: &[u8]) -> LogPiece {
        LogPiece::Data { stream, attempt: 1, offset: u64::try_from(offset).unwrap(), bytes: bytes.into() }
    }

    #[test]
    fn text_is_the_same_wherever_it_is_cut() {
        let whole = "a\u{e4}\u{20ac}\u{1f680}z".as_bytes();
        for first in 0..=whole.len() {
            for second in first..=whole.len() {
                let mut decoder = LogDecoder::default();
                let mut text = String::new();
                for (from, to) in [(0, first), (first, second), (second, whole.len())] {
                    let found = decoder.text(&data(LogStream::Stdout, from, &whole[from..to]));
                    text.extend(found.map(|found| {
                        assert_eq!(usize::try_from(found.offset).unwrap(), text.len(), "{first} {second}");
                        found.text
                    }));
                }
                assert_eq!(text.as_bytes(), whole, "{first} {second}");
            }
        }
    }

    #[test]
    fn what_is_no_text_is_replaced_and_the_two_streams_stay_apart() {
        let mut decoder = LogDecoder::default();
        let mut text = |piece: &LogPiece| decoder.text(piece).map(|found| found.text);
        assert_eq!(text(&data(LogStream::Stdout, 0, b"\xc3")), None);
        assert_eq!(text(&data(LogStream::Stderr, 0, b"\xbc\xff.")).as_deref(), Some("\u{fffd}\u{fffd}."));
        assert_eq!(text(&data(LogStream::Stdout, 1, b"\xbc")).as_deref(), Some("\u{fc}"));
        assert_eq!(text(&data(LogStream::Stdout, 2, b"x\xe2\x82")).as_deref(), Some("x"));
        let end = LogPiece::End { stream: LogStream::Stdout, offset: 5, complete: true };
        assert_eq!(text(&end).as_deref(), Some("\u{fffd}"));
        assert_eq!(text(&end), None);
    }
}
