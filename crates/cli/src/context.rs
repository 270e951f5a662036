//! What every command works with: the connection, the user's answer, and where text goes.

use crate::config::{ConfigDir, LOCAL, RemoteEntry, socket};
use crate::error::{Error, Result};
use crate::remote::Remote;
use muster_clients::center::Center;
use muster_clients::tls::{Identity, Trust};
use std::io::{BufRead, IsTerminal, Read, Write};
use std::time::Duration;

/// Time for a call to begin its answer: some calls of the API work for long before they answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3600);

/// The run of one command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// Called as `operations-center`: behave as the official command line where the two differ.
    pub(crate) official: bool,
    /// Use the unix socket whatever the configuration says.
    pub(crate) force_local: bool,
    /// No progress.
    pub(crate) quiet: bool,
}

/// The question before something is lost.
#[derive(Debug)]
pub(crate) struct Loss {
    /// What will be done, as in "remove server m1".
    pub(crate) action: String,
    /// What is lost by it, one line each.
    pub(crate) lost: Vec<String>,
}

impl Context {
    /// The name that the program was called by.
    pub(crate) fn program(&self) -> &'static str {
        if self.official { crate::official::NAME } else { "muster" }
    }

    /// The center in use: `--force-local`, else the default remote, else the socket.
    pub(crate) fn remote(&self) -> Result<Remote> {
        if self.force_local {
            return Ok(local());
        }
        let dir = ConfigDir::from_env()?;
        let config = dir.load()?;
        if config.default_remote.is_empty() || config.default_remote == LOCAL {
            return Ok(local());
        }
        match config.remotes.get(&config.default_remote) {
            Some(entry) => connect(entry, &dir.identity()?),
            None => {
                eprintln!("Warning: unknown default remote {:?}, using the local socket", config.default_remote);
                Ok(local())
            }
        }
    }

    /// Whether a loss has to be confirmed, so that the caller need not look up what is lost for nothing.
    pub(crate) fn must_confirm(&self, yes: bool) -> bool {
        !yes && !self.official
    }

    /// Asks before something is lost. Without a terminal the answer is no.
    pub(crate) fn confirm(&self, loss: &Loss) -> Result {
        let mut question = format!("About to {}.\n", loss.action);
        for line in &loss.lost {
            question += &format!("  - {line}\n");
        }
        if !std::io::stdin().is_terminal() {
            eprint!("{question}");
            return Err(Error::Usage(format!("Refused to {} without a terminal: say --yes", loss.action)));
        }
        eprint!("{question}Go ahead? (yes/no) [default=no]: ");
        match read_line()?.trim() {
            "yes" | "y" => Ok(()),
            _ => Err(Error::Failed("Nothing was done".into())),
        }
    }

    /// What a create command says: the new identity; the official one says nothing.
    pub(crate) fn created(&self, format: crate::output::ShowFormat, key: &str, identity: &str) {
        if !self.official || format != crate::output::ShowFormat::Human {
            let raw = serde_json::json!({ key: identity });
            self.print(&crate::output::show(format, &raw, || format!("{identity}\n")));
        }
    }

    /// To standard output; a closed pipe is not an error.
    pub(crate) fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// The center on this machine.
pub(crate) fn local() -> Remote {
    Remote::new(Center::unix(&socket()).with_deadline(ANSWER_WITHIN))
}

/// A connection to a remote, pinned to its accepted certificate if there is one.
pub(crate) fn connect(entry: &RemoteEntry, identity: &Identity) -> Result<Remote> {
    let failed = |e: &dyn std::fmt::Display| Error::Failed(format!("{}: {e}", entry.addr));
    if entry.auth_type == "oidc" {
        return Err(failed(&"log-in by OpenID Connect is not available in this command line yet"));
    }
    let trust = match entry.server_cert.as_str() {
        "" => Trust::SystemRoots,
        pem => Trust::pinned(pem).map_err(|e| failed(&e))?,
    };
    let center = Center::https(&entry.addr, &trust, Some(identity)).map_err(|e| failed(&e))?;
    Ok(Remote::new(center.with_deadline(ANSWER_WITHIN)))
}

/// One line of standard input; the end of input is an empty one.
pub(crate) fn read_line() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(Error::io("cannot read the answer"))?;
    Ok(line)
}

/// A file, or standard input for `-`.
pub(crate) fn read_file(path: &str) -> Result<String> {
    if path == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(Error::io("cannot read standard input"))?;
        return Ok(text);
    }
    std::fs::read_to_string(path).map_err(Error::io(format!("cannot read {path}")))
}
