//! Command line and environment of the daemon (`cli.md` 9, `updates-and-system.md` 22).

use clap::Parser;
use muster_store::Location;
use std::path::{Path, PathBuf};

/// Operations center for bare-metal fleets: the daemon.
#[derive(Debug, Parser)]
#[command(name = "musterd", version, disable_version_flag = true)]
pub struct Options {
    /// One directory for data, socket, log and cache.
    #[arg(long, env = "OPERATIONS_CENTER_DIR")]
    pub dir: Option<PathBuf>,
    /// Unix socket of the API.
    #[arg(long, env = "OPERATIONS_CENTER_SOCKET")]
    pub socket: Option<PathBuf>,
    /// PostgreSQL connection (`postgres://…` or `host=… dbname=…`) in place of the embedded database.
    #[arg(long, env = "MUSTER_DATABASE", hide_env_values = true)]
    pub database: Option<String>,
    /// File with the key that secrets are sealed with, made where there is none; `muster.key` in the data directory if not
    /// given. Daemons on one database may share it.
    #[arg(long, env = "MUSTER_KEY_FILE")]
    pub key_file: Option<PathBuf>,
    /// Do not poll or do other work on a timer.
    #[arg(long, env = "OPERATIONS_CENTER_DISABLE_BACKGROUND_TASKS", value_parser = clap::builder::BoolishValueParser::new(), default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub disable_background_tasks: bool,
    /// Where a new site looks for updates; empty for nowhere. Later on it is a setting (`muster system updates`).
    #[arg(long, env = "MUSTER_UPDATES_SOURCE", value_name = "URL")]
    pub updates_source: Option<String>,
    /// Do not look for updates at the start, but an hour later.
    #[arg(long, env = "OPERATIONS_CENTER_SOURCE_POLL_SKIP_FIRST", hide = true, value_parser = clap::builder::BoolishValueParser::new(), default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub skip_first_refresh: bool,
    /// Seconds for which a daemon that died keeps others from its work.
    #[arg(long, env = "MUSTER_LEASE", hide = true, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub lease: u32,
    /// Longest time between two polls of a server, in seconds; their own rhythm where that is shorter.
    #[arg(long, env = "MUSTER_POLL_WITHIN", hide = true, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub poll_within: Option<u32>,
    /// Accepted for compatibility: the log goes to standard error.
    #[arg(long)]
    pub logfile: Option<String>,
    /// Debug log.
    #[arg(short, long)]
    pub debug: bool,
    /// Info log.
    #[arg(short, long)]
    pub verbose: bool,
    /// Print the version alone.
    #[arg(long)]
    pub version: bool,
}

impl Options {
    /// Data directory.
    pub fn var(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| PathBuf::from("/var/lib/operations-center"))
    }

    /// Where the API's unix socket lies.
    pub fn unix_socket(&self) -> PathBuf {
        let run = || self.dir.clone().unwrap_or_else(|| PathBuf::from("/run/operations-center"));
        self.socket.clone().unwrap_or_else(|| run().join("unix.socket"))
    }

    /// Where the site key is, unless it is given.
    pub fn key_file(&self, var: &Path) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| var.join("muster.key"))
    }

    /// Which database.
    pub fn location(&self, var: &Path) -> Location {
        match &self.database {
            Some(url) => Location::Postgres(url.clone()),
            None => Location::Sqlite(var.join("muster.db")),
        }
    }

    /// Log filter; flags win over the stored level.
    pub fn log_level(&self) -> Option<&'static str> {
        match (self.debug, self.verbose) {
            (true, true) => Some("trace"),
            (true, false) => Some("debug"),
            (false, true) => Some("info"),
            (false, false) => None,
        }
    }
}
