//! Registers and runs a job, waits for its end, and prints what it wrote.
//!
//! `submit_and_wait [TENANT]`; the tenant must exist, `default` when none is given.
//! Exits 0 when the run succeeded and 20 when it did not.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use berth_client::{LogDecoder, LogQuery, RequestKey, Submit};
use futures_util::StreamExt;

const SPEC: &str = r#"
apiVersion: berth/v1
kind: Job
name: sdk-hello
tenant: TENANT
tasks:
  - name: prepare
    exec: { command: ["sh", "-c", "for w in left right; do echo names=$w >> $BERTH_OUTPUT; done"] }
    resources: { cpu: 100m, memory: 32Mi }
  - name: greet
    after: [prepare]
    count: "${tasks.prepare.outputs.names}"
    exec: { command: ["echo", "hello from the ${tasks.prepare.outputs.names[index]}"] }
    resources: { cpu: 100m, memory: 32Mi }
"#;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let client = berth_examples::client_from_environment()?;
    let tenant = std::env::args().nth(1).unwrap_or_else(|| "default".to_owned());
    let spec = berth_client::parse_spec("sdk-hello", &SPEC.replace("TENANT", &tenant))?;

    // The client repeats the request under this key when a server is lost; a program that keeps the key may do the same
    // after its own restart, and still starts one run.
    let key = RequestKey::random();
    let submitted = client.submit(Submit::spec(spec).start().key(key)).await?;
    let run = submitted.run.context("a run was asked for")?;
    let mut out = std::io::stdout();
    writeln!(out, "run {run} of version {}", submitted.version)?;

    let result = client.wait(&run).await?;
    writeln!(out, "{}: {} of {} tasks", result.reason, result.run.tasks_succeeded, result.run.tasks)?;

    for step in &result.run.steps {
        for index in 0..step.size.unwrap_or(0) {
            let mut logs = client.logs(LogQuery { index, ..LogQuery::of(&run, &step.name) });
            let mut decoder = LogDecoder::default();
            while let Some(piece) = logs.next().await {
                if let Some(found) = decoder.text(&piece?) {
                    write!(out, "{}[{index}]: {}", step.name, found.text)?;
                }
            }
        }
    }
    Ok(if result.succeeded() { ExitCode::SUCCESS } else { ExitCode::from(20) })
}
