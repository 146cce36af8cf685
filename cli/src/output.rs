//! Standard output: locked once, buffered, flushed at the end, and never a panic when nobody reads it.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use crate::exit::{End, Failure};

/// Has `write` write to standard output.
pub(crate) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    write(&mut out)?;
    out.flush()?;
    Ok(())
}

/// Prints a value as JSON, for programs.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(|out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)
    })
}

/// Says that a change of the cluster is made, and who does not know of it yet.
pub(crate) fn tell_change(done: &str, missing: &[String]) -> Result<End, Failure> {
    note(done);
    if !missing.is_empty() {
        note(&format!(
            "not known yet to {}: they get it when they are heard of again",
            missing.join(", ")
        ));
    }
    Ok(End::Done)
}

/// A line on standard error, beside the output. If nobody listens there, nothing is lost.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
