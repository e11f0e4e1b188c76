use std::collections::BTreeMap;

use crate::id::{NodeHandle, ResourceHandle};
use crate::job_spec::ExecutorKind;
use crate::model::{Files, Node, NodeState, RequestClass};
use crate::resources;
use crate::state::State;

/// What keeps a task from a node, in the order in which they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blocker {
    Lost,
    Draining,
    NoExecutor,
    ExecutorDown,
    FilesElsewhere,
    /// The node as a whole has less than is asked for.
    Small(ResourceHandle),
    /// The node has less free than is asked for.
    Full(ResourceHandle),
}

/// The nodes with one blocker.
struct Blocked<'a> {
    count: usize,
    /// The most that one of them has of what is asked for.
    nearest: u64,
    example: &'a Node,
}

/// Why no node takes a task of the class now, whose run has its files there.
pub(super) fn explain(state: &State, class: &RequestClass, files: Option<&Files>) -> String {
    if let Some(Files::Node(home)) = files {
        return explain_home(state, class, *home);
    }
    let nodes = &state.tables().nodes;
    if nodes.is_empty() {
        return "the cluster has no nodes".to_owned();
    }
    if let Some(never) = never(state, class) {
        return format!("never fits: {never}");
    }
    let mut blocked: BTreeMap<Blocker, Blocked<'_>> = BTreeMap::new();
    for (handle, node) in nodes.iter() {
        let Some((blocker, has)) = blocker(state, handle, node, class, files) else {
            return format!(
                "node {} has room; its turn comes with one of the next placement passes",
                node.name
            );
        };
        let entry = blocked.entry(blocker).or_insert(Blocked { count: 0, nearest: 0, example: node });
        entry.count += 1;
        entry.nearest = entry.nearest.max(has);
    }
    let parts: Vec<String> =
        blocked.iter().map(|(blocker, nodes)| part(state, *blocker, nodes, class, files)).collect();
    let plural = if nodes.len() == 1 { "" } else { "s" };
    format!("{} node{plural}: {}", nodes.len(), parts.join(", "))
}

/// Why no node could take a task of the class even if it were empty. `None` when one could, or there is none.
pub(super) fn never(state: &State, class: &RequestClass) -> Option<String> {
    let nodes = &state.tables().nodes;
    let fits =
        |node: &Node| class.resources.iter().all(|(resource, asked)| asked <= node.capacity.get(resource));
    if nodes.is_empty() || nodes.iter().any(|(_, node)| fits(node)) {
        return None;
    }
    let mut texts = Vec::new();
    for (resource, asked) in class.resources.iter() {
        let name = state.resource_name(resource);
        let asked_text = resources::display(name, asked);
        let largest = nodes.iter().map(|(_, node)| node.capacity.get(resource)).max().unwrap_or(0);
        if largest == 0 {
            return Some(format!("it asks for {asked_text} {name} and no node has any"));
        }
        if largest < asked {
            let largest = resources::display(name, largest);
            return Some(format!("it asks for {asked_text} {name} and the largest node has {largest}"));
        }
        texts.push(format!("{asked_text} {name}"));
    }
    Some(format!("no node has {} together", texts.join(" and ")))
}

/// As [`explain`], for a task whose run has its files on one node.
fn explain_home(state: &State, class: &RequestClass, home: NodeHandle) -> String {
    let Some(node) = state.tables().nodes.get(home) else {
        return "its files were on a node that was removed".to_owned();
    };
    let why = match blocker(state, home, node, class, None) {
        None => "has room; its turn comes with one of the next placement passes".to_owned(),
        Some((Blocker::Lost, _)) => "is lost".to_owned(),
        Some((Blocker::Draining, _)) => "is draining".to_owned(),
        Some((Blocker::NoExecutor, _)) => format!("lacks {}", class.executor.word()),
        Some((Blocker::ExecutorDown, _)) => {
            format!("cannot use {} now ({})", class.executor.word(), detail(node, class.executor))
        }
        Some((Blocker::FilesElsewhere, _)) => "does not have them".to_owned(),
        Some((Blocker::Small(resource), has)) => {
            format!("is too small: {} in all", portion(state, class, resource, has))
        }
        Some((Blocker::Full(resource), has)) => {
            format!("is full: {} free", portion(state, class, resource, has))
        }
    };
    format!("its files are on node {}, which {why}", node.name)
}

/// What keeps a task from a node, and how much the node has of what is short.
fn blocker(
    state: &State,
    handle: NodeHandle,
    node: &Node,
    class: &RequestClass,
    files: Option<&Files>,
) -> Option<(Blocker, u64)> {
    if let NodeState::Lost { .. } = node.state {
        return Some((Blocker::Lost, 0));
    }
    if node.drain.is_some() {
        return Some((Blocker::Draining, 0));
    }
    match node.facts.executors.get(&class.executor) {
        None => return Some((Blocker::NoExecutor, 0)),
        Some(offer) if !offer.ready => return Some((Blocker::ExecutorDown, 0)),
        Some(_) => {}
    }
    let reaches = match files {
        None => true,
        Some(Files::Node(home)) => *home == handle,
        Some(Files::Shared(name)) => node.facts.shared.as_ref() == Some(name),
    };
    if !reaches {
        return Some((Blocker::FilesElsewhere, 0));
    }
    let used = state.index().used_on(handle);
    let short = |(resource, asked)| {
        let all = node.capacity.get(resource);
        let free = all.saturating_sub(used.get(resource));
        match (all < asked, free < asked) {
            (true, _) => Some((Blocker::Small(resource), all)),
            (false, true) => Some((Blocker::Full(resource), free)),
            (false, false) => None,
        }
    };
    // What no waiting will cure is told first.
    class.resources.iter().filter_map(short).min_by_key(|(blocker, _)| *blocker)
}

fn part(
    state: &State,
    blocker: Blocker,
    nodes: &Blocked<'_>,
    class: &RequestClass,
    files: Option<&Files>,
) -> String {
    let count = nodes.count;
    let one_or_more = |one: &'static str, more: &'static str| if count == 1 { one } else { more };
    let portion = |resource| portion(state, class, resource, nodes.nearest);
    match blocker {
        Blocker::Lost => format!("{count} lost"),
        Blocker::Draining => format!("{count} draining"),
        Blocker::NoExecutor => format!("{count} {} {}", one_or_more("lacks", "lack"), class.executor.word()),
        Blocker::ExecutorDown => {
            let detail = detail(nodes.example, class.executor);
            format!("{count} cannot use {} now ({detail})", class.executor.word())
        }
        Blocker::FilesElsewhere => match files {
            Some(Files::Shared(name)) => {
                format!("{count} {} the shared directory {name} of its files", one_or_more("lacks", "lack"))
            }
            Some(Files::Node(_)) | None => format!("{count} without its files"),
        },
        Blocker::Small(resource) => {
            format!("{count} {} {} in all", one_or_more("has", "have at most"), portion(resource))
        }
        Blocker::Full(resource) => {
            format!("{count} {} {} free", one_or_more("has", "have at most"), portion(resource))
        }
    }
}

/// `200m of 500m cpu`: what there is of what is asked for.
fn portion(state: &State, class: &RequestClass, resource: ResourceHandle, has: u64) -> String {
    let name = state.resource_name(resource);
    let asked = class.resources.get(resource);
    format!("{} of {} {name}", resources::display(name, has), resources::display(name, asked))
}

fn detail(node: &Node, executor: ExecutorKind) -> &str {
    node.facts.executors.get(&executor).map_or("", |offer| &offer.detail)
}
