//! The tasks of a job.

use berth_core::job_spec::TASKS_MAX;
use serde_json::{Value, json};

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::fields::TaskFields;
use crate::quote::grouped;
use crate::reader::{At, Reader};
use crate::shape::Shape;
use crate::tree::{self, Node};

/// The tasks that could be read.
#[derive(Debug)]
pub(crate) struct TaskList {
    /// In the order of the text.
    pub(crate) tasks: Vec<At<TaskFields>>,
    /// The name of every task could be read, so that one that is not there does not exist.
    pub(crate) complete: bool,
}

impl Shape for TaskList {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let tree::Value::List(items) = &node.value else {
            let help = match &node.value {
                tree::Value::Map(_) => "begin each task with `- name: ...`",
                _ => "write at least one task: `- name: ...`",
            };
            reader.note(reader.type_mistake(node, "a list of tasks").help(help));
            return None;
        };
        if items.len() > TASKS_MAX {
            let (given, max) = (grouped(items.len() as u64), grouped(TASKS_MAX as u64));
            let message = format!("the job has {given} tasks; at most {max} can be named");
            let help = "use `count` for tasks that differ only in their input, or split the job";
            reader.note(Diagnostic::new(Code::TooLarge, node.span, message).help(help));
            return None;
        }
        if items.is_empty() && !node.truncated {
            reader.note(
                reader.illegal(node.span, "the job has no tasks").help("write at least one: `- name: ...`"),
            );
            return None;
        }
        let mut tasks = Vec::new();
        for (place, item) in items.iter().enumerate() {
            let name = item.get("name").and_then(|name| name.scalar()).map(|scalar| scalar.text.as_str());
            let read = reader.inside(&format!("[{place}]"), |reader| {
                let value = reader.in_task(name, |reader| TaskFields::read(item, reader))?;
                Some(At { value, span: item.span, key: item.span, path: reader.path().to_owned() })
            });
            tasks.extend(read);
        }
        let named = tasks.iter().filter(|task| task.value.name.good().is_some()).count();
        Some(TaskList { complete: named == items.len() && !node.truncated, tasks })
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": TaskFields::schema(), "minItems": 1, "maxItems": TASKS_MAX })
    }
}
