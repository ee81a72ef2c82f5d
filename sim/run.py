"""`make run`: one robot at work in its simulated cell, with its fleet side, until Ctrl-C.

`run` reads as the list of what happens. The pieces are in sim/launch.py, what a robot is given
before its first start in sim/supplies.py, and what runs in the tables of processes.
"""

from __future__ import annotations

import signal
import sys
import time
import webbrowser
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import httpx

from conf.control import write_control
from conf.load import compose
from conf.profile import write_profile
from conf.schema import Config
from fleet.alerts.alertmanager import program
from fleet.clock import SystemClock
from fleet.people.first import Welcome, welcome
from fleet.prepare import Prepared
from fleet.store.rows import open_rows
from runtime.paths import Paths, robot_paths
from runtime.processes import PROCESSES, ProcessSpec, slow_motion_of
from runtime.supervisor import render_supervisor
from runtime.units import Place
from sim.launch import (
    Child,
    LaunchError,
    Supervisor,
    free_port,
    make_folders,
    only_launcher,
    remove_memory,
    stop_stale,
)
from sim.processes import FLEET_PROCESSES, SIM_PROCESSES
from sim.scenario import load_scenario, write_scenario
from sim.status import Glance, Watcher
from sim.supplies import install_skill, prepare_fleet_side

ROOT = Path(__file__).resolve().parent.parent
BINARIES = ROOT / "runtime/controld/target/bin"
CONTROLD = BINARIES / "controld"
NOTIFIER = "alerts.notify.alertmanager"
START_TIMEOUT_S = 120.0
STATUS_EVERY_S = 10.0
POLL_S = 0.5
LOG_TAIL_LINES = 15


@dataclass(frozen=True)
class RunOptions:
    facility: str | None = None
    hardware: str | None = None
    store: str | None = None
    scenario: str = "picking"
    seconds: float | None = None
    port: int | None = None
    browser: bool = True
    overrides: tuple[str, ...] = ()
    var: Path = ROOT / "var"


@dataclass
class Progress:
    """Numbered steps with the time since the start."""

    started: float = field(default_factory=time.monotonic)
    step: int = 0

    def say(self, text: str) -> None:
        self.step += 1
        seconds = time.monotonic() - self.started
        print(f"[{self.step}] {text} (at {seconds:.1f} s)", flush=True)

    def line(self, text: str) -> None:
        print(f"    {text}", flush=True)


class Interrupt:
    """Set by Ctrl-C or SIGTERM; a second one does not hurry, so that nothing is left behind."""

    def __init__(self) -> None:
        self.is_set = False

    def install(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._set)

    def _set(self, _signal: int, _frame: FrameType | None) -> None:
        if not self.is_set:
            print("\nending …", flush=True)
        self.is_set = True


@dataclass(frozen=True)
class Run:
    """One run, once it is known where everything lies."""

    options: RunOptions
    config: Config
    paths: Paths
    progress: Progress
    interrupt: Interrupt
    prepared: Prepared

    @property
    def fleet(self) -> Path:
        return self.options.var / "fleet"

    @property
    def place(self) -> Place:
        return Place(
            root=ROOT,
            python=Path(sys.executable),
            controld=CONTROLD,
            run=self.paths.run,
            data=self.paths.data,
            shm=self.paths.shm,
            dynamics=BINARIES / "dynamics",
            fleet=self.fleet,
            mosquitto=Path(self.prepared.broker[0]),
        )


def run(options: RunOptions) -> int:
    progress, interrupt = Progress(), Interrupt()
    check_binary()
    config = compose_profile(options)
    paths = robot_paths(options.var, config.robot_id)
    progress.say(
        f"{config.robot_id}: {config.facility.name} on {config.hardware.name},"
        f" profile {config.config_hash[:12]}"
    )
    with only_launcher(paths):
        interrupt.install()
        stop_stale(paths)
        make_folders(paths, config.robot_id)
        write_profile(config, paths.profile)
        write_control(config, paths.control)
        write_scenario(load_scenario(options.scenario), paths.run)
        progress.say(f"profile and control file in {paths.run}")
        install_skill(config, paths, options.var)
        progress.say("skill packed, signed and installed")
        prepared = prepare_fleet_side(config, paths, options.var / "fleet")
        progress.say("certificates and broker configuration")
        return supervise(Run(options, config, paths, progress, interrupt, prepared))


def check_binary() -> None:
    if not CONTROLD.is_file():
        raise LaunchError(
            f"{CONTROLD} is not built; without it nothing moves the arm;"
            " `make setup` builds it (or runtime/controld/build.sh alone)"
        )


def compose_profile(options: RunOptions) -> Config:
    """The profile with ports that are free now, so that what is written is what is used."""

    def composed(*more: str) -> Config:
        return compose(
            hardware=options.hardware,
            facility=options.facility,
            overrides=[*options.overrides, *more],
        ).config

    wanted = [] if options.store is None else [f"telemetry.store={options.store}"]
    named = {word.partition("=")[0] for word in options.overrides}
    if program() is not None and NOTIFIER not in named:
        wanted.append(f"{NOTIFIER}=true")
    first = composed(*wanted)
    taken: set[int] = set()
    broker, page = first.telemetry.broker, first.telemetry.page
    notify = first.alerts.notify
    ports = {
        "telemetry.broker.port": (broker.port, free_port(broker.port, taken)),
        "telemetry.broker.relay_port": (broker.relay_port, free_port(broker.relay_port, taken)),
        "telemetry.page.port": (page.port, free_port(options.port or page.port, taken)),
        "telemetry.page.enrolment_port": (
            page.enrolment_port,
            free_port(page.enrolment_port, taken),
        ),
    }
    if notify.alertmanager:
        port = free_port(notify.alertmanager_port, taken)
        ports[f"{NOTIFIER}_port"] = (notify.alertmanager_port, port)
    changed = [f"{key}={port}" for key, (usual, port) in ports.items() if port != usual]
    return composed(*wanted, *changed) if changed else first


def chosen_processes(config: Config) -> tuple[ProcessSpec, ...]:
    everything = (*SIM_PROCESSES, *FLEET_PROCESSES, *PROCESSES)
    return tuple(spec for spec in everything if spec.runs(config))


def supervise(this: Run) -> int:
    specs = chosen_processes(this.config)
    configuration = this.paths.run / "supervisord.conf"
    configuration.write_text(render_supervisor(specs, this.config, this.place))
    supervisor = Supervisor(
        configuration, this.paths.run / "supervisor.sock", this.paths.log / "supervisord.out"
    )
    watcher = Watcher(this.paths, slow_motion_of(this.config))
    this.progress.say(f"{len(specs)} processes: starting; logs in {this.paths.log}")
    try:
        wait_until_working(this, supervisor, watcher)
        return watch(this, supervisor, watcher)
    finally:
        watcher.close()
        left = supervisor.stop()
        remove_memory(this.paths)
        killed = f"; {len(left)} had to be killed" if left else ""
        this.progress.say(f"all processes ended{killed}")


def wait_until_working(this: Run, supervisor: Supervisor, watcher: Watcher) -> None:
    """Until Tier 1 cycles, the agent answers and the page is served."""
    deadline = time.monotonic() + START_TIMEOUT_S
    said: set[str] = set()
    while not this.interrupt.is_set:
        check_children(this, supervisor)
        glance = watcher.look()
        stages = {
            "control cycle": glance.control_is_alive,
            "agent": glance.agent_answers,
            "page": _is_served(this.prepared.page_url),
        }
        for name in [name for name, up in stages.items() if up and name not in said]:
            said.add(name)
            this.progress.line(f"{name}: up")
        if all(stages.values()):
            announce(this, glance)
            return
        if time.monotonic() > deadline:
            missing = ", ".join(name for name, up in stages.items() if not up)
            raise LaunchError(
                f"after {START_TIMEOUT_S:.0f} s still missing: {missing};"
                f" the logs in {this.paths.log} say why"
            )
        time.sleep(POLL_S)


def announce(this: Run, glance: Glance) -> None:
    this.progress.say(f"running; Tier 1 scheduling: {glance.realtime}")
    page = this.prepared.page_url
    guest = _welcome(this)
    print(f"\n    {guest.link(page)}\n", flush=True)
    print(f"    the robot, live; later {page}; Ctrl-C ends everything\n", flush=True)
    if guest.key is not None:
        print("    the link signs in once, for a quarter of an hour", flush=True)
    if guest.password is not None:
        print(f"    later: name {guest.name}, password {guest.password} (shown this once)\n")
    if this.options.browser and sys.stdout.isatty():
        webbrowser.open(guest.link(page))


def _welcome(this: Run) -> Welcome:
    """An account for whoever started this, the first time, and a way in without typing."""
    rows = open_rows(this.prepared.settings.rows_url)
    try:
        return welcome(rows, SystemClock())
    finally:
        rows.dispose()


def watch(this: Run, supervisor: Supervisor, watcher: Watcher) -> int:
    ends = None if this.options.seconds is None else time.monotonic() + this.options.seconds
    next_status = time.monotonic() + STATUS_EVERY_S
    while not this.interrupt.is_set and (ends is None or time.monotonic() < ends):
        time.sleep(POLL_S)
        if not supervisor.is_alive:
            this.progress.line(f"supervisord ended; see {this.paths.log}/supervisord.out")
            return 1
        if time.monotonic() >= next_status:
            next_status += STATUS_EVERY_S
            this.progress.line(watcher.look().line())
            for child in supervisor.children():
                if child.state == "FATAL":
                    this.progress.line(f"{child.name} does not stay up; see its log")
    this.progress.line(watcher.look().line())
    return 0


def check_children(this: Run, supervisor: Supervisor) -> None:
    if not supervisor.is_alive:
        raise LaunchError(
            "supervisord ended before anything ran:\n" + _tail(this.paths.log / "supervisord.out")
        )
    for child in supervisor.children():
        if child.state == "FATAL":
            raise LaunchError(_gave_up(this, child))


def _gave_up(this: Run, child: Child) -> str:
    log = this.paths.log / f"{child.name}.log"
    return (
        f"{child.name} does not start (exit status {child.exit_status}); the end of {log}:\n"
        + _tail(log)
    )


def _tail(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    except OSError as error:
        lines = [f"(no log: {error})"]
    return "\n".join(f"    {line}" for line in lines)


def _is_served(page: str) -> bool:
    try:
        return httpx.get(page, timeout=5.0, follow_redirects=True).is_success
    except httpx.HTTPError:
        return False
