//! Whether the control file can be used: every problem at once, each with its path, the value and the bound.

use std::fmt;

use super::schema::*;
use crate::model::{J, SPHERES};

/// Most keep-out boxes the shield has room for.
pub const KEEP_OUTS: usize = 16;

/// One value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the control file, as `limits.joints[2].jerk_rad_s3`.
    pub path: String,
    pub got: String,
    pub bound: String,
    /// What would follow from it.
    pub because: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: got {}, must be {}, because {}", self.path, self.got, self.bound, self.because)
    }
}

impl Control {
    /// Every problem, in the order of the file; empty where it can be used.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut found = Findings(Vec::new());
        self.check_header(&mut found);
        check_cycle(&self.cycle, &mut found);
        self.check_model(&mut found);
        self.check_joints(&mut found);
        self.check_space(&mut found);
        check_separation(&self.separation, &mut found);
        self.check_times(&mut found);
        self.check_hardware(&mut found);
        check_estimator(&self.estimator, &mut found);
        found.0
    }

    fn check_header(&self, found: &mut Findings) {
        found.require(self.version == 1, "version", self.version, "1", "another layout would be misread");
        let hex = self.config_hash.len() == 64 && self.config_hash.bytes().all(|b| b.is_ascii_hexdigit());
        found.require(hex, "config_hash", &self.config_hash, "64 hexadecimal digits", "records could not be traced to a profile");
        found.require(!self.robot_id.is_empty(), "robot_id", "nothing", "a name", "records could not be told apart");
    }

    fn check_model(&self, found: &mut Findings) {
        let n = self.model.links.len();
        let why = "the control loop's arrays are fixed";
        found.require((1..=J).contains(&n), "model.links", n, format!("1 to {J} links"), why);
        let spheres = self.model.spheres.len();
        found.require((1..=SPHERES).contains(&spheres), "model.spheres", spheres, format!("1 to {SPHERES} spheres"), why);
        let g = self.model.gravity_m_s2;
        found.vector("model.gravity_m_s2", &g, 30.0, "the arm would be held against another weight");
        for (i, link) in self.model.links.iter().enumerate() {
            check_link(link, &format!("model.links[{i}]"), found);
        }
        found.vector("model.tool.pos_m", &self.model.tool.pos_m, 2.0, "the tool would be somewhere else");
        found.direction("model.tool.quat_wxyz", &self.model.tool.quat_wxyz);
        for (i, sphere) in self.model.spheres.iter().enumerate() {
            let path = format!("model.spheres[{i}]");
            found.require(sphere.link < n, format!("{path}.link"), sphere.link, format!("below {n}"), "there is no such link");
            found.vector(format!("{path}.center_m"), &sphere.center_m, 2.0, "keep-outs would guard the wrong place");
            found.within(format!("{path}.radius_m"), sphere.radius_m, 1e-3, 1.0, "keep-outs would guard the wrong volume");
        }
    }

    fn check_joints(&self, found: &mut Findings) {
        let n = self.model.links.len();
        for (path, got) in [
            ("limits.joints", self.limits.joints.len()),
            ("collision.torque_nm", self.collision.torque_nm.len()),
            ("home_rad", self.home_rad.len()),
        ] {
            found.require(got == n, path, got, format!("{n} entries, one a joint"), "a joint would go unguarded");
        }
        for (i, joint) in self.limits.joints.iter().enumerate() {
            check_limits(joint, &format!("limits.joints[{i}]"), self.cycle.period_us, found);
        }
        for (i, (home, joint)) in self.home_rad.iter().zip(&self.limits.joints).enumerate() {
            let (low, high) = (joint.position_min_rad, joint.position_max_rad);
            found.within(format!("home_rad[{i}]"), *home, low, high, "home could not be reached");
        }
        for (i, torque) in self.collision.torque_nm.iter().enumerate() {
            found.within(
                format!("collision.torque_nm[{i}]"),
                *torque,
                0.1,
                1000.0,
                "contacts would stop the robot always or never",
            );
        }
        found.within("limits.tool_speed_m_s", self.limits.tool_speed_m_s, 0.01, 3.0, "energy at contact grows with its square");
    }

    fn check_space(&self, found: &mut Findings) {
        let ws = &self.workspace;
        found.extent("workspace", &ws.min_m, &ws.max_m);
        let count = self.keep_out.len();
        found.require(
            count <= KEEP_OUTS,
            "keep_out",
            count,
            format!("at most {KEEP_OUTS} boxes"),
            "the control loop's arrays are fixed",
        );
        for (i, zone) in self.keep_out.iter().enumerate() {
            found.extent(&format!("keep_out[{i}]"), &zone.min_m, &zone.max_m);
        }
    }

    fn check_times(&self, found: &mut Findings) {
        let stop_why = "a stop would come late or never";
        found.count("collision.hold_ms", self.collision.hold_ms, 1, 100, stop_why);
        found.count("command.expiry_ms", self.command.expiry_ms, 1, 200, "old commands would move the robot");
        found.count("command.future_ms", self.command.future_ms, 0, 20, "a wrong clock would go unseen");
        found.count("command.resume_ms", self.command.resume_ms, 0, 5_000, "motion would resume unexpectedly");
        found.count("verdict.stale_ms", self.verdict.stale_ms, 1, 1_000, "an old opinion would count as fresh");
        found.within("verdict.restrict_ratio", self.verdict.restrict_ratio, 0.0, 1.0, "it is a share of full speed");
        found.count("liveness.timeout_ms", self.liveness.timeout_ms, 100, 5_000, stop_why);
        found.count("stop.hold_ms", self.stop.hold_ms, 0, 5_000, stop_why);
        found.within(
            "stop.power_off_speed_rad_s",
            self.stop.power_off_speed_rad_s,
            1e-4,
            1.0,
            "brakes would take the arm's whole speed",
        );
        found.count("stop.power_off_timeout_ms", self.stop.power_off_timeout_ms, 1, 10_000, stop_why);
        found.count("watchdog.check_ms", self.watchdog.check_ms, 1, 100, stop_why);
        found.count("watchdog.timeout_ms", self.watchdog.timeout_ms, 1, 1_000, stop_why);
    }

    fn check_hardware(&self, found: &mut Findings) {
        let (most, holding) = (self.gripper.pressure_max_kpa, self.gripper.pressure_holding_kpa);
        found.within("gripper.pressure_max_kpa", most, 1.0, 1000.0, "the pump would be ruined or never run");
        found.within("gripper.pressure_holding_kpa", holding, 0.1, most, "a part would never count as held");
        let (limit, stop) = (self.thermal.motor_limit_c, self.thermal.motor_stop_c);
        found.within("thermal.motor_limit_c", limit, 20.0, 150.0, "motors would be ruined or never run");
        found.within("thermal.motor_stop_c", stop, limit, 150.0, "the stop would come before the slowing");
        if let Some(gpio) = &self.gpio {
            found.require(!gpio.chip.is_empty(), "gpio.chip", "nothing", "a device", "there is nothing to toggle");
        }
        if let Hal::Sim { slow_motion } = &self.hal {
            found.count("hal.slow_motion", u64::from(*slow_motion), 1, 100, "the robot's clock would stand or jump");
        }
        if let Hal::Cia402 { nodes, counts_per_rad, bitrate_bps, data_bitrate_bps, .. } = &self.hal {
            let n = self.model.links.len();
            let why = "a joint would have no drive";
            found.require(nodes.len() == n, "hal.nodes", nodes.len(), format!("{n} entries"), why);
            found.require(counts_per_rad.len() == n, "hal.counts_per_rad", counts_per_rad.len(), format!("{n} entries"), why);
            found.count("hal.data_bitrate_bps", *data_bitrate_bps, 10_000, 10_000_000, "CAN FD has no such rate");
            found.count("hal.bitrate_bps", *bitrate_bps, 10_000, 1_000_000, "classical CAN has no such rate");
            for (i, node) in nodes.iter().enumerate() {
                let unique = nodes.iter().filter(|other| *other == node).count() == 1;
                found.require((1..=127).contains(node) && unique, format!("hal.nodes[{i}]"), node, "1 to 127 and unique", why);
            }
            for (i, counts) in counts_per_rad.iter().enumerate() {
                let path = format!("hal.counts_per_rad[{i}]");
                found.within(path, counts.abs(), 1.0, 1e9, "positions would be meaningless");
            }
        }
    }
}

fn check_cycle(cycle: &Cycle, found: &mut Findings) {
    found.count("cycle.period_us", cycle.period_us, 100, 10_000, "the shield and the estimator are made for about 1 kHz");
    found.count("cycle.priority", u64::from(cycle.priority), 0, 99, "the scheduler has no such priority");
    found.count("cycle.miss_window_cycles", cycle.miss_window_cycles, 1, 1_000_000, "misses would never be judged");
    found.count("cycle.miss_limit", cycle.miss_limit, 1, cycle.miss_window_cycles.max(1), "misses would never be judged");
}

fn check_link(link: &Link, path: &str, found: &mut Findings) {
    found.vector(format!("{path}.pos_m"), &link.pos_m, 3.0, "the arm would be another");
    found.direction(&format!("{path}.quat_wxyz"), &link.quat_wxyz);
    found.direction(&format!("{path}.axis"), &link.axis);
    found.within(format!("{path}.mass_kg"), link.mass_kg, 0.0, 500.0, "dynamics would be meaningless");
    found.vector(format!("{path}.com_m"), &link.com_m, 3.0, "dynamics would be meaningless");
    let [xx, yy, zz, xy, xz, yz] = link.inertia_kgm2;
    let finite = link.inertia_kgm2.iter().all(|x| x.abs() <= 1e4);
    // Sylvester's criterion, with a grain for bodies of no size.
    let grain = 1e-12;
    let minor = xx * yy - xy * xy;
    let whole = xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz);
    let positive = xx >= -grain && yy >= -grain && zz >= -grain && minor >= -grain && whole >= -grain;
    let shown = format!("{:?}", link.inertia_kgm2);
    found.require(
        finite && positive,
        format!("{path}.inertia_kgm2"),
        shown,
        "positive definite and below 10000",
        "turning the link would yield energy",
    );
    found.within(format!("{path}.armature_kgm2"), link.armature_kgm2, 0.0, 100.0, "dynamics would be meaningless");
    found.within(format!("{path}.damping_nms_rad"), link.damping_nms_rad, 0.0, 10_000.0, "dynamics would be meaningless");
    found.within(format!("{path}.friction_nm"), link.friction_nm, 0.0, 10_000.0, "dynamics would be meaningless");
    let moved = link.mass_kg > 0.0 || link.armature_kgm2 > 0.0;
    found.require(
        moved,
        format!("{path}.mass_kg"),
        link.mass_kg,
        "above 0 where there is no armature",
        "nothing would resist the motor",
    );
}

fn check_limits(joint: &JointLimits, path: &str, period_us: u64, found: &mut Findings) {
    let (low, high) = (joint.position_min_rad, joint.position_max_rad);
    found.within(format!("{path}.position_min_rad"), low, -100.0, 100.0, "the joint would hit its mechanical stop");
    found.within(format!("{path}.position_max_rad"), high, low + 1e-3, 100.0, "the joint would have no range");
    found.within(format!("{path}.velocity_rad_s"), joint.velocity_rad_s, 1e-3, 30.0, "stopping distance grows with its square");
    let (acc, jerk) = (joint.acceleration_rad_s2, joint.jerk_rad_s3);
    found.within(format!("{path}.acceleration_rad_s2"), acc, 1e-2, 1_000.0, "the drives could not follow");
    found.within(format!("{path}.jerk_rad_s3"), jerk, 1e-1, 1e6, "the drives could not follow");
    // A stop is planned in whole cycles: it must not take more of them than the planner counts.
    let cycles = (joint.velocity_rad_s / acc + 2.0 * acc / jerk) / (period_us.max(1) as f64 * 1e-6);
    found.within(format!("{path} (cycles to stop)"), cycles, 0.0, 1e5, "a stop from full speed would take for ever");
    found.within(format!("{path}.effort_nm"), joint.effort_nm, 1e-2, 10_000.0, "gears would break");
}

fn check_separation(s: &Separation, found: &mut Findings) {
    let why = "people would be hit";
    found.within("separation.human_speed_m_s", s.human_speed_m_s, 0.1, 10.0, why);
    found.within("separation.reaction_s", s.reaction_s, 0.001, 5.0, why);
    found.within("separation.intrusion_m", s.intrusion_m, 0.0, 5.0, why);
    found.within("separation.uncertainty_m", s.uncertainty_m, 0.0, 5.0, why);
    found.count("separation.stale_ms", s.stale_ms, 10, 5_000, why);
    found.within("separation.slow_ratio_unknown", s.slow_ratio_unknown, 0.0, 1.0, "it is a share of full speed");
    found.within("separation.max_ratio_distance_m", s.max_ratio_distance_m, 0.01, 50.0, why);
}

fn check_estimator(e: &Estimator, found: &mut Findings) {
    let why = "the filter would trust the wrong thing";
    found.within("estimator.position_noise_rad", e.position_noise_rad, 1e-9, 1.0, why);
    found.within("estimator.velocity_noise_rad_s", e.velocity_noise_rad_s, 1e-9, 100.0, why);
    found.within("estimator.torque_noise_nm", e.torque_noise_nm, 1e-9, 1_000.0, why);
    found.within("estimator.acceleration_noise_rad_s2", e.acceleration_noise_rad_s2, 1e-9, 1e5, why);
    found.within("estimator.torque_drift_nm_s", e.torque_drift_nm_s, 1e-9, 1e6, why);
}

struct Findings(Vec<Problem>);

impl Findings {
    fn require(
        &mut self,
        good: bool,
        path: impl Into<String>,
        got: impl fmt::Display,
        bound: impl Into<String>,
        because: &'static str,
    ) {
        if !good {
            self.0.push(Problem { path: path.into(), got: got.to_string(), bound: bound.into(), because });
        }
    }

    /// Written so that NaN, on either side, is a problem.
    fn within(&mut self, path: impl Into<String>, got: f64, low: f64, high: f64, because: &'static str) {
        self.require(got >= low && got <= high, path, got, format!("between {low} and {high}"), because);
    }

    fn count(&mut self, path: impl Into<String>, got: u64, low: u64, high: u64, because: &'static str) {
        self.require((low..=high).contains(&got), path, got, format!("between {low} and {high}"), because);
    }

    fn vector(&mut self, path: impl Into<String>, got: &[f64], most: f64, because: &'static str) {
        let good = got.iter().all(|x| x.abs() <= most);
        self.require(good, path, format!("{got:?}"), format!("within ±{most} each"), because);
    }

    fn direction(&mut self, path: &str, got: &[f64]) {
        let square: f64 = got.iter().map(|x| x * x).sum();
        let good = (square - 1.0).abs() <= 1e-6;
        self.require(good, path, format!("{got:?}"), "of unit length", "the arm would be another");
    }

    fn extent(&mut self, path: &str, min: &[f64; 3], max: &[f64; 3]) {
        self.vector(format!("{path}.min_m"), min, 100.0, "no robot reaches there");
        for (axis, (low, high)) in ["x", "y", "z"].iter().zip(min.iter().zip(max)) {
            self.within(format!("{path}.max_m.{axis}"), *high, *low + 1e-6, 100.0, "the box would hold nothing");
        }
    }
}
