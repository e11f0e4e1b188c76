//! The text of a job spec, YAML or JSON, and what can be wrong with it.
//!
//! ```text
//!   bytes ── encoding ──> Source ── yaml ──> tree with places
//!                                              │  fields (tables) + shape (types of values)
//!                                              ▼
//!   Report <── mistakes ── reader, check ── fields with places ── build ──> JobSpec
//! ```
//!
//! Every mistake is found at once and stands at its line and column. What fields there are, what they
//! hold, what they mean and what they default to is said once, in `fields`; reading, "did you mean", the
//! JSON schema and the documentation follow from it.
//!
//! This crate never reads files and never asks a server. What only a cluster knows (its largest
//! node, its tenants) is added by callers with [`Parsed::diagnostic_at`].

pub mod limits;
mod quote;

mod source;

mod diagnostic;
mod render;
mod report;

mod encoding;
mod suggest;
mod tree;
mod yaml;

mod object;
mod reader;
mod secret;
mod shape;

mod fields;

mod build;
mod check;

mod parse;
mod schema;
mod typed;
mod write;

pub use crate::diagnostic::{Diagnostic, Related};
pub use crate::parse::{Parsed, parse, too_long};
pub use crate::quote::escape;
pub use crate::report::Report;
pub use crate::schema::{fields_markdown, json_schema};
pub use crate::source::{Source, Span};
pub use crate::typed::{NotTyped, parse_amount, parse_span};
pub use crate::write::{bytes, milli, to_yaml};
pub use berth_core::code::{self, Code, NoSuchCode, Severity, catalogue};

/// The version of the format that is read here.
pub use crate::shape::document::API_VERSION;
