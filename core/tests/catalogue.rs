//! The catalogue of codes is the only place where they are written down: what the sources and the documents of this
//! workspace say is in it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use berth_core::code::{Code, catalogue};

/// Where codes are written as text.
const CATALOGUE: &str = "core/src/code.rs";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Every file of the workspace with one of the endings, without what is built.
fn files(dir: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                files(&path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

/// Whatever looks like a code in a text, such as `E402`.
fn codes_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let looks_like_one = |word: &&str| {
        word.len() == 4 && word.starts_with('E') && word[1..].bytes().all(|byte| byte.is_ascii_digit())
    };
    words.filter(looks_like_one).collect()
}

fn is_the_catalogue_or_this_test(path: &Path) -> bool {
    path.ends_with(CATALOGUE) || path.ends_with("core/tests/catalogue.rs")
}

#[test]
fn every_code_that_a_source_or_a_document_names_is_in_the_catalogue() {
    let mut found = Vec::new();
    files(&workspace(), &[".rs", ".md", ".proto", ".snap", ".txt", ".yaml", ".json"], &mut found);
    assert!(found.len() > 300, "only {} files: is this the workspace?", found.len());
    for file in found.iter().filter(|file| !is_the_catalogue_or_this_test(file)) {
        for code in codes_in(&String::from_utf8_lossy(&fs::read(file).unwrap())) {
            assert!(code.parse::<Code>().is_ok(), "{}: {code} is not in the catalogue", file.display());
        }
    }
}

#[test]
fn every_code_stands_in_the_catalogue_once() {
    let texts: Vec<&str> = catalogue().map(|(code, _)| code.as_str()).collect();
    let once: BTreeSet<&str> = texts.iter().copied().collect();
    assert_eq!(texts.len(), once.len());
    let titles: BTreeSet<&str> = catalogue().map(|(_, title)| title).collect();
    assert_eq!(titles.len(), texts.len(), "two codes of the same meaning");
}

#[test]
fn sources_take_codes_from_the_catalogue_and_do_not_write_them_as_text() {
    let mut found = Vec::new();
    files(&workspace(), &[".rs"], &mut found);
    // Tests say what users see, as text.
    let is_a_test = |file: &Path| {
        let parts = || file.components().rev().take(4).map(|part| part.as_os_str());
        parts().any(|part| part == "tests" || part == "tests.rs")
    };
    for file in found.iter().filter(|file| !is_the_catalogue_or_this_test(file) && !is_a_test(file)) {
        let source = fs::read_to_string(file).unwrap();
        let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for code in codes_in(source) {
            assert!(!source.contains(&format!("\"{code}\"")), "{}: {code} as text", file.display());
        }
    }
}
