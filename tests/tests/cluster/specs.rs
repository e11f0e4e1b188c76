//! Jobs for the tests.

use std::fs;
use std::path::Path;

use anyhow::Result;
use berth_client::JobSpec;

use crate::programs;

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

/// A job of one container.
pub(crate) fn container(name: &str) -> Result<JobSpec> {
    let text = format!(
        "apiVersion: berth/v1\nkind: Job\nname: {name}\ntenant: default\ntasks:\n  - name: work\n    \
         docker: {{ image: \"any:1\" }}\n    resources: {{ cpu: 100m, memory: 16Mi }}\n"
    );
    Ok(berth_client::parse_spec(name, &text)?)
}

/// Copies the word count with its scripts and texts into a directory.
pub(crate) fn copy_word_count(to: &Path) -> Result<()> {
    let from = programs::repository().join("examples");
    fs::create_dir_all(to.join("wordcount/texts"))?;
    fs::copy(from.join("wordcount.yaml"), to.join("wordcount.yaml"))?;
    for folder in ["wordcount", "wordcount/texts"] {
        for entry in fs::read_dir(from.join(folder))? {
            let path = entry?.path();
            if path.is_file() {
                fs::copy(&path, to.join(path.strip_prefix(&from)?))?;
            }
        }
    }
    Ok(())
}
