//! The log: lines on standard error, from control's threads only.

use tandem_config::{Log, LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, reload};

/// Changes the level of a running log.
#[derive(Clone, Debug)]
pub struct LogHandle(reload::Handle<LevelFilter, Registry>);

impl LogHandle {
    /// Writes messages of this level and graver ones from now on.
    pub fn set_level(&self, level: LogLevel) {
        // It fails only when the log is gone.
        let _ = self.0.modify(|filter| *filter = filter_of(level));
    }
}

/// Starts the log for the whole process. A second call changes nothing but what its own handle sets.
pub fn init(log: &Log) -> LogHandle {
    let (filter, handle) = reload::Layer::new(filter_of(log.level));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let subscriber = Registry::default().with(filter).with(lines);
    // Fails where a test has one already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    LogHandle(handle)
}

const fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
