"""THE table of processes on a robot: what runs, how it is scheduled, and what it may use.

Units (`runtime/units.py`), the development supervisor and the daemons themselves read this table;
nothing else states a rate or a budget. The simulator and the fleet side keep rows of the same type
in their own areas.

`scheduling` is what the design wants of a process. Which CPUs there are, and whether real-time
rights can be had, is the board's: the row of the same name in `hardware.realtime.threads` of the
profile decides, and `wanted_thread` joins the two.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from conf.schema import Config
from conf.schema.hardware import CameraSource, SimActuation, Thread
from conf.schema.hardware import Scheduling as ThreadPolicy


class Area(StrEnum):
    RUNTIME = "runtime"
    SIM = "sim"
    FLEET = "fleet"


class Tier(IntEnum):
    SUPPORT = 0  # unhurried: the agent, telemetry, and everything off the robot
    CONTROL = 1
    PERCEPTION = 2


class Policy(StrEnum):
    OTHER = "other"
    FIFO = "fifo"


class Restart(StrEnum):
    ALWAYS = "always"
    ON_FAILURE = "on-failure"


@dataclass(frozen=True, kw_only=True)
class Scheduling:
    policy: Policy = Policy.OTHER
    priority: int = 0
    nice: int = 0


@dataclass(frozen=True, kw_only=True)
class RestartRule:
    when: Restart = Restart.ALWAYS
    delay_ms: int = 500
    burst: int = 10  # more starts than this within `burst_s` and the unit counts as failed
    burst_s: int = 60


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a process may use on the two-core development profile; the bench compares against it."""

    cpu_ratio: float  # share of one core
    memory_mib: int


CONTROL_ORDER = 10  # controld's place; what starts before it plays the robot's arm

Predicate = Callable[[Config], bool]


def always(config: Config) -> bool:
    return True


def sees(config: Config) -> bool:
    """There are cameras to look through; else recorded detections are told again (sim/replay)."""
    return config.hardware.cameras.source is not CameraSource.REPLAY


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    name: str
    area: Area = Area.RUNTIME
    tier: Tier = Tier.SUPPORT
    module: str | None = None  # `python -m module`; None: a binary, started by `command`
    command: tuple[str, ...] = ()  # with {python} {run} {data} {shm} {control} {root} … filled in
    rate_hz: float | None = None
    scheduling: Scheduling = field(default_factory=Scheduling)
    watchdog_ms: int | None = None
    restart: RestartRule = field(default_factory=RestartRule)
    budget: Budget
    runs: Predicate = always
    start_order: int = 50
    stop_s: int = 5
    groups: tuple[str, ...] = ()  # device groups the sandboxed unit needs
    devices: tuple[str, ...] = ()
    network: bool = False  # may open sockets beyond Unix ones
    writes: tuple[str, ...] = ()  # topics of shared memory that it alone writes
    keeps: bool = False  # writes to the data partition
    scheduled_by_unit: bool = False  # real-time priority comes from its unit, it does not ask
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def starts_with_control(self) -> bool:
        """Control itself, or what it needs before it: nothing else is waited for."""
        return self.start_order <= CONTROL_ORDER


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A port that something listens on. In development all of them are on the loopback address."""

    process: str
    port: int
    protocol: str
    purpose: str


LISTENERS: tuple[Listener, ...] = (
    Listener(process="mosquitto", port=8883, protocol="MQTT 5 over TLS", purpose="telemetry"),
    Listener(process="faultd", port=8884, protocol="TCP relay", purpose="a network one can cut"),
    Listener(process="fleetd", port=8080, protocol="HTTP", purpose="the page"),
    Listener(process="alertmanager", port=9093, protocol="HTTP", purpose="alerts, on loopback"),
    Listener(process="fleetd", port=8443, protocol="HTTPS", purpose="robots ask to be enrolled"),
)


PROCESSES: tuple[ProcessSpec, ...] = (
    ProcessSpec(
        name="controld",
        tier=Tier.CONTROL,
        command=(
            *("{controld}", "--control", "{control}", "--shm", "{shm}"),
            *("--realtime-file", "{run}/realtime.json"),
        ),
        rate_hz=1000,
        scheduling=Scheduling(policy=Policy.FIFO, priority=99),
        watchdog_ms=100,
        restart=RestartRule(delay_ms=100, burst=5, burst_s=30),
        budget=Budget(cpu_ratio=0.15, memory_mib=32),
        start_order=CONTROL_ORDER,
        groups=("gpio",),
        devices=("/dev/gpiochip0",),
        writes=("hal.actuators",),
    ),
    ProcessSpec(
        name="visiond",
        tier=Tier.PERCEPTION,
        module="runtime.perception.visiond",
        rate_hz=30,
        watchdog_ms=5000,
        budget=Budget(cpu_ratio=0.40, memory_mib=350),
        runs=sees,
        start_order=30,
        groups=("video", "render"),
        devices=("char-nvidia*", "char-video4linux"),
        writes=("people", "scene"),
        keeps=True,
    ),
    ProcessSpec(
        name="policyd",
        tier=Tier.PERCEPTION,
        module="runtime.policy.policyd",
        rate_hz=100,
        scheduling=Scheduling(policy=Policy.FIFO, priority=50),
        watchdog_ms=2000,
        budget=Budget(cpu_ratio=0.15, memory_mib=200),
        start_order=30,
        groups=("render",),
        devices=("char-nvidia*",),
        writes=("command.policy", "policy_status"),
    ),
    ProcessSpec(
        name="plannerd",
        tier=Tier.PERCEPTION,
        module="runtime.planning.plannerd",
        rate_hz=100,  # the fallback controller; every tenth step plans
        watchdog_ms=5000,
        budget=Budget(cpu_ratio=0.10, memory_mib=150),
        start_order=30,
        writes=("command.fallback", "plan"),
    ),
    ProcessSpec(
        name="safetyd",
        tier=Tier.PERCEPTION,
        module="runtime.safety.safetyd",
        rate_hz=100,
        scheduling=Scheduling(policy=Policy.FIFO, priority=50),
        watchdog_ms=2000,
        budget=Budget(cpu_ratio=0.10, memory_mib=150),
        start_order=30,
        writes=("verdict",),
    ),
    ProcessSpec(
        name="agentd",
        module="runtime.agent.agentd",
        rate_hz=20,
        # Unhurried work, but Tier 1 waits for its answers.
        scheduling=Scheduling(policy=Policy.FIFO, priority=20),
        watchdog_ms=5000,
        budget=Budget(cpu_ratio=0.08, memory_mib=150),
        start_order=40,
        writes=("directive", "goal"),
        keeps=True,
    ),
    ProcessSpec(
        name="telemetryd",
        module="runtime.telemetry.telemetryd",
        rate_hz=20,
        watchdog_ms=10000,
        budget=Budget(cpu_ratio=0.10, memory_mib=120),
        start_order=20,
        network=True,
        keeps=True,
    ),
)


def wanted_thread(spec: ProcessSpec, config: Config) -> tuple[Scheduling, frozenset[int]]:
    """What to ask the kernel for on this board: the profile's row, the table's niceness."""
    thread = config.hardware.realtime.threads.get(spec.name, Thread())
    match thread.policy:
        case ThreadPolicy.FIFO:
            scheduling = Scheduling(policy=Policy.FIFO, priority=thread.priority)
        case ThreadPolicy.OTHER:
            scheduling = Scheduling(nice=spec.scheduling.nice)
    return scheduling, frozenset(thread.cpus)


def slow_motion_of(config: Config) -> int:
    """Machine seconds in one of the robot's: more than one only where its arm is simulated."""
    actuation = config.hardware.actuation
    return actuation.slow_motion if isinstance(actuation, SimActuation) else 1


def find_process(name: str, table: tuple[ProcessSpec, ...] = PROCESSES) -> ProcessSpec:
    for row in table:
        if row.name == name:
            return row
    known = ", ".join(row.name for row in table)
    raise LookupError(f"process {name!r} is not in the table; it lists {known}")
