//! The stop ladder: none → controlled stop → hold → power off. It only rises; a re-arm, and nothing else, brings it down.
//!
//! A cause asks for a level. Power goes at once where the drives cannot be trusted to brake; else the arm brakes first, and
//! power goes when it is slow or when the time for that is over. What was asked for once stays asked for.

use layout::{StopLevel, StopReason};

use crate::gate::millis;
use crate::params;

/// The causes that are active in one cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Causes {
    bits: u32,
    /// The level that `StopReason::Requested` asks for.
    requested: StopLevel,
    /// The level that `StopReason::Deadline` asks for.
    deadline: StopLevel,
}

/// What the ladder looks at besides causes.
#[derive(Clone, Copy, Debug)]
pub struct Motion {
    pub now_ns: i64,
    /// The commanded trajectory stands.
    pub at_rest: bool,
    /// Every joint is measured slower than `stop.power_off_speed_rad_s`.
    pub slow: bool,
}

#[derive(Clone, Debug)]
pub struct Ladder {
    hold_ns: i64,
    power_off_timeout_ns: i64,
    level: StopLevel,
    /// The level on the way to which the arm brakes.
    goal: StopLevel,
    reason: StopReason,
    goal_since_ns: i64,
    standing_since_ns: Option<i64>,
    rearm_accepted: u64,
    rearm_seen: u64,
    rearm_seen_ns: i64,
}

/// A re-arm that found an active cause does not wait for the cause to go: it lapses, and must be given again.
pub const REARM_WINDOW_NS: i64 = 500_000_000;

/// The order in which causes of the same level are named.
const REASONS: &[StopReason] = StopReason::ALL;

impl Default for Causes {
    fn default() -> Self {
        Self { bits: 0, requested: StopLevel::None, deadline: StopLevel::None }
    }
}

impl Causes {
    pub fn add(&mut self, reason: StopReason) {
        self.bits |= 1 << reason.raw();
    }

    pub fn add_if(&mut self, active: bool, reason: StopReason) {
        if active {
            self.add(reason);
        }
    }

    /// A stop asked for by the directive.
    pub fn request(&mut self, level: StopLevel) {
        if level > StopLevel::None {
            self.add(StopReason::Requested);
            self.requested = level;
        }
    }

    /// The declared reaction to missed deadlines.
    pub fn deadline(&mut self, reaction: params::MissReaction) {
        self.deadline = match reaction {
            params::MissReaction::Report => return,
            params::MissReaction::ControlledStop => StopLevel::Controlled,
            params::MissReaction::PowerOff => StopLevel::PowerOff,
        };
        self.add(StopReason::Deadline);
    }

    #[must_use]
    pub fn has(&self, reason: StopReason) -> bool {
        self.bits & (1 << reason.raw()) != 0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits == 0
    }

    /// The level that a reason asks for.
    #[must_use]
    pub fn level_of(&self, reason: StopReason) -> StopLevel {
        match reason {
            StopReason::None => StopLevel::None,
            StopReason::Liveness
            | StopReason::Collision
            | StopReason::Veto
            | StopReason::Thermal
            | StopReason::StaleSensors
            | StopReason::InvalidSensors
            | StopReason::OutsideSafeSet
            | StopReason::Tracking
            | StopReason::GripperPressure => StopLevel::Controlled,
            StopReason::Boot | StopReason::StaleCommand => StopLevel::Hold,
            StopReason::Estop | StopReason::DriveFault | StopReason::Shutdown | StopReason::PowerLost => StopLevel::PowerOff,
            StopReason::Requested => self.requested,
            StopReason::Deadline => self.deadline,
        }
    }

    /// The strongest active cause.
    #[must_use]
    pub fn strongest(&self) -> Option<(StopLevel, StopReason)> {
        let active = REASONS.iter().filter(|r| self.has(**r)).map(|r| (self.level_of(*r), *r));
        active.fold(None, |best, next| match best {
            Some((level, _)) if level >= next.0 => best,
            Some(_) | None => Some(next),
        })
    }

    /// Causes with which the drives cannot be trusted to brake.
    fn is_immediate(&self) -> bool {
        self.has(StopReason::DriveFault) || self.has(StopReason::PowerLost)
    }
}

impl Ladder {
    /// Stands on hold until the first re-arm.
    #[must_use]
    pub fn new(stop: &params::Stop) -> Self {
        Self {
            hold_ns: millis(stop.hold_ms),
            power_off_timeout_ns: millis(stop.power_off_timeout_ms),
            level: StopLevel::Hold,
            goal: StopLevel::Hold,
            reason: StopReason::Boot,
            goal_since_ns: 0,
            standing_since_ns: None,
            rearm_accepted: 0,
            rearm_seen: 0,
            rearm_seen_ns: 0,
        }
    }

    #[must_use]
    pub fn level(&self) -> StopLevel {
        self.level
    }

    #[must_use]
    pub fn reason(&self) -> StopReason {
        self.reason
    }

    #[must_use]
    pub fn rearm_accepted(&self) -> u64 {
        self.rearm_accepted
    }

    /// Rises as the causes and the motion ask; never falls.
    pub fn update(&mut self, causes: &Causes, motion: &Motion) {
        if let Some((goal, reason)) = causes.strongest() {
            if goal > self.goal {
                (self.goal, self.reason, self.goal_since_ns) = (goal, reason, motion.now_ns);
            }
        }
        let standing = motion.at_rest && motion.slow;
        self.standing_since_ns = if standing { self.standing_since_ns.or(Some(motion.now_ns)) } else { None };
        let waited_ns = motion.now_ns.saturating_sub(self.goal_since_ns);
        let timed_out = waited_ns >= self.power_off_timeout_ns;
        let reached = match self.goal {
            StopLevel::None => StopLevel::None,
            StopLevel::Controlled => self.controlled_or_hold(motion, timed_out),
            StopLevel::Hold if motion.at_rest => StopLevel::Hold,
            StopLevel::Hold => StopLevel::Controlled,
            StopLevel::PowerOff if causes.is_immediate() || motion.slow || timed_out => StopLevel::PowerOff,
            StopLevel::PowerOff => StopLevel::Controlled,
        };
        self.level = self.level.max(reached);
    }

    /// A controlled stop becomes a hold after standing for a while, or when measured speed refuses to go.
    fn controlled_or_hold(&self, motion: &Motion, timed_out: bool) -> StopLevel {
        let stood_ns = self.standing_since_ns.map_or(0, |since| motion.now_ns.saturating_sub(since));
        let stood = self.standing_since_ns.is_some() && stood_ns >= self.hold_ns;
        if stood || (timed_out && motion.at_rest) { StopLevel::Hold } else { StopLevel::Controlled }
    }

    /// Leaves the ladder if `count` is above the last accepted one, nothing is active, and the arm stands. Says whether it did.
    pub fn rearm(&mut self, count: u64, causes: &Causes, motion: &Motion) -> bool {
        if count > self.rearm_seen {
            (self.rearm_seen, self.rearm_seen_ns) = (count, motion.now_ns);
        }
        let lapsed = motion.now_ns.saturating_sub(self.rearm_seen_ns) > REARM_WINDOW_NS;
        if count <= self.rearm_accepted || lapsed {
            return false;
        }
        if self.level == StopLevel::None {
            self.rearm_accepted = count; // used up: it must not undo a later stop
            return false;
        }
        if !causes.is_empty() || !motion.at_rest {
            return false;
        }
        self.rearm_accepted = count;
        (self.level, self.goal, self.reason) = (StopLevel::None, StopLevel::None, StopReason::None);
        self.standing_since_ns = None;
        true
    }
}
