//! What the docker executor does beside an engine that takes connections and does not answer. Needs no engine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/silent_engine.rs"]
mod silent_engine;

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use berth_core::reason::EndReason;
use berth_executors::contract::Ground;
use berth_executors::docker::{Config, DockerExecutor, SWEEP_EVERY};
use berth_executors::executor::{Event, Executor, Found, Health, Launch, Limits, Program};
use berth_shim::record::LogSizes;

use silent_engine::SilentEngine;

/// What the start of an agent may lose to the engine, well below its lease of 5 s, and with room for a busy machine.
const START_MAX: Duration = Duration::from_secs(2);
/// As many as are being started at the same time.
const ATTEMPTS: usize = 8;

fn executor(engine: &SilentEngine) -> (DockerExecutor, Receiver<Event>) {
    let config = Config {
        host: Some(engine.socket.display().to_string()),
        agent: "test".to_owned(),
        node: "test".to_owned(),
        log: LogSizes::default(),
        sweep_every: SWEEP_EVERY,
    };
    let (sink, events) = sync_channel(64);
    (DockerExecutor::new(config, sink), events)
}

fn launch(ground: &Ground) -> Launch {
    let (attempt, dir) = ground.new_attempt();
    Launch {
        attempt,
        name: format!("run.step.0.{attempt}"),
        dir,
        boot_id: berth_shim::process::boot_id().unwrap(),
        program: Program::Docker { image: "any:1".to_owned(), command: Vec::new() },
        env: Vec::new(),
        run_dir: None,
        limits: Limits { cpu_milli: 100, memory_max: None, pids_max: 64 },
        leash: None,
    }
}

fn is_begun(dir: &Path) -> bool {
    dir.join("container.rec").exists()
}

/// Attempts that an earlier agent has begun, and of which nobody can tell more.
fn begun(ground: &Ground, engine: &SilentEngine) -> Vec<Launch> {
    engine.greet(true);
    let (mut executor, _events) = executor(engine);
    assert!(matches!(executor.health(), Health::Ready { .. }), "{:?}", executor.health());
    let launches: Vec<Launch> = (0..ATTEMPTS).map(|_| launch(ground)).collect();
    launches.iter().for_each(|launch| executor.start(launch.clone()));
    let deadline = Instant::now() + Duration::from_secs(8);
    while !launches.iter().all(|launch| is_begun(&launch.dir)) {
        assert!(Instant::now() < deadline, "they do not begin");
        thread::sleep(Duration::from_millis(5));
    }
    launches
}

#[test]
fn an_agents_start_is_not_held_up_by_an_engine_that_does_not_answer() {
    let home = tempfile::tempdir().unwrap();
    let (ground, engine) = (Ground::new(home.path().to_owned()), SilentEngine::new(home.path()));
    let begun = begun(&ground, &engine);
    let mut known = begun.clone();
    known.push(launch(&ground));
    // Once it seems ready and then hangs, once it hangs from the beginning.
    for greets in [true, false] {
        engine.greet(greets);
        let start = Instant::now();
        let (mut executor, _events) = executor(&engine);
        let found = executor.recover(known.clone());
        let took = start.elapsed();
        assert!(took < START_MAX, "the start took {took:?}");
        assert_eq!(matches!(executor.health(), Health::Ready { .. }), greets);
        let running = found.iter().filter(|one| matches!(one, Found::Running { .. })).count();
        assert_eq!((found.len(), running), (begun.len(), begun.len()), "{found:?}");
        let start = Instant::now();
        drop(executor);
        assert!(start.elapsed() < START_MAX, "the end took {:?}", start.elapsed());
    }
}

#[test]
fn an_order_is_answered_while_the_engine_is_being_looked_for() {
    let home = tempfile::tempdir().unwrap();
    let (ground, engine) = (Ground::new(home.path().to_owned()), SilentEngine::new(home.path()));
    let (mut executor, events) = executor(&engine);
    executor.start(launch(&ground));
    match events.recv_timeout(START_MAX).unwrap() {
        Event::Ended { end, .. } => {
            assert!(matches!(&end.reason, EndReason::StartFailed(why) if why.contains("cannot be reached")));
        }
        other @ Event::Started { .. } => panic!("{other:?}"),
    }
}
