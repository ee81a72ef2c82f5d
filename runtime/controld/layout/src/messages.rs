//! The messages, by topic. Units are in the names; joints in rad, rad/s, Nm; positions in m in the robot's base frame;
//! quaternions w, x, y, z; times CLOCK_MONOTONIC in ns.

use crate::declare::messages;
use crate::enums::*;

/// Most joints a robot may have.
pub const J: usize = 8;
/// Most people one result may hold.
pub const PEOPLE: usize = 8;
/// Most objects one result may hold.
pub const OBJECTS: usize = 16;
/// Room for the shield's checks.
pub const CHECKS: usize = 16;
/// Room for the reasons of refusal.
pub const REJECTS: usize = 8;

/// A correct answer to `StateFrame::challenge` is the challenge exclusive-or this.
pub const CHALLENGE_KEY: u64 = 0xB529_7A4D_3F84_D5A5;

messages! {
    /// One control cycle as it was: what was sensed, decided, commanded and counted. `controld` → everyone.
    ["state"] StateFrame {
        cycle: u64,
        q: [f64; J],
        qd: [f64; J],
        /// Torque on the joints that the model does not explain.
        tau_ext: [f64; J],
        q_cmd: [f64; J],
        qd_cmd: [f64; J],
        tau_cmd: [f64; J],
        tool_pos: [f64; 3],
        tool_quat: [f64; 4],
        tool_speed_m_s: f64,
        /// Suction, 0 to 1.
        gripper_cmd: f64,
        gripper_pressure_kpa: f64,
        motor_temp_c: [f64; J],
        /// NaN where unknown.
        battery_ratio: f64,
        speed_limit_ratio: f64,
        /// Infinity with nobody near, NaN where unknown.
        separation_m: f64,
        people_age_ns: i64,
        sensors_age_ns: i64,
        /// How old the picture is that the followed command rests on; negative where none is followed or none is known.
        observed_age_ns: i64,
        /// By `Check`.
        interventions: [u64; CHECKS],
        /// By `Reject`.
        rejected: [u64; REJECTS],
        misses: u64,
        challenge: u64,
        /// The last re-arm that was accepted.
        rearm_count: u64,
        /// How late this cycle woke.
        wake_ns: i64,
        /// How long the cycle before this one took.
        cycle_ns: i64,
        joints: u32,
        stop_reason: u16 as StopReason,
        exec_state: u8 as ExecState,
        stop_level: u8 as StopLevel,
        source: u8 as Source,
        /// Bits of `Mode`.
        mode: u8,
        realtime: u8 as Realtime,
        estop: u8,
        gripper_holding: u8,
        _pad: [u8; 3],
    }

    /// One missed deadline: a row of the ledger in the state file.
    ["state.miss"] Miss {
        cycle: u64,
        late_ns: i64,
        /// What each stage of the cycle that missed took, by `Stage`.
        stage_ns: [i64; STAGES],
        periods_skipped: u32,
        /// The stage that took longest over its usual.
        stage: u8 as Stage,
        _pad: [u8; 3],
    }

    /// Where the joints shall be 10 ms after `created_ns`. `policyd`, `plannerd` → `controld`.
    ["command.policy", "command.fallback"] MotionCommand {
        task_id: u64,
        /// When the picture was taken that the decision rests on; 0 for none. Told on, and nothing is decided by it.
        observed_ns: i64,
        q: [f64; J],
        qd: [f64; J],
        /// Suction, 0 to 1.
        gripper: f64,
        source: u8 as Source,
        _pad: [u8; 7],
    }

    /// People near the robot; published with `count` 0 when there is nobody, so that "nobody" has an age too. `visiond` → many.
    ["people"] People {
        capture_ns: i64,
        model_hash: u64,
        pos: [[f64; 3]; PEOPLE],
        vel: [[f64; 3]; PEOPLE],
        radius_m: [f64; PEOPLE],
        confidence: [f64; PEOPLE],
        count: u32,
        /// The cascade level that looked.
        level: u8,
        workspace: u8 as Workspace,
        _pad: [u8; 2],
    }

    /// What the cameras show, and how the cascade came to it. `visiond` → policyd, plannerd, agentd.
    ["scene"] Scene {
        capture_ns: i64,
        model_hash: u64,
        pos: [[f64; 3]; OBJECTS],
        size: [[f64; 3]; OBJECTS],
        vel: [[f64; 3]; OBJECTS],
        yaw: [f64; OBJECTS],
        confidence: [f64; OBJECTS],
        uncertainty: [f64; OBJECTS],
        occlusion: f64,
        last_full_ns: i64,
        /// Of the last run, by level.
        latency_ns: [i64; 3],
        runs: [u64; 3],
        late_drops: [u64; 3],
        frames: u64,
        id: [u32; OBJECTS],
        /// `ObjectKind` of each.
        kind: [u32; OBJECTS],
        count: u32,
        /// Bits of `Trigger`.
        triggers: u32,
        level: u8,
        backend: u8 as Backend,
        gpu_state: u8 as GpuState,
        _pad: [u8; 5],
    }

    /// The local planner's advice. `plannerd` → policyd, agentd.
    ["plan"] Plan {
        speed_scale: f64,
        waypoint: [f64; J],
        clearance_m: f64,
        status: u8 as PlanStatus,
        blocked: u8,
        has_waypoint: u8,
        _pad: [u8; 5],
    }

    /// The safety model's opinion. `safetyd` → controld, policyd, agentd.
    ["verdict"] SafetyVerdict {
        speed_scale: f64,
        surprise: f64,
        verdict: u8 as Verdict,
        _pad: [u8; 7],
    }

    /// What everyone may do now. `agentd` → everyone.
    ["directive"] Directive {
        margin_multiplier: f64,
        speed_scale: f64,
        rearm_count: u64,
        /// The last seen `StateFrame::challenge` exclusive-or `CHALLENGE_KEY`.
        challenge_response: u64,
        policy_rate_hz: u16,
        perception_rate_hz: u16,
        /// Bits of `Mode`.
        mode: u8,
        /// Bits of `Sources`.
        allowed_sources: u8,
        /// Bits of `Levels`.
        allowed_levels: u8,
        stop_request: u8 as StopLevel,
        stereo: u8,
        estop: u8,
        _pad: [u8; 6],
    }

    /// What the current task wants. `agentd` → policyd, plannerd, visiond.
    ["goal"] Goal {
        task_id: u64,
        skill_hash: u64,
        target_pos: [f64; 3],
        place_pos: [f64; 3],
        object_id: u32,
        phase: u8 as Phase,
        high_value: u8,
        attempt: u8,
        _pad: [u8; 1],
    }

    /// How the policy is doing. `policyd` → agentd.
    ["policy_status"] PolicyStatus {
        task_id: u64,
        inference_ns: i64,
        rejected_actions: u64,
        chunk_index: u32,
        reason: u16 as PolicyReason,
        active: u8 as ActivePolicy,
        /// Percent of the present phase.
        progress: u8,
        done: u8,
        failed: u8,
        _pad: [u8; 6],
    }

    /// What the drives, gripper and power report. Plant → controld.
    ["hal.sensors"] Sensors {
        tick: u64,
        q: [f64; J],
        qd: [f64; J],
        tau: [f64; J],
        motor_temp_c: [f64; J],
        gripper_pressure_kpa: f64,
        /// NaN where unknown.
        battery_ratio: f64,
        gripper_contact: u8,
        estop: u8,
        drive_fault: u8,
        powered: u8,
        _pad: [u8; 4],
    }

    /// What the drives and the gripper shall do. controld → plant.
    ["hal.actuators"] Actuators {
        tick: u64,
        q_des: [f64; J],
        qd_des: [f64; J],
        tau_ff: [f64; J],
        gripper: f64,
        power: u8,
        _pad: [u8; 7],
    }

    /// The GPU's own report, from the simulator or a probe → visiond, agentd.
    ["hal.gpu"] Gpu {
        load_ratio: f64,
        /// 1.0 is normal, 2.0 takes twice the time.
        slowdown: f64,
        temp_c: f64,
        present: u8,
        _pad: [u8; 7],
    }
}
