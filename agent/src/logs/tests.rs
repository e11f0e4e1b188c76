use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use super::*;

const ID: u64 = 9;

/// Writes a segment as the shim does: bytes, and an index that begins with the segment's own beginning.
fn segment(dir: &Path, stream: &str, number: u64, base: u64, bytes: &[u8]) {
    let log = dir.join("log");
    fs::create_dir_all(&log).unwrap();
    fs::write(log.join(format!("{stream}.{number}")), bytes).unwrap();
    let mut index = base.to_le_bytes().to_vec();
    index.extend(7u64.to_le_bytes());
    fs::write(log.join(format!("{stream}.{number}.idx")), index).unwrap();
}

fn append(dir: &Path, bytes: &[u8]) {
    let path = dir.join("log/stdout.0");
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn server() -> LogServer {
    let segments: Arc<dyn LogSource> = Arc::new(Segments);
    LogServer::new([(ExecutorKind::Exec, segments)].into(), 2)
}

fn located(dir: &Path, over: bool) -> Located {
    Located { dir: dir.to_owned(), kind: ExecutorKind::Exec, over }
}

fn open(credit: u64) -> Open {
    Open {
        attempt: AttemptHandle(1),
        streams: vec![Stream::Stdout],
        from: From::Start,
        follow: false,
        credit,
    }
}

/// Everything that comes without more credit.
fn drain(server: &mut LogServer, now: Boot) -> Vec<Frame> {
    let mut frames = Vec::new();
    loop {
        let pumped = server.pump(now);
        frames.extend(pumped.frames.into_iter().map(|(_, frame)| frame));
        if !pumped.again {
            return frames;
        }
    }
}

fn text(frames: &[Frame]) -> String {
    let data = frames.iter().filter_map(|frame| match frame {
        Frame::Data { bytes, .. } => Some(bytes.as_slice()),
        Frame::Gap { .. } | Frame::End { .. } | Frame::Error { .. } => None,
    });
    String::from_utf8(data.flatten().copied().collect()).unwrap()
}

#[test]
fn no_more_is_sent_than_there_is_credit() {
    let home = tempfile::tempdir().unwrap();
    segment(home.path(), "stdout", 0, 0, b"0123456789");
    let mut server = server();
    assert_eq!(server.open(ID, &open(4), Some(&located(home.path(), true)), Boot(0)), None);
    assert_eq!(text(&drain(&mut server, Boot(0))), "0123");
    assert_eq!(drain(&mut server, Boot(1)), []);
    server.credit(ID, 100, Boot(2));
    let rest = drain(&mut server, Boot(2));
    assert_eq!(text(&rest), "456789");
    assert_eq!(rest.last(), Some(&Frame::End { complete: true }));
    assert!(server.is_empty());
}

#[test]
fn a_reader_without_credit_is_cut_after_a_while() {
    let home = tempfile::tempdir().unwrap();
    segment(home.path(), "stdout", 0, 0, b"0123456789");
    let mut server = server();
    server.open(ID, &open(4), Some(&located(home.path(), true)), Boot(0));
    drain(&mut server, Boot(1_000));
    assert_eq!(drain(&mut server, Boot(30_999)), []);
    let cut = drain(&mut server, Boot(31_000));
    assert!(matches!(cut[..], [Frame::Error { code: ErrorCode::Io, .. }]), "{cut:?}");
    assert!(server.is_empty());
}

#[test]
fn following_goes_on_until_the_attempt_is_over() {
    let home = tempfile::tempdir().unwrap();
    segment(home.path(), "stdout", 0, 0, b"one\n");
    let mut server = server();
    let follow = Open { follow: true, ..open(1_000) };
    server.open(ID, &follow, Some(&located(home.path(), false)), Boot(0));
    assert_eq!(text(&drain(&mut server, Boot(0))), "one\n");
    append(home.path(), b"two\n");
    assert_eq!(text(&drain(&mut server, Boot(1))), "two\n");
    assert_eq!(server.followed(), [AttemptHandle(1)]);
    append(home.path(), b"three\n");
    server.over(AttemptHandle(1));
    let last = drain(&mut server, Boot(2));
    assert_eq!(text(&last), "three\n");
    assert_eq!(last.last(), Some(&Frame::End { complete: true }));
}

#[test]
fn without_follow_a_running_attempts_log_ends_incomplete() {
    let home = tempfile::tempdir().unwrap();
    segment(home.path(), "stdout", 0, 0, b"one\n");
    let mut server = server();
    server.open(ID, &open(1_000), Some(&located(home.path(), false)), Boot(0));
    assert_eq!(drain(&mut server, Boot(0)).last(), Some(&Frame::End { complete: false }));
}

#[test]
fn tails_and_offsets_begin_where_they_say_and_what_was_rotated_away_is_a_gap() {
    let home = tempfile::tempdir().unwrap();
    segment(home.path(), "stdout", 3, 100, b"a\nb\n");
    segment(home.path(), "stdout", 4, 104, b"c\nd\n");
    for (from, expected) in [
        (From::TailLines(3), "b\nc\nd\n"),
        (From::TailBytes(2), "d\n"),
        (From::Offset(106), "d\n"),
        (From::Start, "a\nb\nc\nd\n"),
    ] {
        let mut server = server();
        server.open(ID, &Open { from, ..open(1_000) }, Some(&located(home.path(), true)), Boot(0));
        let frames = drain(&mut server, Boot(0));
        assert_eq!(text(&frames), expected, "{from:?}");
        let gap = Frame::Gap { stream: Stream::Stdout, offset: 0, bytes: 100 };
        assert_eq!(frames.contains(&gap), from == From::Start, "{from:?}");
    }
}

#[test]
fn both_streams_come_and_one_log_too_many_is_refused() {
    let home = tempfile::tempdir().unwrap();
    segment(home.path(), "stdout", 0, 0, b"out");
    segment(home.path(), "stderr", 0, 0, b"err");
    let mut server = server();
    let both = Open { streams: vec![Stream::Stdout, Stream::Stderr], ..open(1_000) };
    let place = located(home.path(), true);
    assert_eq!(server.open(1, &both, Some(&place), Boot(0)), None);
    assert_eq!(server.open(2, &both, Some(&place), Boot(0)), None);
    let refused = server.open(3, &both, Some(&place), Boot(0));
    assert!(matches!(refused, Some(Frame::Error { code: ErrorCode::Full, .. })));
    server.cancel(2);
    let frames = drain(&mut server, Boot(0));
    assert!(text(&frames).contains("out") && text(&frames).contains("err"));
    assert_eq!(frames.iter().filter(|frame| matches!(frame, Frame::End { .. })).count(), 1);
}

#[test]
fn an_attempt_that_is_not_here_has_no_logs() {
    let refused = server().open(ID, &open(1), None, Boot(0));
    assert!(matches!(refused, Some(Frame::Error { code: ErrorCode::UnknownAttempt, .. })));
}
