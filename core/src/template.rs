//! Text with variables: `${run.id}`, `${tasks.split.outputs.parts[index]}`. A spec keeps templates
//! parsed; they are rendered when an attempt is sent to its node.

use std::fmt;

use crate::canonical::canonical;

/// Text with variables, parsed. `$${` stands for a literal `${`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template(Vec<Piece>);

canonical!(Template(_));

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it stands.
    Text(String),
    /// A variable to be replaced.
    Variable(Variable),
}

canonical!(enum Piece { 1: Text(text), 2: Variable(variable) });

/// The variables that a template can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// `tenant`: the tenant's name.
    Tenant,
    /// `job.name`
    JobName,
    /// `run.id`
    RunId,
    /// `run.dir`: a directory of the run, shared by its tasks.
    RunDir,
    /// `run.nominal`: the instant for which the run was fired, RFC 3339 in UTC.
    RunNominal,
    /// `task.name`
    TaskName,
    /// `task.index`: from 0.
    TaskIndex,
    /// `task.count`: the size of the task's array.
    TaskCount,
    /// `attempt`: from 1.
    Attempt,
    /// `node.name`
    NodeName,
    /// `tasks.NAME.outputs.KEY`, or one element of it with `[N]` or `[index]`.
    Output { task: String, key: String, element: Element },
}

canonical!(enum Variable {
    1: Tenant,
    2: JobName,
    3: RunId,
    4: RunDir,
    5: RunNominal,
    6: TaskName,
    7: TaskIndex,
    8: TaskCount,
    9: Attempt,
    10: NodeName,
    11: Output { 1: task, 2: key, 3: element },
});

/// Which part of an output a template takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// All values, separated by single spaces.
    All,
    /// The value at this place, from 0.
    At(u32),
    /// The value at the place of the task's own index.
    OwnIndex,
}

canonical!(enum Element { 1: All, 2: At(place), 3: OwnIndex });

/// The variables without arguments, in the order in which messages list them.
pub const PLAIN_VARIABLES: [(&str, Variable); 10] = [
    ("tenant", Variable::Tenant),
    ("job.name", Variable::JobName),
    ("run.id", Variable::RunId),
    ("run.dir", Variable::RunDir),
    ("run.nominal", Variable::RunNominal),
    ("task.name", Variable::TaskName),
    ("task.index", Variable::TaskIndex),
    ("task.count", Variable::TaskCount),
    ("attempt", Variable::Attempt),
    ("node.name", Variable::NodeName),
];

/// What is wrong with a template, and where in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `${` without `}`; `at` is the byte offset of the `$`.
    #[error("`${{` has no closing `}}`")]
    Unclosed { at: usize },
    /// The variable does not exist; `at` is the byte offset of its name.
    #[error("undefined variable `{name}`")]
    Undefined { at: usize, name: String },
}

impl Template {
    /// Parses text with `${...}`.
    pub fn parse(text: &str) -> Result<Template, Error> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut at = 0;
        while let Some(found) = text[at..].find('$') {
            let dollar = at + found;
            plain.push_str(&text[at..dollar]);
            if text[dollar..].starts_with("$${") {
                plain.push_str("${");
                at = dollar + 3;
            } else if text[dollar..].starts_with("${") {
                let start = dollar + 2;
                let length = text[start..].find('}').ok_or(Error::Unclosed { at: dollar })?;
                let name = &text[start..start + length];
                let variable = Variable::parse(name)
                    .ok_or_else(|| Error::Undefined { at: start, name: name.to_owned() })?;
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Variable(variable));
                at = start + length + 1;
            } else {
                plain.push('$');
                at = dollar + 1;
            }
        }
        plain.push_str(&text[at..]);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Template(pieces))
    }

    /// A template without variables.
    pub fn literal(text: impl Into<String>) -> Template {
        Template(vec![Piece::Text(text.into())])
    }

    /// The length of the text that is not in variables, in bytes.
    pub fn plain_len(&self) -> usize {
        let plain = |piece: &Piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Variable(_) => 0,
        };
        self.0.iter().map(plain).sum()
    }

    /// The variables that occur.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(variable) => Some(variable),
            Piece::Text(_) => None,
        })
    }

    /// Replaces every variable by what `value` gives for it; the first error ends it.
    pub fn render<E>(&self, mut value: impl FnMut(&Variable) -> Result<String, E>) -> Result<String, E> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Variable(variable) => text.push_str(&value(variable)?),
            }
        }
        Ok(text)
    }
}

impl Variable {
    fn parse(name: &str) -> Option<Variable> {
        if let Some((_, variable)) = PLAIN_VARIABLES.iter().find(|(known, _)| *known == name) {
            return Some(variable.clone());
        }
        let (task, key) = name.strip_prefix("tasks.")?.split_once(".outputs.")?;
        let (key, element) = match key.strip_suffix(']').and_then(|key| key.split_once('[')) {
            Some((key, "index")) => (key, Element::OwnIndex),
            Some((key, place)) => (key, Element::At(place.parse().ok()?)),
            None => (key, Element::All),
        };
        let word = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        };
        (word(task) && word(key)).then(|| Variable::Output {
            task: task.to_owned(),
            key: key.to_owned(),
            element,
        })
    }
}

impl fmt::Display for Template {
    /// The text from which the same template is parsed again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => f.write_str(&plain.replace("${", "$${"))?,
                Piece::Variable(variable) => write!(f, "${{{variable}}}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Variable::Output { task, key, element } = self {
            write!(f, "tasks.{task}.outputs.{key}")?;
            return match element {
                Element::All => Ok(()),
                Element::At(place) => write!(f, "[{place}]"),
                Element::OwnIndex => f.write_str("[index]"),
            };
        }
        let (name, _) =
            PLAIN_VARIABLES.iter().find(|(_, known)| known == self).expect("every plain variable is listed");
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_reads_back_from_its_text() {
        for text in [
            "",
            "plain $HOME $",
            "a${run.id}b${tasks.split.outputs.parts[index]}",
            "$${run.id}",
            "${tasks.a.outputs.b[3]}",
        ] {
            assert_eq!(Template::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_undefined_variable_is_named_with_its_place() {
        assert_eq!(Template::parse("x ${run.di}"), Err(Error::Undefined { at: 4, name: "run.di".into() }));
        assert_eq!(Template::parse("x ${run.id"), Err(Error::Unclosed { at: 2 }));
    }

    #[test]
    fn rendering_replaces_variables_and_keeps_escapes_as_text() {
        let template = Template::parse("$${x} ${task.index}").unwrap();
        assert_eq!(template.render(|_| Ok::<_, ()>("4".into())), Ok("${x} 4".into()));
    }
}
