//! What a document says it is.

use berth_core::job_spec::JobKind;
use serde_json::{Value, json};

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::quote::quote;
use crate::reader::Reader;
use crate::shape::Shape;
use crate::suggest::{did_you_mean, nearest};
use crate::tree::Node;

/// The version of the format that is read here.
pub const API_VERSION: &str = "berth/v1";

/// The version of the format: there is one.
#[derive(Debug)]
pub(crate) struct ApiVersion;

/// The kind of the document.
#[derive(Debug)]
pub(crate) struct Kind(pub(crate) JobKind);

impl Shape for ApiVersion {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = &reader.scalar(node, "the version of the format, `berth/v1`")?.text;
        if text == API_VERSION {
            return Some(ApiVersion);
        }
        let number = text.strip_prefix("berth/v").and_then(|number| number.parse::<u32>().ok());
        let what = match number {
            Some(2..) => "a later version of the format",
            _ if ["v1", "apps/", "batch/"].iter().any(|start| text.starts_with(start)) => "for Kubernetes",
            _ => "an unknown format",
        };
        let message =
            format!("the document is of version {}, {what}; this server speaks {API_VERSION}", quote(text));
        let help = match number {
            Some(2..) => "use a newer server, or write the spec for `apiVersion: berth/v1`",
            _ => "write `apiVersion: berth/v1`",
        };
        reader.note(Diagnostic::new(Code::WrongDocument, node.span, message).help(help));
        None
    }

    fn schema() -> Value {
        json!({ "const": API_VERSION })
    }
}

impl Shape for Kind {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = &reader.scalar(node, "the kind of the document, `Job`")?.text;
        let found = match text.as_str() {
            "Job" => return Some(Kind(JobKind::Job)),
            "Service" => {
                let message = "the kind `Service` is known, but this version of Berth does not honour it yet";
                Diagnostic::new(Code::NotHonoured, node.span, message).help("write `kind: Job`")
            }
            other => {
                let message = format!(
                    "the document is of kind {}; with {API_VERSION} this server speaks `Job`",
                    quote(other)
                );
                let help =
                    if is_misspelt(other) { did_you_mean("Job") } else { "write `kind: Job`".to_owned() };
                Diagnostic::new(Code::WrongDocument, node.span, message).help(help)
            }
        };
        reader.note(found);
        None
    }

    fn schema() -> Value {
        json!({ "enum": ["Job"] })
    }
}

/// True when the document is made for another program or version: its fields mean nothing here.
pub(crate) fn is_foreign(root: &Node) -> bool {
    let text = |key| root.get(key).and_then(|node| node.scalar()).map(|scalar| scalar.text.as_str());
    let other_version = text("apiVersion").is_some_and(|version| version != API_VERSION);
    let other_kind =
        text("kind").is_some_and(|kind| !matches!(kind, "Job" | "Service") && !is_misspelt(kind));
    other_version || other_kind
}

/// Notes what a foreign document says it is, and nothing else about it.
pub(crate) fn note_foreign(root: &Node, reader: &mut Reader<'_>) {
    if let Some(node) = root.get("apiVersion") {
        reader.inside("apiVersion", |reader| ApiVersion::read(node, reader));
    }
    if let Some(node) = root.get("kind") {
        reader.inside("kind", |reader| Kind::read(node, reader));
    }
}

fn is_misspelt(kind: &str) -> bool {
    nearest(kind, ["Job"]).is_some()
}
