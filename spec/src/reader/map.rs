//! Reading maps by their tables.

use std::collections::BTreeMap;

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::object::{Field, Layout, Presence};
use crate::quote::{list, quote};
use crate::reader::{At, Reader, Slot};
use crate::shape::Shape;
use crate::source::Span;
use crate::suggest::{did_you_mean, nearest};
use crate::tree::{Entry, Node, Value};

/// A map whose keys are checked.
#[derive(Debug)]
pub(crate) struct Opened<'n> {
    fields: BTreeMap<&'n str, &'n Entry>,
    /// Keys outside the table, where the table allows any.
    pub(crate) rest: Vec<&'n Entry>,
    /// What seems to be missing may be there: a key was refused as unknown, or the text breaks off.
    pub(crate) doubtful: bool,
    span: Span,
}

impl Reader<'_> {
    /// Checks that a node is a map and that its keys are those of the table, each once and none missing.
    pub(crate) fn open<'n>(&mut self, node: &'n Node, layout: &Layout) -> Option<Opened<'n>> {
        let Value::Map(entries) = &node.value else {
            let why = format!("the fields of {} are {}", self.place(layout), list(layout.usable_names()));
            self.note(self.type_mistake(node, "a map").why(why));
            return None;
        };
        let mut opened =
            Opened { fields: BTreeMap::new(), rest: Vec::new(), doubtful: node.truncated, span: node.span };
        let mut meant = Vec::new();
        for entry in self.once_each(entries) {
            if layout.field(&entry.key).is_some() {
                opened.fields.insert(&entry.key, entry);
            } else if layout.allows_other(&entry.key) {
                opened.rest.push(entry);
            } else {
                opened.doubtful = true;
                if self.is_full() {
                    continue;
                }
                meant.extend(layout.suggest(&entry.key));
                self.unknown_field(entry, layout, &opened);
            }
        }
        if !node.truncated {
            for field in layout.fields {
                let given = opened.fields.contains_key(field.name) || meant.contains(&field.name);
                if field.presence == Presence::Required && !given {
                    self.missing_field(field, layout, &opened);
                }
            }
        }
        Some(opened)
    }

    /// Reads a field of a map, or its default.
    pub(crate) fn slot<T: Shape>(&mut self, opened: &Opened<'_>, field: &Field) -> Slot<T> {
        let (node, key) = match (opened.fields.get(field.name), field.default) {
            (Some(entry), _) if field.presence == Presence::NotYet => {
                self.not_honoured(entry);
                return Slot::Bad;
            }
            (Some(entry), _) => (&*entry.value, entry.key_span),
            (None, Some(default)) => (&Node::default_value(default, opened.span), opened.span),
            (None, None) => return Slot::Absent,
        };
        self.inside(field.name, |reader| match T::read(node, reader) {
            Some(value) => Slot::Good(At { value, span: node.span, key, path: reader.path.clone() }),
            None => Slot::Bad,
        })
    }

    /// Reads the fields outside the table.
    pub(crate) fn others<T: Shape>(&mut self, opened: &Opened<'_>) -> Vec<(String, At<T>)> {
        let read = opened.rest.iter().filter_map(|entry| {
            self.inside(&entry.key, |reader| {
                let value = T::read(&entry.value, reader)?;
                let path = reader.path.clone();
                Some((entry.key.clone(), At { value, span: entry.value.span, key: entry.key_span, path }))
            })
        });
        read.collect()
    }

    /// The entries of a map, each key once; keys that come again are noted.
    pub(crate) fn once_each<'n>(&mut self, entries: &'n [Entry]) -> Vec<&'n Entry> {
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        let mut first = Vec::new();
        for entry in entries {
            if let Some(&before) = seen.get(entry.key.as_str()) {
                let message = format!(
                    "{} is set at line {} and again at line {}; keep one",
                    quote(&entry.key),
                    before.line,
                    entry.key_span.line
                );
                self.inside(&entry.key, |reader| {
                    reader.note(
                        Diagnostic::new(Code::KeyTwice, entry.key_span, message)
                            .related(before, "first set here"),
                    );
                });
            } else {
                seen.insert(&entry.key, entry.key_span);
                first.push(entry);
            }
        }
        first
    }

    /// How messages call the map that is being read.
    fn place(&self, layout: &Layout) -> String {
        match (&self.task, layout.title) {
            (Some(task), "task") => format!("task \"{task}\""),
            (None, "task") => "this task".to_owned(),
            (Some(task), title) => format!("{title} of task \"{task}\""),
            (None, title) => title.to_owned(),
        }
    }

    fn unknown_field(&mut self, entry: &Entry, layout: &Layout, opened: &Opened<'_>) {
        let meant = layout.suggest(&entry.key).filter(|name| !opened.fields.contains_key(name));
        let executors: Vec<&str> = layout.names(Presence::Executor).collect();
        let is_executor = !executors.is_empty()
            && match meant {
                Some(name) => executors.contains(&name),
                None => entry.value.get("command").is_some() || entry.value.get("image").is_some(),
            };
        let place = self.place(layout);
        let found = if is_executor {
            let message = format!("unknown executor {} in {place}", quote(&entry.key));
            Diagnostic::new(Code::Executor, entry.key_span, message)
                .why(format!("an executor is one of {}", list(executors.iter().copied())))
        } else {
            let message = format!("unknown field {} in {place}", quote(&entry.key));
            Diagnostic::new(Code::UnknownField, entry.key_span, message)
                .why(format!("the fields here are {}", list(layout.usable_names())))
        };
        let help = if entry.key == "<<" {
            Some(
                "YAML 1.2 has no merge keys: write the fields out, or repeat a whole value with `*name`"
                    .to_owned(),
            )
        } else {
            meant
                .or_else(|| nearest(&entry.key, executors.iter().copied().filter(|_| is_executor)))
                .map(did_you_mean)
                .or_else(|| elsewhere(&entry.key))
        };
        self.inside(&entry.key, |reader| reader.note(found.maybe_help(help)));
    }

    fn not_honoured(&mut self, entry: &Entry) {
        let field = quote(&entry.key);
        let message = format!("{field} is known, but this version of Berth does not honour it yet");
        let found = Diagnostic::new(Code::NotHonoured, entry.key_span, message)
            .why("it is refused, so that nobody relies on what would be ignored")
            .help(format!("remove {field}"));
        self.inside(&entry.key, |reader| reader.note(found));
    }

    fn missing_field(&mut self, field: &Field, layout: &Layout, opened: &Opened<'_>) {
        let place = self.place(layout);
        let message = format!("{} is missing in {place}", quote(field.name));
        let example = field
            .example()
            .map_or_else(|| format!("{}: ...", field.name), |value| format!("{}: {value}", field.name));
        let found = Diagnostic::new(Code::Missing, opened.span, message)
            .why(field.summary())
            .help(format!("add `{example}`"));
        self.inside(field.name, |reader| reader.note(found));
    }
}

/// Where a field belongs that is known in another map.
fn elsewhere(key: &str) -> Option<String> {
    let tables = crate::fields::layouts();
    let mut homes = tables
        .iter()
        .filter(|layout| layout.field(key).is_some_and(|field| field.presence != Presence::NotYet));
    let home = homes.next()?;
    Some(format!("{} is a field of {}", quote(key), home.title_with_article()))
}
