//! The canonical text of a job: reading it gives the same job.

use std::fmt::Write;

use berth_core::job_spec::{
    Count, FakeProgram, JobKind, JobSpec, OnDisconnect, Overlap, ProgramSpec, Retry, TaskSpec, When,
};
use berth_core::resources::{CPU, MEMORY};
use berth_core::template::Template;

use crate::quote::is_unsafe;
use crate::shape::amount::MEMORY_UNITS;
use crate::shape::document::API_VERSION;

/// The job as canonical YAML. Values equal to a default are left out where that is the usual case.
pub fn to_yaml(job: &JobSpec) -> String {
    let mut text = String::new();
    let kind = match job.kind {
        JobKind::Job => "Job",
        JobKind::Service => "Service",
    };
    let mut line = |indent: usize, words: &str| {
        let _ = writeln!(text, "{:indent$}{words}", "");
    };
    line(0, &format!("apiVersion: {API_VERSION}"));
    line(0, &format!("kind: {kind}"));
    line(0, &format!("name: {}", quoted(&job.name)));
    line(0, &format!("tenant: {}", quoted(&job.tenant)));
    line(0, &format!("priority: {}", job.priority));
    if let Some(schedule) = &job.schedule {
        let when = match schedule.when {
            When::Every(period) => format!("every: {period}"),
            When::At(instant) => format!("at: {}", quoted(&rfc_3339(instant.0))),
        };
        let overlap = match schedule.overlap {
            Overlap::Skip => "skip",
            Overlap::AllowAll => "allow_all",
        };
        line(0, &format!("schedule: {{ {when}, overlap: {overlap} }}"));
    }
    line(0, "tasks:");
    for task in &job.tasks {
        write_task(job, task, &mut line);
    }
    text
}

fn write_task(job: &JobSpec, task: &TaskSpec, line: &mut impl FnMut(usize, &str)) {
    let name = |place: u16| job.tasks.get(usize::from(place)).map_or("", |task| task.name.as_str());
    line(2, &format!("- name: {}", quoted(&task.name)));
    if !task.after.is_empty() {
        line(4, &format!("after: {}", list(task.after.iter().map(|&place| quoted(name(place))))));
    }
    match &task.count {
        Count::Single => {}
        Count::Fixed(count) => line(4, &format!("count: {count}")),
        Count::LengthOf { task, key } => {
            line(4, &format!("count: {}", quoted(&format!("${{tasks.{}.outputs.{key}}}", name(*task)))));
        }
    }
    line(4, &program(&task.program));
    line(4, &format!("resources: {}", resources(task)));
    if !task.env.is_empty() {
        line(4, "env:");
        for (name, value) in &task.env {
            line(6, &format!("{}: {}", quoted(name), template(value)));
        }
    }
    if task.retry != Retry::default() {
        let Retry { max_attempts, initial, factor_milli, max } = &task.retry;
        let factor = milli(u64::from(*factor_milli));
        let backoff = format!("{{ initial: {initial}, factor: {factor}, max: {max} }}");
        line(4, &format!("retry: {{ max_attempts: {max_attempts}, backoff: {backoff} }}"));
    }
    if let Some(timeout) = task.timeout {
        line(4, &format!("timeout: {timeout}"));
    }
    line(4, &format!("stop_grace: {}", task.stop_grace));
    match task.on_disconnect {
        OnDisconnect::Keep => line(4, "on_disconnect: keep"),
        OnDisconnect::StopAfter(span) => line(4, &format!("on_disconnect: {{ stop_after: {span} }}")),
    }
}

fn program(program: &ProgramSpec) -> String {
    match program {
        ProgramSpec::Exec { command } => {
            format!("exec: {{ command: {} }}", list(command.iter().map(template)))
        }
        ProgramSpec::Docker { image, command } if command.is_empty() => {
            format!("docker: {{ image: {} }}", template(image))
        }
        ProgramSpec::Docker { image, command } => {
            format!(
                "docker: {{ image: {}, command: {} }}",
                template(image),
                list(command.iter().map(template))
            )
        }
        ProgramSpec::Fake(FakeProgram { runs_for, fail_first, exit_code, output }) => {
            let output = quoted(output);
            format!(
                "fake: {{ runs_for: {runs_for}, fail_first: {fail_first}, exit_code: {exit_code}, output: {output} }}"
            )
        }
    }
}

fn resources(task: &TaskSpec) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (name, &amount) in &task.resources {
        let amount = match name.as_str() {
            MEMORY => bytes(amount),
            CPU if amount % 1000 != 0 => format!("{amount}m"),
            _ => milli(amount),
        };
        parts.push(format!("{}: {amount}", plain_or_quoted(name)));
    }
    parts.extend(task.memory_max.map(|max| format!("memory_max: {}", bytes(max))));
    format!("{{ {} }}", parts.join(", "))
}

/// An amount of memory in the largest unit of which it is a whole number.
pub fn bytes(amount: u64) -> String {
    let (unit, size) = MEMORY_UNITS
        .iter()
        .filter(|(unit, _)| unit.ends_with('i'))
        .find(|(_, size)| amount != 0 && amount.is_multiple_of(*size))
        .copied()
        .unwrap_or(("B", 1));
    format!("{}{unit}", amount / size)
}

/// Thousandths as a decimal number.
pub fn milli(amount: u64) -> String {
    let text = format!("{}.{:03}", amount / 1000, amount % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn rfc_3339(millis: u64) -> String {
    let instant =
        i64::try_from(millis).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    instant.map_or_else(|| millis.to_string(), |instant| instant.to_string())
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn template(template: &Template) -> String {
    quoted(&template.to_string())
}

fn plain_or_quoted(word: &str) -> String {
    if word.chars().all(|c| c.is_ascii_lowercase() || c == '_') { word.to_owned() } else { quoted(word) }
}

/// The text in double quotes, as YAML and JSON both read it as far as JSON can.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(quoted, "\\{c}"),
            '\n' => write!(quoted, "\\n"),
            '\t' => write!(quoted, "\\t"),
            '\r' => write!(quoted, "\\r"),
            c if is_unsafe(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                write!(quoted, "\\u{:04x}", u32::from(c))
            }
            c => write!(quoted, "{c}"),
        };
    }
    quoted.push('"');
    quoted
}
