//! Inverse dynamics (recursive Newton–Euler), mass matrix (composite bodies) and its factor.

use super::inertia::Composite;
use super::linear::{self, Mat3, Vec3, add, apply, apply_transposed, cross, scale, turn_about_z};
use super::{J, Joints, RobotModel};

/// A symmetric matrix over the joints.
pub type JointMatrix = [[f64; J]; J];

/// The Cholesky factor of a mass matrix.
#[derive(Clone, Copy, Debug)]
pub struct Factor {
    lower: JointMatrix,
    n: usize,
}

impl RobotModel {
    /// Joint torques that give accelerations `qdd`: gravity, inertia, armature and damping; no Coulomb friction, no contacts.
    #[must_use]
    pub fn inverse_dynamics(&self, q: &Joints, qd: &Joints, qdd: &Joints) -> Joints {
        self.newton_euler(&self.turned(q), qd, qdd)
    }

    /// Torques of gravity, velocity and damping alone, and the mass matrix, from one set of rotations.
    #[must_use]
    pub fn bias_and_mass(&self, q: &Joints, qd: &Joints) -> (Joints, JointMatrix) {
        let rot = self.turned(q);
        (self.newton_euler(&rot, qd, &[0.0; J]), self.composite_mass(&rot))
    }

    #[must_use]
    pub fn mass_matrix(&self, q: &Joints) -> JointMatrix {
        self.composite_mass(&self.turned(q))
    }

    /// Rotation of each link in its parent.
    fn turned(&self, q: &Joints) -> [Mat3; J] {
        let mut rot = [linear::IDENTITY; J];
        for i in 0..self.joints() {
            let (sin, cos) = q[i].sin_cos();
            rot[i] = turn_about_z(&self.links[i].rot, sin, cos);
        }
        rot
    }

    fn newton_euler(&self, rot: &[Mat3; J], qd: &Joints, qdd: &Joints) -> Joints {
        let n = self.joints();
        let mut force = [linear::ZERO; J];
        let mut moment = [linear::ZERO; J];
        let (mut w, mut wd) = (linear::ZERO, linear::ZERO);
        let mut acc = scale(self.gravity, -1.0); // gravity as an upward acceleration of the base
        for i in 0..n {
            let link = &self.links[i];
            acc = apply_transposed(&rot[i], add(acc, point_acceleration(w, wd, link.pos)));
            w = apply_transposed(&rot[i], w);
            wd = apply_transposed(&rot[i], wd);
            // w × (z qd) for a joint that turns about z.
            wd = [wd[0] + w[1] * qd[i], wd[1] - w[0] * qd[i], wd[2] + qdd[i]];
            w[2] += qd[i];
            let com_acc = add(acc, point_acceleration(w, wd, link.com));
            force[i] = scale(com_acc, link.mass);
            let spin = cross(w, apply(&link.inertia, w));
            moment[i] = add(add(apply(&link.inertia, wd), spin), cross(link.com, force[i]));
        }
        let mut tau = [0.0; J];
        for i in (0..n).rev() {
            let link = &self.links[i];
            tau[i] = moment[i][2] + link.armature * qdd[i] + link.damping * qd[i];
            if i > 0 {
                let (f, m) = handed_down(&rot[i], link.pos, force[i], moment[i]);
                force[i - 1] = add(force[i - 1], f);
                moment[i - 1] = add(moment[i - 1], m);
            }
        }
        tau
    }

    fn composite_mass(&self, rot: &[Mat3; J]) -> JointMatrix {
        let n = self.joints();
        let mut mass = [[0.0; J]; J];
        let mut behind: Option<Composite> = None;
        for i in (0..n).rev() {
            let link = &self.links[i];
            let own = Composite { mass: link.mass, moment: link.moment, inertia: link.inertia_origin };
            let body = behind.map_or(own, |c| own.plus(&c));
            // What a unit acceleration of joint i alone asks of the bodies behind it, handed down to the base.
            let mut force = [-body.moment[1], body.moment[0], 0.0];
            let mut moment = [body.inertia[0][2], body.inertia[1][2], body.inertia[2][2]];
            mass[i][i] = moment[2] + link.armature;
            for j in (0..i).rev() {
                (force, moment) = handed_down(&rot[j + 1], self.links[j + 1].pos, force, moment);
                mass[i][j] = moment[2];
                mass[j][i] = moment[2];
            }
            behind = Some(body.seen_from(&rot[i], link.pos));
        }
        mass
    }
}

/// Acceleration of a point at `r` in a frame that turns with `w`, `wd`, above that of the frame's origin.
fn point_acceleration(w: Vec3, wd: Vec3, r: Vec3) -> Vec3 {
    add(cross(wd, r), cross(w, cross(w, r)))
}

/// Force and moment at a link's origin, as its parent feels them.
fn handed_down(rot: &Mat3, pos: Vec3, force: Vec3, moment: Vec3) -> (Vec3, Vec3) {
    let f = apply(rot, force);
    (f, add(apply(rot, moment), cross(pos, f)))
}

impl Factor {
    /// `None` where the matrix is not positive definite.
    #[must_use]
    pub fn new(matrix: &JointMatrix, n: usize) -> Option<Self> {
        let n = n.min(J);
        let mut lower = [[0.0; J]; J];
        for i in 0..n {
            for j in 0..=i {
                let dot: f64 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
                let rest = matrix[i][j] - dot;
                if i != j {
                    lower[i][j] = rest / lower[j][j];
                } else if rest > 0.0 && rest.is_finite() {
                    lower[i][i] = rest.sqrt();
                } else {
                    return None;
                }
            }
        }
        Some(Self { lower, n })
    }

    /// The solution x of M x = b.
    #[must_use]
    pub fn solve(&self, b: &Joints) -> Joints {
        let mut x = *b;
        for i in 0..self.n {
            let dot: f64 = (0..i).map(|k| self.lower[i][k] * x[k]).sum();
            x[i] = (x[i] - dot) / self.lower[i][i];
        }
        for i in (0..self.n).rev() {
            let dot: f64 = (i + 1..self.n).map(|k| self.lower[k][i] * x[k]).sum();
            x[i] = (x[i] - dot) / self.lower[i][i];
        }
        x
    }

    /// The inverse matrix.
    #[must_use]
    pub fn inverse(&self) -> JointMatrix {
        let mut inverse = [[0.0; J]; J];
        for i in 0..self.n {
            let mut unit = [0.0; J];
            unit[i] = 1.0;
            inverse[i] = self.solve(&unit);
        }
        inverse
    }
}
