//! What nodes log, to standard error.

use std::io::{self, IsTerminal};

use kinfold_host::config::{Level, Log, LogFormat};
use tracing_subscriber::filter::LevelFilter;

/// Starts logging; the first call counts.
pub(crate) fn start(log: &Log) {
    let level = match log.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let to_stderr = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let started = match log.format {
        LogFormat::Text => to_stderr.try_init(),
        LogFormat::Json => to_stderr.json().try_init(),
    };
    // Somebody else logs already.
    drop(started);
}
