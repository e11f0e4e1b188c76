//! The tables of fields for others: as JSON schema for editors, and as text for people.

use std::fmt::Write;

use serde_json::Value;

use crate::fields::{JobFields, layouts};
use crate::object::{Object, Presence};
use crate::shape::document::API_VERSION;

/// The JSON schema of a spec.
pub fn json_schema() -> Value {
    let mut schema = JobFields::LAYOUT.schema();
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = format!("{API_VERSION} Job").into();
    schema
}

/// Every field there is as tables of Markdown.
pub fn fields_markdown() -> String {
    let mut text = String::new();
    for layout in layouts() {
        let _ = write!(
            text,
            "## {}\n\n{}\n\n| field | default | meaning |\n|---|---|---|\n",
            layout.title,
            layout.summary()
        );
        for field in layout.fields {
            let default = match (field.presence, field.default) {
                (Presence::Required, _) => "required".to_owned(),
                (Presence::Executor, _) => "one of these".to_owned(),
                (Presence::NotYet, _) => "refused, not honoured yet".to_owned(),
                (Presence::Optional, Some("{}")) => "see its fields".to_owned(),
                (Presence::Optional, Some(default)) => format!("`{default}`"),
                (Presence::Optional, None) => String::new(),
            };
            let _ = writeln!(text, "| `{}` | {default} | {} |", field.name, field.summary());
        }
        text.push('\n');
    }
    text
}
