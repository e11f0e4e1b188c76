//! What holds for every job and for every text.

#![allow(clippy::unwrap_used, reason = "a test that cannot make its values fails")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use berth_core::job_spec::{
    Count, FakeProgram, JobKind, JobSpec, OnDisconnect, Overlap, ProgramSpec, Retry, Schedule, TaskSpec, When,
};
use berth_core::template::Template;
use berth_core::time::{Millis, Timestamp};
use berth_spec::{Code, Severity, json_schema, parse, to_yaml};

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn at(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 18] = [
            "a",
            "0",
            "-",
            ": ",
            "#",
            "\"",
            "'",
            "\\",
            "\n",
            "\t",
            "é",
            "日",
            "\u{1f600}",
            "\u{1b}",
            "$${x}",
            "${",
            "\u{85}",
            "null",
        ];
        (0..self.below(6)).map(|_| PIECES[self.at(PIECES.len())]).collect::<String>().replace('\0', "")
    }

    fn template(&mut self) -> Template {
        let plain = self.text().replace("${", "$");
        let variable = ["", "${run.id}", "${task.index}", "$${literal}"][self.at(4)];
        Template::parse(&format!("x{plain}{variable}")).unwrap()
    }

    fn millis(&mut self, min: u64, max: u64) -> Millis {
        let size = [1, 1000, 60_000, 3_600_000][self.at(4)];
        Millis((min + self.below(100) * size + self.below(2)).min(max))
    }
}

fn a_job(dice: &mut Dice) -> JobSpec {
    let tasks = 1 + dice.below(6);
    JobSpec {
        kind: JobKind::Job,
        tenant: ["default", "acme", "0", "true", "no"][dice.at(5)].to_owned(),
        name: ["orders", "1", "null", "a_b-c"][dice.at(4)].to_owned(),
        priority: u8::try_from(dice.below(101)).unwrap(),
        schedule: dice.maybe(|dice| Schedule {
            when: if dice.below(2) == 0 {
                When::Every(dice.millis(1000, 86_400_000))
            } else {
                When::At(Timestamp(dice.below(4_000_000_000_000)))
            },
            overlap: [Overlap::Skip, Overlap::AllowAll][dice.at(2)],
        }),
        tasks: (0..tasks).map(|place| a_task(dice, u16::try_from(place).unwrap())).collect(),
    }
}

fn a_task(dice: &mut Dice, place: u16) -> TaskSpec {
    let mut after: Vec<u16> = (0..place).filter(|_| dice.below(3) == 0).collect();
    let length_of = after.first().copied().filter(|_| dice.below(3) == 0);
    if dice.below(2) == 0 {
        after.reverse();
    }
    let mut resources = BTreeMap::from([
        ("cpu".to_owned(), 1 + dice.below(5000)),
        ("memory".to_owned(), 1 + dice.below(1 << 40)),
    ]);
    if dice.below(3) == 0 {
        resources.insert("gpu".to_owned(), 1 + dice.below(9000));
        resources.insert("a.b-c_0".to_owned(), 1 + dice.below(9000));
    }
    let memory = resources["memory"];
    TaskSpec {
        name: format!("{}{place}", ["task", "", "no-"][dice.at(3)]),
        count: match length_of {
            Some(task) => Count::LengthOf { task, key: "parts".into() },
            None => dice
                .maybe(|dice| Count::Fixed(1 + u32::try_from(dice.below(1_000_000)).unwrap()))
                .unwrap_or(Count::Single),
        },
        after,
        program: a_program(dice),
        resources,
        memory_max: dice.maybe(|dice| memory + dice.below(100)),
        env: (0..dice.below(3)).map(|n| (format!("NAME_{n}"), dice.template())).collect(),
        retry: dice
            .maybe(|dice| {
                let initial = dice.millis(1, 600_000);
                Retry {
                    max_attempts: u32::try_from(1 + dice.below(1000)).unwrap(),
                    initial,
                    factor_milli: u32::try_from(1000 + dice.below(99_001)).unwrap(),
                    max: Millis(initial.0 + dice.below(1000)),
                }
            })
            .unwrap_or_default(),
        timeout: dice.maybe(|dice| dice.millis(1, 86_400_000)),
        stop_grace: dice.millis(0, 3_600_000),
        on_disconnect: dice
            .maybe(|dice| OnDisconnect::StopAfter(dice.millis(5000, 86_400_000)))
            .unwrap_or(OnDisconnect::Keep),
    }
}

fn a_program(dice: &mut Dice) -> ProgramSpec {
    let command = |dice: &mut Dice, least: u64| (0..least + dice.below(3)).map(|_| dice.template()).collect();
    match dice.below(3) {
        0 => ProgramSpec::Exec { command: command(dice, 1) },
        1 => ProgramSpec::Docker { image: dice.template(), command: command(dice, 0) },
        _ => ProgramSpec::Fake(FakeProgram {
            runs_for: dice.millis(0, 86_400_000),
            fail_first: u32::try_from(dice.below(1000)).unwrap(),
            exit_code: i32::try_from(dice.below(256)).unwrap(),
            output: dice.text(),
        }),
    }
}

#[test]
fn a_job_reads_back_from_its_canonical_text() {
    let mut dice = Dice(1);
    for _ in 0..2000 {
        let job = a_job(&mut dice);
        let text = to_yaml(&job);
        match parse(text.as_bytes(), "canonical") {
            // Tasks that wait for nothing keep the order of the text, and so the whole stays equal.
            Ok(parsed) => assert_eq!(parsed.job, job, "{text}"),
            Err(report) => panic!("{}\n{text}", report.render(false)),
        }
    }
}

#[test]
fn no_text_makes_the_reader_panic_and_every_report_can_be_shown() {
    let mut dice = Dice(2);
    let good: Vec<Vec<u8>> = [
        include_bytes!("good/wordcount.yaml").as_slice(),
        include_bytes!("good/once.yaml"),
        include_bytes!("good/minimal.json"),
    ]
    .iter()
    .map(|bytes| bytes.to_vec())
    .collect();
    const ODD: &[&str] = &[
        "\t",
        "\n",
        ":",
        ": ",
        "- ",
        "&a ",
        "*a",
        "*",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "|",
        ">",
        "#",
        "%",
        "?",
        "? ",
        "!!str ",
        "!x ",
        "---\n",
        "...\n",
        "<<: ",
        "~",
        "\u{feff}",
        "\u{0}",
        "\u{1b}",
        "${",
        "${x}",
        "-1",
        "1e9",
        ".nan",
        "é",
        "\\",
        "\r",
        ",",
        "@",
        "tasks",
        "${tasks.a.outputs.b}",
        "\u{2028}",
    ];
    for round in 0..20_000 {
        let mut text = good[dice.at(good.len())].clone();
        for _ in 0..=dice.below(4) {
            let at = dice.at(text.len());
            match dice.below(5) {
                0 => drop(text.remove(at)),
                1 => {
                    let end = (at + dice.at(40)).min(text.len());
                    drop(text.drain(at..end));
                }
                2 => text[at] = u8::try_from(dice.below(256)).unwrap(),
                3 => text.truncate(at.max(1)),
                _ => drop(text.splice(at..at, ODD[dice.at(ODD.len())].bytes())),
            }
            if text.is_empty() {
                text.push(b' ');
            }
        }
        match parse(&text, "job.yaml") {
            Ok(parsed) => {
                let canonical = to_yaml(&parsed.job);
                let again = parse(canonical.as_bytes(), "again").map_err(|report| report.render(false));
                assert_eq!(again.map(|parsed| parsed.job).as_ref(), Ok(&parsed.job), "round {round}");
            }
            Err(report) => {
                assert!(report.count(Severity::Error) > 0);
                let shown = report.render(false);
                assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "round {round}: {shown:?}");
                for found in &report.diagnostics {
                    assert!(found.span.line >= 1 && found.span.column >= 1);
                    assert!(found.span.line <= report.source.lines().max(1), "round {round}: {found:?}");
                }
            }
        }
    }
}

/// The text of a job with this many tasks, each after the one before.
fn a_chain(tasks: usize) -> String {
    let mut text = "apiVersion: berth/v1\nkind: Job\nname: chain\ntasks:\n".to_owned();
    for n in 0..tasks {
        let after = if n == 0 { String::new() } else { format!("after: [t{}], ", n - 1) };
        text.push_str(&format!(
            "  - {{ name: t{n}, {after}exec: {{ command: [x, \"${{tasks.t0.outputs.a}}\"] }} }}\n"
        ));
    }
    text.replacen("x, \"${tasks.t0.outputs.a}\"", "x", 1)
}

#[test]
fn the_largest_job_is_read_and_one_task_more_is_refused() {
    assert_eq!(parse(a_chain(5000).as_bytes(), "x").unwrap().job.tasks.len(), 5000);
    let report = parse(a_chain(5001).as_bytes(), "x").map(|parsed| parsed.job).unwrap_err();
    assert_eq!(report.diagnostics.iter().map(|found| found.code).collect::<Vec<_>>(), [Code::TooLarge]);
}

#[test]
fn hostile_texts_are_refused_in_little_time() {
    let mib = 1 << 20;
    let repeat = |piece: &str| piece.repeat((mib - 64) / piece.len());
    let texts = [
        ("40 MiB", "x".repeat(40 * mib)),
        ("brackets", repeat("[")),
        ("maps", repeat("{a: ")),
        ("dashes", repeat("- ")),
        ("keys", repeat("? ")),
        ("colons", repeat("a: \n")),
        ("distinct", (0..100_000).map(|n| format!("k{n}: 1\n")).collect()),
        ("anchors", repeat("&a ")),
        ("quote", format!("\"{}", repeat("a"))),
        ("tabs", repeat("\t\n")),
        ("blank", repeat(" \n")),
        (
            "variables",
            format!(
                "apiVersion: berth/v1\nkind: Job\nname: a\ntasks: [{{name: a, exec: {{command: [\"{}\"]}}}}]",
                "${x}".repeat(200_000)
            ),
        ),
        (
            "one long list",
            format!("apiVersion: berth/v1\nkind: Job\nname: a\ntasks: [{}]", "a,".repeat(400_000)),
        ),
        (
            "wrong items",
            format!(
                "apiVersion: berth/v1\nkind: Job\nname: a\ntasks: [{{name: a, exec: {{command: [{}]}}}}]",
                "1,".repeat(400_000)
            ),
        ),
        ("flow keys", format!("{{{}}}", "a,".repeat(400_000))),
        ("text bomb", format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(400_000), "*a,".repeat(100_000))),
        (
            "circle",
            format!(
                "apiVersion: berth/v1\nkind: Job\nname: a\ntasks:\n{}",
                (0..5000)
                    .map(|n| format!("  - {{ name: t{n}, after: [t{}], fake: {{}} }}\n", (n + 1) % 5000))
                    .collect::<String>()
            ),
        ),
    ];
    for (name, text) in texts {
        let start = Instant::now();
        let report = parse(text.as_bytes(), name).map(|parsed| parsed.job).unwrap_err();
        let shown = report.render(false);
        let spent = start.elapsed();
        println!("{name}: {spent:?}, {}", report.summary());
        assert!(shown.len() < 1 << 20, "{name}: {}", shown.len());
        assert!(spent < Duration::from_secs(10), "{name}: {spent:?}");
    }
}

#[test]
fn warnings_never_crowd_out_an_error() {
    let secrets: String = (0..3000).map(|n| format!("      PASSWORD_{n}: hunter2\n")).collect();
    let head = "apiVersion: berth/v1\nkind: Job\nname: a\ntasks:\n  - name: a\n    exec: { command: [x] }\n    env:\n";
    let warned = parse(format!("{head}{secrets}").as_bytes(), "x").unwrap();
    assert!(warned.warnings.len() >= 200);
    let report =
        parse(format!("{head}{secrets}colour: red\n").as_bytes(), "x").map(|parsed| parsed.job).unwrap_err();
    assert!(report.has_errors());
}

#[test]
fn the_schema_describes_every_field_and_knows_the_defaults() {
    let schema = json_schema();
    let task = &schema["properties"]["tasks"]["items"];
    assert_eq!(schema["properties"]["priority"]["default"], 50);
    assert_eq!(task["properties"]["stop_grace"]["default"], "10s");
    assert_eq!(task["properties"]["resources"]["properties"]["cpu"]["default"], "100m");
    assert_eq!(task["oneOf"].as_array().unwrap().len(), 3);
    assert_eq!(schema["additionalProperties"], false);
    insta::assert_snapshot!("schema", serde_json::to_string_pretty(&schema).unwrap());
    insta::assert_snapshot!("fields", berth_spec::fields_markdown());
}

#[test]
fn what_a_cluster_finds_stands_at_its_place_in_the_text() {
    let text = include_bytes!("good/wordcount.yaml");
    let parsed = parse(text, "wordcount.yaml").unwrap();
    // In the text `merge` is first, in the job last.
    assert_eq!(parsed.job.task("merge").unwrap().0, 2);
    let path = parsed.task_path("split", "resources.memory").unwrap();
    assert_eq!(path, "tasks[1].resources.memory");
    let found = parsed.diagnostic_at(Code::NeverFits, &path, "no node has that much memory");
    assert_eq!(parsed.source.slice(found.span), "256Mi");
    let defaulted = parsed.locate(&parsed.task_path("merge", "resources.cpu").unwrap());
    assert_eq!((defaulted.line, defaulted.column), (8, 5));
    assert_eq!(parsed.locate("tenant").line, 4);
    assert_eq!(parsed.task_path("nobody", ""), None);
    insta::assert_snapshot!("added_by_the_cluster", parsed.report([found]).render(false));
}
