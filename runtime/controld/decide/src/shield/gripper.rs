//! Suction: the pump is throttled while the vacuum is above its limit, and never stronger than commanded.

use layout::Check;

use super::checks::Checks;
use crate::params::Gripper;

/// How much of the pump may be used.
#[derive(Clone, Copy, Debug)]
pub struct Suction {
    limits: Gripper,
    cap: f64,
    last: f64,
    over_ns: i64,
}

const THROTTLE_PER_S: f64 = 10.0;
const RELEASE_PER_S: f64 = 1.0;
/// Below this share of the limit the throttle opens again.
const OPEN_SHARE: f64 = 0.95;
/// Above the limit for this long in spite of the throttle, the pump or its sensor is broken.
const BROKEN_NS: i64 = 2_000_000_000;

impl Suction {
    #[must_use]
    pub fn new(limits: Gripper) -> Self {
        Self { limits, cap: 1.0, last: 0.0, over_ns: 0 }
    }

    /// The pump's command for this cycle. Without a reading it may fall but not rise.
    pub fn limit(&mut self, wanted: f64, pressure_kpa: f64, period_ns: i64, checks: &mut Checks) -> f64 {
        let period_s = period_ns as f64 * 1e-9;
        if pressure_kpa > self.limits.pressure_max_kpa {
            self.cap = (self.cap.min(self.last) - THROTTLE_PER_S * period_s).max(0.0);
            self.over_ns = self.over_ns.saturating_add(period_ns);
        } else if pressure_kpa <= OPEN_SHARE * self.limits.pressure_max_kpa {
            self.cap = (self.cap + RELEASE_PER_S * period_s).min(1.0);
            self.over_ns = 0;
        }
        let ceiling = if pressure_kpa.is_nan() { self.cap.min(self.last) } else { self.cap };
        let wanted = if wanted.is_finite() { wanted.clamp(0.0, 1.0) } else { self.last };
        if wanted > ceiling {
            checks.add(Check::GripperPressure);
        }
        self.last = wanted.min(ceiling);
        self.last
    }

    /// Whether throttling has not helped.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.over_ns >= BROKEN_NS
    }

    #[must_use]
    pub fn last(&self) -> f64 {
        self.last
    }

    #[must_use]
    pub fn is_holding(&self, pressure_kpa: f64, contact: bool) -> bool {
        contact && pressure_kpa >= self.limits.pressure_holding_kpa
    }
}
