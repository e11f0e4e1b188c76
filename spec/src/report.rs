//! Everything that was found in one text.

use crate::code::{Code, Severity};
use crate::diagnostic::Diagnostic;
use crate::limits::DIAGNOSTICS_MAX;
use crate::quote::{counted, escape};
use crate::source::Source;

/// All mistakes of a text, in its order, at least one of them an error when reading failed.
#[derive(Debug, Clone)]
pub struct Report {
    /// The text.
    pub source: Source,
    /// The mistakes.
    pub diagnostics: Vec<Diagnostic>,
    /// How many more there are at least than are listed.
    pub unlisted: usize,
}

impl Report {
    /// Puts mistakes into the order of the text, each once, no more than anyone reads.
    pub fn new(source: Source, mut found: Vec<Diagnostic>) -> Report {
        found.sort_by(|a, b| (a.span, a.code, &a.message).cmp(&(b.span, b.code, &b.message)));
        found.dedup_by(|a, b| (a.span, a.code, &a.message) == (b.span, b.code, &b.message));
        let unlisted = found.len().saturating_sub(DIAGNOSTICS_MAX);
        if unlisted > 0 {
            // Warnings give way to errors.
            found.sort_by_key(|found| found.severity);
            found.truncate(DIAGNOSTICS_MAX);
            found.sort_by_key(|found| found.span);
        }
        hide_everywhere(&mut found);
        Report { source, diagnostics: found, unlisted }
    }

    /// How many of the listed mistakes have that severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|found| found.severity == severity).count()
    }

    /// True when something forbids to go on.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// `3 errors, 1 warning in job.yaml`
    pub fn summary(&self) -> String {
        let counts: Vec<String> = [Severity::Error, Severity::Warning]
            .iter()
            .map(|&severity| (self.count(severity), severity.word()))
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| counted(n, word))
            .collect();
        let counts = if counts.is_empty() { "no mistakes".to_owned() } else { counts.join(", ") };
        let more =
            if self.unlisted == 0 { String::new() } else { format!(", and at least {} more", self.unlisted) };
        format!("{counts}{more} in {}", escape(self.source.name()))
    }

    /// Everything as people read it, with the summary at the end.
    pub fn render(&self, color: bool) -> String {
        let mut text = String::new();
        for found in &self.diagnostics {
            text.push_str(&found.render(&self.source, color));
            text.push('\n');
        }
        text.push_str(&self.summary());
        text.push('\n');
        text
    }

    /// Everything for programs. The code of the whole is that of the only mistake, or E106 for several.
    pub fn to_json(&self) -> serde_json::Value {
        let code = match self.diagnostics.as_slice() {
            [only] => only.code,
            _ => Code::Several,
        };
        serde_json::json!({
            "code": code.as_str(),
            "message": self.summary(),
            "file": self.source.name(),
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "unlisted": self.unlisted,
            "diagnostics": self.diagnostics.iter().map(Diagnostic::to_json).collect::<Vec<_>>(),
        })
    }
}

/// What one mistake keeps out of its excerpt, no other may show.
fn hide_everywhere(found: &mut [Diagnostic]) {
    let hidden: Vec<_> = found.iter().flat_map(|found| found.hidden.iter().copied()).collect();
    for found in found {
        let lines =
            |line| found.span.line == line || found.related.iter().any(|related| related.span.line == line);
        found.hidden = hidden.iter().copied().filter(|hidden| lines(hidden.line)).collect();
    }
}
