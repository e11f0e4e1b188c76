//! The rules for names, one for everything of a kind, wherever a name comes from.

/// The longest name, in bytes.
pub const NAME_MAX: usize = 63;

/// What is named. All names have 1 to [`NAME_MAX`] characters and begin with a letter or digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A tenant, a job, or a task within one: `orders-nightly`.
    Ours,
    /// A resource, with dots too: `gpu.a100`.
    Resource,
    /// A node, as hosts are named: `Rack-7.example`.
    Node,
}

impl Named {
    /// Whether a text is such a name.
    pub fn fits(self, text: &str) -> bool {
        let inside = |c: char| self.begins(c) || c == '-' || c == '_' || (c == '.' && self != Named::Ours);
        text.len() <= NAME_MAX && text.starts_with(|c| self.begins(c)) && text.chars().all(inside)
    }

    /// The rule for people, as what follows "a name has".
    pub fn rule(self) -> &'static str {
        match self {
            Named::Ours => "1 to 63 of a-z, 0-9, `-` and `_`, and begins with a letter or digit",
            Named::Resource => "1 to 63 of a-z, 0-9, `.`, `-` and `_`, and begins with a letter or digit",
            Named::Node => "1 to 63 of a-z, A-Z, 0-9, `.`, `-` and `_`, and begins with a letter or digit",
        }
    }

    fn begins(self, c: char) -> bool {
        c.is_ascii_lowercase() || c.is_ascii_digit() || (c.is_ascii_uppercase() && self == Named::Node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_thing_has_its_rule() {
        for (name, ours, resource, node) in [
            ("a", true, true, true),
            ("0-a_b", true, true, true),
            ("gpu.a100", false, true, true),
            ("Rack-7.example", false, false, true),
            ("-a", false, false, false),
            (".a", false, false, false),
            ("_a", false, false, false),
            ("", false, false, false),
            ("a b", false, false, false),
            ("a/b", false, false, false),
            ("caf\u{e9}", false, false, false),
        ] {
            let fits = [Named::Ours, Named::Resource, Named::Node].map(|named| named.fits(name));
            assert_eq!(fits, [ours, resource, node], "{name}");
        }
    }

    #[test]
    fn a_name_has_at_most_63_bytes() {
        for named in [Named::Ours, Named::Resource, Named::Node] {
            assert!(named.fits(&"a".repeat(NAME_MAX)));
            assert!(!named.fits(&"a".repeat(NAME_MAX + 1)));
            assert!(named.rule().contains(&NAME_MAX.to_string()));
        }
    }
}
