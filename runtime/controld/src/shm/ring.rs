//! The seqlock ring: one writer, any number of readers, nobody ever waits.
//!
//! The record is copied word by word with relaxed atomics between two looks at the entry's version, so a reader either gets
//! a whole record or knows that it did not; there is no data race to speak of, on arm64 neither. The logic takes a slice of
//! atomics and nothing else, and so runs under miri.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// How often a reader tries again before it gives up: a bound, because the reader may be the control cycle.
pub const RETRIES: usize = 8;

/// Where a ring lies within its file.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    head_word: usize,
    first_word: usize,
    stride: usize,
    depth: usize,
    record_words: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Nothing was ever written.
    Empty,
    /// Disturbed at every try, or the ring's own words make no sense.
    Torn,
    /// The record's number, from 1.
    Whole(u64),
}

impl Ring {
    #[must_use]
    pub const fn new(head_word: usize, first_word: usize, depth: usize, record_words: usize) -> Self {
        Self { head_word, first_word, stride: layout::file::entry_stride(record_words), depth, record_words }
    }

    #[must_use]
    pub const fn depth(&self) -> usize {
        self.depth
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    fn entry<'a>(&self, words: &'a [AtomicU64], number: u64) -> Option<(&'a AtomicU64, &'a [AtomicU64])> {
        let start = self.first_word + (number % self.depth as u64) as usize * self.stride;
        words.get(start..=start + self.record_words)?.split_first()
    }

    /// How many records were ever written.
    #[must_use]
    #[inline]
    pub fn head(&self, words: &[AtomicU64]) -> u64 {
        words.get(self.head_word).map_or(0, |head| head.load(Ordering::Acquire))
    }

    /// Writes the next record and returns its number. One writer at a time.
    #[inline]
    pub fn write(&self, words: &[AtomicU64], record: &[u64]) -> u64 {
        self.write_with(words, |payload| {
            for (word, value) in payload.iter().zip(record) {
                word.store(*value, Ordering::Relaxed);
            }
        })
    }

    /// As `write`, with the words filled in by `fill`.
    #[inline]
    pub fn write_with(&self, words: &[AtomicU64], fill: impl FnOnce(&[AtomicU64])) -> u64 {
        // Number 0 means "never written", also after a scribble made the count wrap.
        let number = self.head(words).wrapping_add(1).max(1);
        let (Some((version, payload)), Some(head)) = (self.entry(words, number), words.get(self.head_word)) else {
            return 0;
        };
        let whole = number.wrapping_mul(2);
        version.store(whole.wrapping_sub(1), Ordering::Relaxed);
        fence(Ordering::Release);
        fill(payload);
        version.store(whole, Ordering::Release);
        head.store(number, Ordering::Release);
        number
    }

    /// Copies the newest record.
    #[inline]
    pub fn read_latest(&self, words: &[AtomicU64], out: &mut [u64]) -> Read {
        self.read_latest_with(words, |payload| {
            for (value, word) in out.iter_mut().zip(payload) {
                *value = word.load(Ordering::Relaxed);
            }
        })
    }

    /// As `read_latest`, with `copy` called once per try; what it copied counts only if the answer is `Whole`.
    #[inline]
    pub fn read_latest_with(&self, words: &[AtomicU64], mut copy: impl FnMut(&[AtomicU64])) -> Read {
        for _ in 0..RETRIES {
            let number = self.head(words);
            if number == 0 {
                return Read::Empty;
            }
            if self.read_entry(words, number, &mut copy) {
                return Read::Whole(number);
            }
            std::hint::spin_loop();
        }
        Read::Torn
    }

    /// Copies one record by its number, if the ring still holds it.
    #[inline]
    pub fn read_at(&self, words: &[AtomicU64], number: u64, out: &mut [u64]) -> bool {
        self.read_entry(words, number, |payload| {
            for (value, word) in out.iter_mut().zip(payload) {
                *value = word.load(Ordering::Relaxed);
            }
        })
    }

    #[inline]
    fn read_entry(&self, words: &[AtomicU64], number: u64, mut copy: impl FnMut(&[AtomicU64])) -> bool {
        let Some((version, payload)) = self.entry(words, number) else {
            return false;
        };
        let whole = number.wrapping_mul(2);
        if version.load(Ordering::Acquire) != whole {
            return false;
        }
        copy(payload);
        fence(Ordering::Acquire);
        version.load(Ordering::Relaxed) == whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn memory(ring: &Ring) -> Vec<AtomicU64> {
        (0..ring.first_word + ring.stride * ring.depth).map(|_| AtomicU64::new(0)).collect()
    }

    fn ring() -> Ring {
        Ring::new(0, 8, 4, 24)
    }

    #[test]
    fn a_new_ring_is_empty_and_then_gives_the_newest_record() {
        let (ring, mut out) = (ring(), [0; 24]);
        let words = memory(&ring);
        assert_eq!(ring.read_latest(&words, &mut out), Read::Empty);
        for number in 1..=9 {
            assert_eq!(ring.write(&words, &[number; 24]), number);
            assert_eq!(ring.read_latest(&words, &mut out), Read::Whole(number));
            assert_eq!(out, [number; 24]);
        }
        assert!(ring.read_at(&words, 6, &mut out) && out == [6; 24]);
        assert!(!ring.read_at(&words, 5, &mut out), "overwritten");
    }

    #[test]
    fn a_record_half_written_is_not_given_and_the_next_writer_repairs_it() {
        let (ring, mut out) = (ring(), [0; 24]);
        let words = memory(&ring);
        ring.write(&words, &[1; 24]);
        words[8 + 2 * ring.stride].store(3, Ordering::Relaxed); // died while writing number 2
        assert_eq!(ring.read_latest(&words, &mut out), Read::Whole(1));
        assert_eq!(ring.write(&words, &[2; 24]), 2);
        assert_eq!(ring.read_latest(&words, &mut out), Read::Whole(2));
    }

    #[test]
    fn scribbles_over_every_word_end_in_an_answer_within_the_bounds() {
        let (ring, mut out) = (ring(), [0; 24]);
        for pattern in [u64::MAX, 0x8000_0000_0000_0000, 1, 0x5555_5555_5555_5555] {
            let words = memory(&ring);
            words.iter().for_each(|w| w.store(pattern, Ordering::Relaxed));
            assert_ne!(ring.read_latest(&words, &mut out), Read::Empty);
            ring.write(&words, &[7; 24]);
            assert!(matches!(ring.read_latest(&words, &mut out), Read::Whole(_)));
            assert_eq!(out, [7; 24]);
        }
    }

    #[test]
    fn under_a_flooding_writer_no_reader_ever_sees_a_torn_record() {
        let ring = ring();
        let words = memory(&ring);
        let done = AtomicBool::new(false);
        let writes = if cfg!(miri) { 50 } else { 400_000 };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let (mut out, mut last, mut whole) = ([0; 24], 0, 0u64);
                    while !done.load(Ordering::Relaxed) || whole == 0 {
                        if let Read::Whole(number) = ring.read_latest(&words, &mut out) {
                            assert!(out.iter().all(|w| *w == number), "torn: {number} {out:?}");
                            assert!(number >= last, "went back from {last} to {number}");
                            last = number;
                            whole += 1;
                        }
                        if cfg!(miri) {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            for number in 1..=writes {
                ring.write(&words, &[number; 24]);
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
