//! How many descriptors the daemon may have open: one for each machine that is watched, one for each client, and some files.

use rustix::process::{Resource, getrlimit, setrlimit};

/// With fewer the daemon says so when it starts.
const FEW: u64 = 4096;

/// Takes what the system grants: sessions and services begin with a soft limit that is far below the hard one, 1024 as a rule.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = rustix::process::Rlimit { current: limit.maximum, ..limit };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, wanted)
    {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    if let Some(files) = getrlimit(Resource::Nofile).current {
        tracing::info!(files, "limit of open files");
        if files < FEW {
            tracing::warn!(
                files,
                "few files may be open at once, and each watched server takes one: raise the hard limit of open files"
            );
        }
    }
}
