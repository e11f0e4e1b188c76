//! The units for systemd keep what the daemons rely on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;

/// The keys of a unit, with the section before each; comments are left out.
fn unit(name: &str) -> BTreeMap<String, Vec<String>> {
    let path = format!("{}/../dist/systemd/{name}.service", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    let (mut keys, mut section) = (BTreeMap::<String, Vec<String>>::new(), String::new());
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("`{line}` is no setting"));
        keys.entry(format!("{section}.{key}")).or_default().push(value.to_owned());
    }
    keys
}

fn assert_holds(name: &str, wanted: &[(&str, &str)]) {
    let unit = unit(name);
    for (key, value) in wanted {
        assert_eq!(unit.get(*key), Some(&vec![(*value).to_owned()]), "{name}: {key}");
    }
    assert!(unit["Service.ExecStart"][0].starts_with("/usr/local/bin/berth "), "{name}");
    assert!(unit["Service.LimitNOFILE"][0].ends_with(":1048576"), "{name}: the daemon raises soft to hard");
}

#[test]
fn the_agents_unit_keeps_tasks_alive_through_a_restart_and_leaves_their_groups_alone() {
    assert_holds(
        "berth-agent",
        &[
            ("Service.KillMode", "process"),
            ("Service.Delegate", "yes"),
            ("Service.Restart", "on-failure"),
            ("Service.OOMPolicy", "continue"),
            ("Service.TasksMax", "infinity"),
            ("Service.Type", "exec"),
            ("Unit.StartLimitIntervalSec", "0"),
        ],
    );
    let unit = unit("berth-agent");
    // With these, tasks would see another machine than the one they run on, or end with the agent.
    for never in
        ["PrivateTmp", "ProtectSystem", "ProtectHome", "PrivateMounts", "DynamicUser", "User", "ExecStop"]
    {
        assert!(!unit.contains_key(&format!("Service.{never}")), "{never}");
    }
}

#[test]
fn the_servers_unit_restarts_it_and_gives_it_no_rights() {
    assert_holds(
        "berth-server",
        &[
            ("Service.Restart", "on-failure"),
            ("Service.NoNewPrivileges", "yes"),
            ("Service.DynamicUser", "yes"),
            ("Service.StateDirectory", "berth-server"),
            ("Unit.StartLimitIntervalSec", "0"),
        ],
    );
    assert!(unit("berth-server")["Service.ExecStart"][0].contains("--data-dir /var/lib/berth-server"));
}
