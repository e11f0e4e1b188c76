//! The size of an array: a number, or an output of an earlier task.

use berth_core::job_spec::COUNT_MAX;
use berth_core::template::{Element, Template, Variable};
use serde_json::{Value, json};

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::quote::grouped;
use crate::reader::Reader;
use crate::shape::Shape;
use crate::shape::number::whole_number;
use crate::shape::template;
use crate::tree::Node;

/// How many of a task a run has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CountShape {
    /// That many.
    Fixed(u32),
    /// One for each value of an output.
    LengthOf { task: String, key: String },
}

const OUTPUT_FORM: &str = "\"${tasks.NAME.outputs.KEY}\"";

impl Shape for CountShape {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Some(scalar) = node.scalar().filter(|scalar| scalar.text.contains("${")) {
            let template = template::parse(&scalar.text, node, reader)?;
            return length_of(&template, node, reader);
        }
        let number = whole_number(node, reader, &format!("a whole number or {OUTPUT_FORM}"))?;
        match number.map(u32::try_from) {
            Some(Ok(count @ 1..=COUNT_MAX)) => return Some(CountShape::Fixed(count)),
            Some(Ok(0)) => {
                let message = "`count` is 0: a task without any instance would never run";
                reader.note(reader.illegal(node.span, message).help("remove the task, or `count`"));
            }
            _ if reader.source.slice(node.span).starts_with('-') => {
                reader.note(
                    reader.illegal(
                        node.span,
                        format!("`count` must be from 1 to {}", grouped(COUNT_MAX.into())),
                    ),
                );
            }
            _ => {
                let message =
                    format!("`count` is more than {}, the largest array", grouped(COUNT_MAX.into()));
                let help = "split the work into several tasks or jobs, or give each instance more of it";
                reader.note(Diagnostic::new(Code::TooLarge, node.span, message).help(help));
            }
        }
        None
    }

    fn schema() -> Value {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": COUNT_MAX },
            { "type": "string", "pattern": "^\\$\\{tasks\\.[^.]+\\.outputs\\.[^.]+\\}$" },
        ] })
    }
}

fn length_of(template: &Template, node: &Node, reader: &mut Reader<'_>) -> Option<CountShape> {
    let mut variables = template.variables();
    if let (Some(variable @ Variable::Output { task, key, element }), None) =
        (variables.next(), variables.next())
    {
        if *element == Element::All && template.to_string() == format!("${{{variable}}}") {
            return Some(CountShape::LengthOf { task: task.clone(), key: key.clone() });
        }
        if *element != Element::All {
            let message = "`count` is the number of values of an output, not one of its values";
            let help = format!("write \"${{tasks.{task}.outputs.{key}}}\"");
            reader.note(Diagnostic::new(Code::Variable, node.span, message).help(help));
            return None;
        }
    }
    let message = format!("`count` must be a number, or exactly one output: {OUTPUT_FORM}");
    reader.note(Diagnostic::new(Code::Variable, node.span, message));
    None
}
