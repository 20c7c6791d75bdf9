//! The log of a process that runs nodes: lines on standard error (or output), as text or as JSON.
//!
//! Nodes log through `tracing`; here it is decided where that goes. The libraries beneath are not heard below
//! `warn`, whatever level is asked for: their inner life is not an operator's matter.

use std::io::{self, IsTerminal};

use quorate_server::config::{LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::flags::LogTarget;

/// Sets up the log of this process, once.
pub(crate) fn start(level: LogLevel, format: LogFormat, target: LogTarget) {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    // All our crates begin with this name.
    let filter = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("quorate", level);
    let (writer, terminal) = match target {
        LogTarget::Stderr => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
        LogTarget::Stdout => (BoxMakeWriter::new(io::stdout), io::stdout().is_terminal()),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(terminal);
    let started = match format {
        LogFormat::Json => {
            let json = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
            tracing_subscriber::registry().with(filter).with(json).try_init()
        }
        LogFormat::Console => tracing_subscriber::registry().with(filter).with(lines).try_init(),
    };
    if let Err(error) = started {
        eprintln!("quorate: there will be no log: {error}");
    }
}
