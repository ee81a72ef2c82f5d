"""Runs the real control process and cyclictest in turns, on the same CPU, under the same load.

In turns and not at once: each would be in the other's way. The arm is always the simulated one,
whatever the profile drives: nothing here may move metal.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conf.control import write_control
from conf.schema import Config
from conf.schema.hardware import Load, SimActuation
from runtime.acceptance.judge import Measured, Part, wanted_cycles
from runtime.acceptance.latency import PEER_MOST_US, Latencies, of_buckets, parse_cyclictest
from runtime.shm import ExecState, Realtime, Shm, Stage, StateReader

Say = Callable[[str], None]
ROBOT_CONTROLD: Final = Path("/opt/bedplate/bin/controld")
BUILT_CONTROLD: Final = Path(__file__).parents[1] / "controld/target/bin/controld"
# The plant below the loop and above the load; where no such right can be had it runs without.
PLANT_PRIORITY: Final = 60
# Starting a process in an emulated machine takes its time.
PATIENCE_S: Final = 120.0
# Emulation may be this much slower than its own clock says.
SLOWEST: Final = 3.0
LOOK_EVERY_S: Final = 0.5


class AcceptanceError(RuntimeError):
    """Nothing could be measured; the text says where, what, why and what to try."""


@dataclass(frozen=True)
class Bench:
    """What is measured, and with which programs."""

    config: Config  # with the simulated arm in place of a real one
    controld: Path
    cyclictest: str | None
    dynamics: Path | None  # the compiled plant, beside the control process where there is one
    folder: Path

    @property
    def control(self) -> Path:
        return self.folder / "control.json"

    @property
    def period_us(self) -> int:
        return self.config.hardware.control.period_us


@contextlib.contextmanager
def prepare(config: Config) -> Iterator[Bench]:
    """A folder of its own in memory, with the control file in it."""
    controld = next((file for file in (ROBOT_CONTROLD, BUILT_CONTROLD) if file.is_file()), None)
    if controld is None:
        raise AcceptanceError(
            f"{ROBOT_CONTROLD}\n  got no control process there, nor one built from this tree\n"
            "  because the acceptance runs the real one\n  try  runtime/controld/build.sh"
        )
    folder = Path(tempfile.mkdtemp(prefix="bedplate-acceptance-", dir="/dev/shm"))
    try:
        dynamics = controld.with_name("dynamics")
        bench = Bench(
            config=without_metal(config),
            controld=controld,
            cyclictest=shutil.which("cyclictest"),
            dynamics=dynamics if dynamics.is_file() else None,
            folder=folder,
        )
        write_control(bench.config, bench.control)
        yield bench
    finally:
        shutil.rmtree(folder)


def without_metal(config: Config) -> Config:
    """The same board with a simulated arm: no bus is opened, no motor is told anything.

    And without slow motion: the acceptance is about this machine's own time.
    """
    simulated = {"actuation": SimActuation(kind="sim")}
    return config.model_copy(update={"hardware": config.hardware.model_copy(update=simulated)})


def measure(bench: Bench, say: Say, shortened_to: int | None = None) -> tuple[Measured, ...]:
    """Both parts, each with cyclictest before it."""
    limits = bench.config.hardware.acceptance
    parts = []
    for part in Part:
        load = limits.load if part is Part.LOADED else ()
        cycles = wanted_cycles(limits, part, shortened_to)
        peer_cycles = min(cycles, limits.peer_cycles)
        with contextlib.ExitStack() as stack:
            running = [_start_load(kind, stack) for kind in load]
            for child in running:
                child.wait_ready()
            beside = f" beside {', '.join(load)}" if load else ""
            say(f"{part}: cyclictest, {peer_cycles} wake-ups{beside}")
            peer, problem = run_peer(bench, peer_cycles)
            say(f"{part}: the control loop, {cycles} cycles{beside}")
            measured = run_loop(bench, part, cycles, say)
            died = tuple(child.name for child in running if child.ended())
        parts.append(_with_peer(measured, peer, problem, died))
    return tuple(parts)


def _with_peer(
    measured: Measured, peer: Latencies | None, problem: str, died: tuple[str, ...]
) -> Measured:
    return Measured(
        part=measured.part,
        cycles=measured.cycles,
        missed=measured.missed,
        wakeup=measured.wakeup,
        peer=peer,
        realtime=measured.realtime,
        problem=measured.problem or problem,
        load_died=died,
    )


def run_peer(bench: Bench, loops: int) -> tuple[Latencies | None, str]:
    """cyclictest as the loop is scheduled: same CPU, same priority, same interval."""
    if bench.cyclictest is None:
        return None, "cyclictest is not installed (Debian: rt-tests)"
    thread = bench.config.hardware.realtime.threads["controld"]
    command = [bench.cyclictest, "--quiet", "--mlockall", "--threads=1"]
    command += [f"--affinity={thread.cpus[0]}", f"--priority={max(1, thread.priority)}"]
    command += [f"--interval={bench.period_us}", f"--loops={loops}", f"--histogram={PEER_MOST_US}"]
    limit_s = loops * bench.period_us / 1e6 * SLOWEST + PATIENCE_S
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return None, f"cyclictest did not end within {limit_s:.0f} s"
    found = parse_cyclictest(done.stdout) if done.returncode == 0 else None
    if found is None:
        said = (done.stderr.strip() or done.stdout.strip())[:200]
        return None, f"cyclictest ended with {done.returncode}: {said}"
    return found, ""


def run_loop(bench: Bench, part: Part, cycles: int, say: Say) -> Measured:
    """One start of the control process; it is judged from when the arm moves."""
    shm = bench.folder / f"shm-{part}"
    shm.mkdir()
    with contextlib.ExitStack() as stack:
        command = [str(bench.controld), "--control", str(bench.control), "--shm", str(shm)]
        loop = Child("controld", command, stack, silent=False)
        reader = Shm(shm).state_reader()
        if not _wait(lambda: reader.latest() is not None, loop):
            return _nothing(part, f"controld did not start (exit {loop.process.poll()})")
        plant = _start_plant(bench, shm, stack)
        if not _wait(lambda: _moves(reader), plant):
            return _nothing(part, f"the arm did not move (plant exit {plant.process.poll()})")
        return _watch(reader, part, cycles, bench.period_us, loop, say)


def _moves(reader: StateReader) -> bool:
    state = reader.latest()
    return state is not None and int(state["exec_state"]) == ExecState.EXECUTING


def _wait(is_so: Callable[[], bool], child: "Child") -> bool:
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_so():
        if child.ended() or time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True


def _nothing(part: Part, problem: str) -> Measured:
    return Measured(part, 0, 0, None, None, None, problem)


def _watch(
    reader: StateReader, part: Part, cycles: int, period_us: int, loop: "Child", say: Say
) -> Measured:
    """Only looks at the newest state now and then: the watcher is no load of its own."""
    first, before = reader.latest(), reader.histograms()[Stage.WAKE]
    assert first is not None
    begun_s, said_s = time.monotonic(), time.monotonic()
    limit_s = cycles * period_us / 1e6 * SLOWEST + PATIENCE_S
    problem, state = "", first
    while int(state["cycle"]) - int(first["cycle"]) < cycles:
        time.sleep(LOOK_EVERY_S)
        state = reader.latest() or state
        now_s = time.monotonic()
        if loop.ended() or now_s - begun_s > limit_s:
            problem = f"controld {'ended' if loop.ended() else 'was too slow'}"
            break
        if now_s - said_s > 30:
            said_s = now_s
            say(f"{part}: {int(state['cycle']) - int(first['cycle'])} of {cycles} cycles")
    woken = reader.histograms()[Stage.WAKE] - before
    return Measured(
        part=part,
        cycles=int(state["cycle"]) - int(first["cycle"]),
        missed=int(state["misses"]) - int(first["misses"]),
        wakeup=of_buckets(woken.upper_us.tolist(), woken.counts.tolist()),
        peer=None,
        realtime=_is_realtime(Realtime(int(state["realtime"]))),
        problem=problem,
    )


def _is_realtime(obtained: Realtime) -> bool | None:
    match obtained:
        case Realtime.FULL:
            return True
        case Realtime.FIFO_ONLY | Realtime.BEST_EFFORT | Realtime.LOCKSTEP:
            return False
        case Realtime.UNKNOWN:
            return None


class Child:
    """A process that ends with the measurement, however that ends."""

    def __init__(
        self, name: str, command: list[str], stack: contextlib.ExitStack, *, silent: bool = True
    ) -> None:
        self.name = name
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if silent else subprocess.DEVNULL,
            start_new_session=True,
        )
        stack.callback(self.end)

    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait_ready(self) -> None:
        """Until it has said so."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        if not ready or not self.process.stdout.readline():
            raise AcceptanceError(
                f"{self.name}\n  got {'an end' if self.ended() else 'nothing'}"
                f" within {PATIENCE_S:.0f} s\n  because a loop is judged beside all of its load\n"
                f"  try  {' '.join(str(part) for part in self.process.args)}"  # pyright: ignore[reportGeneralTypeIssues]
            )

    def end(self) -> None:
        """With whatever it started itself: each has a session of its own."""
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def _start_load(kind: Load, stack: contextlib.ExitStack) -> Child:
    command = [sys.executable, "-m", "runtime.acceptance.load", kind.value]
    return Child(kind.value, command, stack)


def _start_plant(bench: Bench, shm: Path, stack: contextlib.ExitStack) -> Child:
    """Drives that follow, an agent that answers, a policy that swings the arm."""
    command = [sys.executable, "-m", "runtime.acceptance.company"]
    command += ["--control", str(bench.control), "--shm", str(shm)]
    command += ["--priority", str(PLANT_PRIORITY)]
    if bench.dynamics is not None:
        command += ["--dynamics", str(bench.dynamics)]
    return Child("plant", command, stack, silent=False)
