//! A program with its arguments.

use serde_json::{Value, json};

use crate::reader::{At, Reader};
use crate::shape::Shape;
use crate::shape::template::{self, TemplateText};
use crate::tree::{Meaning, Node};

/// The program and its arguments, at least one text.
#[derive(Debug)]
pub(crate) struct Command(pub(crate) Vec<At<Argument>>);

/// One argument; unlike other texts it may be empty.
#[derive(Debug)]
pub(crate) struct Argument(pub(crate) TemplateText);

impl Shape for Command {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        const WANTED: &str = "a list of texts";
        if let Some(scalar) = node.scalar().filter(|scalar| scalar.meaning() != Meaning::Nothing) {
            let words: Vec<String> = scalar.text.split_whitespace().map(crate::write::quoted).collect();
            let has_shell = scalar.text.contains(['|', '>', '<', '&', ';', '$', '*', '"', '\'', '`', '\n']);
            let help = if has_shell {
                format!("for a shell: [\"/bin/sh\", \"-c\", {}]", crate::write::quoted(&scalar.text))
            } else {
                format!("write a list: [{}]", words.join(", "))
            };
            reader.note(reader.type_mistake(node, WANTED).why("no shell looks at the command").help(help));
            return None;
        }
        let arguments = reader.items(node, WANTED)?;
        if matches!(&node.value, crate::tree::Value::List(items) if items.is_empty()) {
            reader.note(reader.illegal(node.span, "the command is empty: its first item is the program"));
            return None;
        }
        Some(Command(arguments))
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": Argument::schema(), "minItems": 1 })
    }
}

impl Shape for Argument {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node, "a text")?;
        template::parse(text, node, reader).map(|template| Argument(TemplateText(template)))
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }
}
