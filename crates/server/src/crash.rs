//! Death at a chosen point, for tests (feature `crash-points`): the process kills itself with SIGKILL at the N-th point, so
//! that nothing is unwound and nothing flushed. A point is a commit or a call to a machine, before and after, or a change of
//! a file (`muster_store::crash`, `muster_clients::crash`).
//!
//! - `MUSTER_CRASH_AT`: N, from 1; without it nothing is counted
//! - `MUSTER_CRASH_POINTS`: only points of these kinds count, for example `commit,write`; all without it
//! - `MUSTER_CRASH_WHEN`: points count only while this file exists
//! - `MUSTER_CRASH_SEED_AT`: where the seed lies in images, in bytes, for images that are small; not a point, but of use only here

use anyhow::{Context, Result};
use muster_engine::{Engine, images::Layout};
use rustix::process::{Signal, getpid, kill_process};
use std::{
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

struct Plan {
    at: u64,
    kinds: Option<Vec<String>>,
    when: Option<PathBuf>,
}

static PLAN: OnceLock<Plan> = OnceLock::new();
static PASSED: AtomicU64 = AtomicU64::new(0);

/// Begins to count, if the environment says so.
///
/// # Errors
/// A number that cannot be read.
pub fn arm() -> Result<()> {
    let Ok(at) = std::env::var("MUSTER_CRASH_AT") else { return Ok(()) };
    let at = at.parse().with_context(|| format!("MUSTER_CRASH_AT: {at:?} is no number of a point"))?;
    let kinds = std::env::var("MUSTER_CRASH_POINTS").ok();
    let kinds = kinds.map(|text| text.split(',').map(|kind| kind.trim().to_owned()).collect());
    PLAN.get_or_init(|| Plan { at, kinds, when: std::env::var_os("MUSTER_CRASH_WHEN").map(PathBuf::from) });
    muster_store::crash::at_points(pass);
    muster_clients::crash::at_points(pass);
    Ok(())
}

/// Small images, if the environment says so: 8 pieces of 4 KiB for the seed.
///
/// # Errors
/// A number that cannot be read.
pub fn with_small_images(engine: Engine) -> Result<Engine> {
    let Ok(at) = std::env::var("MUSTER_CRASH_SEED_AT") else { return Ok(engine) };
    let offset = at.parse().with_context(|| format!("MUSTER_CRASH_SEED_AT: {at:?} is no number of bytes"))?;
    Ok(engine.with_image_layout(Layout { offset, piece: 4096, pieces: 8 }))
}

fn pass(name: &'static str) {
    let Some(plan) = PLAN.get() else { return };
    let kind = name.split(':').next().unwrap_or_default();
    if plan.kinds.as_ref().is_some_and(|kinds| !kinds.iter().any(|k| k == kind)) {
        return;
    }
    if plan.when.as_ref().is_some_and(|file| !file.exists()) {
        return;
    }
    let passed = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
    if passed == plan.at {
        eprintln!("crash point {passed}: {name}");
        if let Err(error) = kill_process(getpid(), Signal::KILL) {
            eprintln!("cannot kill myself: {error}");
        }
    }
}
