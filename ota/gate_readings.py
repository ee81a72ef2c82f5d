"""What the commit gate looks at, read from the machine. Nothing here decides."""

import contextlib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import numpy as np

from conf.schema import Config
from ota.commit_gate import (
    Item,
    LatencyLimits,
    ProcessState,
    Reading,
    Wakeups,
    judge_absence,
    judge_disk,
    judge_latency,
    judge_processes,
    judge_slot,
)
from ota.looking import (
    PRINT_TOOL,
    SLOT_OF_PART,
    Run,
    free_mib,
    read_table,
    read_text,
    run_program,
)
from records import Certainty, Severity
from runtime.acceptance.latency import of_buckets
from runtime.hal.clock import Clock, SystemClock
from runtime.kernel_line import argument
from runtime.paths import Paths
from runtime.processes import PROCESSES, sees, slow_motion_of
from runtime.shm import GpuState, Histogram, PolicyReason, Shm, Stage, Verdict
from runtime.telemetry.client import TelemetryClient
from runtime.uplink import read_uplink

FRESH_NS: Final = 5_000_000_000  # a message older than this is nobody's work any more
HEARD_NS: Final = 60_000_000_000
ASK_S: Final = 5.0
P999: Final = 0.999
ENOUGH: Final = 0.9  # of the cycles that the declared time has
FAILED: Final = frozenset({PolicyReason.INFERENCE_FAILED, PolicyReason.INFERENCE_LATE})


@dataclass(frozen=True)
class Machine:
    """Everything that is read; handed in, so that a test hands in its own."""

    config: Config
    paths: Paths
    shm: Path
    clock: Clock
    run: Run = run_program
    proc: Path = Path("/proc")
    print_tool: str = PRINT_TOOL
    monotonic_s: Callable[[], float] = lambda: _clock_s()
    tell: Callable[[str, bool, dict[str, str]], None] = lambda name, well, fields: None
    ask: Callable[[str, Path], bool] = lambda url, authority: ask_server(url, authority)


def _clock_s() -> float:
    """Since the kernel started: a gate that is started again has no more time than the first."""
    return SystemClock().now_ns() / 1e9


def machine_of(config: Config, paths: Paths, shm: Path) -> Machine:
    """The real one; what it tells goes to the fleet as an event."""
    clock = SystemClock(slow_motion_of(config))
    client = TelemetryClient(paths.telemetry_socket, "gate", clock)

    def tell(name: str, well: bool, fields: dict[str, str]) -> None:
        severity = Severity.INFO if well else Severity.WARNING
        client.event(name, severity, dict(fields))

    return Machine(config, paths, shm, clock, tell=tell)


@dataclass(frozen=True)
class Environment:
    """The boot environment, as far as the gate asks it; None: not to be read."""

    slot: str | None
    on_trial: bool | None
    attempts: int | None = None  # boots of the trial


def read_environment(machine: Machine) -> Environment:
    words = ["mender_boot_part", "upgrade_available", "bootcount"]
    said = machine.run([machine.print_tool, *words])
    if said is None:
        return Environment(None, None)
    values = dict(line.split("=", 1) for line in said.splitlines() if line.count("=") == 1)
    on_trial = {"1": True, "0": False}.get(values.get("upgrade_available", ""))
    count = values.get("bootcount", "")
    attempts = int(count) if count.isdigit() else None
    return Environment(SLOT_OF_PART.get(values.get("mender_boot_part", "")), on_trial, attempts)


def booted_slot(machine: Machine) -> str | None:
    line = read_text(machine.proc / "cmdline")
    return None if line is None else argument(line, "bedplate.slot")


def boot_id(machine: Machine) -> str | None:
    return read_text(machine.proc / "sys/kernel/random/boot_id")


def slot_reading(machine: Machine, environment: Environment) -> Reading:
    return judge_slot(environment.slot, booted_slot(machine))


def boot_reading(machine: Machine) -> Reading:
    """The report of this boot; one of an earlier boot says nothing."""
    wanted = "a clean report of this boot"
    report, this = read_table(machine.paths.boot_report), boot_id(machine)
    if report is None or this is None or report.get("boot_id") != this:
        return Reading(Item.BOOT, Certainty.UNKNOWN, wanted, "none yet")
    problems = report.get("problems")
    found = "; ".join(map(str, problems)) if isinstance(problems, list) else "nothing sound"
    match report.get("healthy"):
        case True:
            return Reading(Item.BOOT, Certainty.OK, wanted, "clean")
        case False:
            return Reading(Item.BOOT, Certainty.WRONG, wanted, found[:600], lasting=True)
        case _:
            return Reading(Item.BOOT, Certainty.UNKNOWN, wanted, found[:600])


def wanted_processes(config: Config) -> tuple[str, ...]:
    return tuple(spec.name for spec in PROCESSES if spec.runs(config))


def process_states(machine: Machine) -> dict[str, ProcessState]:
    """From systemd; a restart makes a process young again."""
    names = wanted_processes(machine.config)
    units = [f"bedplate-{name}.service" for name in names]
    properties = "--property=Id,ActiveState,ActiveEnterTimestampMonotonic"
    said = machine.run(["systemctl", "show", properties, *units])
    blocks = [] if said is None else said.split("\n\n")
    rows = [
        {key: value for key, _, value in (line.partition("=") for line in block.splitlines())}
        for block in blocks
    ]
    found = {row["Id"]: row for row in rows if "Id" in row}
    now_s = machine.monotonic_s()
    known = {name: found[unit] for name, unit in zip(names, units, strict=True) if unit in found}
    return {name: _process_state(name, row, now_s) for name, row in known.items()}


def _process_state(name: str, row: Mapping[str, str], now_s: float) -> ProcessState:
    entered = row.get("ActiveEnterTimestampMonotonic", "")
    since_s = now_s - int(entered) / 1e6 if entered.isdigit() and int(entered) else None
    state = row.get("ActiveState", "")
    return ProcessState(name, state == "active", state == "failed", since_s)


def latency_limits(config: Config, observe_s: float) -> LatencyLimits:
    """Latency decides only where the board promises real time on a clock that is its own."""
    slow = slow_motion_of(config)
    cycles = observe_s * 1e6 / config.hardware.control.period_us / slow
    why = "" if config.hardware.realtime.required else "the profile promises no real time"
    why = "emulation in slow motion has its host's clock" if slow > 1 else why
    gate = config.ota.gate
    return LatencyLimits(
        limit_us=gate.control_latency_p999_us,
        margin_ratio=gate.latency_margin_ratio,
        cycles=int(cycles * ENOUGH),
        decides=not why,
        why_not=why,
    )


class WakeupWatch:
    """controld's own histogram, from when it was first looked at."""

    def __init__(self, shm: Path) -> None:
        self._reader = Shm(shm).state_reader()
        self._before: tuple[int, Histogram] | None = None

    def measured(self) -> Wakeups | None:
        now = self._look()
        if self._before is None or now is None or now[0] != self._before[0]:
            self._before = now  # another life of the control process: measured from here
            return None
        counts = np.subtract(now[1].counts, self._before[1].counts, dtype=np.int64)
        if (counts < 0).any():
            self._before = now
            return None
        found = of_buckets(now[1].upper_us.tolist(), counts.tolist())
        p999_us = None if found is None else found.quantile_us(P999)
        if found is None or p999_us is None:
            return Wakeups(0.0, 0.0, 0)
        return Wakeups(p999_us, found.max_us, found.count)

    def _look(self) -> tuple[int, Histogram] | None:
        state = self._reader.latest()
        if state is None:
            return None
        return int(state["epoch"]), self._reader.histograms()[Stage.WAKE]


def committed_latency_us(machine: Machine) -> float | None:
    """Of the same board only: another one's says nothing about this one."""
    table = read_table(machine.paths.ota / "latency.json")
    if table is None or table.get("hardware") != machine.config.hardware.name:
        return None
    value = table.get("p999_us")
    return float(value) if isinstance(value, int | float) else None


def perception_reading(machine: Machine) -> Reading:
    """Looks come out of the cascade, and its networks run where it has any."""
    wanted = "fresh looks from running networks"
    scene = Shm(machine.shm).reader("scene").latest()
    stale = _stale(machine, scene)
    if scene is None or stale is not None:
        return Reading(Item.PERCEPTION, Certainty.UNKNOWN, wanted, stale or "no look yet")
    device = GpuState(int(scene["gpu_state"]))
    told = "" if sees(machine.config) else ", told from a recording as the profile says"
    match device:
        case GpuState.OK:
            found = f"{int(scene['frames'])} looks{told}"
            return Reading(Item.PERCEPTION, Certainty.OK, wanted, found)
        case GpuState.UNKNOWN:
            return Reading(Item.PERCEPTION, Certainty.UNKNOWN, wanted, "its device is not known")
        case GpuState.OVERLOADED | GpuState.OFFLINE:
            found = f"its device is {device.name.lower()}"
            return Reading(Item.PERCEPTION, Certainty.WRONG, wanted, found)


def policy_reading(machine: Machine) -> Reading:
    """The policy answers, its network did not fail, and the safety model judges it."""
    wanted = "a policy that answers and a safety model that judges it"
    status = Shm(machine.shm).reader("policy_status").latest()
    verdict = Shm(machine.shm).reader("verdict").latest()
    for name, message in (("policyd", status), ("safetyd", verdict)):
        stale = _stale(machine, message)
        if stale is not None:
            return Reading(Item.POLICY, Certainty.UNKNOWN, wanted, f"{name}: {stale}")
    assert status is not None
    assert verdict is not None
    if Verdict(int(verdict["verdict"])) is Verdict.UNKNOWN:
        # Also what safetyd says for ever where the profile names a model that cannot be loaded.
        found = "the safety model has no opinion"
        return Reading(Item.POLICY, Certainty.UNKNOWN, wanted, found)
    reason = PolicyReason(int(status["reason"]))
    certainty = Certainty.WRONG if reason in FAILED else Certainty.OK
    return Reading(Item.POLICY, certainty, wanted, f"both answer; {reason.name.lower()}")


def _stale(machine: Machine, message: np.void | None) -> str | None:
    if message is None:
        return "nothing yet"
    age_ns = machine.clock.now_ns() - int(message["created_ns"])
    return None if 0 <= age_ns <= FRESH_NS else f"last heard {age_ns / 1e9:.1f} s ago"


def fleet_reading(machine: Machine) -> Reading:
    allowed = machine.config.ota.gate.fleet_absence_allowed
    excuse = "the profile allows its absence" if allowed else None
    uplink = read_uplink(machine.paths.uplink)
    reached: bool | None = None
    if uplink is not None:
        now_ns, heard_ns = machine.clock.now_ns(), uplink.last_heard_ns
        fresh = 0 <= now_ns - uplink.at_ns <= FRESH_NS
        heard = heard_ns is not None and 0 <= now_ns - heard_ns <= HEARD_NS
        reached = (uplink.connected and heard) if fresh else None
    return judge_absence(Item.FLEET, "an answer of the fleet's broker", reached, excuse)


def installed_from_file(machine: Machine) -> bool:
    """Only `bedplate ota install FILE` says so; whatever else came, came from the server."""
    table = read_table(machine.paths.ota / "install.json")
    return table is not None and table.get("source") == "file"


def server_reading(machine: Machine, *, asked: bool | None) -> Reading:
    mender, gate = machine.config.ota.mender, machine.config.ota.gate
    excuse: str | None = None
    if not mender.server_url:
        excuse = "none is declared, updates come from files"
    elif installed_from_file(machine) and gate.server_absence_allowed:
        excuse = "this came from a file, and the profile allows its absence"
    return judge_absence(Item.SERVER, "an answer of the Mender server", asked, excuse)


def ask_server(url: str, authority: Path) -> bool:
    """Any answer in HTTP counts: who may ask what is between the server and the client."""
    trusted = ssl.create_default_context()
    with contextlib.suppress(OSError, ssl.SSLError):
        trusted.load_verify_locations(authority)
    path = "/api/devices/v1/authentication/auth_requests"
    try:
        httpx.get(f"{url}{path}", timeout=ASK_S, verify=trusted)
    except httpx.HTTPError:
        return False
    return True


def disk_reading(machine: Machine) -> Reading:
    return judge_disk(free_mib(machine.paths.data), machine.config.ota.gate.disk_free_min_mib)


class Looker:
    """Takes all readings; remembers what must be watched for a while."""

    def __init__(self, machine: Machine, observe_s: float) -> None:
        self._machine = machine
        self._observe_s = observe_s
        self._limits = latency_limits(machine.config, observe_s)
        self._watch = WakeupWatch(machine.shm)
        self._settled = False
        self._server: bool | None = None
        self.environment = Environment(None, None)
        self.wakeups: Wakeups | None = None

    def look(self) -> tuple[Reading, ...]:
        machine = self._machine
        wanted, states = wanted_processes(machine.config), process_states(machine)
        self._settled = self._settled or all(
            name in states and states[name].active for name in wanted
        )
        return (
            slot_reading(machine, self._read_environment()),
            boot_reading(machine),
            judge_processes(wanted, states, self._observe_s),
            self._latency(),
            perception_reading(machine),
            policy_reading(machine),
            fleet_reading(machine),
            self._ask_server(),
            disk_reading(machine),
        )

    def _latency(self) -> Reading:
        """Watched from when everything runs: what starting costs is not what work costs."""
        self.wakeups = self._watch.measured() if self._settled else None
        return judge_latency(self.wakeups, committed_latency_us(self._machine), self._limits)

    def _read_environment(self) -> Environment:
        """Once it is known: while a slot is judged only its commit changes it, and each question is
        a process of its own beside the loop that is being watched."""
        if self.environment.slot is None:
            self.environment = read_environment(self._machine)
        return self.environment

    def _ask_server(self) -> Reading:
        url = self._machine.config.ota.mender.server_url
        if url and self._server is not True:
            self._server = self._machine.ask(url, self._machine.paths.pki / "ca.crt")
        return server_reading(self._machine, asked=self._server)
