//! Specs from files and standard input.

use std::io::Read;
use std::path::Path;

use berth_client::{Violation, too_large, with_spec_dir};
use berth_spec::limits::TEXT_BYTES_MAX;
use berth_spec::{Code, Diagnostic, Parsed, Report, Severity};

use crate::exit::Exit;
use crate::failure::Failure;

/// What stands for standard input.
const STDIN: &str = "-";
/// One byte more than any spec may have.
const READ_MAX: u64 = TEXT_BYTES_MAX as u64 + 1;

/// Whether an argument names a file rather than a job.
pub(crate) fn is_file(argument: &str) -> bool {
    argument == STDIN
        || argument.ends_with(".yaml")
        || argument.ends_with(".yml")
        || argument.ends_with(".json")
        || argument.starts_with(['.', '/'])
        || Path::new(argument).is_file()
}

/// Reads a spec; `-` is standard input. Warnings are in what comes back.
pub(crate) fn read(file: &str) -> Result<Parsed, Failure> {
    let cannot = |error: std::io::Error| {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Other };
        Failure::new(exit, None, format!("cannot read `{file}`: {error}"))
    };
    let mut text = Vec::new();
    let (name, dir) = if file == STDIN {
        std::io::stdin().take(READ_MAX).read_to_end(&mut text).map_err(cannot)?;
        ("<stdin>", std::env::current_dir().map_err(cannot)?)
    } else {
        let opened = std::fs::File::open(file).map_err(cannot)?;
        let length = opened.metadata().map_err(cannot)?.len();
        if length >= READ_MAX {
            return Err(Failure::spec(berth_spec::too_long(file, Some(length))));
        }
        // It may grow meanwhile, or be a pipe without a length.
        opened.take(READ_MAX).read_to_end(&mut text).map_err(cannot)?;
        let path = Path::new(file).canonicalize().map_err(cannot)?;
        (file, path.parent().map(Path::to_owned).unwrap_or_default())
    };
    if text.len() > TEXT_BYTES_MAX {
        return Err(Failure::spec(berth_spec::too_long(name, None)));
    }
    let text = with_spec_dir(text, &dir)?;
    parse(&text, name)
}

/// Everything that can be said of a spec without a cluster.
fn parse(text: &[u8], name: &str) -> Result<Parsed, Failure> {
    let parsed = berth_spec::parse(text, name).map_err(Failure::spec)?;
    match too_large(&parsed.job) {
        Some(violation) => Err(Failure::spec(report(parsed, &[violation]))),
        None => Ok(parsed),
    }
}

/// What the cluster found in a spec, at its places in the text.
pub(crate) fn located(parsed: &Parsed, violations: &[Violation]) -> Vec<Diagnostic> {
    violations
        .iter()
        .map(|violation| {
            let code = violation.code.parse().unwrap_or(Code::IllegalValue);
            let path = path_in_text(parsed, &violation.path);
            let mut found = parsed.diagnostic_at(code, &path, violation.message.clone());
            found.severity = if violation.warning { Severity::Warning } else { Severity::Error };
            found.maybe_help(violation.help.clone())
        })
        .collect()
}

/// The mistakes that only the cluster could find, with the text's own warnings.
pub(crate) fn report(parsed: Parsed, violations: &[Violation]) -> Report {
    let added = located(&parsed, violations);
    parsed.report(added)
}

/// Servers count tasks in the order of their dependencies, people in that of the text.
fn path_in_text(parsed: &Parsed, path: &str) -> String {
    let task = path.strip_prefix("tasks[").and_then(|rest| rest.split_once(']'));
    let found = task.and_then(|(place, field)| {
        let name = &parsed.job.tasks.get(place.parse::<usize>().ok()?)?.name;
        parsed.task_path(name, field.trim_start_matches('.'))
    });
    found.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
apiVersion: berth/v1
kind: Job
name: two
tenant: acme
tasks:
  - name: late
    after: [early]
    exec: { command: [\"true\"] }
    resources: { cpu: 100m, memory: 1Gi }
  - name: early
    exec: { command: [\"true\"] }
    resources: { cpu: 100m, memory: 32Mi }
";

    #[test]
    fn what_the_cluster_finds_stands_at_its_line_whatever_the_order_of_the_tasks() {
        let parsed = berth_spec::parse(TEXT.as_bytes(), "two.yaml").unwrap();
        let violation = Violation {
            path: "tasks[1].resources.memory".into(),
            code: "E402".into(),
            message: "no node has 1Gi".into(),
            help: None,
            warning: false,
        };
        let found = located(&parsed, &[violation]);
        assert_eq!((found[0].span.line, found[0].code.as_str()), (9, "E402"));
    }

    #[test]
    fn a_file_that_is_too_long_is_refused_with_its_true_size() {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        file.as_file().set_len(40 << 20).unwrap();
        let text = read(file.path().to_str().unwrap()).unwrap_err().render(false);
        assert!(text.contains("E105") && text.contains("41,943,040 bytes"), "{text}");
    }

    #[test]
    fn a_spec_that_no_cluster_stores_is_refused_without_asking_one() {
        let long = |bytes: usize| {
            let arguments = format!("\"{}\", ", "x".repeat(60_000)).repeat(bytes / 60_000);
            TEXT.replacen("[\"true\"]", &format!("[{arguments}\"true\"]"), 1)
        };
        assert!(parse(long(720_000).as_bytes(), "fits.yaml").is_ok());
        let failure = parse(long(840_000).as_bytes(), "long.yaml").unwrap_err();
        assert_eq!(failure.exit(), Exit::InvalidSpec);
        let text = failure.render(false);
        assert!(text.starts_with("error[E105]: the spec has 840"), "{}", &text[..200]);
        assert!(text.contains("786432 are the most"), "{}", &text[..200]);
    }

    #[test]
    fn an_argument_is_a_file_by_its_look_and_else_a_job() {
        for file in ["-", "a.yaml", "./a", "/a", "x/y.yml", "a.json"] {
            assert!(is_file(file), "{file}");
        }
        for job in ["nightly", "acme/nightly"] {
            assert!(!is_file(job), "{job}");
        }
    }
}
