use std::collections::BTreeMap;

use crate::canonical::canonical;

/// The most bytes that a task can leave in its output file.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of output that all tasks of a run can leave.
pub const RUN_OUTPUT_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// What a task left for later ones: keys with one or more values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outputs(pub BTreeMap<String, Vec<String>>);

canonical!(Outputs(_));

impl Outputs {
    /// Reads lines of `key=value`; a key that occurs again adds a value. Empty lines are passed over, and a carriage
    /// return before the end of a line does not count.
    ///
    /// # Errors
    /// The text that says what is wrong with the first bad line, or with the size.
    pub fn parse(bytes: &[u8]) -> Result<Outputs, String> {
        if bytes.len() > OUTPUT_BYTES_MAX {
            return Err(format!("the output is larger than {OUTPUT_BYTES_MAX} bytes"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "the output is not UTF-8".to_owned())?;
        let mut outputs = Outputs::default();
        // Not `lines`, which keeps the carriage return of a last line without an end.
        for (number, line) in (1u32..).zip(text.split('\n')) {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let (key, value) = line
                .split_once('=')
                .filter(|(key, _)| {
                    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
                })
                .ok_or_else(|| format!("line {number} of the output is not key=value"))?;
            outputs.0.entry(key.to_owned()).or_default().push(value.to_owned());
        }
        Ok(outputs)
    }

    /// The values of a key; none if the key is absent.
    pub fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carriage_return_before_the_end_of_a_line_does_not_count() {
        let outputs = Outputs::parse(b"a=1\r\na=2\r\n\r\nb=3\r").unwrap();
        assert_eq!(outputs.values("a"), ["1", "2"]);
        assert_eq!(outputs.values("b"), ["3"]);
    }
}
