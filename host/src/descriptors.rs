//! How many files and sockets the system lets this process have open.
//!
//! A store has some hundreds of files, so a node takes as many as it may get, and does not start where those are too few: it would
//! fail later, and wherever it happened to be.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::start_error::StartError;

/// Fewer than these do for no store that holds something.
pub(crate) const LEAST: u64 = 256;

/// Raises this process's limit to what it may raise it to.
///
/// # Errors
/// [`StartError::Descriptors`]: that is too little.
pub fn take_all() -> Result<(), StartError> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    // No limit is `None`.
    let allowed = if raised.is_ok() { maximum } else { current };
    match allowed {
        Some(allowed) if allowed < LEAST => Err(StartError::Descriptors { allowed }),
        Some(_) | None => Ok(()),
    }
}
