use super::*;

const START: Now = Now { wall: Timestamp(1_000_000_000), boot: Boot(50_000) };

/// `boot` milliseconds after the start, with a wall clock that is wrong by `off`.
fn at(boot: u64, off: i64) -> Now {
    let wall = (START.wall.0 + boot).saturating_add_signed(off);
    Now { wall: Timestamp(wall), boot: START.boot + Millis(boot) }
}

/// Peers answer in no time, each wrong by so much.
fn ask(clock: &mut Clock, boot: u64, offs: &[i64]) {
    for (peer, off) in (2..).zip(offs) {
        let now = at(boot, *off);
        clock.measured(peer, now.boot, now.boot, now.wall);
    }
}

fn alone() -> Clock {
    Clock::new(START, true)
}

#[test]
fn a_jump_of_the_wall_clock_is_doubted_until_it_is_back() {
    let mut clock = alone();
    assert_eq!(clock.look(at(10_000, 0), START.wall).read(at(10_000, 0)).doubt, None);
    for boot in [11_000, 12_000] {
        let now = at(boot, 3_600_000);
        let reading = clock.look(now, START.wall).read(now);
        assert!(matches!(reading.doubt, Some(Doubt::Jumped { .. })));
        assert_eq!(reading.time, at(boot, 0).wall, "commands get the time that it should be");
    }
    assert_eq!(clock.look(at(13_000, 0), START.wall).read(at(13_000, 0)).doubt, None);
}

#[test]
fn a_clock_that_is_set_between_two_looks_is_doubted_at_once() {
    let frame = alone().look(at(0, 0), START.wall);
    let reading = frame.read(at(50, -90_000));
    assert!(matches!(reading.doubt, Some(Doubt::Jumped { .. })));
    assert_eq!(reading.time, at(50, 0).wall);
}

#[test]
fn slow_drift_and_small_corrections_are_no_jump() {
    let mut clock = alone();
    for step in 1..1000 {
        let now = at(step * 10_000, i64::try_from(step).unwrap() * 1_000);
        assert_eq!(clock.look(now, START.wall).read(now), Reading { time: now.wall, doubt: None });
    }
}

#[test]
fn a_clock_ahead_of_its_peers_is_doubted_and_their_time_is_used() {
    let mut clock = alone();
    ask(&mut clock, 100, &[0, 20]);
    assert_eq!(clock.look(at(200, 5_020), START.wall).read(at(200, 5_020)).doubt, None);
    let now = at(200, 5_021);
    let reading = clock.look(now, START.wall).read(now);
    assert_eq!(reading.doubt, Some(Doubt::Ahead { by: Millis(5_001) }));
    assert_eq!(reading.time, at(200, 20).wall);
}

#[test]
fn one_peer_that_is_wrong_makes_no_right_clock_look_wrong() {
    for wrong in [-3_600_000, 3_600_000] {
        let mut clock = alone();
        ask(&mut clock, 100, &[0, wrong]);
        assert_eq!(
            clock.look(at(200, 0), START.wall).read(at(200, 0)),
            Reading { time: at(200, 0).wall, doubt: None }
        );
        let mut clock = alone();
        ask(&mut clock, 100, &[0, wrong, 0, 0]);
        let now = at(200, 10_000);
        assert!(matches!(clock.look(now, START.wall).read(now).doubt, Some(Doubt::Ahead { .. })));
    }
}

#[test]
fn peers_that_agree_end_the_doubt_about_a_clock_that_was_set() {
    let mut clock = alone();
    let now = at(1_000, 120_000);
    assert!(clock.look(now, START.wall).read(now).doubt.is_some());
    ask(&mut clock, 1_500, &[120_010, 119_990]);
    let now = at(2_000, 120_000);
    assert_eq!(clock.look(now, START.wall).read(now), Reading { time: now.wall, doubt: None });
    // It goes on from there, also without peers.
    let later = at(30_000, 120_000);
    assert_eq!(clock.look(later, START.wall).read(later).doubt, None);
}

#[test]
fn without_peers_a_clock_that_was_ahead_stays_in_doubt() {
    let mut clock = alone();
    ask(&mut clock, 0, &[0]);
    for boot in [100, 9_000, 11_000, 60_000] {
        let now = at(boot, 3_600_000);
        let reading = clock.look(now, START.wall).read(now);
        assert!(reading.doubt.is_some_and(|doubt| doubt.is_alarm()), "{boot}");
        assert_eq!(reading.time, at(boot, 0).wall);
    }
}

#[test]
fn half_the_round_trip_is_taken_off_and_slow_answers_do_not_count() {
    let mut clock = alone();
    clock.measured(2, at(0, 0).boot, at(800, 0).boot, at(400, 0).wall);
    let now = at(900, 5_001);
    assert!(matches!(clock.look(now, START.wall).read(now).doubt, Some(Doubt::Ahead { by: Millis(5_001) })));
    let mut clock = alone();
    clock.measured(2, at(0, 0).boot, at(1_001, 0).boot, at(0, -30_000).wall);
    assert_eq!(clock.look(at(1_100, 0), START.wall).read(at(1_100, 0)).doubt, None);
}

#[test]
fn a_server_with_peers_waits_a_moment_for_the_first_answer() {
    let mut clock = Clock::new(START, false);
    let early = clock.look(at(100, 0), START.wall);
    assert_eq!(early.read(at(9_999, 0)).doubt, Some(Doubt::Unmeasured));
    assert_eq!(early.read(at(10_000, 0)).doubt, None, "it does not wait for ever");
    ask(&mut clock, 150, &[0]);
    assert_eq!(clock.look(at(200, 0), START.wall).read(at(200, 0)).doubt, None);
}

#[test]
fn a_clock_behind_its_peers_is_doubted_and_their_time_is_used() {
    let mut clock = alone();
    ask(&mut clock, 100, &[0, 20]);
    assert_eq!(clock.look(at(200, -5_000), START.wall).read(at(200, -5_000)).doubt, None);
    let now = at(200, -3_600_000);
    let reading = clock.look(now, START.wall).read(now);
    let doubt = Doubt::Behind { by: Millis(3_600_000) };
    assert_eq!(reading, Reading { time: at(200, 0).wall, doubt: Some(doubt) });
    assert!(doubt.is_alarm() && !doubt.holds_fires());
}

#[test]
fn one_peer_says_that_a_clock_is_behind_and_the_state_has_to_confirm_it() {
    let mut clock = alone();
    let now = at(200, -30_000);
    let doubt = Some(Doubt::Behind { by: Millis(30_000) });
    ask(&mut clock, 100, &[0]);
    assert_eq!(clock.look(now, at(0, -30_000).wall).read(now), Reading { time: now.wall, doubt });
    assert_eq!(clock.look(now, at(0, 0).wall).read(now), Reading { time: at(200, 0).wall, doubt });
}
