//! Specs as text.

use std::path::Path;

use berth_core::job_spec::JobSpec;

use crate::error::Error;

/// What stands for the directory of the spec's own file.
const SPEC_DIR: &str = "${spec.dir}";

/// Reads the text of a spec, YAML or JSON. `name` is how messages call it, usually a file's name.
///
/// # Errors
/// [`Error::Spec`] with every mistake at its line and column.
pub fn parse_spec(name: &str, text: &str) -> Result<JobSpec, Error> {
    match berth_spec::parse(text.as_bytes(), name) {
        Ok(parsed) => Ok(parsed.job),
        Err(report) => Err(Error::Spec(Box::new(report))),
    }
}

/// Puts `dir`, an absolute path, in the place of every `${spec.dir}` of a spec's text, so that a job can name files that
/// lie beside its spec. It is of use where the nodes see the same path as the machine that submits. `$${spec.dir}` is
/// left as it is. Lines stay where they are, and columns before the first such place of a line.
///
/// # Errors
/// [`Error::Invalid`] when the text asks for a path that cannot stand in it.
pub fn with_spec_dir(text: Vec<u8>, dir: &Path) -> Result<Vec<u8>, Error> {
    let Ok(plain) = str::from_utf8(&text) else { return Ok(text) };
    if !plain.contains(SPEC_DIR) {
        return Ok(text);
    }
    let path = dir.to_str().filter(|path| dir.is_absolute() && path.chars().all(may_stand_in_a_spec));
    let Some(path) = path else {
        let message = format!(
            "`{SPEC_DIR}` cannot be replaced by {dir:?}: only letters, digits, spaces and ./_-+=@~ may stand in such a path"
        );
        return Err(Error::Invalid { message, violations: Vec::new() });
    };
    let mut replaced = String::with_capacity(plain.len());
    let mut rest = plain;
    while let Some(at) = rest.find(SPEC_DIR) {
        let escaped = rest[..at].ends_with('$');
        replaced.push_str(&rest[..at]);
        replaced.push_str(if escaped { SPEC_DIR } else { path });
        rest = &rest[at + SPEC_DIR.len()..];
    }
    replaced.push_str(rest);
    Ok(replaced.into_bytes())
}

/// Neither YAML nor the variables of specs give these a meaning.
fn may_stand_in_a_spec(c: char) -> bool {
    c.is_alphanumeric() || " ./_-+=@~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(text: &str, dir: &str) -> Result<String, Error> {
        with_spec_dir(text.into(), Path::new(dir)).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn the_directory_of_the_spec_is_put_in_place_unless_escaped() {
        let text = "a: ${spec.dir}/x\nb: $${spec.dir}\nc: \"${run.dir} ${spec.dir}\"";
        let wanted = "a: /srv/j/x\nb: $${spec.dir}\nc: \"${run.dir} /srv/j\"";
        assert_eq!(replaced(text, "/srv/j").unwrap(), wanted);
    }

    #[test]
    fn a_directory_that_would_change_the_meaning_of_the_text_is_refused() {
        for dir in ["/a\"b", "/a: b", "/a${run.id}", "/a\nb", "relative"] {
            assert!(replaced("x: ${spec.dir}", dir).is_err(), "{dir}");
            assert!(replaced("x: y", dir).is_ok(), "{dir}");
        }
    }
}
