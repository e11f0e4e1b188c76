//! What the binary does when it plays a task.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The command of a deed: this very binary.
pub(crate) fn command(deed: &str) -> Vec<String> {
    vec![std::env::current_exe().unwrap().to_str().unwrap().to_owned(), format!("deed:{deed}")]
}

/// Does a deed: `exit N`, `sleep`, `hog MIB`, `daemons N`, `count FILE`, `burn MS`, `stubborn`.
pub(crate) fn act(deed: &str) -> ExitCode {
    let (what, rest) = deed.split_once(' ').unwrap_or((deed, ""));
    let number = rest.parse::<u64>().unwrap_or(0);
    match what {
        "exit" => return ExitCode::from(u8::try_from(number).unwrap()),
        "sleep" => std::thread::sleep(Duration::from_secs(600)),
        "daemon" => {
            nix::unistd::setsid().unwrap();
            std::thread::sleep(Duration::from_secs(600));
        }
        "hog" => hog(number),
        "daemons" => {
            for _ in 0..number {
                start("daemon");
            }
        }
        "count" => count(rest),
        "burn" => {
            let until = Instant::now() + Duration::from_millis(number);
            while Instant::now() < until {}
        }
        _ => return ExitCode::from(99),
    }
    ExitCode::SUCCESS
}

fn start(deed: &str) -> bool {
    let command = command(deed);
    let quiet = || Stdio::null();
    Command::new(&command[0]).arg(&command[1]).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn().is_ok()
}

/// Uses so many MiB of memory for good, page by page.
fn hog(mib: u64) {
    let mut kept = Vec::new();
    for _ in 0..mib {
        let mut block = vec![0u8; 1 << 20];
        for page in block.chunks_mut(4096) {
            page[0] = 1;
        }
        kept.push(block);
    }
    println!("used {} MiB", std::hint::black_box(&kept).len());
    std::thread::sleep(Duration::from_millis(50));
}

/// Writes ever higher numbers to a file, each over the one before: wherever it is stopped, the file holds a number.
fn count(path: &str) {
    let file = File::create(path).unwrap();
    for number in 0u64.. {
        file.write_all_at(&number.to_be_bytes(), 0).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
}
