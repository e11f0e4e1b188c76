//! One mistake, at its place, with what to do about it.

use serde::Serialize;

use crate::code::{Code, Severity};
use crate::source::Span;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of mistake.
    pub code: Code,
    /// How grave.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// The place in the tree: `tasks[1].resources.cpu`; empty for the document itself.
    pub path: String,
    /// The place in the text.
    pub span: Span,
    /// Other places that belong to it, with what they are.
    pub related: Vec<Related>,
    /// Why it is so, a sentence each.
    pub why: Vec<String>,
    /// What to do.
    pub help: Option<String>,
    /// Places that excerpts must not show, because they may hold a secret.
    pub hidden: Vec<Span>,
}

/// Another place that belongs to a mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    /// The place.
    #[serde(flatten)]
    pub span: Span,
    /// What it is.
    pub label: String,
}

impl Diagnostic {
    /// A mistake with the severity that its code usually has.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            severity: code.severity(),
            message: message.into(),
            path: String::new(),
            span,
            related: Vec::new(),
            why: Vec::new(),
            help: None,
            hidden: Vec::new(),
        }
    }

    /// Adds the place in the tree.
    #[must_use]
    pub fn at_path(mut self, path: impl Into<String>) -> Diagnostic {
        self.path = path.into();
        self
    }

    /// Adds a reason.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Diagnostic {
        self.why.push(why.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// Says what to do, when something is known.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Diagnostic {
        self.help = help.or(self.help);
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Diagnostic {
        self.related.push(Related { span, label: label.into() });
        self
    }

    /// Keeps a place out of excerpts.
    #[must_use]
    pub fn hiding(mut self, span: Span) -> Diagnostic {
        self.hidden.push(span);
        self
    }

    /// The same for programs: code, severity, message, path, line, column, why, help, related.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "code": self.code.as_str(),
            "severity": self.severity.word(),
            "message": self.message,
            "path": self.path,
            "line": self.span.line,
            "column": self.span.column,
            "length": self.span.length,
            "why": self.why,
            "help": self.help,
            "related": self.related,
        })
    }
}
