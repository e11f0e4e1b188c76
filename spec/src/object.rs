//! Tables of fields. One table a kind of map says what its fields are called, what they hold, what
//! they mean and what they default to; reading, "did you mean", the JSON schema and the documentation
//! all come from it.

use serde_json::{Value, json};

use crate::suggest::nearest;

/// A field of a map.
#[derive(Debug)]
pub(crate) struct Field {
    /// Its key.
    pub(crate) name: &'static str,
    /// What it means, line by line.
    pub(crate) doc: &'static [&'static str],
    /// Whether it has to be there.
    pub(crate) presence: Presence,
    /// The text that stands for it when it is absent.
    pub(crate) default: Option<&'static str>,
    /// What people call it by mistake.
    pub(crate) aka: &'static [&'static str],
    /// The JSON schema of its value.
    pub(crate) schema: fn() -> Value,
}

/// Whether a field has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It has.
    Required,
    /// It has not.
    Optional,
    /// Exactly one of these has.
    Executor,
    /// It must not: Berth knows it, but would ignore it.
    NotYet,
}

/// The table of one kind of map.
#[derive(Debug)]
pub(crate) struct Layout {
    /// How messages call the map.
    pub(crate) title: &'static str,
    /// What it means, line by line.
    pub(crate) doc: &'static [&'static str],
    /// Its fields, in the order in which they are best written.
    pub(crate) fields: &'static [Field],
    /// The schema of fields outside the table; `None` where there can be none.
    pub(crate) other: Option<fn() -> Value>,
}

/// A map that is read by a table.
pub(crate) trait Object {
    /// The table.
    const LAYOUT: Layout;
}

impl Field {
    /// What it means, as one sentence or more.
    pub(crate) fn summary(&self) -> String {
        joined(self.doc)
    }

    /// The only value it can have, if there is one.
    pub(crate) fn example(&self) -> Option<String> {
        let schema = (self.schema)();
        let only = schema.get("const").or_else(|| schema.get("enum")?.get(0))?;
        only.as_str().map(ToOwned::to_owned)
    }

    fn schema(&self) -> Value {
        if self.presence == Presence::NotYet {
            return json!({ "not": {}, "description": format!("Not honoured yet: {}", self.summary()) });
        }
        let mut schema = (self.schema)();
        schema["description"] = self.summary().into();
        if let Some(default) = self.default.filter(|default| *default != "{}") {
            schema["default"] = default.parse::<i64>().map_or_else(|_| default.into(), Value::from);
        }
        schema
    }
}

impl Layout {
    /// The field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The names of the fields of one presence.
    pub(crate) fn names(&self, presence: Presence) -> impl Iterator<Item = &'static str> {
        self.fields.iter().filter(move |field| field.presence == presence).map(|field| field.name)
    }

    /// The names of all fields that can be used.
    pub(crate) fn usable_names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().filter(|field| field.presence != Presence::NotYet).map(|field| field.name)
    }

    /// True when a key outside the table may stand here, and is not one of the table misspelt.
    pub(crate) fn allows_other(&self, key: &str) -> bool {
        self.other.is_some() && self.suggest(key).is_none()
    }

    /// The field that a wrong key most likely stands for. Where other keys are allowed, short names such as
    /// `gpu` and `cpu` are not taken for each other.
    pub(crate) fn suggest(&self, key: &str) -> Option<&'static str> {
        let lower = key.to_lowercase();
        let also_known = self.fields.iter().find(|field| field.aka.contains(&lower.as_str())).map(|f| f.name);
        let candidates = self
            .fields
            .iter()
            .filter(|field| self.other.is_none() || field.name.len() >= 5 || field.name == lower);
        also_known.or_else(|| nearest(key, candidates.map(|field| field.name)))
    }

    /// What it means, as one sentence or more.
    pub(crate) fn summary(&self) -> String {
        joined(self.doc)
    }

    /// The title within a sentence.
    pub(crate) fn title_with_article(&self) -> String {
        match self.title {
            "task" => "a task".to_owned(),
            title if title.starts_with("the ") => title.to_owned(),
            title => format!("`{title}`"),
        }
    }

    /// The JSON schema of the map.
    pub(crate) fn schema(&self) -> Value {
        let properties: serde_json::Map<String, Value> =
            self.fields.iter().map(|field| (field.name.to_owned(), field.schema())).collect();
        let mut schema = json!({
            "type": "object",
            "description": self.summary(),
            "properties": properties,
            "additionalProperties": self.other.map_or(Value::Bool(false), |other| other()),
        });
        let required: Vec<&str> = self.names(Presence::Required).collect();
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        let executors: Vec<Value> =
            self.names(Presence::Executor).map(|name| json!({ "required": [name] })).collect();
        if !executors.is_empty() {
            schema["oneOf"] = executors.into();
        }
        schema
    }
}

fn joined(doc: &[&str]) -> String {
    doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// Declares a kind of map by its table, one row a field:
///
/// ```text
/// /// What it means.
/// presence name [as "key"]: Shape [= "default"] [, aka "wrong name"]*;
/// ```
///
/// and makes a struct of it with a [`Slot`](crate::reader::Slot) for each field, read as a
/// [`Shape`](crate::shape::Shape).
macro_rules! object {
    (
        $(#[doc = $about:literal])+
        $name:ident, $title:literal $(, others $other:ty)? {
            $(
                $(#[doc = $doc:literal])+
                $presence:ident $field:ident $(as $key:literal)? : $shape:ty $(= $default:literal)? $(, aka $aka:literal)*;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        #[allow(dead_code, reason = "fields that are refused are never used, and only some kinds of map have others")]
        pub(crate) struct $name {
            $($(#[doc = $doc])+ pub(crate) $field: $crate::reader::Slot<$shape>,)+
            /// Fields outside the table.
            pub(crate) others: Vec<(String, $crate::reader::At<object!(@other $($other)?)>)>,
            /// What seems to be missing may be there under a wrong key, or behind the end of what could be read.
            pub(crate) doubtful: bool,
        }

        impl $crate::object::Object for $name {
            const LAYOUT: $crate::object::Layout = $crate::object::Layout {
                title: $title,
                doc: &[$($about),+],
                fields: &[$($crate::object::Field {
                    name: object!(@key $field $($key)?),
                    doc: &[$($doc),+],
                    presence: object!(@presence $presence),
                    default: object!(@option $($default)?),
                    aka: &[$($aka),*],
                    schema: <$shape as $crate::shape::Shape>::schema,
                }),+],
                other: object!(@option $(<$other as $crate::shape::Shape>::schema)?),
            };
        }

        impl $crate::shape::Shape for $name {
            fn read(node: &$crate::tree::Node, reader: &mut $crate::reader::Reader<'_>) -> Option<Self> {
                const LAYOUT: $crate::object::Layout = <$name as $crate::object::Object>::LAYOUT;
                let opened = reader.open(node, &LAYOUT)?;
                let mut fields = LAYOUT.fields.iter();
                let mut field = || fields.next().expect("the table has a row for each field");
                Some($name {
                    $($field: reader.slot(&opened, field()),)+
                    others: reader.others(&opened),
                    doubtful: opened.doubtful,
                })
            }

            fn schema() -> serde_json::Value {
                <$name as $crate::object::Object>::LAYOUT.schema()
            }
        }
    };
    (@key $field:ident $key:literal) => { $key };
    (@key $field:ident) => { stringify!($field) };
    (@option $value:expr) => { Some($value) };
    (@option) => { None };
    (@other $other:ty) => { $other };
    (@other) => { $crate::shape::Nothing };
    (@presence required) => { $crate::object::Presence::Required };
    (@presence optional) => { $crate::object::Presence::Optional };
    (@presence executor) => { $crate::object::Presence::Executor };
    (@presence not_yet) => { $crate::object::Presence::NotYet };
}

pub(crate) use object;
