//! The gate: which messages may be acted on. What is refused is counted by its reason, once a message.

use layout::{MotionCommand, REJECTS, Reject, Source};

use crate::model::{J, Joints};
use crate::params::{Command, JointLimits};

/// What the gate knows about the moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    pub now_ns: i64,
    pub epoch: u64,
    /// `Directive::allowed_sources`; 0 where there is no directive.
    pub allowed_sources: u8,
    /// The commanded pose, and whether a command must start there.
    pub pose: &'a Joints,
    pub starting: bool,
}

/// A command that passed.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    pub source: Source,
    pub task_id: u64,
    pub q: Joints,
    pub qd: Joints,
    pub gripper: f64,
    /// As the command says; 0 for none.
    pub observed_ns: i64,
    /// When `q` shall be reached.
    pub valid_ns: i64,
    pub expires_ns: i64,
}

/// The rules, the counters, and the last command of each source.
#[derive(Clone, Debug)]
pub struct Gate {
    n: usize,
    expiry_ns: i64,
    future_ns: i64,
    limits: [JointLimits; J],
    slots: [Slot; 2],
    rejected: [u64; REJECTS],
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    source: Source,
    /// Sequence number and creation of the last accepted command.
    accepted_seq: u64,
    accepted_created_ns: i64,
    /// Of the last that was judged, so that each message is judged once.
    judged_seq: u64,
    judged_created_ns: i64,
    command: Option<Accepted>,
}

/// A command says where the joints shall be this long after it was made.
const LEAD_NS: i64 = 10_000_000;
/// How far from the present pose the first command after a stop may be.
const START_POSE_RAD: f64 = 0.2;
/// Further outside its limits than this, or faster than this many times its limit, a target is a mistake and no wish.
const IMPLAUSIBLE_RAD: f64 = 0.5;
const IMPLAUSIBLE_SPEED: f64 = 2.0;

impl Gate {
    #[must_use]
    pub fn new(rules: &Command, joints: &[JointLimits]) -> Self {
        let nothing = JointLimits {
            position_min_rad: 0.0,
            position_max_rad: 0.0,
            velocity_rad_s: 0.0,
            acceleration_rad_s2: 0.0,
            jerk_rad_s3: 0.0,
            effort_nm: 0.0,
        };
        let mut limits = [nothing; J];
        for (to, from) in limits.iter_mut().zip(joints) {
            *to = *from;
        }
        let slot = |source| Slot {
            source,
            accepted_seq: 0,
            accepted_created_ns: i64::MIN,
            judged_seq: 0,
            judged_created_ns: 0,
            command: None,
        };
        Self {
            n: joints.len().min(J),
            expiry_ns: millis(rules.expiry_ms),
            future_ns: millis(rules.future_ms),
            limits,
            slots: [slot(Source::Policy), slot(Source::Fallback)],
            rejected: [0; REJECTS],
        }
    }

    /// By `Reject`.
    #[must_use]
    pub fn rejected(&self) -> &[u64; REJECTS] {
        &self.rejected
    }

    /// Forgets every accepted command: after a stop, motion needs a new one.
    pub fn forget(&mut self) {
        for slot in &mut self.slots {
            slot.command = None;
        }
    }

    /// Judges the newest message of a source's slot, if it was not judged before.
    pub fn offer(&mut self, from: Source, message: &MotionCommand, moment: &Moment) {
        let Some(index) = self.slots.iter().position(|slot| slot.source == from) else { return };
        let Some(slot) = self.slots.get(index).copied() else { return };
        if message.seq == slot.judged_seq && message.created_ns == slot.judged_created_ns {
            return;
        }
        let verdict = self.judge(&slot, message, moment);
        if let Some(slot) = self.slots.get_mut(index) {
            slot.judged_seq = message.seq;
            slot.judged_created_ns = message.created_ns;
            match verdict {
                Ok(accepted) => {
                    slot.accepted_seq = message.seq;
                    slot.accepted_created_ns = message.created_ns;
                    slot.command = Some(accepted);
                }
                Err(reject) => {
                    if let Some(counter) = self.rejected.get_mut(usize::from(reject.raw())) {
                        *counter = counter.saturating_add(1);
                    }
                }
            }
        }
    }

    /// The command to follow: the policy's if it is fresh and allowed, else the fallback's, else none.
    #[must_use]
    pub fn choose(&self, now_ns: i64, allowed_sources: u8) -> Option<&Accepted> {
        let usable = |slot: &&Slot| slot.source.allowed_by(allowed_sources);
        self.slots.iter().filter(usable).filter_map(|slot| slot.command.as_ref()).find(|c| now_ns <= c.expires_ns)
    }

    fn judge(&self, slot: &Slot, m: &MotionCommand, moment: &Moment) -> Result<Accepted, Reject> {
        if m.source() != Some(slot.source) {
            return Err(Reject::Invalid);
        }
        if !slot.source.allowed_by(moment.allowed_sources) {
            return Err(Reject::SourceNotAllowed);
        }
        if m.epoch != moment.epoch || m.epoch == 0 {
            return Err(Reject::OldEpoch);
        }
        if m.seq == 0 || (self.counts(slot, moment.now_ns) && m.seq <= slot.accepted_seq) {
            return Err(Reject::OutOfOrder);
        }
        if m.created_ns > moment.now_ns.saturating_add(self.future_ns) {
            return Err(Reject::Future);
        }
        // A command may ask for a shorter life than the rule's, never for a longer one.
        let longest = m.created_ns.saturating_add(self.expiry_ns);
        let expires_ns = if m.expires_ns > 0 { m.expires_ns.min(longest) } else { longest };
        if m.created_ns < 0 || moment.now_ns > expires_ns {
            return Err(Reject::Expired);
        }
        if m.created_ns < slot.accepted_created_ns {
            return Err(Reject::OutOfOrder);
        }
        self.judge_values(m, moment)?;
        Ok(Accepted {
            source: slot.source,
            task_id: m.task_id,
            q: m.q,
            qd: m.qd,
            gripper: m.gripper,
            observed_ns: m.observed_ns,
            valid_ns: m.created_ns.saturating_add(LEAD_NS),
            expires_ns,
        })
    }

    /// Whether the last accepted number bounds the next one: only while its command could still be followed. Afterwards
    /// whatever is fresh was made later anyway, and a scribbled number locks nobody out for longer than a command lives.
    fn counts(&self, slot: &Slot, now_ns: i64) -> bool {
        now_ns <= slot.accepted_created_ns.saturating_add(self.expiry_ns)
    }

    fn judge_values(&self, m: &MotionCommand, moment: &Moment) -> Result<(), Reject> {
        let joints = || m.q.iter().zip(&m.qd).take(self.n);
        if !(m.gripper.is_finite() && joints().all(|(q, qd)| q.is_finite() && qd.is_finite())) {
            return Err(Reject::NotFinite);
        }
        let plausible = |((q, qd), limit): ((&f64, &f64), &JointLimits)| {
            *q >= limit.position_min_rad - IMPLAUSIBLE_RAD
                && *q <= limit.position_max_rad + IMPLAUSIBLE_RAD
                && qd.abs() <= IMPLAUSIBLE_SPEED * limit.velocity_rad_s
        };
        if !((0.0..=1.0).contains(&m.gripper) && joints().zip(&self.limits).all(plausible)) {
            return Err(Reject::Invalid);
        }
        let near = |((q, _), pose): ((&f64, &f64), &f64)| (q - pose).abs() <= START_POSE_RAD;
        if moment.starting && !joints().zip(moment.pose).all(near) {
            return Err(Reject::StartPose);
        }
        Ok(())
    }
}

pub(crate) fn millis(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX / 1_000_000).saturating_mul(1_000_000)
}
