//! Subscriptions over random fleets and histories: never more than asked for, never a machine of somebody else, everything
//! that can be served is, and the same plan again changes nothing.
//!
//! `PROPTEST_CASES=100000` for many; the default is quick.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod examples;
mod histories;
mod site;
