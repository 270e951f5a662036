//! Behaviour: services that a handler may call, and the work that goes on by itself.
//!
//! An operator's request becomes rows of intent here; reconcilers bring them about. Services write intent and never wait
//! for a machine inside of a transaction: store calls take synchronous closures, so they cannot.

mod actor;
pub mod clock;
mod error;
mod identity;
mod masks;
pub mod services;
pub mod settings;

pub use actor::Actor;
pub use error::Error;
pub use identity::Identities;

use arc_swap::ArcSwap;
use clock::Clock;
use muster_store::Store;
use settings::Settings;
use std::{path::PathBuf, sync::Arc};
use tokio::sync::watch;

/// Everything a service needs. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    settings: watch::Sender<Arc<Settings>>,
    identities: ArcSwap<Identities>,
    directory: PathBuf,
}

impl Engine {
    /// Loads settings and identities; makes them when there are none. Blocks.
    ///
    /// # Errors
    /// A store that does not answer, or files that cannot be written.
    pub fn start(store: Store, clock: Clock, directory: PathBuf) -> Result<Self, Error> {
        let settings = settings::load(&store)?;
        let identities = Identities::load_or_create(&store, &directory, clock.micros())?;
        Ok(Self(Arc::new(Inner {
            store,
            clock,
            settings: watch::Sender::new(Arc::new(settings)),
            identities: ArcSwap::from_pointee(identities),
            directory,
        })))
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Current settings.
    pub fn settings(&self) -> Arc<Settings> {
        self.0.settings.borrow().clone()
    }

    /// Told of every change of the settings.
    pub fn watch_settings(&self) -> watch::Receiver<Arc<Settings>> {
        self.0.settings.subscribe()
    }

    /// The center's own certificates.
    pub fn identities(&self) -> Arc<Identities> {
        self.0.identities.load_full()
    }

    /// Whether a client certificate has full access. The center's own client certificate has not: every machine has it.
    pub fn trusts(&self, fingerprint: &str) -> bool {
        self.0.settings.borrow().trusts(fingerprint)
    }
}
