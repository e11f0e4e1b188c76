//! How many files the process may have open.
//!
//! Shells and service managers give 1,024, for the sake of programs that keep descriptors in fixed arrays, and let a
//! program that does not do that have more. An agent has one open for each task, a server one for each session.

use std::io;
use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The bound before the first call of [`raise`]. The bound itself belongs to the whole process, and so does this.
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Raises the bound as far as the operator allows. Gives the bound with which the process was started, for programs that
/// it starts in turn. Can be called more than once.
///
/// # Errors
/// The kernel refuses.
pub fn raise() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(*BEFORE.get_or_init(|| soft))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_raised_as_far_as_allowed_and_the_old_one_is_remembered() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 512, hard).unwrap();
        assert_eq!(raise().unwrap(), 512);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
        assert_eq!(raise().unwrap(), 512);
    }
}
