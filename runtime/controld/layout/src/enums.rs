//! The closed sets that messages speak in. Zero is the value of a field nobody filled: it never means "good".

use crate::declare::{EnumInfo, enums, flags};

enums! {
    /// The stop ladder; it only rises until a re-arm.
    StopLevel: u8 {
        None = 0 as "NONE",
        /// Brake along the shield's stopping trajectory.
        Controlled = 1 as "CONTROLLED",
        /// Stand still under drive control.
        Hold = 2 as "HOLD",
        /// Drives without power, brakes on.
        PowerOff = 3 as "POWER_OFF",
    }
    /// Why the ladder stands where it does.
    StopReason: u16 {
        None = 0 as "NONE",
        /// Held since start: nobody has armed yet.
        Boot = 1 as "BOOT",
        Estop = 2 as "ESTOP",
        /// No correct answer to the liveness challenge in time.
        Liveness = 3 as "LIVENESS",
        Collision = 4 as "COLLISION",
        /// The safety model's veto.
        Veto = 5 as "VETO",
        Thermal = 6 as "THERMAL",
        /// No fresh command from any source for longer than the resume time.
        StaleCommand = 7 as "STALE_COMMAND",
        StaleSensors = 8 as "STALE_SENSORS",
        InvalidSensors = 9 as "INVALID_SENSORS",
        /// Too many missed deadlines in the window.
        Deadline = 10 as "DEADLINE",
        DriveFault = 11 as "DRIVE_FAULT",
        /// Asked for by the directive.
        Requested = 12 as "REQUESTED",
        /// The present state lies outside the safe set.
        OutsideSafeSet = 13 as "OUTSIDE_SAFE_SET",
        /// The drives do not follow the commanded trajectory.
        Tracking = 14 as "TRACKING",
        GripperPressure = 15 as "GRIPPER_PRESSURE",
        /// The process is ending.
        Shutdown = 16 as "SHUTDOWN",
        /// The drives lost power without being told to.
        PowerLost = 17 as "POWER_LOST",
    }
    /// What the execution state machine is doing.
    ExecState: u8 {
        Unknown = 0 as "UNKNOWN",
        /// Waiting for the first valid sensors.
        Starting = 1 as "STARTING",
        /// On the stop ladder, waiting for a re-arm.
        Holding = 2 as "HOLDING",
        /// Armed, no command to follow.
        Ready = 3 as "READY",
        /// Following a command source.
        Executing = 4 as "EXECUTING",
        /// Slowing to a stop.
        Braking = 5 as "BRAKING",
        PoweredOff = 6 as "POWERED_OFF",
    }
    /// Where the followed command came from.
    Source: u8 {
        None = 0 as "NONE",
        Policy = 1 as "POLICY",
        Fallback = 2 as "FALLBACK",
    }
    /// The shield's checks, by which interventions are counted.
    Check: u8 {
        Position = 0 as "POSITION",
        Velocity = 1 as "VELOCITY",
        Acceleration = 2 as "ACCELERATION",
        Jerk = 3 as "JERK",
        Effort = 4 as "EFFORT",
        KeepOut = 5 as "KEEP_OUT",
        Workspace = 6 as "WORKSPACE",
        ToolSpeed = 7 as "TOOL_SPEED",
        Separation = 8 as "SEPARATION",
        Collision = 9 as "COLLISION",
        GripperPressure = 10 as "GRIPPER_PRESSURE",
        MotorTemp = 11 as "MOTOR_TEMP",
        /// The safety model's restriction or veto.
        Verdict = 12 as "VERDICT",
        /// The directive's speed scale.
        Directive = 13 as "DIRECTIVE",
        /// A command that did not start at the present pose.
        StartPose = 14 as "START_POSE",
        /// The wanted sample had no verified stop, so the stop already verified was followed.
        StopReachable = 15 as "STOP_REACHABLE",
    }
    /// Why a command was refused.
    Reject: u8 {
        Expired = 0 as "EXPIRED",
        OutOfOrder = 1 as "OUT_OF_ORDER",
        OldEpoch = 2 as "OLD_EPOCH",
        Future = 3 as "FUTURE",
        NotFinite = 4 as "NOT_FINITE",
        SourceNotAllowed = 5 as "SOURCE_NOT_ALLOWED",
        /// A field outside its declared values or range.
        Invalid = 6 as "INVALID",
        StartPose = 7 as "START_POSE",
    }
    /// What the task is at.
    Phase: u8 {
        Idle = 0 as "IDLE",
        Observe = 1 as "OBSERVE",
        Pick = 2 as "PICK",
        Place = 3 as "PLACE",
        Retreat = 4 as "RETREAT",
    }
    /// The safety model's opinion; it restricts, it never approves.
    Verdict: u8 {
        Unknown = 0 as "UNKNOWN",
        Ok = 1 as "OK",
        Restrict = 2 as "RESTRICT",
        Veto = 3 as "VETO",
    }
    /// Whether somebody is inside the robot's workspace.
    Workspace: u8 {
        Unknown = 0 as "UNKNOWN",
        Clear = 1 as "CLEAR",
        Occupied = 2 as "OCCUPIED",
    }
    /// The scheduling that the control thread obtained, not what it asked for.
    Realtime: u8 {
        Unknown = 0 as "UNKNOWN",
        /// SCHED_FIFO, pinned to its CPU, memory locked.
        Full = 1 as "FULL",
        /// SCHED_FIFO, but not pinned or not locked.
        FifoOnly = 2 as "FIFO_ONLY",
        /// An ordinary thread.
        BestEffort = 3 as "BEST_EFFORT",
        /// No clock of its own: driven cycle by cycle in lock-step.
        Lockstep = 4 as "LOCKSTEP",
    }
    /// What a detected object is.
    ObjectKind: u32 {
        Unknown = 0 as "UNKNOWN",
        Part = 1 as "PART",
        Bin = 2 as "BIN",
        Person = 3 as "PERSON",
    }
    /// The GPU as its user sees it.
    GpuState: u8 {
        Unknown = 0 as "UNKNOWN",
        Ok = 1 as "OK",
        Overloaded = 2 as "OVERLOADED",
        Offline = 3 as "OFFLINE",
    }
    /// What runs the networks.
    Backend: u8 {
        None = 0 as "NONE",
        OnnxCpu = 1 as "ONNX_CPU",
        Tensorrt = 2 as "TENSORRT",
        Fake = 3 as "FAKE",
    }
    /// Which of the policies drives.
    ActivePolicy: u8 {
        None = 0 as "NONE",
        Primary = 1 as "PRIMARY",
        Backup = 2 as "BACKUP",
    }
    /// Why the policy does not act, or failed.
    PolicyReason: u16 {
        None = 0 as "NONE",
        NoGoal = 1 as "NO_GOAL",
        StaleScene = 2 as "STALE_SCENE",
        StaleState = 3 as "STALE_STATE",
        TargetLost = 4 as "TARGET_LOST",
        WorkspaceOccupied = 5 as "WORKSPACE_OCCUPIED",
        OutsideLimits = 6 as "OUTSIDE_LIMITS",
        Collision = 7 as "COLLISION",
        Unhealthy = 8 as "UNHEALTHY",
        Vetoed = 9 as "VETOED",
        ModeForbids = 10 as "MODE_FORBIDS",
        SkillMissing = 11 as "SKILL_MISSING",
        InferenceLate = 12 as "INFERENCE_LATE",
        InferenceFailed = 13 as "INFERENCE_FAILED",
        GraspMissed = 14 as "GRASP_MISSED",
        PartDropped = 15 as "PART_DROPPED",
        Timeout = 16 as "TIMEOUT",
        Blocked = 17 as "BLOCKED",
    }
    /// What the local planner found.
    PlanStatus: u8 {
        Unknown = 0 as "UNKNOWN",
        /// Nothing in the way.
        Clear = 1 as "CLEAR",
        /// The waypoint leads around something.
        Detour = 2 as "DETOUR",
        /// No way found: wait.
        Blocked = 3 as "BLOCKED",
    }
    /// The steps of one control cycle, by which time is accounted.
    Stage: u8 {
        /// How late the thread woke.
        Wake = 0 as "WAKE",
        Sensors = 1 as "SENSORS",
        Estimate = 2 as "ESTIMATE",
        Shield = 3 as "SHIELD",
        Choose = 4 as "CHOOSE",
        Command = 5 as "COMMAND",
        Publish = 6 as "PUBLISH",
        Account = 7 as "ACCOUNT",
        /// The whole cycle from wake-up to sleep.
        Cycle = 8 as "CYCLE",
    }
}

flags! {
    /// Degradation modes; several may hold at once.
    mode Mode: u8 {
        NOMINAL = 0,
        NETWORK_OFFLINE = 1,
        GPU_OVERLOADED = 2,
        GPU_OFFLINE = 4,
        SAFE_STOP = 8,
    }
    /// `Directive::allowed_sources`: which command sources may move the robot.
    sources Sources: u8 {
        POLICY = 1,
        FALLBACK = 2,
    }
    /// `Directive::allowed_levels`: which cascade levels may run.
    levels Levels: u8 {
        LEVEL1 = 1,
        LEVEL2 = 2,
        LEVEL3 = 4,
    }
    /// Why the cascade looked deeper.
    trigger Trigger: u32 {
        CONFIDENCE = 1,
        NEW_OBJECT = 2,
        VELOCITY = 4,
        IN_WORKSPACE = 8,
        UNCERTAINTY = 16,
        HUMAN_NEARBY = 32,
        OCCLUSION = 64,
        HIGH_VALUE = 128,
        PERIODIC = 256,
        DEPTH_CHANGE = 512,
        ROBOT_SPEED = 1024,
        DISAGREEMENT = 2048,
    }
}

impl Source {
    /// Whether the directive's mask allows this source.
    #[must_use]
    pub const fn allowed_by(self, mask: u8) -> bool {
        match self {
            Self::None => false,
            Self::Policy => mask & sources::POLICY != 0,
            Self::Fallback => mask & sources::FALLBACK != 0,
        }
    }
}

/// How many stages a cycle has.
pub const STAGES: usize = Stage::ALL.len();

pub const ENUMS: &[EnumInfo] = &[
    StopLevel::INFO,
    StopReason::INFO,
    ExecState::INFO,
    Source::INFO,
    Check::INFO,
    Reject::INFO,
    Phase::INFO,
    Verdict::INFO,
    Workspace::INFO,
    Realtime::INFO,
    ObjectKind::INFO,
    GpuState::INFO,
    Backend::INFO,
    ActivePolicy::INFO,
    PolicyReason::INFO,
    PlanStatus::INFO,
    Stage::INFO,
    mode::INFO,
    sources::INFO,
    levels::INFO,
    trigger::INFO,
];
