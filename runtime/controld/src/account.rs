//! The cycle's bookkeeping: how long each stage took, and which deadlines were missed.

use layout::{Miss, STAGES, Stage};

use crate::shm::StateWriter;

/// Times one cycle's stages, from one reading of the clock to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Laps {
    last_ns: i64,
    pub stage_ns: [i64; STAGES],
}

impl Laps {
    /// Starts with how late the thread woke.
    #[must_use]
    pub fn start(scheduled_ns: i64, woke_ns: i64) -> Self {
        let mut laps = Self { last_ns: woke_ns, stage_ns: [0; STAGES] };
        laps.set(Stage::Wake, woke_ns - scheduled_ns);
        laps
    }

    /// Ends a stage at this time.
    #[inline]
    pub fn end(&mut self, stage: Stage, now_ns: i64) {
        self.set(stage, now_ns - self.last_ns);
        self.last_ns = now_ns;
    }

    #[inline]
    fn set(&mut self, stage: Stage, ns: i64) {
        if let Some(place) = self.stage_ns.get_mut(stage as usize) {
            *place = ns;
        }
    }

    #[must_use]
    pub fn get(&self, stage: Stage) -> i64 {
        self.stage_ns.get(stage as usize).copied().unwrap_or(0)
    }

    /// Ends the cycle and counts every stage.
    pub fn count_into(&mut self, state: &StateWriter, woke_ns: i64, now_ns: i64) {
        self.set(Stage::Cycle, now_ns - woke_ns);
        for stage in Stage::ALL {
            state.count(*stage, self.get(*stage));
        }
    }

    /// The single stage that took longest, for the ledger.
    #[must_use]
    pub fn slowest(&self) -> Stage {
        let single = Stage::ALL.iter().copied().filter(|stage| *stage != Stage::Cycle);
        single.max_by_key(|stage| self.get(*stage)).unwrap_or(Stage::Wake)
    }
}

/// The absolute grid on which cycles start. One that ends after the next should have begun has missed its deadline.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    pub period_ns: i64,
    pub next_ns: i64,
}

impl Grid {
    /// The first cycle starts at the second grid point from now. The grid lies half a period off whole periods: at
    /// whole milliseconds the kernel's tick comes, and whoever wakes with it waits for it.
    #[must_use]
    pub const fn starting(now_ns: i64, period_ns: i64) -> Self {
        Self { period_ns, next_ns: ((now_ns - period_ns / 2).div_euclid(period_ns) + 2) * period_ns + period_ns / 2 }
    }

    /// Moves on to the next point that still lies ahead; says how many whole periods were lost.
    #[inline]
    pub fn advance(&mut self, now_ns: i64) -> i64 {
        self.next_ns += self.period_ns;
        let lost = if now_ns >= self.next_ns { (now_ns - self.next_ns) / self.period_ns + 1 } else { 0 };
        self.next_ns += lost * self.period_ns;
        lost
    }
}

/// Remembers the last misses, and says when there were too many within the window.
#[derive(Debug)]
pub struct MissWindow {
    window_ns: i64,
    /// When the last `limit` misses happened, oldest overwritten first.
    times_ns: Vec<i64>,
    place: usize,
}

impl MissWindow {
    /// `limit` late cycles within `window_cycles` periods are too many.
    #[must_use]
    pub fn new(limit: u64, window_cycles: u64, period_ns: i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).clamp(1, 100_000);
        let window_ns = i64::try_from(window_cycles).unwrap_or(i64::MAX).saturating_mul(period_ns);
        Self { window_ns, times_ns: vec![i64::MIN; limit], place: 0 }
    }

    /// Notes a late cycle; true when it was one too many.
    #[inline]
    pub fn note(&mut self, now_ns: i64) -> bool {
        let count = self.times_ns.len();
        let Some(place) = self.times_ns.get_mut(self.place) else { return false };
        *place = now_ns;
        self.place = (self.place + 1) % count;
        // The next to be overwritten is the oldest of the last `limit`.
        let oldest = self.times_ns.get(self.place).copied().unwrap_or(i64::MIN);
        oldest != i64::MIN && now_ns.saturating_sub(oldest) < self.window_ns
    }
}

/// The row of the ledger for a cycle that was late.
#[must_use]
pub fn miss_of(laps: &Laps, cycle: u64, epoch: u64, seq: u64, now_ns: i64, late_ns: i64, lost: i64) -> Miss {
    Miss {
        seq,
        epoch,
        created_ns: now_ns,
        cycle,
        late_ns,
        stage_ns: laps.stage_ns,
        periods_skipped: u32::try_from(lost).unwrap_or(u32::MAX),
        stage: laps.slowest().raw(),
        ..Miss::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cycles_in_time_keep_the_grid_and_late_ones_skip_whole_periods() {
        let mut grid = Grid { period_ns: 1000, next_ns: 5000 };
        assert_eq!((grid.advance(5400), grid.next_ns), (0, 6000));
        assert_eq!((grid.advance(6999), grid.next_ns), (0, 7000));
        assert_eq!((grid.advance(8000), grid.next_ns), (1, 9000), "ended when the next should have begun");
        assert_eq!((grid.advance(13_500), grid.next_ns), (4, 14_000));
    }

    #[test]
    fn the_limit_counts_late_cycles_within_the_window_only() {
        let mut window = MissWindow::new(3, 100, 1000);
        assert!(!window.note(0) && !window.note(50_000));
        assert!(window.note(99_000), "three within a hundred periods");
        assert!(!window.note(160_000), "the second is 110 periods old");
        assert!(!MissWindow::new(2, 10, 1000).note(0));
        assert!(MissWindow::new(1, 10, 1000).note(0), "a limit of one means the first is too many");
    }

    #[test]
    fn the_ledger_names_the_stage_that_took_longest() {
        let mut laps = Laps::start(1000, 1500);
        laps.end(Stage::Sensors, 1600);
        laps.end(Stage::Shield, 4000);
        laps.end(Stage::Publish, 4100);
        let miss = miss_of(&laps, 7, 2, 9, 4100, 3100, 3);
        assert_eq!((miss.stage(), miss.cycle, miss.periods_skipped), (Some(Stage::Shield), 7, 3));
        assert_eq!(miss.stage_ns[Stage::Wake as usize], 500);
    }

    proptest! {
        #[test]
        fn the_next_cycle_always_starts_ahead_on_the_grid(start in 0i64..1 << 40, took in prop::collection::vec(0i64..10_000, 1..50)) {
            let mut grid = Grid::starting(start, 1000);
            let origin = grid.next_ns % 1000;
            prop_assert_eq!(origin, 500, "half way between the ticks");
            prop_assert!((1001..=2000).contains(&(grid.next_ns - start)));
            for ns in took {
                let end = grid.next_ns + ns;
                let lost = grid.advance(end);
                prop_assert!(grid.next_ns > end || lost == 0);
                prop_assert!(grid.next_ns > end && grid.next_ns - end <= 1000);
                prop_assert_eq!(grid.next_ns % 1000, origin);
                prop_assert_eq!(lost, ns / 1000);
            }
        }
    }
}
