//! The arm as a rigid body chain: kinematics and dynamics over fixed arrays, for a serial chain of revolute joints.
//!
//! Inside, every link frame is turned so that its joint turns about z; what goes in and comes out (joint values, torques,
//! points in the base frame) does not depend on that.

// Indices run over `0..n` with `n ≤ J`, fixed when the model is made; every array here has J or 3 entries.
#![allow(clippy::indexing_slicing, clippy::needless_range_loop)]

mod dynamics;
mod inertia;
mod kinematics;
pub mod linear;

use crate::params;
use linear::{Mat3, Vec3, apply_transposed, from_quaternion, multiply, norm, scale, transpose, z_onto};

pub use dynamics::{Factor, JointMatrix};
pub use kinematics::{Frames, Pose};

/// Most joints an arm may have.
pub const J: usize = layout::J;
/// Most spheres that approximate the robot.
pub const SPHERES: usize = 64;
/// One value per joint; what lies beyond the arm's own joints is not looked at.
pub type Joints = [f64; J];

#[derive(Clone, Copy, Debug)]
struct Link {
    /// Rotation and place in the parent's frame at joint angle zero.
    rot: Mat3,
    pos: Vec3,
    mass: f64,
    com: Vec3,
    /// About the centre of mass.
    inertia: Mat3,
    /// About the frame's origin, with the first moment of mass: what composite bodies are summed from.
    inertia_origin: Mat3,
    moment: Vec3,
    armature: f64,
    damping: f64,
    friction: f64,
}

#[derive(Clone, Copy, Debug)]
struct Ball {
    link: usize,
    center: Vec3,
    radius: f64,
}

/// An arm's constants.
#[derive(Clone, Debug)]
pub struct RobotModel {
    n: usize,
    gravity: Vec3,
    links: [Link; J],
    tool_rot: Mat3,
    tool_pos: Vec3,
    balls: [Ball; SPHERES],
    ball_count: usize,
    lever: Joints,
    tool_lever: Joints,
}

/// Why a model cannot be made; `params::Control::validate` finds all of these with their place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelError {
    JointCount,
    SphereCount,
    SphereLink,
    Axis,
    Quaternion,
}

impl RobotModel {
    /// # Errors
    /// Where the counts do not fit the fixed arrays, or an axis or quaternion has no direction.
    pub fn new(source: &params::Model) -> Result<Self, ModelError> {
        let n = source.links.len();
        if n == 0 || n > J {
            return Err(ModelError::JointCount);
        }
        if source.spheres.len() > SPHERES {
            return Err(ModelError::SphereCount);
        }
        let mut turns = [linear::IDENTITY; J];
        let mut links = [Link::nothing(); J];
        let mut parent = linear::IDENTITY;
        for (i, link) in source.links.iter().enumerate() {
            let length = norm(link.axis);
            if !(length > 1e-9 && length.is_finite()) {
                return Err(ModelError::Axis);
            }
            turns[i] = z_onto(scale(link.axis, 1.0 / length));
            links[i] = Link::new(link, &parent, &turns[i])?;
            parent = turns[i];
        }
        let mut balls = [Ball { link: 0, center: linear::ZERO, radius: 0.0 }; SPHERES];
        for (ball, sphere) in balls.iter_mut().zip(&source.spheres) {
            if sphere.link >= n {
                return Err(ModelError::SphereLink);
            }
            let center = apply_transposed(&turns[sphere.link], sphere.center_m);
            *ball = Ball { link: sphere.link, center, radius: sphere.radius_m };
        }
        let last = transpose(&turns[n - 1]);
        let mut model = Self {
            n,
            gravity: source.gravity_m_s2,
            links,
            tool_rot: multiply(&last, &unit_rotation(source.tool.quat_wxyz)?),
            tool_pos: linear::apply(&last, source.tool.pos_m),
            balls,
            ball_count: source.spheres.len(),
            lever: [0.0; J],
            tool_lever: [0.0; J],
        };
        model.measure_levers();
        Ok(model)
    }

    /// How many joints the arm has.
    #[must_use]
    pub fn joints(&self) -> usize {
        self.n.min(J)
    }

    #[must_use]
    pub fn sphere_count(&self) -> usize {
        self.ball_count.min(SPHERES)
    }

    /// Coulomb friction of each joint, which the rigid-body functions leave out.
    #[must_use]
    pub fn friction(&self) -> Joints {
        self.links.map(|link| link.friction)
    }

    /// For each joint, how far a sphere's centre can ever be from its axis: a turn by x moves no centre further than x times it.
    #[must_use]
    pub fn sphere_lever(&self) -> &Joints {
        &self.lever
    }

    /// The same for the tool.
    #[must_use]
    pub fn tool_lever(&self) -> &Joints {
        &self.tool_lever
    }

    fn measure_levers(&mut self) {
        let n = self.joints();
        for joint in 0..n {
            let chain = |upto: usize| -> f64 { (joint + 1..=upto).map(|i| norm(self.links[i].pos)).sum() };
            let reach = |link: usize, point: Vec3| {
                if link == joint { point[0].hypot(point[1]) } else { chain(link) + norm(point) }
            };
            let far = self.balls[..self.ball_count].iter().filter(|b| b.link >= joint);
            self.lever[joint] = far.map(|b| reach(b.link, b.center)).fold(0.0, f64::max);
            self.tool_lever[joint] = reach(n - 1, self.tool_pos);
        }
    }
}

fn unit_rotation(quat: [f64; 4]) -> Result<Mat3, ModelError> {
    let square: f64 = quat.iter().map(|x| x * x).sum();
    if square > 1e-12 && square.is_finite() { Ok(from_quaternion(quat)) } else { Err(ModelError::Quaternion) }
}

impl Link {
    const fn nothing() -> Self {
        Self {
            rot: linear::IDENTITY,
            pos: linear::ZERO,
            mass: 0.0,
            com: linear::ZERO,
            inertia: [linear::ZERO; 3],
            inertia_origin: [linear::ZERO; 3],
            moment: linear::ZERO,
            armature: 0.0,
            damping: 0.0,
            friction: 0.0,
        }
    }

    /// `parent` and `turn` bring z onto the parent's and this joint's axis in the frames of the file.
    fn new(link: &params::Link, parent: &Mat3, turn: &Mat3) -> Result<Self, ModelError> {
        let back = transpose(parent);
        let [xx, yy, zz, xy, xz, yz] = link.inertia_kgm2;
        let given = [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]];
        let inertia = multiply(&multiply(&transpose(turn), &given), turn);
        let com = apply_transposed(turn, link.com_m);
        let moment = scale(com, link.mass_kg);
        Ok(Self {
            rot: multiply(&multiply(&back, &unit_rotation(link.quat_wxyz)?), turn),
            pos: linear::apply(&back, link.pos_m),
            mass: link.mass_kg,
            com,
            inertia,
            inertia_origin: inertia::about_origin(&inertia, com, link.mass_kg),
            moment,
            armature: link.armature_kgm2,
            damping: link.damping_nms_rad,
            friction: link.friction_nm,
        })
    }
}
