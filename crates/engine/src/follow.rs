//! Settings and certificates are rows that every daemon of a site may change: each takes over what the others wrote.
//!
//! A notification says that something changed, not what. Generations and certificates are compared, without opening a
//! secret, and the whole is read again when one differs. Who writes takes the same way, so that a slow reader never puts
//! an older state in place of a newer one.

use crate::{Engine, Error, Identities, settings};
use muster_store::{
    StoreError, Tx,
    tables::{identity, settings as table},
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Changes that follow each other within this time are one look.
const PAUSE: Duration = Duration::from_millis(200);
/// A lost notification costs this much at most.
const LONGEST: Duration = Duration::from_secs(30);

/// What was taken over last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    generations: Vec<(String, i64)>,
    certificates: Vec<(String, String)>,
}

impl Seen {
    fn now(tx: &mut Tx<'_>) -> Result<Self, StoreError> {
        Ok(Self { generations: table::generations(tx)?, certificates: identity::certificates(tx)? })
    }
}

/// Takes over changes until it is told to stop.
pub(crate) async fn run(engine: &Engine, shutdown: &CancellationToken) {
    let mut changed = engine.store().changed();
    let mut said = String::new();
    loop {
        changed.borrow_and_update();
        match engine.reload().await {
            Ok(()) => said.clear(),
            Err(error) => {
                let text = error.to_string();
                if text != said {
                    tracing::error!(%error, "what was changed in settings or certificates does not hold here yet");
                    said = text;
                }
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LONGEST) => {}
            alive = changed.changed() => if alive.is_err() { return },
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

impl Engine {
    /// Takes over settings and certificates as they are in the database now. Those who watch the settings are told of
    /// either.
    ///
    /// # Errors
    /// The store's, a section that cannot be opened or read, or files that cannot be written.
    pub(crate) async fn reload(&self) -> Result<(), Error> {
        // Held over the read: a later reader has a later state.
        let mut seen = self.0.followed.lock().await;
        let known = seen.clone();
        let found = self.store().read(move |tx| {
            let now = Seen::now(tx)?;
            if now == known {
                return Ok(None);
            }
            Ok(Some((settings::read(tx)?, Identities::read(tx)?, now)))
        });
        let Some((settings, identities, now)) = found.await? else { return Ok(()) };
        let mut written = Ok(());
        let replaced = match identities {
            Some(identities) if *self.identities() != identities => {
                written = identities.write_files(&self.0.directory);
                self.0.identities.store(Arc::new(identities));
                true
            }
            _ => false,
        };
        self.0.settings.send_if_modified(|current| {
            let differs = **current != settings;
            if differs {
                *current = Arc::new(settings);
            }
            differs || replaced
        });
        *seen = now;
        written
    }
}
