use berth_shim::log::{Chunk, Reader, UNKNOWN_GAP};

use super::*;

fn log(dir: &Path) -> OutputLog {
    OutputLog::resume(dir, LogSizes::default())
}

fn said(second: u32, text: &str) -> LogOutput {
    LogOutput::StdOut { message: format!("2026-01-02T03:04:{second:02}.000000001Z {text}").into() }
}

fn begin(log: &mut OutputLog) {
    log.tracks.iter_mut().for_each(Track::rewind);
}

fn written(dir: &Path) -> String {
    let mut buffer = [0; 1024];
    match Reader::new(dir, Stream::Stdout, 0).read(&mut buffer).unwrap() {
        Chunk::Data { bytes, .. } => String::from_utf8_lossy(&buffer[..bytes]).into_owned(),
        other => panic!("{other:?}"),
    }
}

/// What an engine has to say again; two messages share an instant, as the parts of a long line do.
fn story() -> Vec<LogOutput> {
    [(1, "a\n"), (2, "b"), (2, "c\n"), (3, "d\n")].map(|(second, text)| said(second, text)).into()
}

#[test]
fn a_log_that_is_given_again_is_written_once() {
    let home = tempfile::tempdir().unwrap();
    for cut in 0..=4 {
        let dir = home.path().join(cut.to_string());
        let mut first = log(&dir);
        begin(&mut first);
        story().into_iter().take(cut).for_each(|message| first.take(message));
        drop(first);
        let mut second = log(&dir);
        for _ in 0..2 {
            begin(&mut second);
            story().into_iter().for_each(|message| second.take(message));
        }
        assert_eq!(written(&dir), "a\nbc\nd\n", "{cut}");
    }
}

#[test]
fn an_engine_that_gives_only_what_is_since_the_cursor_is_understood() {
    let home = tempfile::tempdir().unwrap();
    let mut first = log(home.path());
    begin(&mut first);
    story().into_iter().take(3).for_each(|message| first.take(message));
    first.save();
    drop(first);
    let mut second = log(home.path());
    begin(&mut second);
    story().into_iter().skip(1).for_each(|message| second.take(message));
    assert_eq!(written(home.path()), "a\nbc\nd\n");
}

#[test]
fn what_the_engine_has_rotated_away_is_a_gap_and_does_not_swallow_what_is_new() {
    let home = tempfile::tempdir().unwrap();
    let mut first = log(home.path());
    begin(&mut first);
    story().into_iter().take(3).for_each(|message| first.take(message));
    first.save();
    drop(first);
    let mut second = log(home.path());
    begin(&mut second);
    second.take(said(9, "z\n"));
    second.take(said(10, "y\n"));
    assert_eq!(second.lost(), UNKNOWN_GAP, "nobody knows how much is missing");
    let mut reader = Reader::new(home.path(), Stream::Stdout, 0);
    let mut buffer = [0; 1024];
    assert_eq!(reader.read(&mut buffer).unwrap(), Chunk::Data { offset: 0, bytes: 5 });
    assert_eq!(reader.read(&mut buffer).unwrap(), Chunk::Gap { bytes: UNKNOWN_GAP });
    assert_eq!(reader.read(&mut buffer).unwrap(), Chunk::Data { offset: 6, bytes: 4 });
    assert_eq!(&buffer[..4], b"z\ny\n");
}

#[test]
fn a_clock_that_steps_back_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut log = log(home.path());
    begin(&mut log);
    log.take(said(5, "a\n"));
    log.take(said(2, "b\n"));
    log.take(said(6, "c\n"));
    assert_eq!(written(home.path()), "a\nb\nc\n");
}

#[test]
fn what_the_engine_did_not_give_at_the_end_is_a_gap_and_no_silence() {
    let home = tempfile::tempdir().unwrap();
    let mut log = log(home.path());
    begin(&mut log);
    log.take(said(1, "a\n"));
    assert_eq!(log.ends(), LogEnds { stdout: Some(2), stderr: Some(0) });
    log.lose_rest();
    assert_eq!(log.ends(), LogEnds { stdout: Some(2 + UNKNOWN_GAP), stderr: Some(UNKNOWN_GAP) });
    assert_eq!(log.lost(), 2 * UNKNOWN_GAP);
}
