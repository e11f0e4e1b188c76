//! What people get for a mistake: every file under `bad/` against the text it must produce.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its files fails")]

use std::fs;
use std::path::PathBuf;

use berth_spec::{Severity, parse};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn name(path: &std::path::Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_bad_file_gets_its_messages() {
    for path in files("bad") {
        let name = name(&path);
        let report = parse(&fs::read(&path).unwrap(), &name).map(|parsed| parsed.job).expect_err(&name);
        insta::assert_snapshot!(name, report.render(false));
    }
}

#[test]
fn every_bad_file_gets_a_mistake_of_the_code_it_is_named_after() {
    for path in files("bad") {
        let name = name(&path);
        let report = parse(&fs::read(&path).unwrap(), &name).map(|parsed| parsed.job).expect_err(&name);
        let Some(code) = name.strip_prefix('e').and_then(|rest| rest.get(..3)) else { continue };
        if matches!(code, "106" | "604") {
            continue;
        }
        let code = format!("E{code}");
        assert!(report.diagnostics.iter().any(|found| found.code.as_str() == code), "{name}: {code}");
    }
}

#[test]
fn mistakes_stand_in_the_order_of_the_file_each_once() {
    for path in files("bad") {
        let name = name(&path);
        let report = parse(&fs::read(&path).unwrap(), &name).map(|parsed| parsed.job).expect_err(&name);
        let places: Vec<_> = report.diagnostics.iter().map(|d| (d.span, d.code, d.message.clone())).collect();
        assert!(places.is_sorted_by(|a, b| a < b), "{name}: {places:#?}");
        assert!(report.has_errors());
    }
}

#[test]
fn nothing_of_a_library_or_of_a_type_reaches_the_reader() {
    for path in files("bad") {
        let name = name(&path);
        let text =
            parse(&fs::read(&path).unwrap(), &name).map(|parsed| parsed.job).expect_err(&name).render(false);
        for foreign in ["while parsing", "while scanning", "Some(", "None", "invalid digit", "simple key"] {
            assert!(!text.contains(foreign), "{name}: {foreign}\n{text}");
        }
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{name}: a control character\n{text:?}");
    }
}

#[test]
fn a_secret_is_never_shown() {
    let path = files("bad").into_iter().find(|path| name(path).starts_with("e207")).unwrap();
    let report = parse(&fs::read(&path).unwrap(), "e207").map(|parsed| parsed.job).unwrap_err();
    assert_eq!(report.count(Severity::Warning), 4);
    let text = format!("{}{}", report.render(true), report.to_json());
    for secret in ["hunter2", "AKIAABC", "OPENSSH"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[test]
fn programs_get_the_same_as_people() {
    let path = files("bad").into_iter().find(|path| name(path).starts_with("e106")).unwrap();
    let report = parse(&fs::read(&path).unwrap(), "job.yaml").map(|parsed| parsed.job).unwrap_err();
    insta::assert_snapshot!("e106_json", serde_json::to_string_pretty(&report.to_json()).unwrap());
}

#[test]
fn good_files_are_read() {
    for path in files("good") {
        let name = name(&path);
        match parse(&fs::read(&path).unwrap(), &name) {
            Ok(parsed) => insta::assert_snapshot!(format!("good_{name}"), berth_spec::to_yaml(&parsed.job)),
            Err(report) => panic!("{}", report.render(false)),
        }
    }
}
