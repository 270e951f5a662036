//! `kill -9` at every commit and every call to a machine: real daemons that kill themselves at the N-th point, a simulated
//! machine in this process, and whoever asked asks again after the restart. Nothing may be lost, doubled or stuck.
//!
//! As a check of each change a spread of the points is tried. `MUSTER_CRASH_TEST=all` tries every one,
//! `MUSTER_CRASH_TEST=7` the point 7 alone; `MUSTER_CRASH_KEEP=1` keeps the daemons' logs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "certificates of test machines are valid from now")]

mod daemon;
mod images;
mod lives;
mod points;
mod races;
mod site;
mod stories;
mod takeover;
mod updates;
