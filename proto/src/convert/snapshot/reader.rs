use std::sync::Arc;

use berth_core::state::Tables;
use prost::Message;

use super::{cluster, jobs, runs};
use crate::convert::field::{id, required};
use crate::convert::{Error, Fault};
use crate::store;
use crate::store::record::Record as Body;

/// Builds tables from the chunks of a snapshot, in their order.
#[derive(Debug)]
pub struct Reader {
    tables: Tables,
    /// The record before: its section and key. Both grow, so that no key comes twice.
    last: Option<(u32, u128)>,
    records: u64,
    ended: bool,
}

impl Reader {
    /// A reader that has read nothing.
    pub fn new() -> Reader {
        Reader { tables: Tables::new(), last: None, records: 0, ended: false }
    }

    /// Takes the records of the next chunk.
    ///
    /// # Errors
    /// When the chunk is malformed or does not follow the one before.
    pub fn read(&mut self, mut chunk: &[u8]) -> Result<(), Error> {
        while !chunk.is_empty() {
            let record = store::Record::decode_length_delimited(&mut chunk)?;
            let body = required(record.record, "record")?;
            self.take(body).map_err(|error| error.inside(&format!("record[{}]", self.records)))?;
            self.records += 1;
        }
        Ok(())
    }

    /// The tables, once every chunk was read.
    ///
    /// # Errors
    /// When the end is missing.
    pub fn finish(self) -> Result<Tables, Error> {
        if self.ended { Ok(self.tables) } else { Err(Error::at("end", Fault::Missing)) }
    }

    fn take(&mut self, body: Body) -> Result<(), Error> {
        if self.ended {
            return Err(Error::whole(Fault::Wrong("comes after the end")));
        }
        match body {
            Body::Header(header) => {
                if self.last.is_some() {
                    return Err(Error::whole(Fault::Wrong("is a second header")));
                }
                self.last = Some((1, 0));
                self.tables.header = cluster::header_from_proto(&header);
            }
            Body::End(end) => self.end(&end)?,
            Body::Resource(message) => {
                let (handle, name) = cluster::resource_from_proto(message);
                self.follow(2, handle.0.into())?;
                self.tables.resources.insert(handle, name);
            }
            Body::Class(message) => {
                let (handle, class) = cluster::class_from_proto(message)?;
                self.follow(3, handle.0.into())?;
                self.tables.classes.insert(handle, class);
            }
            Body::Tenant(message) => {
                let (handle, tenant) = cluster::tenant_from_proto(message);
                self.follow(4, handle.0.into())?;
                self.tables.tenants.insert(handle, tenant);
            }
            Body::Spec(message) => {
                let (handle, spec) = jobs::spec_from_proto(message)?;
                self.follow(5, handle.0.into())?;
                self.tables.specs.insert(handle, spec);
            }
            Body::Job(message) => {
                let (handle, job) = jobs::job_from_proto(message);
                self.follow(6, handle.0.into())?;
                self.tables.jobs.insert(handle, job);
            }
            Body::Outcome(message) => {
                let (key, outcome) = jobs::outcome_from_proto(message)?;
                self.follow(7, u128::from(key.0.0) << 64 | u128::from(key.1.0))?;
                self.tables.outcomes.insert(key, outcome);
            }
            Body::Run(message) => {
                let (handle, run) = runs::run_from_proto(message)?;
                self.follow(8, handle.0.into())?;
                self.tables.runs.insert(handle, run);
            }
            Body::Summary(message) => {
                let (id, summary) = jobs::summary_from_proto(message)?;
                self.follow(9, id.0)?;
                self.tables.summaries.insert(id, summary);
            }
            Body::Step(message) => {
                let (handle, step) = runs::step_from_proto(message)?;
                self.follow(10, handle.0.into())?;
                self.tables.steps.insert(handle, step);
            }
            Body::Task(message) => {
                let (handle, task) = runs::task_from_proto(message)?;
                self.follow(11, handle.0.into())?;
                self.tables.tasks.insert(handle, task);
            }
            Body::Attempt(message) => {
                let (handle, attempt) = runs::attempt_from_proto(message)?;
                self.follow(12, handle.0.into())?;
                self.tables.attempts.insert(handle, attempt);
            }
            Body::Output(message) => {
                let (task, outputs) = runs::outputs_from_proto(message);
                self.follow(13, task.0.into())?;
                self.tables.outputs.insert(task, Arc::new(outputs));
            }
            Body::Node(message) => {
                let (handle, node) = cluster::node_from_proto(message)?;
                self.follow(14, handle.0.into())?;
                self.tables.nodes.insert(handle, Arc::new(node));
            }
            Body::Timer(message) => {
                let key = cluster::timer_from_proto(message)?;
                // Its key has no number; the table itself knows the greatest one.
                self.follow(15, self.tables.timers.len() as u128)?;
                if self.tables.timers.iter().next_back().is_some_and(|(last, ())| *last >= key) {
                    return Err(out_of_order());
                }
                self.tables.timers.insert(key, ());
            }
            Body::Request(message) => {
                let (key, request) = cluster::request_from_proto(message)?;
                self.follow(16, key.0)?;
                self.tables.requests.insert(key, request);
            }
            Body::Usage(message) => {
                let (attempt, usage) = runs::usage_from_proto(message);
                self.follow(17, attempt.0.into())?;
                self.tables.usages.insert(attempt, usage);
            }
        }
        Ok(())
    }

    /// Notes the section and key of the next record, which have to be greater than those before.
    fn follow(&mut self, section: u32, key: u128) -> Result<(), Error> {
        match self.last {
            Some(last) if last < (section, key) => {
                self.last = Some((section, key));
                Ok(())
            }
            Some(_) => Err(out_of_order()),
            None => Err(Error::whole(Fault::Wrong("comes before the header"))),
        }
    }

    fn end(&mut self, end: &store::EndRecord) -> Result<(), Error> {
        if self.last.is_none() {
            return Err(Error::whole(Fault::Wrong("comes before the header")));
        }
        if end.records != self.records {
            let fault = Fault::OutOfRange { value: self.records, min: end.records, max: end.records };
            return Err(Error::at("end.records", fault));
        }
        if id(&end.state_hash, "end.state_hash")? != self.tables.hash() {
            return Err(Error::at("end.state_hash", Fault::Wrong("differs from the hash of the records")));
        }
        self.ended = true;
        Ok(())
    }
}

impl Default for Reader {
    fn default() -> Self {
        Reader::new()
    }
}

fn out_of_order() -> Error {
    Error::whole(Fault::Wrong("is out of order"))
}
