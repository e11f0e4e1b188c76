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
    /// Reads lines of `key=value`; a key that occurs again adds a value. Empty lines are passed over.
    ///
    /// # Errors
    /// The text that says what is wrong with the first bad line, or with the size.
    pub fn parse(bytes: &[u8]) -> Result<Outputs, String> {
        if bytes.len() > OUTPUT_BYTES_MAX {
            return Err(format!("the output is larger than {OUTPUT_BYTES_MAX} bytes"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "the output is not UTF-8".to_owned())?;
        let mut outputs = Outputs::default();
        for (number, line) in (1u32..).zip(text.lines()) {
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

    /// The text from which the same outputs are read, in order of keys.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (key, values) in &self.0 {
            for value in values {
                text.push_str(&format!("{key}={value}\n"));
            }
        }
        text
    }

    /// The values of a key; none if the key is absent.
    pub fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }
}
