use super::*;
use crate::record::{EXIT_FILE, LogSizes};

fn attempt() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(LOG_DIR)).unwrap();
    dir
}

fn writer(dir: &Path, segment_bytes: u64, segments: u64) -> Writer {
    Writer::new(dir, Stream::Stdout, LogSizes { segment_bytes, segments })
}

/// Everything that can be read from `offset` on: bytes, and the sum of the gaps.
fn read_all(dir: &Path, offset: u64) -> (Vec<u8>, u64, Chunk) {
    let mut reader = Reader::new(dir, Stream::Stdout, offset);
    let (mut bytes, mut gaps) = (Vec::new(), 0);
    let mut buffer = [0; 100];
    loop {
        match reader.read(&mut buffer).unwrap() {
            Chunk::Data { bytes: count, .. } => bytes.extend_from_slice(&buffer[..count]),
            Chunk::Gap { bytes } => gaps += bytes,
            last @ (Chunk::Wait | Chunk::End) => return (bytes, gaps, last),
        }
    }
}

#[test]
fn what_is_written_is_read_and_the_end_is_told() {
    let dir = attempt();
    assert_eq!(read_all(dir.path(), 0), (vec![], 0, Chunk::Wait));
    let mut log = writer(dir.path(), 1000, 5);
    log.write(b"hello\n");
    assert_eq!(read_all(dir.path(), 0), (b"hello\n".to_vec(), 0, Chunk::Wait));
    log.write(b"more");
    fs::write(dir.path().join(EXIT_FILE), "").unwrap();
    assert_eq!(read_all(dir.path(), 2), (b"llo\nmore".to_vec(), 0, Chunk::End));
}

#[test]
fn rotation_happens_at_a_line_end_and_keeps_the_newest_segments() {
    let dir = attempt();
    let mut log = writer(dir.path(), 100, 3);
    let text: String = (0..100).map(|n| format!("line {n}\n")).collect();
    for part in text.as_bytes().chunks(7) {
        log.write(part);
    }
    let kept = segments(dir.path(), Stream::Stdout).unwrap();
    assert_eq!(kept.len(), 3);
    assert!(kept.iter().all(|segment| segment.length <= 100));
    let (bytes, gaps, _) = read_all(dir.path(), 0);
    assert_eq!(gaps + u64::try_from(bytes.len()).unwrap(), u64::try_from(text.len()).unwrap());
    assert!(text.ends_with(std::str::from_utf8(&bytes).unwrap()));
    for segment in &kept {
        let data = fs::read(Segment::path(dir.path(), Stream::Stdout, segment.number)).unwrap();
        assert!(data.starts_with(b"line"));
    }
}

#[test]
fn a_line_longer_than_a_segment_is_cut() {
    let dir = attempt();
    let mut log = writer(dir.path(), 100, 50);
    log.write(&[b'x'; 1050]);
    let kept = segments(dir.path(), Stream::Stdout).unwrap();
    assert_eq!(kept.iter().map(|segment| segment.length).collect::<Vec<_>>()[..2], [100, 100]);
    assert_eq!(read_all(dir.path(), 0).0.len(), 1050);
}

#[test]
fn what_the_disk_does_not_take_is_a_counted_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = writer(dir.path(), 1000, 5);
    log.write(b"lost");
    assert_eq!(log.lost(), 4);
    fs::create_dir(dir.path().join(LOG_DIR)).unwrap();
    // Within the pause after a failure everything is dropped without asking the disk.
    log.write(b"lost");
    assert_eq!(log.lost(), 8);
    while log.lost() == 8 || segments(dir.path(), Stream::Stdout).unwrap().is_empty() {
        log.write(b"k");
    }
    let (bytes, gaps, _) = read_all(dir.path(), 0);
    assert_eq!(gaps, log.lost());
    assert!(!bytes.is_empty());
}

#[test]
fn a_wall_clock_that_is_set_back_does_not_put_off_the_next_try() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = writer(dir.path(), 1000, 5);
    let hour = 3_600_000;
    log.write_at(b"lost", writer::Now { wall_ms: hour, boot_ms: 5000 });
    fs::create_dir(dir.path().join(LOG_DIR)).unwrap();
    log.write_at(b"lost", writer::Now { wall_ms: 2 * hour, boot_ms: 5999 });
    log.write_at(b"kept", writer::Now { wall_ms: 0, boot_ms: 6000 });
    assert_eq!(read_all(dir.path(), 0), (b"kept".to_vec(), 8, Chunk::Wait));
}

#[test]
fn the_tail_is_found_across_segments() {
    let dir = attempt();
    let mut log = writer(dir.path(), 40, 100);
    for n in 0..50 {
        log.write(format!("line {n}\n").as_bytes());
    }
    let from = |offset| String::from_utf8(read_all(dir.path(), offset).0).unwrap();
    assert_eq!(from(tail_lines(dir.path(), Stream::Stdout, 2).unwrap()), "line 48\nline 49\n");
    log.write(b"rest");
    assert_eq!(from(tail_lines(dir.path(), Stream::Stdout, 2).unwrap()), "line 49\nrest");
    assert_eq!(from(tail_lines(dir.path(), Stream::Stdout, 0).unwrap()), "");
    assert!(from(tail_lines(dir.path(), Stream::Stdout, 1000).unwrap()).starts_with("line 0\n"));
    assert_eq!(from(tail_bytes(dir.path(), Stream::Stdout, 6).unwrap()), "9\nrest");
}
