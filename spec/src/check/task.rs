//! What holds between the fields of one task.

use berth_core::job_spec::ExecutorKind;

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::fields::{ResourceFields, RetryFields, TaskFields};
use crate::quote::{grouped, list, quote};
use crate::reader::{At, Reader, Slot};
use crate::source::Span;

/// Notes what is wrong between the fields of a task.
pub(super) fn check(task: &At<TaskFields>, reader: &mut Reader<'_>) {
    one_executor(task, reader);
    if let Some(resources) = task.value.resources.value() {
        memory_max(resources, reader);
    }
    if let Some(retry) = task.value.retry.value() {
        backoff(retry, reader);
    }
}

/// How messages call a task.
pub(super) fn called(task: &TaskFields) -> String {
    task.name.value().map_or_else(|| "this task".to_owned(), |name| format!("task \"{}\"", name.0))
}

fn one_executor(task: &At<TaskFields>, reader: &mut Reader<'_>) {
    fn seen<T>(slot: &Slot<T>, kind: ExecutorKind) -> Option<(ExecutorKind, Option<Span>)> {
        match slot {
            Slot::Absent => None,
            Slot::Bad => Some((kind, None)),
            Slot::Good(at) => Some((kind, Some(at.key))),
        }
    }
    let fields = &task.value;
    let mut given: Vec<_> = [
        seen(&fields.exec, ExecutorKind::Exec),
        seen(&fields.docker, ExecutorKind::Docker),
        seen(&fields.fake, ExecutorKind::Fake),
    ]
    .into_iter()
    .flatten()
    .collect();
    let words = list([ExecutorKind::Exec, ExecutorKind::Docker, ExecutorKind::Fake].map(ExecutorKind::word));
    if given.is_empty() && !fields.doubtful {
        let place = fields.name.good().map_or(task.span, |name| name.span);
        let message = format!("{} has no executor", called(fields));
        reader.note(
            Diagnostic::new(Code::Executor, place, message)
                .at_path(task.path.clone())
                .why(format!("an executor is one of {words}"))
                .help("for example `exec: { command: [\"./run.sh\"] }`"),
        );
    }
    given.sort_by_key(|(_, span)| *span);
    let [(first, first_span), .., (last, last_span)] = given.as_slice() else { return };
    let (first, last) = (first.word(), last.word());
    let message = format!("{} has {} executors; it needs exactly one", called(fields), given.len());
    let mut found = Diagnostic::new(Code::Executor, last_span.unwrap_or(task.span), message)
        .at_path(task.path.clone())
        .help(format!("keep `{first}` or `{last}`; what must run in both places is two tasks"));
    if let Some(first_span) = first_span {
        found = found.related(*first_span, "the first one");
    }
    reader.note(found);
}

fn memory_max(resources: &ResourceFields, reader: &mut Reader<'_>) {
    let (Some(memory), Some(max)) = (resources.memory.good(), resources.memory_max.good()) else { return };
    if max.value.0 >= memory.value.0 {
        return;
    }
    let (asked, limit) = (grouped(memory.value.0), grouped(max.value.0));
    let message = format!("`memory_max` is {limit} bytes, less than `memory` with {asked} bytes");
    let mut found = Diagnostic::new(Code::MemoryMax, max.span, message)
        .at_path(max.path.clone())
        .why("the task would be ended before it used what it asks for")
        .help("raise `memory_max`, or leave it out");
    if memory.span != memory.key {
        found = found.related(memory.span, "asked for here");
    }
    reader.note(found);
}

fn backoff(retry: &RetryFields, reader: &mut Reader<'_>) {
    let Some(backoff) = retry.backoff.value() else { return };
    let (Some(initial), Some(max)) = (backoff.initial.good(), backoff.max.good()) else { return };
    if initial.value.0 <= max.value.0 {
        return;
    }
    let message =
        format!("`initial` is {}, longer than {} with {}", initial.value.0, quote("max"), max.value.0);
    let longest = initial.value.0;
    reader.note(
        Diagnostic::new(Code::IllegalValue, initial.span, message)
            .at_path(initial.path.clone())
            .help(format!("write `max: {longest}` or longer")),
    );
}
