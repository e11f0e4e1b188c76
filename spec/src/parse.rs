//! From text to a job, or to all that is wrong with it.

use std::sync::Arc;

use berth_core::job_spec::JobSpec;

use crate::build;
use crate::check::check;
use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::encoding;
use crate::fields::JobFields;
use crate::quote::counted;
use crate::reader::Reader;
use crate::report::Report;
use crate::shape::Shape;
use crate::shape::document;
use crate::source::{Source, Span};
use crate::tree::{Node, Value};
use crate::yaml::{self, Documents};

/// A text without errors.
#[derive(Debug)]
pub struct Parsed {
    /// The job.
    pub job: JobSpec,
    /// The text.
    pub source: Source,
    /// What is to be said, but does not forbid to go on.
    pub warnings: Vec<Diagnostic>,
    root: Arc<Node>,
}

/// Reads a spec. `name` is how messages call the text, usually a file's name.
///
/// # Errors
/// Every mistake of the text, in its order.
pub fn parse(text: &[u8], name: &str) -> Result<Parsed, Report> {
    let source = encoding::decode(text, name).map_err(|refused| {
        let (source, refused) = *refused;
        Report::new(source, vec![refused])
    })?;
    let documents = yaml::read(&source);
    let mut reader = Reader::new(&source);
    let job = read(&documents, &mut reader);
    let failed = reader.has_errors();
    let found = reader.into_found();
    let report = Report::new(source, found);
    match (job, documents.roots.into_iter().next()) {
        (Some(job), Some(root)) if !failed => {
            Ok(Parsed { job, source: report.source, warnings: report.diagnostics, root })
        }
        _ => {
            assert!(failed, "a spec that cannot be built has a mistake that says why");
            Err(report)
        }
    }
}

/// What [`parse`] says of a text beyond [`crate::limits::TEXT_BYTES_MAX`], for callers that do not read such a text:
/// of so many bytes, or `None` when its end was not seen.
pub fn too_long(name: &str, bytes: Option<u64>) -> Report {
    Report::new(Source::new(name, ""), vec![encoding::too_long(bytes)])
}

fn read(documents: &Documents, reader: &mut Reader<'_>) -> Option<JobSpec> {
    for problem in &documents.problems {
        reader.note(problem.clone());
    }
    if let [_, second, ..] = documents.roots.as_slice() {
        let message =
            format!("the text holds {}; a spec is one job", counted(documents.roots.len(), "document"));
        let found = Diagnostic::new(Code::WrongDocument, second.span, message);
        reader.note(found.help("put each job into its own file"));
    }
    let Some(root) = documents.roots.first() else {
        if documents.problems.is_empty() {
            reader.note(wrong_document(Span::START, "the document is empty"));
        }
        return None;
    };
    if !matches!(root.value, Value::Map(_)) {
        if documents.problems.is_empty() {
            reader.note(wrong_document(root.span, &format!("the document is {}", root.describe())));
        }
        return None;
    }
    if document::is_foreign(root) {
        document::note_foreign(root, reader);
        return None;
    }
    let fields = JobFields::read(root, reader)?;
    let graph = check(&fields, reader)?;
    if reader.has_errors() { None } else { build::job(&fields, &graph) }
}

fn wrong_document(span: Span, what: &str) -> Diagnostic {
    Diagnostic::new(
        Code::WrongDocument,
        span,
        format!("{what}; this server speaks {}", document::API_VERSION),
    )
    .help("a spec begins with `apiVersion: berth/v1`, `kind: Job` and `name: ...`")
}

impl Parsed {
    /// The place of a path such as `tasks[1].resources.cpu`, tasks counted as in the text; of the nearest part of it
    /// that is in the text when it is left to its default.
    pub fn locate(&self, path: &str) -> Span {
        let mut node = &self.root;
        let mut span = Span::START;
        for step in path.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
            let next = match &node.value {
                Value::Map(entries) => {
                    entries.iter().find(|entry| entry.key == step).map(|entry| (&entry.value, entry.key_span))
                }
                Value::List(items) => step
                    .parse::<usize>()
                    .ok()
                    .and_then(|place| items.get(place))
                    .map(|item| (item, item.span)),
                Value::Scalar(_) => None,
            };
            let Some((value, key_span)) = next else { return span };
            span = if value.scalar().is_some() { value.span } else { key_span };
            node = value;
        }
        span
    }

    /// The path of a field of the task of that name, with the task's place in the text: `tasks[1].resources.cpu`. The
    /// job's own order of tasks may be another.
    pub fn task_path(&self, task: &str, field: &str) -> Option<String> {
        let Value::List(items) = &self.root.get("tasks")?.value else { return None };
        let named = |item: &Arc<Node>| {
            item.get("name").and_then(|name| name.scalar()).is_some_and(|name| name.text == task)
        };
        let place = items.iter().position(named)?;
        Some(if field.is_empty() { format!("tasks[{place}]") } else { format!("tasks[{place}].{field}") })
    }

    /// A mistake that only the cluster could find, at the place of a path in the text.
    pub fn diagnostic_at(&self, code: Code, path: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(code, self.locate(path), message).at_path(path)
    }

    /// What is to be said about the text, with what a cluster added.
    pub fn report(self, added: impl IntoIterator<Item = Diagnostic>) -> Report {
        Report::new(self.source, self.warnings.into_iter().chain(added).collect())
    }
}
