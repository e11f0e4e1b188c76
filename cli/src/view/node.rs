//! Nodes.

use berth_client::api::{NodeFacts, NodeView};

use crate::table::{Table, facts};
use crate::{units, words};

pub(crate) fn list(nodes: &[NodeView]) -> String {
    let mut table = Table::new(["NODE", "STATE", "TASKS", "CPU", "MEMORY", "EXECUTORS"]).right([2]);
    for node in nodes {
        let facts = node.facts.clone().unwrap_or_default();
        table.row([
            node.name.clone(),
            words::node(node),
            node.attempts.to_string(),
            share(node, &facts, "cpu"),
            share(node, &facts, "memory"),
            executors(&facts),
        ]);
    }
    table.render()
}

pub(crate) fn show(node: &NodeView, now_ms: u64) -> String {
    let machine = node.facts.clone().unwrap_or_default();
    let drain = node.drain.as_ref().map(|drain| {
        let deadline = match drain.deadline_ms {
            Some(at) => format!("what still runs is stopped {}", units::relative(now_ms, at)),
            None => "what runs may end".to_owned(),
        };
        format!("asked for by {} {}; {deadline}", drain.by, units::relative(now_ms, drain.since_ms))
    });
    let run_dirs = match &machine.shared {
        Some(shared) => format!("{} (on the shared directory {shared})", machine.run_dirs),
        None => format!("{} (of this node alone)", machine.run_dirs),
    };
    let mut text = facts([
        ("node", node.name.clone()),
        ("state", words::node(node)),
        ("lost", node.lost_ms.map(|at| units::relative(now_ms, at)).unwrap_or_default()),
        ("drain", drain.unwrap_or_default()),
        ("registered", format!("at log index {}", node.epoch)),
        ("tasks", node.attempts.to_string()),
        ("run dirs", if machine.run_dirs.is_empty() { String::new() } else { run_dirs }),
    ]);
    let mut resources = Table::new(["RESOURCE", "USED", "OF"]).right([1, 2]);
    for (name, &capacity) in &machine.capacity {
        let used = node.used.get(name).copied().unwrap_or(0);
        resources.row([name.clone(), units::amount(name, used), units::amount(name, capacity)]);
    }
    let mut executors = Table::new(["EXECUTOR", "STATE", "DETAIL"]);
    for offer in &machine.executors {
        executors.row([words::executor(offer.kind()).to_owned(), words::offer(offer), offer.detail.clone()]);
    }
    let mut attributes = Table::new(["ATTRIBUTE", "VALUE"]);
    for (name, value) in &machine.attributes {
        attributes.row([name.clone(), value.clone()]);
    }
    for table in [resources, executors, attributes] {
        text.push('\n');
        text.push_str(&table.render());
    }
    text
}

fn share(node: &NodeView, facts: &NodeFacts, resource: &str) -> String {
    let capacity = facts.capacity.get(resource).copied().unwrap_or(0);
    let used = node.used.get(resource).copied().unwrap_or(0);
    format!("{} of {}", units::amount(resource, used), units::amount(resource, capacity))
}

/// `exec`, `exec (less isolation), docker (down)`.
fn executors(facts: &NodeFacts) -> String {
    let offers: Vec<String> = facts
        .executors
        .iter()
        .map(|offer| {
            let state = match (offer.ready, offer.missing.is_empty()) {
                (false, _) => " (down)",
                (true, false) => " (less isolation)",
                (true, true) => "",
            };
            format!("{}{state}", words::executor(offer.kind()))
        })
        .collect();
    offers.join(", ")
}

#[cfg(test)]
mod tests {
    use berth_client::api::{DrainView, ExecutorKind, ExecutorOffer, Isolation, NodeState};

    use super::*;

    #[test]
    fn a_node_shows_what_it_offers_and_why_it_takes_no_work() {
        let now = 1_785_499_439_000;
        let amounts = |cpu, memory| [("cpu".to_owned(), cpu), ("memory".to_owned(), memory)].into();
        let offer = |kind: ExecutorKind, ready, detail: &str| ExecutorOffer {
            kind: kind.into(),
            ready,
            detail: detail.into(),
            missing: Vec::new(),
        };
        let facts = NodeFacts {
            capacity: amounts(4000, 8 << 30),
            attributes: [("kernel.version".to_owned(), "6.8.0".to_owned())].into(),
            executors: vec![
                ExecutorOffer {
                    missing: vec![Isolation::PidNamespace.into()],
                    ..offer(ExecutorKind::Exec, true, "cgroup v2, no pid namespace")
                },
                offer(ExecutorKind::Docker, false, "no engine at /var/run/docker.sock"),
            ],
            run_dirs: "/srv/berth/runs".into(),
            shared: None,
        };
        let drain = DrainView { by: "ann".into(), since_ms: now - 60_000, deadline_ms: Some(now + 240_000) };
        let node = NodeView {
            name: "node-1".into(),
            state: NodeState::Ready.into(),
            drain: Some(drain),
            epoch: 42,
            facts: Some(facts),
            used: amounts(1500, 3 << 29),
            attempts: 3,
            ..NodeView::default()
        };
        insta::assert_snapshot!(format!("{}\n{}", list(std::slice::from_ref(&node)), show(&node, now)), @r"
        NODE    STATE            TASKS  CPU       MEMORY        EXECUTORS
        node-1  ready, draining      3  1.5 of 4  1.5Gi of 8Gi  exec (less isolation), docker (down)

        node        node-1
        state       ready, draining
        drain       asked for by ann 1m ago; what still runs is stopped in 4m
        registered  at log index 42
        tasks       3
        run dirs    /srv/berth/runs (of this node alone)

        RESOURCE   USED   OF
        cpu         1.5    4
        memory    1.5Gi  8Gi

        EXECUTOR  STATE                         DETAIL
        exec      ready, without pid namespace  cgroup v2, no pid namespace
        docker    unavailable                   no engine at /var/run/docker.sock

        ATTRIBUTE       VALUE
        kernel.version  6.8.0
        ");
    }
}
