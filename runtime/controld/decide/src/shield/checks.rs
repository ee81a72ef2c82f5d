//! The checks that changed something in one cycle.

use layout::{CHECKS, Check};

/// A set of checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks(u32);

impl Checks {
    pub fn add(&mut self, check: Check) {
        self.0 |= 1 << check.raw();
    }

    #[must_use]
    pub fn has(&self, check: Check) -> bool {
        self.0 & (1 << check.raw()) != 0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Adds one for each check of this cycle.
    pub fn count_into(&self, counters: &mut [u64; CHECKS]) {
        for (bit, counter) in counters.iter_mut().enumerate() {
            *counter = counter.saturating_add(u64::from(self.0 >> bit & 1));
        }
    }
}
