//! What no field can say alone: how tasks relate to each other, and fields of one task to each other.

use crate::fields::JobFields;
use crate::reader::Reader;

mod graph;
mod outputs;
mod schedule;
mod task;

pub(crate) use graph::Graph;

/// Notes every mistake between fields. The order of tasks is `None` when they cannot be ordered.
pub(crate) fn check(job: &JobFields, reader: &mut Reader<'_>) -> Option<Graph> {
    if let Some(schedule) = job.schedule.good() {
        schedule::check(schedule, reader);
    }
    let list = job.tasks.value()?;
    for task in &list.tasks {
        task::check(task, reader);
    }
    let graph = Graph::check(list, reader)?;
    outputs::check(list, &graph, reader);
    Some(graph)
}
