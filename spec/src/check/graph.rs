//! The order of tasks by `after`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::check::task::called;
use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::quote::quote;
use crate::reader::{At, Reader};
use crate::shape::task_list::TaskList;
use crate::source::Span;
use crate::suggest::{did_you_mean, nearest};

/// Tasks, by their places in the text, and the arrows between them.
#[derive(Debug)]
pub(crate) struct Graph {
    /// For each task those it comes after, in the order of the text.
    after: Vec<Vec<Arrow>>,
    /// The tasks so that each comes after all that it waits for; otherwise as in the text.
    order: Vec<usize>,
    /// The first task of each name.
    places: BTreeMap<String, usize>,
}

/// One name in an `after`.
#[derive(Debug, Clone, Copy)]
struct Arrow {
    from: usize,
    span: Span,
}

impl Graph {
    /// Notes names used twice, names that no task has, and circles; `None` when there is a circle.
    pub(crate) fn check(list: &TaskList, reader: &mut Reader<'_>) -> Option<Graph> {
        let places = places(list, reader);
        let after: Vec<Vec<Arrow>> =
            list.tasks.iter().map(|task| arrows(list, &task.value.after, &places, reader)).collect();
        let order = sorted(&after);
        if order.len() < after.len() {
            let waiting: BTreeSet<usize> = (0..after.len()).filter(|task| !order.contains(task)).collect();
            for circle in circles(&after, &waiting) {
                note_circle(list, &circle, reader);
            }
            return None;
        }
        Some(Graph { after, order, places })
    }

    /// The tasks in the order of the spec.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }

    /// Those that a task comes after.
    pub(crate) fn after(&self, task: usize) -> impl Iterator<Item = usize> + '_ {
        self.after[task].iter().map(|arrow| arrow.from)
    }

    /// The task of that name.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// The names of all tasks.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }
}

fn places(list: &TaskList, reader: &mut Reader<'_>) -> BTreeMap<String, usize> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (place, task) in list.tasks.iter().enumerate() {
        let Some(name) = task.value.name.good() else { continue };
        let Some(&first) = places.get(&name.value.0) else {
            places.insert(name.value.0.clone(), place);
            continue;
        };
        let before = list.tasks[first].value.name.good().map_or(list.tasks[first].span, |name| name.span);
        let (text, first, second) = (quote(&name.value.0), before.line, name.span.line);
        let message = format!("two tasks are named {text}, at line {first} and at line {second}");
        reader.note(
            Diagnostic::new(Code::TaskName, name.span, message)
                .at_path(name.path.clone())
                .related(before, "the first one")
                .help("give one of them another name"),
        );
    }
    places
}

fn arrows(
    list: &TaskList,
    after: &crate::reader::Slot<Vec<At<crate::shape::text::Name>>>,
    places: &BTreeMap<String, usize>,
    reader: &mut Reader<'_>,
) -> Vec<Arrow> {
    let mut arrows: Vec<Arrow> = Vec::new();
    for name in after.value().into_iter().flatten() {
        let text = &name.value.0;
        match places.get(text) {
            Some(&from) => match arrows.iter().find(|arrow| arrow.from == from) {
                Some(first) => reader.note(
                    Diagnostic::new(
                        Code::TaskName,
                        name.span,
                        format!("{} is named twice in `after`", quote(text)),
                    )
                    .at_path(name.path.clone())
                    .related(first.span, "the first time")
                    .help("keep one"),
                ),
                None => arrows.push(Arrow { from, span: name.span }),
            },
            None if list.complete => {
                let help = nearest(text, places.keys().map(String::as_str)).map(did_you_mean);
                reader.note(
                    Diagnostic::new(Code::TaskName, name.span, format!("there is no task {}", quote(text)))
                        .at_path(name.path.clone())
                        .maybe_help(help),
                );
            }
            None => {}
        }
    }
    arrows
}

/// The tasks that can be ordered, of those that are ready always the first of the text
/// (Kahn 1962, with a heap to keep the result stable).
fn sorted(after: &[Vec<Arrow>]) -> Vec<usize> {
    let mut waits: Vec<usize> = after.iter().map(Vec::len).collect();
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); after.len()];
    for (task, arrows) in after.iter().enumerate() {
        for arrow in arrows {
            next[arrow.from].push(task);
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..after.len()).filter(|&task| waits[task] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(after.len());
    while let Some(Reverse(task)) = ready.pop() {
        order.push(task);
        for &later in &next[task] {
            waits[later] -= 1;
            if waits[later] == 0 {
                ready.push(Reverse(later));
            }
        }
    }
    order
}

/// Circles among tasks that cannot be ordered: each waits for another such task, so that following the first
/// of those from task to task must come back to a task of the same walk. Each step is given with its arrow.
fn circles(after: &[Vec<Arrow>], waiting: &BTreeSet<usize>) -> Vec<Vec<(usize, Arrow)>> {
    let mut found = Vec::new();
    let mut walked: BTreeSet<usize> = BTreeSet::new();
    for &start in waiting {
        let mut walk: Vec<(usize, Arrow)> = Vec::new();
        let mut on_walk: BTreeMap<usize, usize> = BTreeMap::new();
        let mut task = start;
        while walked.insert(task) {
            let Some(&arrow) = after[task].iter().find(|arrow| waiting.contains(&arrow.from)) else { break };
            on_walk.insert(task, walk.len());
            walk.push((task, arrow));
            task = arrow.from;
        }
        if let Some(&begin) = on_walk.get(&task) {
            found.push(walk.split_off(begin));
        }
    }
    found
}

fn note_circle(list: &TaskList, circle: &[(usize, Arrow)], reader: &mut Reader<'_>) {
    /// More arrows than these are not drawn one by one.
    const DRAWN_MAX: usize = 12;
    let name = |task: usize| list.tasks[task].value.name.value().map_or("?", |name| name.0.as_str());
    // The walk went from a task to those before it; arrows are drawn as the work flows, from the task of the
    // circle that stands first in the text.
    let mut flow: Vec<(usize, Arrow)> = circle.iter().rev().copied().collect();
    let first = (0..flow.len()).min_by_key(|&at| flow[at].1.from).unwrap_or(0);
    flow.rotate_left(first);
    let mut names: Vec<&str> = flow.iter().take(DRAWN_MAX).map(|(_, arrow)| name(arrow.from)).collect();
    if flow.len() > DRAWN_MAX {
        names.push("...");
    }
    names.extend(flow.first().map(|(_, arrow)| name(arrow.from)));
    let message = match flow.as_slice() {
        [(task, _)] => format!("{} comes after itself", called(&list.tasks[*task].value)),
        _ => format!("tasks wait for each other in a circle: {}", names.join(" -> ")),
    };
    let Some((last, closing)) = flow.last() else { return };
    let mut found = Diagnostic::new(Code::Cycle, closing.span, message)
        .at_path(format!("{}.after", list.tasks[*last].path))
        .why("none of them could ever start")
        .help("remove one of these arrows");
    for (task, arrow) in flow.iter().take(DRAWN_MAX) {
        found = found.related(arrow.span, format!("{} -> {}", name(arrow.from), name(*task)));
    }
    reader.note(found);
}
