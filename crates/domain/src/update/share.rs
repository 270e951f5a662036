//! How downloads of update files share what may be sent: who sends how much, and when.
//!
//! A download asks for one piece at a time. Pieces lie one behind another on the time line, as long as the limit makes them:
//! whoever asks gets the first free place, and asks again only once that piece is on its way. So downloads take turns; a slow
//! one takes fewer, and what it leaves goes to the others. What was not used is lost, except for a moment's worth: a
//! limit is one for each moment, not on average.
//!
//! Where only so many may send at once, the others wait in order of arrival. Machines know no "come back later"
//! (`updates-and-system.md` 17): one that waits was answered, and gets a few bytes now and then, so that nobody between
//! it and us takes the connection for dead.

use std::collections::{BTreeMap, BTreeSet};

/// Time that is not used and may be made up for, in microseconds.
const BURST: i64 = 100_000;
/// Longest time that one piece takes of the time line, in microseconds.
const PIECE: u64 = 50_000;
/// Time in which every download that sends has its turn, in microseconds, as long as pieces do not become too small.
const ROUND: u64 = 2_000_000;
/// Sizes of pieces, in bytes.
const SMALLEST: u64 = 4 << 10;
const LARGEST: u64 = 512 << 10;
/// Bytes that all pieces under way may take of memory, as long as they do not become smaller than `SMALL`; a download
/// has some of them under way.
const MEMORY: u64 = 64 << 20;
const UNDER_WAY: u64 = 3;
const SMALL: u64 = 32 << 10;
/// How often one that waits gets a piece of the smallest size, in microseconds.
const SIGN_OF_LIFE: i64 = 10_000_000;

/// What may be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes per second, all downloads together; 0 for any number.
    pub bytes_per_second: u64,
    /// Downloads that send at the same time; 0 for any number.
    pub at_once: u32,
}

/// What a download may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Send.
    Send {
        /// So many bytes.
        bytes: u64,
        /// At this time, in microseconds.
        at: i64,
    },
    /// Ask again when [`Share::end`] or [`Share::set`] let others send, or at this time, in microseconds.
    Wait {
        /// The time.
        until: i64,
    },
}

/// All downloads of one daemon. Times are microseconds since any one moment.
#[derive(Debug, Default)]
pub struct Share {
    limits: Limits,
    /// Begin of the free part of the time line.
    free: i64,
    next: u64,
    sending: BTreeSet<u64>,
    /// With the time of the next sign of life.
    waiting: BTreeMap<u64, i64>,
}

impl Share {
    /// Downloads that send, and that wait.
    pub fn count(&self) -> (usize, usize) {
        (self.sending.len(), self.waiting.len())
    }

    /// Other limits from now on; says whether they are others. Turns that were given hold no longer then, and have to be asked
    /// for again. Those that send go on when fewer may.
    pub fn set(&mut self, limits: Limits, now: i64) -> bool {
        if self.limits == limits {
            return false;
        }
        self.limits = limits;
        self.free = self.free.min(now);
        self.admit();
        true
    }

    /// A new download; answers what it is called.
    pub fn begin(&mut self, now: i64) -> u64 {
        let download = self.next;
        self.next += 1;
        self.waiting.insert(download, now.saturating_add(SIGN_OF_LIFE));
        self.admit();
        download
    }

    /// A download is over; says whether others that waited may send.
    pub fn end(&mut self, download: u64) -> bool {
        self.waiting.remove(&download);
        self.sending.remove(&download) && self.admit()
    }

    /// What this download may do, which has `left` bytes to send.
    pub fn turn(&mut self, download: u64, left: u64, now: i64) -> Turn {
        let bytes = match self.waiting.get_mut(&download) {
            None => self.piece().min(left),
            Some(due) if *due <= now => {
                *due = now.saturating_add(SIGN_OF_LIFE);
                SMALLEST.min(left)
            }
            Some(due) => return Turn::Wait { until: *due },
        };
        Turn::Send { bytes, at: self.place(bytes, now) }
    }

    fn piece(&self) -> u64 {
        let (rate, sending) = (self.limits.bytes_per_second, (self.sending.len() as u64).max(1));
        let most = (MEMORY / UNDER_WAY / sending).clamp(SMALL, LARGEST);
        if rate == 0 {
            return most;
        }
        let time = PIECE.min(ROUND / sending);
        (u128::from(rate) * u128::from(time) / 1_000_000).clamp(SMALLEST.into(), most.into()) as u64
    }

    /// The first free place on the time line.
    fn place(&mut self, bytes: u64, now: i64) -> i64 {
        let rate = self.limits.bytes_per_second;
        if rate == 0 {
            return now;
        }
        let begin = self.free.max(now.saturating_sub(BURST));
        let length = u128::from(bytes) * 1_000_000 / u128::from(rate);
        self.free = begin.saturating_add(i64::try_from(length).unwrap_or(i64::MAX));
        begin.max(now)
    }

    fn admit(&mut self) -> bool {
        let before = self.sending.len();
        let room = |sending: &BTreeSet<u64>| self.limits.at_once == 0 || sending.len() < self.limits.at_once as usize;
        while room(&self.sending)
            && let Some((download, _)) = self.waiting.pop_first()
        {
            self.sending.insert(download);
        }
        self.sending.len() > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const MIB: u64 = 1 << 20;

    /// Bytes that each of some downloads has sent after some time, where download `i` needs `delays[i]` after each piece.
    fn sent(share: &mut Share, delays: &[i64], time: i64) -> Vec<u64> {
        let downloads: Vec<u64> = delays.iter().map(|_| share.begin(0)).collect();
        let mut next = vec![0; delays.len()];
        let mut sent = vec![0; delays.len()];
        loop {
            let (number, now) = next.iter().copied().enumerate().min_by_key(|(_, at)| *at).unwrap();
            if now >= time {
                return sent;
            }
            match share.turn(downloads[number], u64::MAX, now) {
                Turn::Wait { until } => next[number] = until,
                Turn::Send { bytes, at } => {
                    if at < time {
                        sent[number] += bytes;
                    }
                    next[number] = at + delays[number].max(1);
                }
            }
        }
    }

    fn share(bytes_per_second: u64, at_once: u32) -> Share {
        let mut share = Share::default();
        assert!(share.set(Limits { bytes_per_second, at_once }, 0));
        share
    }

    #[test]
    fn all_together_send_what_they_may_and_each_the_same() {
        for count in [1, 2, 7, 100, 1000] {
            let sent = sent(&mut share(10 * MIB, 0), &vec![0; count], 10 * SECOND);
            let total: u64 = sent.iter().sum();
            let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
            // A piece each, and the moment's worth at the begin.
            assert!(total.abs_diff(100 * MIB) <= 2 * MIB, "{count}: {total}");
            assert!(most - least <= LARGEST, "{count}: {least} to {most}");
        }
    }

    #[test]
    fn pieces_of_many_take_no_more_memory_than_those_of_some() {
        for (count, piece) in [(1, LARGEST), (40, LARGEST), (400, MEMORY / UNDER_WAY / 400), (10_000, SMALL)] {
            let mut share = Share::default();
            let downloads: Vec<u64> = (0..count).map(|_| share.begin(0)).collect();
            assert_eq!(share.turn(downloads[0], u64::MAX, 0), Turn::Send { bytes: piece, at: 0 }, "{count}");
        }
    }

    #[test]
    fn what_a_slow_one_leaves_goes_to_the_others() {
        let sent = sent(&mut share(10 * MIB, 0), &[0, 0, SECOND], 10 * SECOND);
        assert!(sent[2] <= 11 * LARGEST, "{sent:?}");
        assert!(sent.iter().sum::<u64>().abs_diff(100 * MIB) <= 2 * MIB, "{sent:?}");
        assert!(sent[0].abs_diff(sent[1]) <= LARGEST, "{sent:?}");
    }

    #[test]
    fn what_was_not_used_is_not_made_up_for() {
        let mut share = share(MIB, 0);
        let download = share.begin(0);
        share.turn(download, u64::MAX, 0);
        let late = 3600 * SECOND;
        let mut at_once = 0;
        while let Turn::Send { bytes, at } = share.turn(download, u64::MAX, late)
            && at == late
        {
            at_once += bytes;
        }
        assert!(at_once <= MIB / 5, "{at_once}");
    }

    #[test]
    fn those_beyond_the_number_wait_in_order_with_a_sign_of_life() {
        let mut share = share(0, 2);
        let [a, b, c, d] = [0; 4].map(|_| share.begin(0));
        assert_eq!(share.count(), (2, 2));
        assert_eq!(share.turn(b, u64::MAX, 5), Turn::Send { bytes: LARGEST, at: 5 });
        assert_eq!(share.turn(c, u64::MAX, 5), Turn::Wait { until: SIGN_OF_LIFE });
        assert_eq!(share.turn(c, 10, SIGN_OF_LIFE), Turn::Send { bytes: 10, at: SIGN_OF_LIFE });
        assert_eq!(share.turn(c, 10, SIGN_OF_LIFE), Turn::Wait { until: 2 * SIGN_OF_LIFE });
        assert!(!share.end(d), "nobody waited for one that waited itself");
        let e = share.begin(0);
        assert!(share.end(a));
        assert_eq!(share.turn(c, u64::MAX, 7), Turn::Send { bytes: LARGEST, at: 7 });
        assert_eq!(share.turn(e, u64::MAX, 7), Turn::Wait { until: SIGN_OF_LIFE });
        assert!(share.end(b), "the last one may send");
        assert!(!share.end(c) && !share.end(e));
        assert_eq!(share.count(), (0, 0));
    }

    #[test]
    fn other_limits_hold_at_once() {
        let mut share = share(1000, 1);
        let [a, b] = [0; 2].map(|_| share.begin(0));
        assert_eq!(share.turn(a, u64::MAX, 0), Turn::Send { bytes: SMALLEST, at: 0 });
        let Turn::Send { at, .. } = share.turn(a, u64::MAX, 1) else { panic!() };
        assert!(at > 3 * SECOND, "{at}");
        assert!(!share.set(Limits { bytes_per_second: 1000, at_once: 1 }, 2));
        assert!(share.set(Limits { bytes_per_second: 100 * MIB, at_once: 0 }, 2));
        assert_eq!(share.turn(a, u64::MAX, 3), Turn::Send { bytes: LARGEST, at: 3 });
        assert!(matches!(share.turn(b, u64::MAX, 3), Turn::Send { bytes: LARGEST, .. }));
        assert!(share.set(Limits { bytes_per_second: 0, at_once: 1 }, 4));
        assert_eq!(share.count(), (2, 0), "those that send go on");
        let c = share.begin(4);
        assert!(matches!(share.turn(c, u64::MAX, 4), Turn::Wait { .. }));
        assert!(!share.end(b) && share.end(a));
    }
}
