//! Jobs for the tests.

use anyhow::Result;
use berth_client::JobSpec;

/// A job of one step of `count` tasks that run a line of shell.
pub(crate) fn shell(name: &str, count: u32, cpu: &str, line: &str) -> Result<JobSpec> {
    // A JSON text is a YAML text, and is quoted the right way.
    let line = serde_json::to_string(line)?;
    let text = format!(
        "apiVersion: berth/v1\nkind: Job\nname: {name}\ntenant: default\ntasks:\n  - name: work\n    count: {count}\n    \
         exec: {{ command: [\"sh\", \"-c\", {line}] }}\n    resources: {{ cpu: {cpu}, memory: 16Mi }}\n"
    );
    Ok(berth_client::parse_spec(name, &text)?)
}
