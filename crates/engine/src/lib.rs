//! Behaviour: services that a handler may call, and the work that goes on by itself.
//!
//! An operator's request becomes rows of intent here; reconcilers bring them about. Services write intent and never wait
//! for a machine inside of a transaction: store calls take synchronous closures, so they cannot.

mod actor;
mod channels;
pub mod clock;
mod error;
mod follow;
mod hardware;
mod identity;
pub mod images;
mod machine;
mod masks;
pub mod operation;
pub mod overrun;
pub mod poll;
mod presence;
pub mod promotion;
pub mod reservation;
pub mod services;
pub mod settings;
pub mod updates;
pub mod upkeep;

pub use actor::Actor;
pub use channels::ChannelIndexes;
pub use error::Error;
pub use identity::Identities;

use arc_swap::ArcSwap;
use clock::Clock;
use images::Layout;
use muster_store::Store;
use settings::Settings;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a process that died keeps others from its work.
const LEASE: Duration = Duration::from_secs(30);

/// Everything a service needs. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    settings: watch::Sender<Arc<Settings>>,
    identities: ArcSwap<Identities>,
    followed: tokio::sync::Mutex<follow::Seen>,
    daemon: presence::Daemon,
    key_progress: services::site_key::Progress,
    directory: PathBuf,
    lease: Duration,
    poll_within: Duration,
    connections: poll::Connections,
    splitting: images::Splitting,
    image_layout: Layout,
    files: updates::files::Files,
    update_list: updates::list::Cache,
    refreshes: updates::counters::Counters,
    counts: overrun::Counts,
    subscribed: reservation::Totals,
    fetches: Arc<services::update::Downloads>,
    uploads: tokio::sync::Semaphore,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Engine {
    /// Loads settings and identities; makes them when there are none. Blocks.
    ///
    /// # Errors
    /// A store that does not answer, or files that cannot be written.
    pub fn start(store: Store, clock: Clock, directory: PathBuf) -> Result<Self, Error> {
        let settings = store.read_blocking(settings::read)?;
        services::channel::date_seeded(&store, clock.micros())?;
        let identities = Identities::load_or_create(&store, &directory, clock.micros())?;
        let files = updates::files::Files::open(&directory.join("updates"))?;
        if let Err(error) = services::update::sweep(&store, &files) {
            tracing::error!(%error, "cannot remove files that no update names");
        }
        let settings = watch::Sender::new(Arc::new(settings));
        let fetches = services::update::Downloads::from_source(settings.subscribe());
        Ok(Self(Arc::new(Inner {
            daemon: presence::Daemon::new(clock.micros()),
            store,
            clock,
            settings,
            identities: ArcSwap::from_pointee(identities),
            followed: tokio::sync::Mutex::default(),
            key_progress: services::site_key::Progress::default(),
            directory,
            lease: LEASE,
            poll_within: Duration::MAX,
            connections: poll::Connections::default(),
            splitting: images::Splitting::default(),
            image_layout: Layout::INCUSOS,
            files,
            update_list: updates::list::Cache::default(),
            refreshes: updates::counters::Counters::default(),
            counts: overrun::Counts::default(),
            subscribed: reservation::Totals::default(),
            fetches,
            uploads: tokio::sync::Semaphore::new(services::update::UPLOADS),
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        })))
    }

    /// With other leases than those of 30 s. To be called before the engine is shared.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.lease = lease;
        }
        self
    }

    /// Polls every server at least this often. To be called before the engine is shared.
    #[must_use]
    pub fn with_poll_within(mut self, longest: Duration) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.poll_within = longest;
        }
        self
    }

    /// With another place for seeds in images than that of IncusOS. To be called before the engine is shared.
    #[must_use]
    pub fn with_image_layout(mut self, layout: Layout) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.image_layout = layout;
        }
        self
    }

    /// Where in an image its seed lies.
    pub(crate) fn image_layout(&self) -> Layout {
        self.0.image_layout
    }

    /// Longest time between two polls of a server.
    pub(crate) fn poll_within(&self) -> Duration {
        self.0.poll_within
    }

    /// How long a process that died keeps others from its work.
    pub(crate) fn lease(&self) -> Duration {
        self.0.lease
    }

    /// [`Engine::lease`] in microseconds.
    pub(crate) fn lease_us(&self) -> i64 {
        i64::try_from(self.0.lease.as_micros()).unwrap_or(i64::MAX)
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

    /// Requests to machines and handshakes with them, since the start.
    pub fn machine_calls(&self) -> &Arc<muster_clients::machine::Counters> {
        self.0.connections.counters()
    }

    /// The preparing of images for seeds.
    pub fn splitting(&self) -> &images::Splitting {
        &self.0.splitting
    }

    /// The files of updates.
    pub(crate) fn files(&self) -> &updates::files::Files {
        &self.0.files
    }

    pub(crate) fn update_list(&self) -> &updates::list::Cache {
        &self.0.update_list
    }

    /// Downloads from the update source that are under way.
    pub(crate) fn fetches(&self) -> &Arc<services::update::Downloads> {
        &self.0.fetches
    }

    /// What was fetched from the update source since the start.
    pub fn refreshes(&self) -> &updates::counters::Counters {
        &self.0.refreshes
    }

    /// How many machines there were at the last look.
    pub fn counted_machines(&self) -> overrun::Counted {
        self.0.counts.get()
    }

    pub(crate) fn counts(&self) -> &overrun::Counts {
        &self.0.counts
    }

    /// What the subscriptions ask for and lack, as of the last look at them.
    pub fn subscribed(&self) -> &reservation::Totals {
        &self.0.subscribed
    }

    /// What is left of the file system that the files of updates lie on. Blocks for a moment.
    ///
    /// # Errors
    /// A file system that does not tell.
    pub fn update_space(&self) -> Result<updates::files::Space, Error> {
        Ok(self.0.files.space()?)
    }

    /// One permit for each upload that is being read.
    pub(crate) fn uploads(&self) -> &tokio::sync::Semaphore {
        &self.0.uploads
    }

    pub(crate) fn connections(&self) -> &poll::Connections {
        &self.0.connections
    }

    /// Drops the connection to a server that is gone.
    pub(crate) fn forget_machine(&self, id: &str) {
        self.0.connections.forget(id);
    }

    /// Polls a server in a moment, and again until it succeeds: up to ten times, a second apart (`servers.md` 5.3, 6.3).
    /// Several who ask in that moment need one poll: what it finds is of later than all of them.
    pub(crate) fn poll_soon(&self, id: &str) {
        let (engine, id, asked) = (self.clone(), id.to_owned(), self.clock().micros());
        let slot = self.connections().slot(&id);
        self.0.tasks.spawn(async move {
            for _ in 0..10 {
                tokio::select! {
                    () = engine.0.shutdown.cancelled() => return,
                    () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
                }
                if slot.known_of.load(std::sync::atomic::Ordering::Relaxed) > asked {
                    return;
                }
                if poll::poll(&engine, &id, true, muster_domain::server::enrolment::PollOrigin::Background)
                    .await
                    .is_ok()
                {
                    return;
                }
            }
        });
    }

    /// Keeps step with the other daemons on the same database, until it is told to stop: what they changed in settings,
    /// certificates and site key holds here too, and they know of this one.
    pub async fn keep_step(&self, shutdown: CancellationToken) {
        tokio::join!(follow::run(self, &shutdown), presence::run(self, &shutdown));
    }

    /// Ends what goes on in the background; what it was at is taken up at the next start.
    pub async fn stop(&self) {
        self.0.shutdown.cancel();
        self.0.tasks.close();
        tokio::time::timeout(std::time::Duration::from_secs(5), self.0.tasks.wait()).await.ok();
    }

    /// Whether a client certificate has full access. The center's own client certificate has not: every machine has it.
    pub fn trusts(&self, fingerprint: &str) -> bool {
        self.0.settings.borrow().trusts(fingerprint)
    }
}
