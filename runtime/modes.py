"""Degradation as a pure function of readings and time: which modes hold, and what they allow.

`decide` moves a `ModeState` on by one look at the readings; `effects_of` says what a set of modes
allows. Both touch nothing, so the agent, the tests and the what-if table run the same code.

Rules that hold for every table:
- a reading that is missing or too old counts as bad, never as good;
- losing a reading never gives the robot more freedom than having it;
- `safe_stop` is left only by a re-arm that covers each of its causes, after the cause is gone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Generic, TypeVar

from conf.schema.modes import (
    Ambiguity,
    Behaviour,
    Capabilities,
    ComplexTasks,
    Hysteresis,
    ModeName,
    Modes,
    Planning,
    PolicySource,
    SkillSource,
    TelemetryFlow,
)
from conf.schema.modes import Mode as ModeRow
from runtime.latch import Condition, Latch
from runtime.shm import Mode

NS_PER_MS = 1_000_000

T = TypeVar("T")
S = TypeVar("S", bound=StrEnum)


@dataclass(frozen=True)
class Reading(Generic[T]):
    value: T
    at_ns: int


@dataclass(frozen=True)
class GpuReading:
    present: bool
    slowdown: float
    load_ratio: float


class PerceptionHealth(StrEnum):
    OK = "ok"
    OVERLOADED = "overloaded"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


class StopCause(StrEnum):
    """Why the robot stands. From OPERATOR on, only a person's re-arm ends it."""

    BOOT = "boot"
    STALE_COMMAND = "stale_command"
    CONTROL_LOST = "control_lost"
    AMBIGUOUS = "ambiguous"
    HEALTH = "health"
    STALE_SENSORS = "stale_sensors"
    DEADLINE = "deadline"
    OPERATOR = "operator"
    ESTOP = "estop"
    COLLISION = "collision"
    VETO = "veto"
    THERMAL = "thermal"
    LIVENESS = "liveness"
    FAULT = "fault"  # drives, nonsense from sensors: anything else Tier 1 stopped for


@dataclass(frozen=True)
class ControlReading:
    """What Tier 1 says of itself. Its ladder remembers; only some causes show whether they last."""

    latched: frozenset[StopCause]
    lasting: frozenset[StopCause] = frozenset()


class WorkspaceReading(StrEnum):
    UNKNOWN = "unknown"
    CLEAR = "clear"
    OCCUPIED = "occupied"


class HealthReading(StrEnum):
    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Readings:
    """Everything a decision may depend on. None: never heard of."""

    network_online: Reading[bool] | None = None
    gpu: Reading[GpuReading] | None = None
    perception: Reading[PerceptionHealth] | None = None
    workspace: Reading[WorkspaceReading] | None = None
    control: Reading[ControlReading] | None = None
    health: Reading[HealthReading] | None = None
    operator_stop: bool = False


UNHEARD = Latch(active=True)


@dataclass(frozen=True)
class ModeState:
    """What `decide` remembers. A new one has heard nothing, so it is fully degraded."""

    network_offline: Latch = UNHEARD
    gpu_overloaded: Latch = UNHEARD
    gpu_offline: Latch = UNHEARD
    causes: frozenset[StopCause] = frozenset({StopCause.BOOT})
    present_causes: frozenset[StopCause] = frozenset()
    """The causes that hold at this moment: these no re-arm can clear."""

    @property
    def modes(self) -> Mode:
        bits = Mode.NOMINAL
        if self.network_offline.active:
            bits |= Mode.NETWORK_OFFLINE
        if self.gpu_offline.active:
            bits |= Mode.GPU_OFFLINE
        elif self.gpu_overloaded.active:
            bits |= Mode.GPU_OVERLOADED
        if self.causes:
            bits |= Mode.SAFE_STOP
        return bits


@dataclass(frozen=True)
class Effects:
    """What a set of modes allows and changes, ready to be published."""

    capabilities: Capabilities
    behaviour: Behaviour


NO_REARM: frozenset[StopCause] = frozenset()


def decide(
    state: ModeState,
    readings: Readings,
    now_ns: int,
    table: Modes,
    rearm: frozenset[StopCause] = NO_REARM,
) -> ModeState:
    """The next state. `rearm` names the causes that somebody entitled to it clears."""
    latched = replace(
        state,
        network_offline=_look(
            state.network_offline,
            _network(readings, now_ns, table),
            table.hysteresis[ModeName.NETWORK_OFFLINE.value],
            now_ns,
        ),
        gpu_overloaded=_look(
            state.gpu_overloaded,
            _gpu_overloaded(readings, now_ns, table),
            table.hysteresis[ModeName.GPU_OVERLOADED.value],
            now_ns,
        ),
        gpu_offline=_look(
            state.gpu_offline,
            _gpu_offline(readings, now_ns, table),
            table.hysteresis[ModeName.GPU_OFFLINE.value],
            now_ns,
        ),
    )
    present = _present_causes(latched, readings, now_ns, table)
    control = _fresh(readings.control, now_ns, table.fresh.control_ms)
    remembered = frozenset[StopCause]() if control is None else control.latched
    causes = ((state.causes | remembered) - rearm) | present
    return replace(latched, causes=causes, present_causes=present)


def automatic_rearm(
    state: ModeState, table: Modes, *, auto_arm: bool, best_effort: bool = False
) -> frozenset[StopCause]:
    """What the agent may clear without a person: all causes are past and permitted, or nothing.

    `best_effort`: the board does not require real time, so pauses of the machine are no faults.
    """
    pauses = best_effort and table.auto_rearm.best_effort_pauses
    permitted = {
        StopCause.BOOT: auto_arm and table.auto_rearm.boot,
        StopCause.STALE_COMMAND: table.auto_rearm.stale_command,
        StopCause.CONTROL_LOST: table.auto_rearm.control_lost,
        StopCause.AMBIGUOUS: table.auto_rearm.ambiguous,
        StopCause.HEALTH: table.auto_rearm.health,
        StopCause.STALE_SENSORS: pauses,
        StopCause.DEADLINE: pauses,
    }
    if StopCause.BOOT in state.causes and state.modes & (Mode.GPU_OFFLINE | Mode.GPU_OVERLOADED):
        return NO_REARM  # a robot starts well, or with a person who looked at it
    clearable = all(permitted.get(cause, False) for cause in state.causes)
    return state.causes if clearable and not state.present_causes else NO_REARM


def _fresh(reading: Reading[T] | None, now_ns: int, limit_ms: int) -> T | None:
    """The value, or None where it is missing, too old, or from the future."""
    if reading is None or not 0 <= now_ns - reading.at_ns <= limit_ms * NS_PER_MS:
        return None
    return reading.value


def _network(readings: Readings, now_ns: int, table: Modes) -> Condition:
    online = _fresh(readings.network_online, now_ns, table.fresh.network_ms)
    return Condition.GOOD if online else Condition.BAD


def _gpu_overloaded(readings: Readings, now_ns: int, table: Modes) -> Condition:
    perception = _fresh(readings.perception, now_ns, table.fresh.perception_ms)
    gpu = _fresh(readings.gpu, now_ns, table.fresh.gpu_ms)
    if gpu is None or perception is None:
        return Condition.BAD
    match perception:
        case PerceptionHealth.OVERLOADED | PerceptionHealth.UNKNOWN | PerceptionHealth.OFFLINE:
            return Condition.BAD
        case PerceptionHealth.OK:
            return _load(gpu, table)


def _load(gpu: GpuReading, table: Modes) -> Condition:
    band = table.gpu
    # Written so that NaN is bad.
    if not (gpu.slowdown <= band.slowdown_enter and gpu.load_ratio <= band.load_enter):
        return Condition.BAD
    if gpu.slowdown <= band.slowdown_leave and gpu.load_ratio <= band.load_leave:
        return Condition.GOOD
    return Condition.BETWEEN


def _gpu_offline(readings: Readings, now_ns: int, table: Modes) -> Condition:
    perception = _fresh(readings.perception, now_ns, table.fresh.perception_ms)
    gpu = _fresh(readings.gpu, now_ns, table.fresh.gpu_ms)
    if gpu is None or perception is None or not gpu.present:
        return Condition.BAD
    match perception:
        case PerceptionHealth.OFFLINE:
            return Condition.BAD
        case PerceptionHealth.OK | PerceptionHealth.OVERLOADED | PerceptionHealth.UNKNOWN:
            # Unknown with a GPU that answers: nothing has run yet. It counts as overloaded, which
            # allows level 1, and only a run can tell.
            return Condition.GOOD


def _look(latch: Latch, condition: Condition, times: Hysteresis, now_ns: int) -> Latch:
    return latch.look(
        condition,
        now_ns,
        enter_ns=times.enter_ms * NS_PER_MS,
        leave_ns=times.leave_ms * NS_PER_MS,
    )


def _present_causes(
    state: ModeState, readings: Readings, now_ns: int, table: Modes
) -> frozenset[StopCause]:
    found: set[StopCause] = set()
    control = _fresh(readings.control, now_ns, table.fresh.control_ms)
    if control is None:
        found.add(StopCause.CONTROL_LOST)
    else:
        found |= control.lasting
    if readings.operator_stop:
        found.add(StopCause.OPERATOR)
    if _is_ambiguous(state, readings, now_ns, table):
        found.add(StopCause.AMBIGUOUS)
    if _fresh(readings.health, now_ns, table.fresh.health_ms) is not HealthReading.OK:
        # Before the first arming, health that is not known yet is a boot not finished.
        found.add(StopCause.BOOT if StopCause.BOOT in state.causes else StopCause.HEALTH)
    return frozenset(found)


def _is_ambiguous(state: ModeState, readings: Readings, now_ns: int, table: Modes) -> bool:
    behaviour = effects_of(state.modes & ~Mode.SAFE_STOP, table).behaviour
    if behaviour.ambiguity is not Ambiguity.STOP:
        return False
    workspace = _fresh(readings.workspace, now_ns, table.fresh.workspace_ms)
    return workspace is None or workspace is WorkspaceReading.UNKNOWN


BIT_OF: dict[ModeName, Mode] = {
    ModeName.NOMINAL: Mode.NOMINAL,
    ModeName.NETWORK_OFFLINE: Mode.NETWORK_OFFLINE,
    ModeName.GPU_OVERLOADED: Mode.GPU_OVERLOADED,
    ModeName.GPU_OFFLINE: Mode.GPU_OFFLINE,
    ModeName.SAFE_STOP: Mode.SAFE_STOP,
}


def names_of(modes: Mode) -> tuple[ModeName, ...]:
    """The modes in words; nominal only when nothing else holds."""
    held = tuple(name for name, bit in BIT_OF.items() if bit and bit in modes)
    return held or (ModeName.NOMINAL,)


def effects_of(modes: Mode, table: Modes) -> Effects:
    """The strictest of every setting over nominal and the modes that hold."""
    rows = [table.table[ModeName.NOMINAL.value]]
    rows += [table.table[name.value] for name in names_of(modes)]
    return Effects(_strictest_capabilities(rows), _strictest_behaviour(rows))


def _strictest_capabilities(rows: list[ModeRow]) -> Capabilities:
    each = [row.capabilities for row in rows]
    return Capabilities(
        skill_execution=_strictest(SkillSource, (c.skill_execution for c in each)),
        perception_level_max=min(c.perception_level_max for c in each),
        planning=_strictest(Planning, (c.planning for c in each)),
        training=all(c.training for c in each),
        telemetry=_strictest(TelemetryFlow, (c.telemetry for c in each)),
    )


def _strictest_behaviour(rows: list[ModeRow]) -> Behaviour:
    each = [row.behaviour for row in rows]
    return Behaviour(
        new_skills=all(b.new_skills for b in each),
        complex_tasks=_strictest(ComplexTasks, (b.complex_tasks for b in each)),
        policy_source=_strictest(PolicySource, (b.policy_source for b in each)),
        policy_rate_hz=min(b.policy_rate_hz for b in each),
        perception_rate_hz=min(b.perception_rate_hz for b in each),
        stereo=any(b.stereo for b in each),
        margin_multiplier=max(b.margin_multiplier for b in each),
        speed_scale=min(b.speed_scale for b in each),
        ambiguity=_strictest(Ambiguity, (b.ambiguity for b in each)),
        request_human=any(b.request_human for b in each),
    )


def _strictest(members: type[S], found: Iterable[S]) -> S:
    """Closed sets in conf/schema/modes.py are ordered from the freest to the strictest."""
    return max(found, key=list(members).index)
