//! Values that look like secrets in plain text.

use berth_core::template::Template;

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::quote::quote;
use crate::reader::Reader;
use crate::tree::Entry;

/// Parts of a name that announce a secret.
const TELLING: [&str; 14] = [
    "PASSWORD",
    "PASSWD",
    "PASS",
    "PWD",
    "PASSPHRASE",
    "SECRET",
    "SECRETS",
    "TOKEN",
    "APIKEY",
    "KEY",
    "CREDENTIAL",
    "CREDENTIALS",
    "PRIVATEKEY",
    "ACCESSKEY",
];
/// Last parts of a name that say that the value is not the secret itself.
const HARMLESS_ENDS: [&str; 8] = ["FILE", "PATH", "DIR", "NAME", "ID", "URL", "LENGTH", "TTL"];
/// How well-known kinds of secrets begin.
const SECRET_STARTS: [&str; 7] = ["AKIA", "ASIA", "ghp_", "github_pat_", "xoxb-", "glpat-", "-----BEGIN "];

/// Warns of a variable whose name or value looks like a secret. The value is never shown.
pub(crate) fn check(entry: &Entry, value: &Template, reader: &mut Reader<'_>) {
    let Some(text) = entry.value.scalar().map(|scalar| scalar.text.as_str()) else { return };
    let literal = value.variables().next().is_none();
    let why = if is_known_secret(text) {
        "the value has the form of an access key"
    } else if literal && is_telling(&entry.key) && could_be_secret(text) {
        "the name speaks of a secret, and the value stands in the text"
    } else {
        return;
    };
    let message = format!("{} looks like a secret", quote(&entry.key));
    reader.note(
        Diagnostic::new(Code::LiteralSecret, entry.key_span, message)
            .why(why)
            .why("a spec is stored and shown to everyone who may see the job")
            .help(format!(
                "keep the value in a file that only the task's user can read, and pass its path as {}_FILE; Berth has no \
                 secret references yet",
                entry.key
            ))
            .hiding(entry.value.span),
    );
}

fn is_telling(name: &str) -> bool {
    let upper = name.to_uppercase();
    let parts: Vec<&str> = upper.split('_').filter(|part| !part.is_empty()).collect();
    let harmless = parts.last().is_some_and(|last| HARMLESS_ENDS.contains(last) || *last == "PUBLIC")
        || parts.contains(&"PUBLIC");
    let working_directory = matches!(upper.as_str(), "PWD" | "OLDPWD");
    !harmless && !working_directory && parts.iter().any(|part| TELLING.contains(part))
}

/// False for what is no secret whatever its name: nothing, a truth value, a short number, a path.
fn could_be_secret(text: &str) -> bool {
    let short_number = text.len() < 5 && text.bytes().all(|b| b.is_ascii_digit());
    let word = matches!(text.to_lowercase().as_str(), "" | "true" | "false" | "yes" | "no" | "none" | "null");
    !short_number && !word && !text.starts_with(['/', '.', '~'])
}

fn is_known_secret(text: &str) -> bool {
    text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '=' | ':' | ',')).chain([text]).any(
        |word| {
            SECRET_STARTS.iter().filter_map(|start| Some((start, word.strip_prefix(start)?))).any(
                |(start, rest)| match *start {
                    "AKIA" | "ASIA" => {
                        rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
                    }
                    "-----BEGIN " => rest.contains("PRIVATE KEY-----"),
                    _ => rest.len() >= 16,
                },
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_announce_a_secret_are_told_from_those_that_point_to_one() {
        for name in ["DB_PASSWORD", "SECRET", "github_token", "API_KEY", "AWS_SECRET_ACCESS_KEY"] {
            assert!(is_telling(name), "{name}");
        }
        for name in
            ["DB_PASSWORD_FILE", "KEY_PATH", "PUBLIC_KEY", "PWD", "MONKEY", "TOKENIZER", "SECRET_NAME"]
        {
            assert!(!is_telling(name), "{name}");
        }
    }

    #[test]
    fn well_known_forms_are_recognised_within_a_value() {
        assert!(is_known_secret("key=AKIAABCDEFGHIJKLMNOP"));
        assert!(is_known_secret("-----BEGIN RSA PRIVATE KEY-----\nabc"));
        assert!(!is_known_secret("AKIA"));
        assert!(!could_be_secret("/run/secrets/db"));
    }
}
