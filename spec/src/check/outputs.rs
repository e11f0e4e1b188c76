//! An output can be used only by tasks that come after the one that writes it.

use berth_core::template::{Template, Variable};

use crate::check::graph::Graph;
use crate::check::task::called;
use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::fields::TaskFields;
use crate::quote::quote;
use crate::reader::Reader;
use crate::shape::command::Command;
use crate::shape::count::CountShape;
use crate::shape::task_list::TaskList;
use crate::shape::template::place_within;
use crate::source::Span;
use crate::suggest::{did_you_mean, nearest};

/// A use of an output.
struct Use<'a> {
    task: &'a str,
    variable: String,
    span: Span,
    path: &'a str,
}

/// Notes uses of outputs of tasks that do not exist or do not come before.
pub(super) fn check(list: &TaskList, graph: &Graph, reader: &mut Reader<'_>) {
    let uses: Vec<Vec<Use<'_>>> = list.tasks.iter().map(|task| uses(&task.value)).collect();
    if uses.iter().all(Vec::is_empty) {
        return;
    }
    let before = Before::new(graph);
    for (task, uses) in uses.iter().enumerate() {
        for used in uses {
            let name = quote(used.task);
            let (what, help) = match graph.place(used.task) {
                None if !list.complete => continue,
                None => {
                    (format!("there is no task {name}"), nearest(used.task, graph.names()).map(did_you_mean))
                }
                Some(other) if before.is_before(other, task) => continue,
                Some(other) if other == task => (
                    "a task cannot use its own output".to_owned(),
                    Some("use an output of an earlier task".to_owned()),
                ),
                Some(other) if before.is_before(task, other) => {
                    (format!("{name} runs after {}", called(&list.tasks[task].value)), None)
                }
                Some(_) => (
                    format!("{name} does not come before it"),
                    Some(format!("add `{}` to `after` of {}", used.task, called(&list.tasks[task].value))),
                ),
            };
            let message = format!("the output {} cannot be used here: {what}", quote(&used.variable));
            let span = place_within(reader, used.span, &used.variable);
            reader.note(Diagnostic::new(Code::Variable, span, message).at_path(used.path).maybe_help(help));
        }
    }
}

/// Which tasks come before which, directly or by way of others: a bit for each pair.
struct Before(Vec<Vec<u64>>);

impl Before {
    fn new(graph: &Graph) -> Before {
        let words = graph.order().len().div_ceil(64);
        let mut before = vec![vec![0u64; words]; graph.order().len()];
        for &task in graph.order() {
            let mut own = vec![0u64; words];
            for from in graph.after(task) {
                own[from / 64] |= 1 << (from % 64);
                for (word, more) in own.iter_mut().zip(&before[from]) {
                    *word |= more;
                }
            }
            before[task] = own;
        }
        Before(before)
    }

    fn is_before(&self, earlier: usize, later: usize) -> bool {
        self.0[later][earlier / 64] & (1 << (earlier % 64)) != 0
    }
}

fn uses(task: &TaskFields) -> Vec<Use<'_>> {
    let mut found = Vec::new();
    let exec = task.exec.value().and_then(|exec| exec.command.value());
    let docker = task.docker.value();
    let in_docker = docker.and_then(|docker| docker.command.value());
    for argument in exec.into_iter().chain(in_docker).flat_map(|Command(arguments)| arguments) {
        add(&mut found, &argument.value.0.0, argument.span, &argument.path);
    }
    if let Some(image) = docker.and_then(|docker| docker.image.good()) {
        add(&mut found, &image.value.0, image.span, &image.path);
    }
    for (_, value) in task.env.value().into_iter().flat_map(|env| &env.0) {
        add(&mut found, &value.value.0, value.span, &value.path);
    }
    if let Some(count) = task.count.good()
        && let CountShape::LengthOf { task, key } = &count.value
    {
        let variable = format!("tasks.{task}.outputs.{key}");
        found.push(Use { task, variable, span: count.span, path: &count.path });
    }
    found
}

fn add<'a>(found: &mut Vec<Use<'a>>, template: &'a Template, span: Span, path: &'a str) {
    for variable in template.variables() {
        if let Variable::Output { task, .. } = variable {
            found.push(Use { task, variable: variable.to_string(), span, path });
        }
    }
}
