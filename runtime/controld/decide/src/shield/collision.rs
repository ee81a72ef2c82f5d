//! Collision: a torque on a joint that the model does not explain, for longer than noise lasts.

use crate::model::{J, Joints};
use crate::params::Control;

/// Counts how long each joint has felt too much.
#[derive(Clone, Debug)]
pub struct Collision {
    n: usize,
    torque_nm: Joints,
    hold_ns: i64,
    felt_ns: [i64; J],
}

impl Collision {
    #[must_use]
    pub fn new(control: &Control) -> Self {
        let mut torque_nm = [f64::INFINITY; J];
        for (to, from) in torque_nm.iter_mut().zip(&control.collision.torque_nm) {
            *to = *from;
        }
        let hold_ms = i64::try_from(control.collision.hold_ms).unwrap_or(0);
        Self { n: control.model.links.len(), torque_nm, hold_ns: hold_ms.saturating_mul(1_000_000), felt_ns: [0; J] }
    }

    pub fn forget(&mut self) {
        self.felt_ns = [0; J];
    }

    /// Whether some joint has felt more than its threshold for the whole hold time. NaN counts as too much.
    pub fn observe(&mut self, tau_ext: &Joints, period_ns: i64) -> bool {
        let mut hit = false;
        for ((felt, limit), tau) in self.felt_ns.iter_mut().zip(&self.torque_nm).zip(tau_ext).take(self.n) {
            *felt = if tau.abs() <= *limit { 0 } else { felt.saturating_add(period_ns) };
            hit |= *felt >= self.hold_ns.max(1);
        }
        hit
    }
}
