//! The structs that mirror the control file. They hold exactly what the file says; `validate` says whether that can be used.

use serde::Deserialize;

/// The whole control file behind its hash line.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Control {
    pub version: u32,
    pub config_hash: String,
    pub artifact_name: String,
    pub robot_id: String,
    pub cycle: Cycle,
    pub model: Model,
    pub limits: Limits,
    pub workspace: Workspace,
    pub keep_out: Vec<KeepOut>,
    pub separation: Separation,
    pub collision: Collision,
    pub gripper: Gripper,
    pub thermal: Thermal,
    pub command: Command,
    pub verdict: Verdict,
    pub liveness: Liveness,
    pub estimator: Estimator,
    pub stop: Stop,
    pub watchdog: Watchdog,
    pub gpio: Option<Gpio>,
    pub home_rad: Vec<f64>,
    pub hal: Hal,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Cycle {
    pub period_us: u64,
    pub policy: Policy,
    pub priority: u32,
    pub cpu: Option<u32>,
    pub lock_memory: bool,
    pub realtime_required: bool,
    pub miss_window_cycles: u64,
    pub miss_limit: u64,
    pub miss_reaction: MissReaction,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    Fifo,
    Other,
}

/// What too many missed deadlines in the window lead to.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum MissReaction {
    /// Count them and go on.
    Report,
    ControlledStop,
    PowerOff,
}

/// A serial chain of revolute joints. Link i's frame is joint i's, given in the frame of link i−1 (of the base for the first).
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: String,
    pub gravity_m_s2: [f64; 3],
    pub links: Vec<Link>,
    pub tool: Tool,
    pub spheres: Vec<Sphere>,
}

/// One joint and the body behind it; `inertia_kgm2` is xx, yy, zz, xy, xz, yz about the centre of mass.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Link {
    pub name: String,
    pub pos_m: [f64; 3],
    pub quat_wxyz: [f64; 4],
    pub axis: [f64; 3],
    pub mass_kg: f64,
    pub com_m: [f64; 3],
    pub inertia_kgm2: [f64; 6],
    pub armature_kgm2: f64,
    pub damping_nms_rad: f64,
    pub friction_nm: f64,
}

/// The tool's point and directions in the last link's frame.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    pub pos_m: [f64; 3],
    pub quat_wxyz: [f64; 4],
}

/// Part of the robot's volume, for keep-outs and the distance to people.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Sphere {
    pub link: usize,
    pub center_m: [f64; 3],
    pub radius_m: f64,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub joints: Vec<JointLimits>,
    /// For the tool and for the centre of every sphere.
    pub tool_speed_m_s: f64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct JointLimits {
    pub position_min_rad: f64,
    pub position_max_rad: f64,
    pub velocity_rad_s: f64,
    pub acceleration_rad_s2: f64,
    pub jerk_rad_s3: f64,
    pub effort_nm: f64,
}

/// The box that the tool stays in, base frame.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    pub min_m: [f64; 3],
    pub max_m: [f64; 3],
}

/// A box that no sphere may enter, base frame.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct KeepOut {
    pub name: String,
    pub min_m: [f64; 3],
    pub max_m: [f64; 3],
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Separation {
    /// The speed at which a person is taken to walk towards the robot.
    pub human_speed_m_s: f64,
    /// From a fresh perception result to the first braking.
    pub reaction_s: f64,
    /// How far a body part reaches in before it is seen.
    pub intrusion_m: f64,
    /// Of the person's and the robot's position together.
    pub uncertainty_m: f64,
    pub stale_ms: u64,
    /// Speed ratio while people are unknown; 0 means stop.
    pub slow_ratio_unknown: f64,
    /// Nearer than this the ratio stays below 1, falling at least linearly.
    pub max_ratio_distance_m: f64,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Collision {
    pub torque_nm: Vec<f64>,
    pub hold_ms: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Gripper {
    pub pressure_max_kpa: f64,
    pub pressure_holding_kpa: f64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Thermal {
    /// From here the speed falls.
    pub motor_limit_c: f64,
    /// From here the robot stops.
    pub motor_stop_c: f64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The longest life of a command, whatever it claims itself.
    pub expiry_ms: u64,
    /// How far a command's creation may lie ahead of the cycle that reads it.
    pub future_ms: u64,
    /// Without a command for longer than this the robot waits for a re-arm.
    pub resume_ms: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    pub stale_ms: u64,
    /// Speed ratio while the safety model restricts or is silent.
    pub restrict_ratio: f64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Liveness {
    pub timeout_ms: u64,
}

/// Standard deviations; the last two drive the process noise.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Estimator {
    pub position_noise_rad: f64,
    pub velocity_noise_rad_s: f64,
    pub torque_noise_nm: f64,
    pub acceleration_noise_rad_s2: f64,
    pub torque_drift_nm_s: f64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Standing still for this long after a controlled stop, the ladder rises to hold.
    pub hold_ms: u64,
    /// Power goes when every joint is slower than this …
    pub power_off_speed_rad_s: f64,
    /// … or after this time, moving or not.
    pub power_off_timeout_ms: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Watchdog {
    pub check_ms: u64,
    pub timeout_ms: u64,
}

/// The line toggled each cycle, for an oscilloscope.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Gpio {
    pub chip: String,
    pub line: u32,
}

const fn real_time() -> u32 {
    1
}

/// What stands behind the actuator interface.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Hal {
    Sim {
        /// Seconds of the machine's clock in one second of the robot's; only a simulated arm has a time of its own.
        #[serde(default = "real_time")]
        slow_motion: u32,
    },
    Cia402 {
        interface: String,
        fd: bool,
        bitrate_bps: u64,
        data_bitrate_bps: u64,
        nodes: Vec<u8>,
        counts_per_rad: Vec<f64>,
    },
}
