"""Which levels look at a picture, and why: readings and memory in, levels out. Touches nothing.

Level 1 always runs. What it shows may call level 2; what either shows may call level 3. Level 1
cannot see what it misses, so some reasons owe it nothing: depth that changed, the robot's speed,
the time since the last full look, sensors that disagree, and not being able to tell at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from conf.schema.perception import Triggers
from runtime.perception.level import Level
from runtime.shm.enums import Levels, Trigger

INDEPENDENT = Trigger.DEPTH_CHANGE | Trigger.ROBOT_SPEED | Trigger.PERIODIC | Trigger.DISAGREEMENT
CALLS_REFINED = (
    Trigger.CONFIDENCE
    | Trigger.NEW_OBJECT
    | Trigger.VELOCITY
    | Trigger.IN_WORKSPACE
    | Trigger.UNCERTAINTY
)
CALLS_FULL = Trigger.HUMAN_NEARBY | Trigger.OCCLUSION | Trigger.HIGH_VALUE | INDEPENDENT


@dataclass(frozen=True)
class Seen:
    """One person or candidate, as far as the decision cares."""

    confidence: float
    is_new: bool = False  # no refined look has confirmed it
    speed_m_s: float = 0.0
    in_workspace: bool = False
    uncertainty_m: float = 0.0
    distance_m: float = float("inf")  # from the robot's base, along the floor
    occlusion: float = 0.0
    measured: bool = True  # depth and network agree


@dataclass(frozen=True)
class Readings:
    """What is known when a decision is due. None: cannot be told, which calls for a full look."""

    seen: tuple[Seen, ...] = ()
    change_px: int | None = 0  # nearer than the background and nobody known stands there
    robot_speed_rad_s: float | None = 0.0
    high_value: bool = False


@dataclass(frozen=True)
class Budget:
    """How often a level may run: a bucket that fills at `rate_hz` and holds `burst` runs."""

    rate_hz: float
    burst: int = 1


@dataclass(frozen=True)
class Memory:
    """What the cascade remembers between decisions."""

    tokens: Mapping[Level, float] = field(default_factory=dict)
    filled_ns: int | None = None
    last_full_ns: int | None = None  # capture time of the last full look that came back


@dataclass(frozen=True)
class Decision:
    run: frozenset[Level]
    triggers: Trigger


def reasons(triggers: Triggers, readings: Readings, memory: Memory, now_ns: int) -> Trigger:
    """All reasons that hold, whether or not a level may run on them."""
    why = Trigger(0)
    for seen in readings.seen:
        why |= _reasons_of(triggers, seen)
    age_s = _full_age_s(memory, now_ns)
    if age_s > triggers.full_look_s:
        why |= Trigger.PERIODIC
    if readings.change_px is None or readings.change_px >= triggers.change_px:
        why |= Trigger.DEPTH_CHANGE
    speed = readings.robot_speed_rad_s
    if speed is None or speed > triggers.robot_speed_rad_s:
        # A moving robot does not need a look at every picture, but none that is old.
        why |= Trigger.ROBOT_SPEED if age_s > triggers.full_look_moving_s else Trigger(0)
    if readings.high_value:
        why |= Trigger.HIGH_VALUE
    return why


def _reasons_of(triggers: Triggers, seen: Seen) -> Trigger:
    why = Trigger(0)
    if seen.confidence < triggers.confidence_below:
        why |= Trigger.CONFIDENCE
    if seen.is_new:
        why |= Trigger.NEW_OBJECT
    if seen.speed_m_s > triggers.velocity_above_m_s:
        why |= Trigger.VELOCITY
    if seen.in_workspace:
        why |= Trigger.IN_WORKSPACE
    if seen.uncertainty_m > triggers.uncertainty_above:
        why |= Trigger.UNCERTAINTY
    if seen.distance_m < triggers.human_near_m and seen.confidence >= triggers.human_confidence:
        why |= Trigger.HUMAN_NEARBY
    if seen.occlusion > triggers.occlusion_above:
        why |= Trigger.OCCLUSION
    if not seen.measured:
        why |= Trigger.DISAGREEMENT
    return why


def _full_age_s(memory: Memory, now_ns: int) -> float:
    if memory.last_full_ns is None:
        return float("inf")
    return (now_ns - memory.last_full_ns) / 1e9


def decide(
    triggers: Triggers,
    budgets: Mapping[Level, Budget],
    readings: Readings,
    memory: Memory,
    now_ns: int,
    allowed: Levels,
) -> tuple[Decision, Memory]:
    """Levels 2 and 3 to run now. Level 1 is not decided: it runs whenever anything may."""
    memory = _fill(budgets, memory, now_ns)
    why = reasons(triggers, readings, memory, now_ns)
    run: set[Level] = set()
    tokens = dict(memory.tokens)
    urgent = why & CALLS_FULL
    if _full_age_s(memory, now_ns) < triggers.human_look_s:
        # Somebody known is looked at now and then; saved runs are for whoever comes next.
        urgent &= ~Trigger.HUMAN_NEARBY
    for level, calls in ((Level.REFINED, why & CALLS_REFINED), (Level.FULL, urgent)):
        wanted = bool(calls) and bool(allowed & level.bit)
        if wanted and tokens.get(level, 0.0) >= 1.0:
            tokens[level] -= 1.0
            run.add(level)
    return Decision(frozenset(run), why), replace(memory, tokens=tokens)


def _fill(budgets: Mapping[Level, Budget], memory: Memory, now_ns: int) -> Memory:
    since_s = None if memory.filled_ns is None else max(0.0, (now_ns - memory.filled_ns) / 1e9)
    tokens: dict[Level, float] = {}
    for level, budget in budgets.items():
        held = memory.tokens.get(level, 0.0)
        # A run may be due a hair before the grid's next picture: 1 % early is on time.
        gained = budget.burst if since_s is None else since_s * budget.rate_hz * 1.01
        tokens[level] = min(float(budget.burst), held + gained)
    return replace(memory, tokens=tokens, filled_ns=now_ns)


def refund(memory: Memory, budgets: Mapping[Level, Budget], level: Level) -> Memory:
    """A run that was refused before it began costs nothing."""
    tokens = dict(memory.tokens)
    tokens[level] = min(float(budgets[level].burst), tokens.get(level, 0.0) + 1.0)
    return replace(memory, tokens=tokens)
