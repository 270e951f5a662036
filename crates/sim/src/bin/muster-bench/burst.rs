//! Many things at once, and how long each took.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Result;

/// What became of a burst.
pub struct Burst {
    /// Things that succeeded.
    pub done: usize,
    /// Things that failed.
    pub failed: usize,
    /// The first failure's reason.
    pub why: Option<String>,
    /// From the first's begin to the last's end.
    pub elapsed: Duration,
    /// How long each took from its own begin, failures included, sorted.
    times: Vec<Duration>,
}

impl Burst {
    /// Successes per second.
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.elapsed.as_secs_f64()
    }

    /// The time that this share of them did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let at = (self.times.len() as f64 * share).ceil() as usize;
        self.times.get(at.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// A remark for a table when something failed.
    pub fn remark(&self) -> String {
        let why = self.why.as_deref().unwrap_or_default();
        if self.failed == 0 { String::new() } else { format!(" ({} failed: {why})", self.failed) }
    }
}

/// Does `task` with each of `items`, `at_once` of them at a time.
pub async fn burst<T, F>(items: Vec<T>, at_once: usize, task: impl Fn(T) -> F) -> Burst
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (permits, mut tasks) = (Arc::new(Semaphore::new(at_once)), JoinSet::new());
    let began = Instant::now();
    for item in items {
        let (permits, work) = (permits.clone(), task(item));
        tasks.spawn(async move {
            let _permit = permits.acquire().await;
            let began = Instant::now();
            let done = work.await;
            (began.elapsed(), done.err().map(|e| e.to_string()))
        });
    }
    let mut result = Burst { done: 0, failed: 0, why: None, elapsed: Duration::ZERO, times: Vec::new() };
    while let Some(ended) = tasks.join_next().await {
        let (time, failure) = ended.unwrap_or_else(|e| (began.elapsed(), Some(e.to_string())));
        result.times.push(time);
        match failure {
            None => result.done += 1,
            Some(why) => {
                result.failed += 1;
                result.why.get_or_insert(why);
            }
        }
    }
    result.elapsed = began.elapsed();
    result.times.sort();
    result
}
