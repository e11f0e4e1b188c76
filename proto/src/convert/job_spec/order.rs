use std::collections::BTreeMap;

use berth_core::job_spec::{Count, TaskSpec};
use berth_core::template::Variable;

use crate::convert::{Error, Fault};

/// Checks that a task uses outputs only of tasks that it comes after, directly or indirectly: others may not be there
/// yet when it starts.
pub(super) fn check_outputs(tasks: &[TaskSpec]) -> Result<(), Error> {
    if !tasks.iter().any(uses_outputs) {
        return Ok(());
    }
    let places: BTreeMap<&str, usize> =
        tasks.iter().enumerate().map(|(place, task)| (task.name.as_str(), place)).collect();
    let mut ancestors: Vec<Places> = Vec::with_capacity(tasks.len());
    for (place, task) in tasks.iter().enumerate() {
        let mut own = Places::new(tasks.len());
        for before in task.after.iter().copied().map(usize::from) {
            own.add(before);
            own.add_all(&ancestors[before]);
        }
        check_task(task, &own, &places).map_err(|error| error.element(place).inside("tasks"))?;
        ancestors.push(own);
    }
    Ok(())
}

fn uses_outputs(task: &TaskSpec) -> bool {
    matches!(task.count, Count::LengthOf { .. }) || outputs_of(task).next().is_some()
}

/// The tasks whose outputs the templates of a task name.
fn outputs_of(task: &TaskSpec) -> impl Iterator<Item = &str> {
    task.templates().flat_map(|template| template.variables()).filter_map(|variable| match variable {
        Variable::Output { task, .. } => Some(task.as_str()),
        Variable::Tenant
        | Variable::JobName
        | Variable::RunId
        | Variable::RunDir
        | Variable::RunNominal
        | Variable::TaskName
        | Variable::TaskIndex
        | Variable::TaskCount
        | Variable::Attempt
        | Variable::NodeName => None,
    })
}

fn check_task(task: &TaskSpec, ancestors: &Places, places: &BTreeMap<&str, usize>) -> Result<(), Error> {
    if let Count::LengthOf { task: of, .. } = &task.count
        && !ancestors.has(usize::from(*of))
    {
        return Err(Error::at("length_of.task", Fault::Wrong("is not a task that this one comes after")));
    }
    let known = |name: &str| places.get(name).is_some_and(|place| ancestors.has(*place));
    if outputs_of(task).all(known) {
        return Ok(());
    }
    Err(Error::whole(Fault::Wrong("uses an output of a task that it does not come after")))
}

/// A set of places, a bit each.
struct Places(Vec<u64>);

impl Places {
    fn new(size: usize) -> Places {
        Places(vec![0; size.div_ceil(64)])
    }

    fn add(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn add_all(&mut self, other: &Places) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    fn has(&self, place: usize) -> bool {
        self.0[place / 64] & (1 << (place % 64)) != 0
    }
}
