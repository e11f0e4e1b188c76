use super::*;
use crate::group::Groups;
use crate::process::Process;

fn an_order() -> Order {
    Order {
        attempt: 7,
        name: "run.step.0.1".into(),
        boot_id: "b".into(),
        command: vec!["sh".into(), "-c".into(), "echo 'a\nb' \\n".into(), String::new()],
        environment: vec![("A".into(), "x=y\nz".into()), ("EMPTY".into(), String::new())],
        namespaces: true,
        groups: Groups { unified: Some("/g/u".into()), v1: [("memory".to_owned(), "/g/m".into())].into() },
        shim_groups: vec!["/g/shims".into()],
        end_with: Some(Process { pid: 3, start_ticks: 9 }),
        leash: Some(LeashOrder { span_ms: 30_000, grace_ms: 500, contact: "/data/contact".into() }),
        open_files: Some(1024),
        log: LogSizes::default(),
    }
}

#[test]
fn a_record_reads_back_what_was_written() {
    let order = an_order();
    assert_eq!(Order::decode(&order.encode()).unwrap(), order);
    let exit = ExitRecord {
        outcome: Outcome::NotStarted("no such\nfile".into()),
        oom: false,
        started_ms: None,
        finished_ms: 5,
        ran_ms: 0,
        memory_peak: 0,
        cpu_ms: 0,
        log_lost: 0,
        leftover: true,
        log_ends: LogEnds { stdout: Some(5), stderr: None },
    };
    assert_eq!(ExitRecord::decode(&exit.encode()).unwrap(), exit);
    let disconnected = ExitRecord { outcome: Outcome::Disconnected, ..exit };
    assert_eq!(ExitRecord::decode(&disconnected.encode()).unwrap(), disconnected);
}

#[test]
fn a_carriage_return_stays_where_it_was() {
    let mut order = an_order();
    order.command = vec!["printf".into(), "a\r".into(), "\r\n".into(), "\\r".into(), "\\\r".into()];
    assert_eq!(Order::decode(&order.encode()).unwrap(), order);
}

#[test]
fn a_record_cut_anywhere_counts_as_absent() {
    let bytes = an_order().encode();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("order.rec");
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(Order::read(&path).unwrap().is_none(), "{length}");
    }
    fs::remove_file(&path).unwrap();
    assert!(Order::read(&path).unwrap().is_none());
}

#[test]
fn a_flipped_bit_is_noticed() {
    let bytes = an_order().encode();
    for place in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[place] ^= 1;
        assert!(Order::decode(&broken).is_err(), "{place}");
    }
}

#[test]
fn a_record_of_another_kind_is_an_error() {
    assert!(matches!(ExitRecord::decode(&an_order().encode()), Err(Error::Kind { .. })));
}
