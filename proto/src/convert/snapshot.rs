//! The state in a snapshot.
//!
//! ```text
//!   Tables ── records in order ──> chunks of at most 1 MiB ──> Reader ──> Tables with the same hash
//! ```

mod cluster;
mod jobs;
mod reader;
mod runs;

use std::iter::once;

use berth_core::state::Tables;
use prost::Message;

use super::Error;
use super::field::id_bytes;
use crate::store;
use crate::store::record::Record as Body;

pub use reader::Reader;

/// The most bytes of a chunk; only a record that is longer by itself makes a longer one.
pub const CHUNK_BYTES_MAX: usize = 1024 * 1024;

/// The chunks of a snapshot, made as they are asked for. Equal tables give equal chunks.
pub fn encode(tables: &Tables) -> impl Iterator<Item = Vec<u8>> + '_ {
    Chunks { records: records(tables), hash: tables.hash(), count: 0, chunk: Vec::new(), done: false }
}

/// The tables of a snapshot.
///
/// # Errors
/// When a chunk is malformed, records are out of order or missing, or the hash differs.
pub fn decode(chunks: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Tables, Error> {
    let mut reader = Reader::new();
    for chunk in chunks {
        reader.read(chunk.as_ref())?;
    }
    reader.finish()
}

/// All records in the order of the format.
fn records(tables: &Tables) -> impl Iterator<Item = Body> + '_ {
    once(cluster::header_to_proto(&tables.header))
        .chain(tables.resources.iter().map(|(handle, name)| cluster::resource_to_proto(*handle, name)))
        .chain(tables.classes.iter().map(|(handle, class)| cluster::class_to_proto(*handle, class)))
        .chain(tables.tenants.iter().map(|(handle, tenant)| cluster::tenant_to_proto(*handle, tenant)))
        .chain(tables.specs.iter().map(|(handle, spec)| jobs::spec_to_proto(handle, spec)))
        .chain(tables.jobs.iter().map(|(handle, job)| jobs::job_to_proto(handle, job)))
        .chain(tables.outcomes.iter().map(|(key, outcome)| jobs::outcome_to_proto(*key, outcome)))
        .chain(tables.runs.iter().map(|(handle, run)| runs::run_to_proto(handle, run)))
        .chain(tables.summaries.iter().map(|(id, summary)| jobs::summary_to_proto(*id, summary)))
        .chain(tables.steps.iter().map(|(handle, step)| runs::step_to_proto(handle, step)))
        .chain(tables.tasks.iter().map(|(handle, task)| runs::task_to_proto(handle, task)))
        .chain(tables.attempts.iter().map(|(handle, attempt)| runs::attempt_to_proto(handle, attempt)))
        .chain(tables.outputs.iter().map(|(task, outputs)| runs::outputs_to_proto(*task, outputs)))
        .chain(tables.nodes.iter().map(|(handle, node)| cluster::node_to_proto(handle, node)))
        .chain(tables.timers.iter().map(|((at, timer), ())| cluster::timer_to_proto(*at, *timer)))
        .chain(tables.requests.iter().map(|(key, request)| cluster::request_to_proto(*key, request)))
        .chain(tables.usages.iter().map(|(attempt, usage)| runs::usage_to_proto(*attempt, *usage)))
}

/// Packs records into chunks and adds the end.
struct Chunks<I> {
    records: I,
    hash: u128,
    count: u64,
    chunk: Vec<u8>,
    done: bool,
}

impl<I: Iterator<Item = Body>> Chunks<I> {
    fn next_record(&mut self) -> Option<Body> {
        if self.done {
            return None;
        }
        if let Some(record) = self.records.next() {
            self.count += 1;
            return Some(record);
        }
        self.done = true;
        Some(Body::End(store::EndRecord { records: self.count, state_hash: id_bytes(self.hash) }))
    }
}

impl<I: Iterator<Item = Body>> Iterator for Chunks<I> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        while let Some(body) = self.next_record() {
            let record = store::Record { record: Some(body) }.encode_length_delimited_to_vec();
            if !self.chunk.is_empty() && self.chunk.len() + record.len() > CHUNK_BYTES_MAX {
                return Some(std::mem::replace(&mut self.chunk, record));
            }
            self.chunk.extend_from_slice(&record);
        }
        (!self.chunk.is_empty()).then(|| std::mem::take(&mut self.chunk))
    }
}
