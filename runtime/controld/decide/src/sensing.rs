//! Which sensor frames can be believed, and how old the last of them is.

use layout::{Message, Sensors};

use crate::model::{J, Joints};
use crate::params::Control;

/// The last believable frame.
#[derive(Clone, Debug)]
pub struct Sensing {
    n: usize,
    low: Joints,
    high: Joints,
    latest: Sensors,
    ready: bool,
    new: bool,
    regained: bool,
    judged_seq: u64,
    arrived_ns: i64,
    refused_ns: Option<i64>,
}

/// Without a believable frame for this long the robot stops.
pub const STALE_NS: i64 = 50_000_000;
/// A frame from further ahead than this has a wrong clock.
const FUTURE_NS: i64 = 2_000_000;
/// No joint is this far outside its range, nor jumps this far between two frames.
const OUTSIDE_RAD: f64 = 1.0;
const JUMP_RAD: f64 = 0.5;
const FASTEST_RAD_S: f64 = 50.0;
const STRONGEST_NM: f64 = 10_000.0;

impl Sensing {
    #[must_use]
    pub fn new(control: &Control) -> Self {
        let (mut low, mut high) = ([0.0; J], [0.0; J]);
        for ((low, high), limits) in low.iter_mut().zip(&mut high).zip(&control.limits.joints) {
            (*low, *high) = (limits.position_min_rad - OUTSIDE_RAD, limits.position_max_rad + OUTSIDE_RAD);
        }
        let mut latest = Sensors::zeroed();
        latest.motor_temp_c = [f64::NAN; J];
        latest.battery_ratio = f64::NAN;
        latest.gripper_pressure_kpa = f64::NAN;
        Self {
            n: control.limits.joints.len().min(J),
            low,
            high,
            latest,
            ready: false,
            new: false,
            regained: false,
            judged_seq: 0,
            arrived_ns: 0,
            refused_ns: None,
        }
    }

    /// Looks at the slot; `q` is where the joints are believed to be.
    pub fn take(&mut self, frame: Option<&Sensors>, now_ns: i64, q: &Joints) {
        (self.new, self.regained) = (false, false);
        let Some(frame) = frame else { return };
        if frame.seq == self.judged_seq && (self.ready || self.refused_ns.is_some()) {
            return;
        }
        self.judged_seq = frame.seq;
        let age_ns = now_ns.saturating_sub(frame.created_ns);
        if !(-FUTURE_NS..=STALE_NS).contains(&age_ns) {
            return;
        }
        if !self.is_believable(frame, q) {
            self.refused_ns = Some(now_ns);
            // E-stop and drive fault are heard even from a frame that is not believed otherwise.
            self.latest.estop |= frame.estop;
            self.latest.drive_fault |= frame.drive_fault;
            return;
        }
        self.regained = self.is_lost(now_ns);
        self.latest = *frame;
        self.arrived_ns = frame.created_ns;
        (self.ready, self.new) = (true, true);
    }

    fn is_believable(&self, frame: &Sensors, believed: &Joints) -> bool {
        let values = frame.q.iter().zip(frame.qd.iter().zip(&frame.tau));
        let bounds = self.low.iter().zip(self.high.iter().zip(believed));
        values.zip(bounds).take(self.n).all(|((q, (qd, tau)), (low, (high, believed)))| {
            // NaN fails each of these.
            let near = !self.ready || (q - believed).abs() <= JUMP_RAD;
            q >= low && q <= high && near && qd.abs() <= FASTEST_RAD_S && tau.abs() <= STRONGEST_NM
        })
    }

    /// A believable frame was seen at least once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// This cycle brought a believable frame.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// This cycle's frame is the first, or ends a gap that was too long to predict over: it is believed by itself.
    #[must_use]
    pub fn is_regained(&self) -> bool {
        self.regained
    }

    /// Nothing believable came for too long, or ever.
    #[must_use]
    pub fn is_lost(&self, now_ns: i64) -> bool {
        self.age_ns(now_ns) > STALE_NS
    }

    #[must_use]
    pub fn latest(&self) -> &Sensors {
        &self.latest
    }

    #[must_use]
    pub fn age_ns(&self, now_ns: i64) -> i64 {
        if self.ready { now_ns.saturating_sub(self.arrived_ns) } else { i64::MAX }
    }

    /// Nothing came for too long.
    #[must_use]
    pub fn is_stale(&self, now_ns: i64) -> bool {
        self.is_lost(now_ns) && !self.is_invalid(now_ns)
    }

    /// What came for too long could not be believed.
    #[must_use]
    pub fn is_invalid(&self, now_ns: i64) -> bool {
        let refusing = self.refused_ns.is_some_and(|at| now_ns.saturating_sub(at) <= STALE_NS);
        refusing && self.is_lost(now_ns)
    }
}
