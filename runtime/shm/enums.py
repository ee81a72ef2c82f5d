"""The closed sets that messages speak in; made from runtime/controld/layout by build.sh."""

from enum import IntEnum, IntFlag


class StopLevel(IntEnum):
    NONE = 0
    CONTROLLED = 1
    HOLD = 2
    POWER_OFF = 3


class StopReason(IntEnum):
    NONE = 0
    BOOT = 1
    ESTOP = 2
    LIVENESS = 3
    COLLISION = 4
    VETO = 5
    THERMAL = 6
    STALE_COMMAND = 7
    STALE_SENSORS = 8
    INVALID_SENSORS = 9
    DEADLINE = 10
    DRIVE_FAULT = 11
    REQUESTED = 12
    OUTSIDE_SAFE_SET = 13
    TRACKING = 14
    GRIPPER_PRESSURE = 15
    SHUTDOWN = 16
    POWER_LOST = 17


class ExecState(IntEnum):
    UNKNOWN = 0
    STARTING = 1
    HOLDING = 2
    READY = 3
    EXECUTING = 4
    BRAKING = 5
    POWERED_OFF = 6


class Source(IntEnum):
    NONE = 0
    POLICY = 1
    FALLBACK = 2


class Check(IntEnum):
    POSITION = 0
    VELOCITY = 1
    ACCELERATION = 2
    JERK = 3
    EFFORT = 4
    KEEP_OUT = 5
    WORKSPACE = 6
    TOOL_SPEED = 7
    SEPARATION = 8
    COLLISION = 9
    GRIPPER_PRESSURE = 10
    MOTOR_TEMP = 11
    VERDICT = 12
    DIRECTIVE = 13
    START_POSE = 14
    STOP_REACHABLE = 15


class Reject(IntEnum):
    EXPIRED = 0
    OUT_OF_ORDER = 1
    OLD_EPOCH = 2
    FUTURE = 3
    NOT_FINITE = 4
    SOURCE_NOT_ALLOWED = 5
    INVALID = 6
    START_POSE = 7


class Phase(IntEnum):
    IDLE = 0
    OBSERVE = 1
    PICK = 2
    PLACE = 3
    RETREAT = 4


class Verdict(IntEnum):
    UNKNOWN = 0
    OK = 1
    RESTRICT = 2
    VETO = 3


class Workspace(IntEnum):
    UNKNOWN = 0
    CLEAR = 1
    OCCUPIED = 2


class Realtime(IntEnum):
    UNKNOWN = 0
    FULL = 1
    FIFO_ONLY = 2
    BEST_EFFORT = 3
    LOCKSTEP = 4


class ObjectKind(IntEnum):
    UNKNOWN = 0
    PART = 1
    BIN = 2
    PERSON = 3


class GpuState(IntEnum):
    UNKNOWN = 0
    OK = 1
    OVERLOADED = 2
    OFFLINE = 3


class Backend(IntEnum):
    NONE = 0
    ONNX_CPU = 1
    TENSORRT = 2
    FAKE = 3


class ActivePolicy(IntEnum):
    NONE = 0
    PRIMARY = 1
    BACKUP = 2


class PolicyReason(IntEnum):
    NONE = 0
    NO_GOAL = 1
    STALE_SCENE = 2
    STALE_STATE = 3
    TARGET_LOST = 4
    WORKSPACE_OCCUPIED = 5
    OUTSIDE_LIMITS = 6
    COLLISION = 7
    UNHEALTHY = 8
    VETOED = 9
    MODE_FORBIDS = 10
    SKILL_MISSING = 11
    INFERENCE_LATE = 12
    INFERENCE_FAILED = 13
    GRASP_MISSED = 14
    PART_DROPPED = 15
    TIMEOUT = 16
    BLOCKED = 17


class PlanStatus(IntEnum):
    UNKNOWN = 0
    CLEAR = 1
    DETOUR = 2
    BLOCKED = 3


class Stage(IntEnum):
    WAKE = 0
    SENSORS = 1
    ESTIMATE = 2
    SHIELD = 3
    CHOOSE = 4
    COMMAND = 5
    PUBLISH = 6
    ACCOUNT = 7
    CYCLE = 8


class Mode(IntFlag):
    NOMINAL = 0
    NETWORK_OFFLINE = 1
    GPU_OVERLOADED = 2
    GPU_OFFLINE = 4
    SAFE_STOP = 8


class Sources(IntFlag):
    POLICY = 1
    FALLBACK = 2


class Levels(IntFlag):
    LEVEL1 = 1
    LEVEL2 = 2
    LEVEL3 = 4


class Trigger(IntFlag):
    CONFIDENCE = 1
    NEW_OBJECT = 2
    VELOCITY = 4
    IN_WORKSPACE = 8
    UNCERTAINTY = 16
    HUMAN_NEARBY = 32
    OCCLUSION = 64
    HIGH_VALUE = 128
    PERIODIC = 256
    DEPTH_CHANGE = 512
    ROBOT_SPEED = 1024
    DISAGREEMENT = 2048


LAYOUT_HASH = "5a5f947bebce56cc5b1ec6ddf87c034f7660a43668f77a10ac7443e74b53fa8a"
