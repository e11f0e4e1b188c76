use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use berth_core::id::AttemptHandle;
use berth_core::reason::EndReason;
use berth_core::time::{Millis, Timestamp};

use super::*;
use crate::contract::{Ground, Harness, Work};
use crate::executor::{Event, Limits, Program};

/// The contract suite over one world with real time.
struct Fake {
    world: World,
    ground: Ground,
    _home: tempfile::TempDir,
}

fn fake() -> Fake {
    let home = tempfile::tempdir().unwrap();
    Fake { world: World::real_time(), ground: Ground::new(home.path().to_owned()), _home: home }
}

fn program(runs_for: Millis, exit_code: i32, output: &str) -> Program {
    Program::Fake { runs_for, exit_code, output: output.to_owned() }
}

impl Harness for Fake {
    fn executor(&self, sink: EventSink) -> Box<dyn Executor> {
        Box::new(FakeExecutor::real_time(self.world.clone(), sink))
    }

    fn program(&self, work: Work) -> Option<Program> {
        match work {
            Work::Exit(code) => Some(program(Millis(5), code, "")),
            Work::Sleep => Some(program(Millis::from_secs(600), 0, "")),
            Work::Output(text) => Some(program(Millis(5), 0, text)),
            Work::KillItself | Work::IgnoreTerm | Work::Print(_) | Work::Missing => None,
        }
    }

    fn new_attempt(&self) -> (AttemptHandle, PathBuf) {
        self.ground.new_attempt()
    }

    fn log(&self, _: &Launch) -> Vec<u8> {
        Vec::new()
    }

    fn outlives_executor(&self) -> bool {
        true
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }
}

crate::contract_suite!(fake());

fn launch(attempt: u64, runs_for: u64) -> Launch {
    Launch {
        attempt: AttemptHandle(attempt),
        name: format!("a{attempt}"),
        dir: PathBuf::new(),
        boot_id: "boot".to_owned(),
        program: program(Millis(runs_for), 0, ""),
        env: Vec::new(),
        run_dir: None,
        limits: Limits { cpu_milli: 0, memory_max: None, pids_max: 1 },
        leash: None,
    }
}

fn all(events: &Receiver<Event>) -> Vec<Event> {
    events.try_iter().collect()
}

#[test]
fn simulated_work_ends_at_its_own_instant_however_far_time_leaps() {
    let world = World::simulated(Timestamp(100));
    let (sink, events) = sync_channel(16);
    let mut executor = FakeExecutor::simulated(world.clone(), sink);
    executor.start(launch(1, 50));
    assert_eq!(all(&events), [Event::Started { attempt: AttemptHandle(1), at: Timestamp(100) }]);
    assert_eq!(world.next_end(), Some(Timestamp(150)));
    world.advance(Timestamp(9_000));
    match all(&events).as_slice() {
        [Event::Ended { end, .. }] => {
            assert_eq!((end.reason.clone(), end.finished), (EndReason::Succeeded, Timestamp(150)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn work_goes_on_while_no_executor_is_there_and_a_reboot_ends_it_without_a_trace() {
    let world = World::simulated(Timestamp(0));
    let (sink, _events) = sync_channel(16);
    let mut executor = FakeExecutor::simulated(world.clone(), sink);
    let (short, long, gone) = (launch(1, 10), launch(2, 1_000), launch(3, 1_000));
    executor.start(short.clone());
    executor.start(long.clone());
    drop(executor);
    world.advance(Timestamp(20));
    let (sink, events) = sync_channel(16);
    let mut executor = FakeExecutor::simulated(world.clone(), sink);
    let found = executor.recover(vec![short.clone(), long.clone(), gone]);
    assert!(matches!(&found[..], [Found::Ended { .. }, Found::Running { started: Timestamp(0), .. }]));
    world.reboot();
    world.advance(Timestamp(5_000));
    assert_eq!(all(&events), []);
    assert!(matches!(&executor.recover(vec![short, long])[..], [Found::Ended { .. }]));
    let ends: Vec<_> = world.history().iter().map(|lived| lived.ended).collect();
    assert_eq!(ends, [Some(Timestamp(10)), Some(Timestamp(20))]);
    assert_eq!(world.starts(AttemptHandle(1)), 1);
}

#[test]
fn events_that_find_no_room_come_later() {
    let world = World::simulated(Timestamp(0));
    let (sink, events) = sync_channel(1);
    let mut executor = FakeExecutor::simulated(world.clone(), sink);
    for attempt in 1..=3 {
        executor.start(launch(attempt, 10_000));
    }
    for attempt in 1..=3 {
        let told = all(&events);
        assert_eq!(told, [Event::Started { attempt: AttemptHandle(attempt), at: Timestamp(0) }]);
        world.advance(Timestamp(1));
    }
}
