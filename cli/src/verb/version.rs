//! `berth version`

use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn run(session: &Session) -> Result<Exit, Failure> {
    session.output.data(
        || format!("berth {VERSION}, specs of {}\n", berth_spec::API_VERSION),
        || json!({ "version": VERSION, "spec": berth_spec::API_VERSION }),
    )?;
    Ok(Exit::Ok)
}
