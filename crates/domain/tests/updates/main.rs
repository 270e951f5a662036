//! Random histories of updates: sources that publish and take back, operators who assign and withdraw, machines that
//! move on, downloads that fail.
//!
//! `PROPTEST_CASES=100000` for many; the default is quick.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod promotion;
mod retention;
mod selection;

use muster_domain::update::index::{COMPONENTS, File, Published, Severity};
use proptest::test_runner::Config;

/// The number of histories is asked of the environment by the test runner itself.
fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(256);
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// Update number `n` with the components whose bits are set; `content` changes its files.
fn published(n: u8, components: u16, content: u8) -> Published {
    let files = COMPONENTS.iter().enumerate().filter(|(bit, _)| components & (1 << bit) != 0);
    Published {
        version: format!("2025110{n:05}"),
        origin: "test".to_owned(),
        published_at: format!("2025-11-{:02}T{:02}:00:00Z", 1 + n / 24, n % 24).parse().unwrap(),
        severity: Severity::ALL[usize::from(n % 5)],
        channels: vec!["stable".to_owned()],
        url: format!("/{n}"),
        files: files
            .map(|(bit, component)| File {
                filename: format!("x86_64/{component}.raw.gz"),
                size: 10,
                sha256: format!("{n:02x}{bit:02x}{content:060x}"),
                component: (*component).to_owned(),
                kind: "application".to_owned(),
                architecture: "x86_64".to_owned(),
            })
            .collect(),
        dropped: 0,
    }
}
