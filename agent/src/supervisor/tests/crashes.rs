//! The agent dies at every write, and with it perhaps the machine.

use super::*;
use crate::disk::Durability;

/// What the leader wants, over and over, until it has an end of each attempt.
fn converge(bench: &mut Bench, wanted: &[u64]) -> Result<(), journal::Error> {
    bench.welcome()?;
    let ended: BTreeSet<u64> = bench.ends().into_iter().map(|(attempt, _)| attempt).collect();
    let orders = wanted.iter().filter(|attempt| !ended.contains(attempt)).map(|attempt| start(*attempt));
    bench.desire(true, orders.collect())?;
    for _ in 0..40 {
        bench.pass(100)?;
        let ended: BTreeSet<u64> = bench.ends().into_iter().map(|(attempt, _)| attempt).collect();
        for attempt in ended {
            if bench.supervisor().attempts().get(AttemptHandle(attempt)).is_some() {
                bench.forget(attempt)?;
            }
        }
    }
    Ok(())
}

/// Runs until the disk fails at the given write; then the agent comes up again and must bring everything to its end.
/// True when the disk never failed.
fn crash_at(write: u64, power_loss: Option<u64>) -> bool {
    let wanted = [1, 2, 3];
    let mut bench = Bench::new();
    let mut disk = bench.down();
    disk.fail_after(write);
    let failed = bench.up(disk).and_then(|()| converge(&mut bench, &wanted)).is_err();
    let through = !failed;
    // A supervisor that could not even be made has taken the disk with it; those writes are tested with the journal.
    if bench.supervisor.is_none() {
        return through;
    }
    let mut disk = bench.down();
    disk.repair();
    if let Some(seed) = power_loss {
        disk.power_loss(seed);
        bench.world.reboot();
        bench.boot_id = "the next boot".into();
    }
    bench.up(disk).unwrap();
    converge(&mut bench, &wanted).unwrap();

    let ended: BTreeSet<u64> = bench.ends().into_iter().map(|(attempt, _)| attempt).collect();
    assert_eq!(ended, BTreeSet::from(wanted), "write {write}, {power_loss:?}: an end was lost");
    for attempt in wanted {
        let starts = bench.world.starts(AttemptHandle(attempt));
        assert!(starts <= 1, "write {write}, {power_loss:?}: attempt {attempt} was started {starts} times");
    }
    assert!(bench.supervisor().is_idle());
    assert!(bench.supervisor().all_reported());
    assert_eq!(bench.world.running(), []);
    through
}

#[test]
fn a_crash_at_any_write_starts_nothing_twice_and_loses_no_end() {
    let writes = (0..1_000).find(|write| crash_at(*write, None)).expect("the run ends");
    assert!(writes > 15, "only {writes} writes were tried");
}

#[test]
fn a_loss_of_power_at_any_write_starts_nothing_twice_and_loses_no_end() {
    for seed in 0..8 {
        assert!((0..1_000).any(|write| crash_at(write, Some(seed * 1_000 + write))));
    }
}

#[test]
fn a_disk_that_lies_about_its_syncs_is_found_out() {
    let twice = (0..100).any(|seed| {
        let mut bench = Bench::new();
        let mut disk = bench.down();
        disk.lie(true);
        bench.up(disk).unwrap();
        bench.welcome().unwrap();
        bench.desire(true, vec![start(1)]).unwrap();
        let mut disk = bench.down();
        disk.power_loss(seed);
        bench.world.reboot();
        bench.boot_id = "the next boot".into();
        if let Err(error) = bench.up(disk) {
            assert!(matches!(error, journal::Error::Damaged { .. }), "{error}");
            return false;
        }
        converge(&mut bench, &[1]).unwrap();
        bench.world.starts(AttemptHandle(1)) > 1
    });
    assert!(twice, "these tests would not notice a disk that lies");
}

#[test]
fn a_restarted_agent_takes_up_what_runs_and_reports_what_ended_meanwhile() {
    let mut bench = Bench::connected();
    let mut long = a_launch();
    long.program =
        crate::message::Program::Fake { runs_for: Millis(9_000), exit_code: 4, output: "x=1".into() };
    bench.desire(false, vec![start(1), start_of(2, long.clone())]).unwrap();
    let disk = bench.down();
    bench.pass(2_000).unwrap();
    bench.up(disk).unwrap();
    bench.welcome().unwrap();
    bench.desire(true, vec![start_of(2, long)]).unwrap();
    assert_eq!(bench.ends(), [(1, EndReason::Succeeded)]);
    bench.pass(8_000).unwrap();
    assert_eq!(bench.ends()[1..], [(2, EndReason::FailedExit(4))]);
    assert_eq!(bench.world.history().len(), 2);
}

#[test]
fn an_end_that_was_not_acknowledged_is_reported_by_the_next_process() {
    let mut bench = Bench::connected();
    bench.desire(false, vec![start(1)]).unwrap();
    bench.answers = false;
    bench.pass(1_500).unwrap();
    assert_eq!(bench.ends().len(), 1);
    let disk = bench.down();
    bench.reports.clear();
    bench.answers = true;
    bench.up(disk).unwrap();
    bench.welcome().unwrap();
    assert_eq!(bench.ends(), [(1, EndReason::Succeeded)]);
    assert_eq!(bench.reports[0].sequence, bench.reported);
}

#[test]
fn after_a_reboot_what_ran_is_lost_with_the_node() {
    let mut bench = Bench::connected();
    bench.desire(false, vec![start(1)]).unwrap();
    let mut disk = bench.down();
    disk.power_loss(4);
    bench.world.reboot();
    bench.boot_id = "the next boot".into();
    bench.up(disk).unwrap();
    bench.welcome().unwrap();
    assert_eq!(bench.ends(), [(1, EndReason::NodeLost)]);
    bench.desire(true, vec![start(1)]).unwrap();
    assert_eq!(bench.world.starts(AttemptHandle(1)), 1);
}

#[test]
fn a_full_disk_fails_the_start_and_not_the_agent() {
    let mut bench = Bench::connected();
    bench.supervisor.as_mut().unwrap().journal.disk_mut().fill(true);
    bench.desire(false, vec![start(1)]).unwrap();
    assert!(matches!(&bench.ends()[..], [(1, EndReason::StartFailed(_))]), "{:?}", bench.ends());
    assert_eq!(bench.world.starts(AttemptHandle(1)), 0);
}

#[test]
fn a_new_term_on_a_full_disk_is_not_obeyed_until_it_can_be_written_down() {
    let mut bench = Bench::connected();
    bench.desire(false, vec![start(1)]).unwrap();
    bench.pass(1_500).unwrap();
    bench.forget(1).unwrap();
    bench.supervisor().journal.disk_mut().fill(true);
    bench.input(Input::Disconnected(bench.session.unwrap())).unwrap();
    (bench.session, bench.term) = (None, 2);
    for _ in 0..5 {
        bench.welcome().unwrap();
        assert!(!bench.supervisor().figures().connected);
        assert_eq!(bench.supervisor().known().term, 1);
    }
    // What makes room goes on meanwhile.
    bench.pass(25 * 3600 * 1000).unwrap();
    assert_eq!(bench.supervisor().figures().forgotten, 0);
    bench.supervisor().journal.disk_mut().fill(false);
    bench.session = None;
    bench.welcome().unwrap();
    bench.desire(true, vec![start(2)]).unwrap();
    assert_eq!(bench.world.starts(AttemptHandle(2)), 1);
    let disk = bench.down();
    bench.up(disk).unwrap();
    assert_eq!(bench.supervisor().known().term, 2);
}

#[test]
fn a_want_of_descriptors_fails_the_start_and_not_the_agent() {
    let mut bench = Bench::connected();
    bench.desire(false, vec![start(1)]).unwrap();
    bench.supervisor().journal.disk_mut().run_out_of_descriptors();
    bench.desire(false, vec![start(2)]).unwrap();
    bench.pass(2_000).unwrap();
    let ends = bench.ends();
    let said = |reason: &EndReason| reason.to_string().contains("descriptors");
    assert!(matches!(&ends[..], [(2, cause), (1, EndReason::Succeeded)] if said(cause)), "{ends:?}");
}

#[test]
fn a_directory_that_cannot_be_removed_ends_neither_this_agent_nor_the_next() {
    let mut bench = Bench::connected();
    bench.desire(false, vec![start(1), start(2)]).unwrap();
    bench.pass(1_500).unwrap();
    bench.forget(1).unwrap();
    bench.forget(2).unwrap();
    bench.supervisor().journal.disk_mut().refuse_removals(true);
    bench.pass(25 * 3600 * 1000).unwrap();
    let figures = bench.supervisor().figures();
    assert_eq!((figures.forgotten, figures.not_removed > 1), (2, true), "{figures:?}");
    assert!(figures.not_removed < 50, "it is not tried again at every turn: {figures:?}");
    let mut disk = bench.down();
    // As if it had been half deleted.
    disk.write("attempts/a1/spec", b"", Durability::Now).unwrap();
    bench.up(disk).unwrap();
    bench.supervisor().journal.disk_mut().refuse_removals(false);
    bench.pass(25 * 3600 * 1000).unwrap();
    assert_eq!(bench.supervisor().figures().forgotten, 0);
}
