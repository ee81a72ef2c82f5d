//! Where the links, the tool and the spheres are, and how they move.

use super::linear::{self, Mat3, Vec3, add, apply, cross, multiply, norm, scale, sub, to_quaternion, turn_about_z};
use super::{J, Joints, RobotModel, SPHERES};

/// Every link's frame in the base frame.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    pub rot: [Mat3; J],
    pub pos: [Vec3; J],
}

/// A place and direction in the base frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pose {
    pub pos: Vec3,
    pub quat_wxyz: [f64; 4],
}

impl RobotModel {
    #[must_use]
    pub fn frames(&self, q: &Joints) -> Frames {
        let mut frames = Frames { rot: [linear::IDENTITY; J], pos: [linear::ZERO; J] };
        let mut rot = linear::IDENTITY;
        let mut pos = linear::ZERO;
        for i in 0..self.joints() {
            let link = &self.links[i];
            let (sin, cos) = q[i].sin_cos();
            pos = add(pos, apply(&rot, link.pos));
            rot = turn_about_z(&multiply(&rot, &link.rot), sin, cos);
            frames.rot[i] = rot;
            frames.pos[i] = pos;
        }
        frames
    }

    #[must_use]
    pub fn tool_position(&self, frames: &Frames) -> Vec3 {
        let last = self.joints() - 1;
        add(frames.pos[last], apply(&frames.rot[last], self.tool_pos))
    }

    #[must_use]
    pub fn tool_pose(&self, frames: &Frames) -> Pose {
        let last = self.joints() - 1;
        let rot = multiply(&frames.rot[last], &self.tool_rot);
        Pose { pos: self.tool_position(frames), quat_wxyz: to_quaternion(&rot) }
    }

    #[must_use]
    pub fn forward_kinematics(&self, q: &Joints) -> Pose {
        self.tool_pose(&self.frames(q))
    }

    /// Columns: velocity of the tool's point, then angular velocity, per rad/s of each joint.
    #[must_use]
    pub fn jacobian(&self, q: &Joints) -> [[f64; 6]; J] {
        let frames = self.frames(q);
        let tool = self.tool_position(&frames);
        let mut columns = [[0.0; 6]; J];
        for i in 0..self.joints() {
            let axis = axis_of(&frames.rot[i]);
            let [x, y, z] = cross(axis, sub(tool, frames.pos[i]));
            columns[i] = [x, y, z, axis[0], axis[1], axis[2]];
        }
        columns
    }

    /// Centre of each sphere; entries from `sphere_count` on are not looked at.
    #[must_use]
    pub fn sphere_positions(&self, frames: &Frames) -> [Vec3; SPHERES] {
        let mut centers = [linear::ZERO; SPHERES];
        for (center, ball) in centers.iter_mut().zip(&self.balls[..self.sphere_count()]) {
            *center = add(frames.pos[ball.link], apply(&frames.rot[ball.link], ball.center));
        }
        centers
    }

    /// Centres and radii, without the copy.
    pub fn spheres<'a>(&'a self, frames: &'a Frames) -> impl Iterator<Item = (Vec3, f64)> + 'a {
        self.balls[..self.sphere_count()]
            .iter()
            .map(|ball| (add(frames.pos[ball.link], apply(&frames.rot[ball.link], ball.center)), ball.radius))
    }

    /// Speed of the tool's point.
    #[must_use]
    pub fn tool_speed(&self, frames: &Frames, qd: &Joints) -> f64 {
        let (linear, angular) = self.velocities(frames, qd);
        let last = self.joints() - 1;
        norm(add(linear[last], cross(angular[last], apply(&frames.rot[last], self.tool_pos))))
    }

    /// The greatest speed of the tool's point and of all sphere centres.
    #[must_use]
    pub fn greatest_speed(&self, frames: &Frames, qd: &Joints) -> f64 {
        let (linear, angular) = self.velocities(frames, qd);
        let speed_of = |link: usize, point: Vec3| {
            let v = add(linear[link], cross(angular[link], apply(&frames.rot[link], point)));
            linear::dot(v, v)
        };
        let tool = speed_of(self.joints() - 1, self.tool_pos);
        let balls = self.balls[..self.sphere_count()].iter();
        balls.map(|b| speed_of(b.link, b.center)).fold(tool, f64::max).sqrt()
    }

    /// Velocity of each link's origin, and each link's angular velocity.
    fn velocities(&self, frames: &Frames, qd: &Joints) -> ([Vec3; J], [Vec3; J]) {
        let mut linear = [linear::ZERO; J];
        let mut angular = [linear::ZERO; J];
        let (mut v, mut w, mut at) = (linear::ZERO, linear::ZERO, linear::ZERO);
        for i in 0..self.joints() {
            v = add(v, cross(w, sub(frames.pos[i], at)));
            w = add(w, scale(axis_of(&frames.rot[i]), qd[i]));
            at = frames.pos[i];
            linear[i] = v;
            angular[i] = w;
        }
        (linear, angular)
    }
}

fn axis_of(rot: &Mat3) -> Vec3 {
    [rot[0][2], rot[1][2], rot[2][2]]
}
