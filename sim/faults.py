"""One vocabulary of faults: component x {off, stuck, garbage, wrong, slow, delayed, intermittent}.

What a combination does stands in one table; what is not in it is refused with the reason beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from runtime.hal.clock import NS_PER_MS, NS_PER_S


class Kind(StrEnum):
    OFF = "off"
    STUCK = "stuck"
    GARBAGE = "garbage"
    WRONG = "wrong"
    SLOW = "slow"
    DELAYED = "delayed"
    INTERMITTENT = "intermittent"


CLEARED = "ok"  # not a fault: the word that takes one away


class Component(StrEnum):
    CAMERA_CELL = "camera.cell"
    CAMERA_BIN = "camera.bin"
    GPU = "gpu"
    NETWORK = "network"
    VISIOND = "visiond"
    POLICYD = "policyd"
    PLANNERD = "plannerd"
    SAFETYD = "safetyd"
    AGENTD = "agentd"
    TELEMETRYD = "telemetryd"
    JOINT_SENSOR = "joint_sensor"
    GRIPPER = "gripper"
    MOTOR_TEMP = "motor_temp"
    PERSON = "person"
    ESTOP = "estop"
    DISK = "disk"
    CLOCK = "clock"


PROCESSES = (
    Component.VISIOND,
    Component.POLICYD,
    Component.PLANNERD,
    Component.SAFETYD,
    Component.AGENTD,
    Component.TELEMETRYD,
)
# What a process may write, and so what a scribble of that process can reach.
TOPICS: dict[Component, tuple[str, ...]] = {
    Component.VISIOND: ("people", "scene"),
    Component.POLICYD: ("command.policy", "policy_status"),
    Component.PLANNERD: ("command.fallback", "plan"),
    Component.SAFETYD: ("verdict",),
    Component.AGENTD: ("directive", "goal"),
    Component.TELEMETRYD: (),
}


class Venue(StrEnum):
    FREE_RUNNING = "free_running"  # processes of their own, the machine's clock
    LOCK_STEP = "lock_step"  # one process, a virtual clock


EVERYWHERE = frozenset(Venue)
FREE_ONLY = frozenset({Venue.FREE_RUNNING})
LOCK_STEP_ONLY = frozenset({Venue.LOCK_STEP})


@dataclass(frozen=True)
class Effect:
    """What a supported combination does, and in which kind of run."""

    text: str
    venues: frozenset[Venue] = EVERYWHERE


_CAMERA: dict[Kind, Effect] = {
    Kind.OFF: Effect("delivers no pictures"),
    Kind.STUCK: Effect("delivers its last picture again and again, freshly stamped"),
    Kind.GARBAGE: Effect("delivers noise"),
    Kind.WRONG: Effect("delivers another camera's view"),
    Kind.SLOW: Effect("delivers 2 pictures a second"),
    Kind.DELAYED: Effect("delivers pictures 400 ms late, stamped with their true time"),
    Kind.INTERMITTENT: Effect("delivers nothing for 1 s out of every 2 s"),
}
_PROCESS: dict[Kind, Effect] = {
    Kind.OFF: Effect("killed, and held down whenever it is started again"),
    Kind.STUCK: Effect("stopped: alive for the supervisor, but doing nothing"),
    Kind.GARBAGE: Effect("its own messages are overwritten with noise"),
    Kind.SLOW: Effect("gets 20 ms of every 100 ms"),
    Kind.DELAYED: Effect("stands still for 300 ms of every 600 ms"),
    Kind.INTERMITTENT: Effect("stands still for 2 s of every 4 s"),
}

TABLE: dict[Component, dict[Kind, Effect]] = {
    Component.CAMERA_CELL: _CAMERA,
    Component.CAMERA_BIN: _CAMERA,
    Component.GPU: {
        Kind.OFF: Effect("has fallen off the bus"),
        Kind.STUCK: Effect("its driver answers no more questions"),
        Kind.GARBAGE: Effect("its driver reports nonsense"),
        Kind.WRONG: Effect("reports 118 °C"),
        Kind.SLOW: Effect("computes at a quarter of its speed, fully loaded"),
        Kind.INTERMITTENT: Effect("is away for 3 s of every 8 s"),
    },
    Component.NETWORK: {
        Kind.OFF: Effect("connections are cut and refused", FREE_ONLY),
        Kind.STUCK: Effect("connections stay open and carry nothing", FREE_ONLY),
        Kind.GARBAGE: Effect("bytes are flipped on the way", FREE_ONLY),
        Kind.SLOW: Effect("carries 4 kB/s", FREE_ONLY),
        Kind.DELAYED: Effect("everything takes 600 ms longer", FREE_ONLY),
        Kind.INTERMITTENT: Effect("is cut for 3 s of every 6 s", FREE_ONLY),
    },
    **{
        process: {
            kind: effect
            for kind, effect in _PROCESS.items()
            if kind is not Kind.GARBAGE or TOPICS[process]
        }
        for process in PROCESSES
    },
    Component.JOINT_SENSOR: {
        Kind.OFF: Effect("no readings"),
        Kind.STUCK: Effect("readings no longer change, their stamps do"),
        Kind.GARBAGE: Effect("readings of the second joint are noise"),
        Kind.WRONG: Effect("the second joint reads 0.2 rad too much"),
        Kind.SLOW: Effect("one reading in 25 ms"),
        Kind.DELAYED: Effect("readings are 20 ms old"),
        Kind.INTERMITTENT: Effect("no readings for 60 ms out of every 500 ms"),
    },
    Component.GRIPPER: {
        Kind.OFF: Effect("no vacuum"),
        Kind.STUCK: Effect("the valve stays open: vacuum whatever is commanded"),
        Kind.GARBAGE: Effect("the pressure reading is noise"),
        Kind.WRONG: Effect("the pressure reads as if a part were held"),
        Kind.SLOW: Effect("vacuum takes eight times as long"),
        Kind.DELAYED: Effect("commands arrive 400 ms late"),
        Kind.INTERMITTENT: Effect("vacuum is lost for 0.3 s of every 2 s"),
    },
    Component.MOTOR_TEMP: {
        Kind.OFF: Effect("no temperatures (not a number)"),
        Kind.STUCK: Effect("temperatures no longer change"),
        Kind.GARBAGE: Effect("temperatures are noise"),
        Kind.WRONG: Effect("the third motor reads 92 °C"),
        Kind.INTERMITTENT: Effect("no temperatures for 1 s of every 2 s"),
    },
    Component.PERSON: {
        Kind.OFF: Effect("everybody leaves"),
        Kind.STUCK: Effect("a person stands still at the near edge of the walkway"),
        Kind.WRONG: Effect("an intruder walks up to the robot and reaches for it"),
        Kind.SLOW: Effect("people walk at a quarter of their speed"),
        Kind.INTERMITTENT: Effect("an intruder comes close and goes again, over and over"),
    },
    Component.ESTOP: {
        Kind.OFF: Effect("the button's circuit is open, which reads as pressed"),
        Kind.STUCK: Effect("the button is pressed and stays so"),
        Kind.INTERMITTENT: Effect("the contact chatters: pressed for 20 ms of every 1 s"),
    },
    Component.DISK: {
        Kind.STUCK: Effect("the disk is full for the robot's writers", FREE_ONLY),
    },
    Component.CLOCK: {
        Kind.WRONG: Effect("wall time jumps 2 h ahead, and back when cleared", LOCK_STEP_ONLY),
    },
}

_WRONG_MESSAGE = (
    "a well-formed wrong message needs a second writer on the process's own topic, which the shared"
    " memory refuses; use garbage"
)
_NO_TOPIC = "it writes no message of its own that could be overwritten; use stuck or slow"
_ONLY_FULL = (
    "an ordinary user can make a disk full for one process, but neither slow, wrong nor read-only;"
    " use stuck"
)
_ONLY_JUMP = "a clock can be made to jump only where time is virtual; use wrong in a lock-step run"
REFUSED: dict[Component, dict[Kind, str]] = {
    Component.GPU: {Kind.DELAYED: "a late answer is what slow already gives; use slow"},
    Component.NETWORK: {
        Kind.WRONG: "TLS lets no other server answer, so this would be the same as off; use off"
    },
    **{process: {Kind.WRONG: _WRONG_MESSAGE} for process in PROCESSES},
    Component.TELEMETRYD: {Kind.WRONG: _NO_TOPIC, Kind.GARBAGE: _NO_TOPIC},
    Component.MOTOR_TEMP: {
        Kind.SLOW: "motor temperatures change over minutes; use stuck",
        Kind.DELAYED: "motor temperatures change over minutes; use stuck",
    },
    Component.PERSON: {
        Kind.GARBAGE: "a person has no signal that could be noise; use wrong",
        Kind.DELAYED: "a person has no signal that could be late; use wrong",
    },
    Component.ESTOP: {
        Kind.GARBAGE: "a contact has two states; use intermittent",
        Kind.WRONG: "a button that reads released when it is pressed cannot be seen; use stuck",
        Kind.SLOW: "a contact has no speed; use intermittent",
        Kind.DELAYED: "the button is wired, not sent; use stuck",
    },
    Component.DISK: {kind: _ONLY_FULL for kind in Kind if kind is not Kind.STUCK},
    Component.CLOCK: {kind: _ONLY_JUMP for kind in Kind if kind is not Kind.WRONG},
}


class FaultRefusedError(ValueError):
    """An unknown word, or a combination that is not supported; the text says what is."""


def parse_component(word: str) -> Component:
    try:
        return Component(word)
    except ValueError:
        known = ", ".join(Component)
        raise FaultRefusedError(f"component {word!r} is unknown; known are {known}") from None


def parse_kind(word: str) -> Kind:
    try:
        return Kind(word)
    except ValueError:
        known = ", ".join((*Kind, CLEARED))
        raise FaultRefusedError(f"kind {word!r} is unknown; known are {known}") from None


def check_supported(component: Component, kind: Kind, venue: Venue) -> Effect:
    """The combination's effect, or a FaultRefusedError with the reason."""
    effect = TABLE[component].get(kind)
    if effect is None:
        reason = REFUSED[component][kind]
        raise FaultRefusedError(f"{component} cannot be {kind}: {reason}")
    if venue not in effect.venues:
        where = ", ".join(sorted(venue.replace("_", "-") for venue in effect.venues))
        raise FaultRefusedError(f"{component} cannot be {kind} in this run: only in a {where} run")
    return effect


def supported_kinds(component: Component, venue: Venue) -> list[Kind]:
    return [kind for kind, effect in TABLE[component].items() if venue in effect.venues]


@dataclass(frozen=True)
class ActiveFault:
    kind: Kind
    since_ns: int

    def is_in_gap(self, now_ns: int, gap_ns: int, period_ns: int) -> bool:
        """Whether an intermittent fault is away just now: for `gap_ns` of each period."""
        return (now_ns - self.since_ns) % period_ns < gap_ns


class FaultSource(Protocol):
    """Where those that act a fault out look it up."""

    def active(self, component: Component) -> ActiveFault | None: ...


@dataclass(frozen=True, kw_only=True)
class ScheduledFault:
    """A fault declared beforehand: when it comes and, if it does, when it goes."""

    at_ns: int
    component: Component
    kind: Kind
    lasts_ns: int | None = None


class FaultBoard:
    """All faults of one run: at most one a component, checked against the table."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self._active: dict[Component, ActiveFault] = {}

    def active(self, component: Component) -> ActiveFault | None:
        return self._active.get(component)

    def all_active(self) -> dict[Component, ActiveFault]:
        return dict(self._active)

    def inject(self, component: Component, kind: Kind, now_ns: int) -> Effect:
        """Begin a fault in place of any other of the same component."""
        effect = check_supported(component, kind, self.venue)
        self._active[component] = ActiveFault(kind, now_ns)
        return effect

    def clear(self, component: Component) -> ActiveFault | None:
        return self._active.pop(component, None)


class FaultPlan:
    """Plays declared faults on a board."""

    def __init__(self, faults: list[ScheduledFault], board: FaultBoard, start_ns: int) -> None:
        for fault in faults:
            check_supported(fault.component, fault.kind, board.venue)
        self._board = board
        self._begin = sorted(
            ((start_ns + fault.at_ns, fault) for fault in faults), key=lambda entry: entry[0]
        )
        self._end: list[tuple[int, ScheduledFault]] = []

    def step(self, now_ns: int) -> list[tuple[Component, Kind | None]]:
        """Begins and ends what is due; returns what changed (None: cleared)."""
        changed: list[tuple[Component, Kind | None]] = []
        while self._begin and self._begin[0][0] <= now_ns:
            due_ns, fault = self._begin.pop(0)
            self._board.inject(fault.component, fault.kind, now_ns)
            changed.append((fault.component, fault.kind))
            if fault.lasts_ns is not None:
                self._end.append((due_ns + fault.lasts_ns, fault))
        for due_ns, fault in list(self._end):
            if due_ns <= now_ns:
                self._end.remove((due_ns, fault))
                active = self._board.active(fault.component)
                if active is not None and active.kind is fault.kind:
                    self._board.clear(fault.component)
                    changed.append((fault.component, None))
        return changed


# Times of the intermittent kinds: away, and the whole period.
CAMERA_GAP_NS, CAMERA_PERIOD_NS = NS_PER_S, 2 * NS_PER_S
SENSOR_GAP_NS, SENSOR_PERIOD_NS = 60 * NS_PER_MS, 500 * NS_PER_MS
VACUUM_GAP_NS, VACUUM_PERIOD_NS = 300 * NS_PER_MS, 2 * NS_PER_S
TEMPERATURE_GAP_NS, TEMPERATURE_PERIOD_NS = NS_PER_S, 2 * NS_PER_S
ESTOP_GAP_NS, ESTOP_PERIOD_NS = 20 * NS_PER_MS, NS_PER_S
GPU_GAP_NS, GPU_PERIOD_NS = 3 * NS_PER_S, 8 * NS_PER_S
NETWORK_GAP_NS, NETWORK_PERIOD_NS = 3 * NS_PER_S, 6 * NS_PER_S
# Duty of processes: still for so long of each period.
DUTY: dict[Kind, tuple[int, int]] = {
    Kind.SLOW: (80 * NS_PER_MS, 100 * NS_PER_MS),
    Kind.DELAYED: (300 * NS_PER_MS, 600 * NS_PER_MS),
    Kind.INTERMITTENT: (2 * NS_PER_S, 4 * NS_PER_S),
}


def process_runs(fault: ActiveFault | None, now_ns: int) -> bool:
    """Whether a process with this fault may run at this moment."""
    if fault is None:
        return True
    match fault.kind:
        case Kind.OFF | Kind.STUCK:
            return False
        case Kind.GARBAGE | Kind.WRONG:
            return True
        case Kind.SLOW | Kind.DELAYED | Kind.INTERMITTENT:
            still_ns, period_ns = DUTY[fault.kind]
            return not fault.is_in_gap(now_ns, still_ns, period_ns)
