//! What the disk reaches by itself.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use redb::{Database, Durability, TableDefinition};

use super::PROPOSAL_BYTES;

const BLOCK: usize = 4 * 1024;
/// Blocks of a file, which is written once before and then over and over: faster than one that grows, so the
/// harder measure.
const BLOCKS: u64 = 4 * 1024;

/// How many writes a second each of three writers makes durable while the others do the same.
pub(super) fn rate_of_three(directory: &Path, span: Duration) -> Result<f64> {
    let files: Vec<File> =
        (0..3).map(|number| prepared(&directory.join(format!("writer-{number}")))).collect::<Result<_>>()?;
    let start = Barrier::new(files.len());
    let rates = std::thread::scope(|threads| {
        let writers: Vec<_> = files.iter().map(|file| threads.spawn(|| write(file, &start, span))).collect();
        let joined = writers.into_iter().map(|writer| writer.join().ok().context("a writer panicked")?);
        joined.collect::<Result<Vec<f64>>>()
    })?;
    Ok(rates.iter().sum::<f64>() / rates.len() as f64)
}

fn prepared(path: &Path) -> Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    for _ in 0..BLOCKS {
        file.write_all(&[0; BLOCK])?;
    }
    file.sync_all()?;
    Ok(file)
}

fn write(file: &File, start: &Barrier, span: Duration) -> Result<f64> {
    start.wait();
    let began = Instant::now();
    let mut written = 0u64;
    while began.elapsed() < span {
        let block = [u8::try_from(written % 256).expect("less than 256"); BLOCK];
        file.write_all_at(&block, written % BLOCKS * BLOCK as u64)?;
        file.sync_data()?;
        written += 1;
    }
    Ok(written as f64 / began.elapsed().as_secs_f64())
}

/// How many durable transactions a second redb commits, each with that many entries at the end of a table.
pub(super) fn redb_rate(directory: &Path, batch: usize, span: Duration) -> Result<f64> {
    const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
    let database = Database::create(directory.join(format!("alone-{batch}.redb")))?;
    let entry = [7; PROPOSAL_BYTES];
    let (mut commits, mut index) = (0u64, 0u64);
    let began = Instant::now();
    while began.elapsed() < span {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut table = transaction.open_table(ENTRIES)?;
            for _ in 0..batch {
                table.insert(index, entry.as_slice())?;
                index += 1;
            }
        }
        transaction.commit()?;
        commits += 1;
    }
    Ok(commits as f64 / began.elapsed().as_secs_f64())
}
