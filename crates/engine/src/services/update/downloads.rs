//! Downloads of update files, by machines and from the source: each asks for its turn before a piece goes through. Who gets it when is decided in
//! [`muster_domain::update::share`].

use crate::settings::Settings;
use muster_domain::update::share::{Limits, Share, Turn};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// All downloads of this daemon.
pub struct Downloads {
    settings: watch::Receiver<Arc<Settings>>,
    limits: fn(&Settings) -> Limits,
    began: Instant,
    share: Mutex<Share>,
    /// Changes when some that waited may send.
    admitted: watch::Sender<()>,
    bytes: AtomicU64,
}

impl Downloads {
    /// None yet of those that machines begin. The limits follow these settings.
    pub fn by_machines(settings: watch::Receiver<Arc<Settings>>) -> Arc<Self> {
        Self::new(settings, |settings| Limits {
            bytes_per_second: settings.updates.file_bytes_per_second.unwrap_or_default(),
            at_once: settings.updates.file_downloads_at_once.unwrap_or_default(),
        })
    }

    /// None yet of those from the update source.
    pub(crate) fn from_source(settings: watch::Receiver<Arc<Settings>>) -> Arc<Self> {
        Self::new(settings, |settings| Limits {
            bytes_per_second: settings.updates.source_bytes_per_second.unwrap_or_default(),
            at_once: 0,
        })
    }

    fn new(settings: watch::Receiver<Arc<Settings>>, limits: fn(&Settings) -> Limits) -> Arc<Self> {
        let (admitted, bytes) = (watch::Sender::new(()), AtomicU64::new(0));
        Arc::new(Self { settings, limits, began: Instant::now(), share: Mutex::default(), admitted, bytes })
    }

    /// Begins one; it is over when the answer is dropped.
    pub fn begin(self: &Arc<Self>) -> Download {
        let settings = self.settings.clone();
        let number = {
            let mut share = self.share();
            share.set((self.limits)(&settings.borrow()), self.now());
            share.begin(self.now())
        };
        Download { all: self.clone(), number, settings, admitted: self.admitted.subscribe() }
    }

    /// Bytes sent so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Downloads that send, and that wait.
    pub fn count(&self) -> (usize, usize) {
        self.share().count()
    }

    fn share(&self) -> MutexGuard<'_, Share> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

/// One download.
pub struct Download {
    all: Arc<Downloads>,
    number: u64,
    settings: watch::Receiver<Arc<Settings>>,
    admitted: watch::Receiver<()>,
}

impl Download {
    /// Waits for its turn; answers how many of the `left` bytes it may send now.
    pub async fn turn(&mut self, left: u64) -> u64 {
        loop {
            let limits = (self.all.limits)(&self.settings.borrow_and_update());
            self.admitted.mark_unchanged();
            let (turn, others) = {
                let (mut share, now) = (self.all.share(), self.all.now());
                let others = share.set(limits, now);
                (share.turn(self.number, left, now), others)
            };
            if others {
                self.all.admitted.send_replace(());
            }
            let until = match turn {
                Turn::Send { at, .. } => at,
                Turn::Wait { until } => until,
            };
            let came = self.wait(until, limits, matches!(turn, Turn::Wait { .. })).await;
            if let (Turn::Send { bytes, .. }, true) = (turn, came) {
                self.all.bytes.fetch_add(bytes, Ordering::Relaxed);
                return bytes;
            }
        }
    }

    /// Until this time; false when it has to ask again because of other limits, or because it `waits` and others are over.
    async fn wait(&mut self, until: i64, limits: Limits, waits: bool) -> bool {
        let ahead = until.saturating_sub(self.all.now());
        if ahead <= 0 {
            return true;
        }
        let sleep = tokio::time::sleep(Duration::from_micros(ahead.unsigned_abs()));
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = &mut sleep => return true,
                Ok(()) = self.settings.changed() => {
                    if (self.all.limits)(&self.settings.borrow_and_update()) != limits {
                        return false;
                    }
                }
                Ok(()) = self.admitted.changed(), if waits => return false,
            }
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if self.all.share().end(self.number) {
            self.all.admitted.send_replace(());
        }
    }
}
