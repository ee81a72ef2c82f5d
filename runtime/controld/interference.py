"""Measures whether anything that the Python side does delays the control process.

`python -m runtime.controld.interference --json` runs the real control process on a moving arm,
first in quiet, then while the processes around it are killed, stopped and restarted, their slots
flooded and scribbled over, memory hogged and the disk written; and cyclictest under both, in the
same minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from runtime.controld.abuse import Abuse
from runtime.controld.distribution import Distribution, run_cyclictest
from runtime.controld.surroundings import Part, read_control
from runtime.shm import ExecState, Reject, Shm, Source, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE: Final = Path(__file__).parent
BINARY: Final = HERE / "target/bin/controld"
SAMPLE: Final = HERE / "tests/data/osaka.control"
WATCHED: Final = (Stage.WAKE, Stage.CYCLE)
LOAD: Final = (Abuse.HOG, Abuse.DISK, Abuse.SPIN)
# How long a vandal is let be, and how often the surroundings are disturbed.
TURN_S: Final = 0.7
# A busy host starts processes slowly.
PATIENCE_S: Final = 60.0


@dataclass
class Findings:
    """What a phase showed besides times."""

    cycles: int = 0
    gaps: int = 0
    from_abused_slot: int = 0
    outside_limits: int = 0
    not_finite: int = 0
    misses: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    executing: int = 0
    vandal_turns: int = 0
    kills: int = 0
    stops: int = 0
    restarts: int = 0

    def look(self, frames: np.ndarray, last_cycle: int, limits: np.ndarray) -> None:
        """Takes in frames as they come: every command that reached the drives passes here."""
        if len(frames) == 0:
            return
        n = len(limits)
        cycles = np.concatenate([[last_cycle], frames["cycle"].astype(np.int64)])
        if last_cycle:
            self.gaps += int((np.diff(cycles) != 1).sum())
        self.cycles += len(frames)
        self.executing += int((frames["exec_state"] == ExecState.EXECUTING).sum())
        self.from_abused_slot += int((frames["source"] == Source.FALLBACK).sum())
        commanded = frames["q_cmd"][:, :n]
        self.not_finite += int((~np.isfinite(commanded)).any(axis=1).sum())
        outside = (commanded < limits[:, 0] - 1e-9) | (commanded > limits[:, 1] + 1e-9)
        self.outside_limits += int(outside.any(axis=1).sum())


def joint_limits(control: Path) -> np.ndarray:
    section: Any = read_control(control)
    joints = section["limits"]["joints"]
    return np.array([[j["position_min_rad"], j["position_max_rad"]] for j in joints])


class Child:
    """A module run as a process of its own, which says "ready" when it gets to work."""

    def __init__(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.ready_s: float | None = None

    def worked_s(self) -> float:
        """For how long it has been at work; 0 while it starts."""
        assert self.process.stdout is not None
        if self.ready_s is None and select.select([self.process.stdout], [], [], 0)[0]:
            self.ready_s = time.monotonic()
        return 0.0 if self.ready_s is None else time.monotonic() - self.ready_s

    def wait_ready(self) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while self.worked_s() == 0.0:
            if time.monotonic() > deadline_s or self.process.poll() is not None:
                raise RuntimeError(f"{self.process.args} did not get to work")
            time.sleep(0.01)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def start_abuse(abuse: Abuse, shm_dir: Path) -> Child:
    return Child("runtime.controld.abuse", abuse.value, "--shm", str(shm_dir))


class Crowd:
    """The processes around the control process, and what is done to them."""

    def __init__(self, shm_dir: Path, control: Path, findings: Findings) -> None:
        self.shm_dir, self.control, self.findings = shm_dir, control, findings
        self.rest, self.policy = self._play(Part.REST), self._play(Part.POLICY)
        self.load: list[Child] = []
        self.vandal: Child | None = None
        self.vandal_turns = 0
        self.step = 0
        self.next_step_s = 0.0

    def _play(self, part: Part) -> Child:
        # As the robot's own processes: below the control process, above whatever else runs.
        priority = "60" if part is Part.REST else "50"
        places = ("--control", str(self.control), "--shm", str(self.shm_dir))
        module = "runtime.controld.surroundings"
        return Child(module, *places, "--part", part.value, "--priority", priority)

    def wait_ready(self) -> None:
        for child in (self.rest, self.policy, *self.load):
            child.wait_ready()

    def start_load(self, load: tuple[Abuse, ...]) -> None:
        self.load = [start_abuse(abuse, self.shm_dir) for abuse in load]

    def disturb(self) -> None:
        """Called often: now and then somebody is stopped, woken, killed, started again."""
        self._let_vandals_take_turns()
        if time.monotonic() < self.next_step_s or self.policy.worked_s() == 0.0:
            return
        self.next_step_s = time.monotonic() + TURN_S
        self.step += 1
        match self.step % 4:
            case 1:
                self.policy.process.send_signal(signal.SIGSTOP)
                self.findings.stops += 1
            case 2:
                self.policy.process.send_signal(signal.SIGCONT)
            case 3:
                self.policy.end()
                self.findings.kills += 1
            case _:
                self.policy = self._play(Part.POLICY)
                self.findings.restarts += 1

    def _let_vandals_take_turns(self) -> None:
        """A flooder, then a scribbler, and so on, on the slot of a process that is not there."""
        if self.vandal is None:
            self.vandal_turns += 1
            abuse = Abuse.FLOOD if self.vandal_turns % 2 else Abuse.SCRIBBLE
            self.vandal = start_abuse(abuse, self.shm_dir)
        elif self.vandal.worked_s() > TURN_S:
            self.vandal.end()
            self.vandal = None
            self.findings.kills += 1
            self.findings.vandal_turns += 1

    def close(self) -> None:
        for child in (self.rest, self.policy, *self.load, *([self.vandal] if self.vandal else [])):
            child.end()


@dataclass(frozen=True)
class Phase:
    findings: Findings
    stages: dict[str, Distribution]

    def to_dict(self) -> dict[str, Any]:
        stages = {name: spread.to_dict() for name, spread in self.stages.items()}
        return {"findings": vars(self.findings), "stages": stages}


class Bench:
    """The real control process in a folder of its own."""

    def __init__(self, control: Path, shm_dir: Path) -> None:
        self.control, self.shm_dir = control, shm_dir
        command = [str(BINARY), "--control", str(control), "--shm", str(shm_dir)]
        self.process = subprocess.Popen(command)
        self.reader = Shm(shm_dir).reader("state")
        deadline_s = time.monotonic() + 10
        while self.reader.latest() is None:
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(
                    f"controld did not start (exit {self.process.poll()}): see its message above"
                )
            time.sleep(0.01)

    def run(
        self,
        seconds: float,
        disturb: Callable[[], None],
        findings: Findings,
        is_enough: Callable[[Findings], bool],
    ) -> Phase:
        """Watches every cycle for so long, and on until it was enough."""
        limits = joint_limits(self.control)
        before, first = self.reader.histograms(), self.reader.latest()
        assert first is not None
        last_cycle = int(first["cycle"])
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s or not is_enough(findings):
            if time.monotonic() > end_s + PATIENCE_S:
                raise RuntimeError(f"what was to happen did not happen: {findings}")
            disturb()
            time.sleep(0.1)
            frames = self.reader.frames(last_cycle)
            findings.look(frames, last_cycle, limits)
            last_cycle = int(frames["cycle"][-1]) if len(frames) else last_cycle
        after, last = self.reader.histograms(), self.reader.latest()
        assert last is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"controld ended with {self.process.poll()} while it was watched")
        findings.misses = int(last["misses"]) - int(first["misses"])
        refused = last["rejected"] - first["rejected"]
        findings.rejected = {Reject(i).name: int(n) for i, n in enumerate(refused) if n}
        stages = {stage.name: Distribution.of(after[stage] - before[stage]) for stage in WATCHED}
        return Phase(findings, stages)

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="bedplate-interference-", dir="/dev/shm"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def has_moved(findings: Findings) -> bool:
    return findings.executing > 0


def was_abused(findings: Findings) -> bool:
    """A flood and a scribble each had their turn, and the policy was killed and came back."""
    return has_moved(findings) and findings.vandal_turns >= 2 and findings.restarts >= 1


def run_phase(
    control: Path, seconds: float, *, abused: bool, load: tuple[Abuse, ...] = LOAD
) -> Phase:
    """One start of the control process; the arm moves before the watch begins."""
    findings = Findings()
    with own_folder() as shm_dir, contextlib.ExitStack() as stack:
        bench = Bench(control, shm_dir)
        stack.callback(bench.close)
        crowd = Crowd(shm_dir, control, findings)
        stack.callback(crowd.close)
        if abused:
            crowd.start_load(load)
        crowd.wait_ready()
        if abused:
            return bench.run(seconds, crowd.disturb, findings, was_abused)
        return bench.run(seconds, lambda: None, findings, has_moved)


def run_peer(seconds: float, cpu: int, priority: int, *, abused: bool) -> Distribution | str:
    """cyclictest alone, or under the same load."""
    with own_folder() as shm_dir, contextlib.ExitStack() as stack:
        if abused:
            for abuse in LOAD:
                child = start_abuse(abuse, shm_dir)
                stack.callback(child.end)
                child.wait_ready()
        return run_cyclictest(seconds, cpu, priority)


def measure(control: Path, seconds: float) -> dict[str, Any]:
    """Both phases, each with its peer right after it."""
    section: Any = read_control(control)
    cycle = section["cycle"]
    cpu = cycle["cpu"] if cycle["cpu"] is not None else 0
    phases: dict[str, Phase] = {}
    peers: dict[str, Distribution | str] = {}
    for name, abused in (("quiet", False), ("abused", True)):
        phases[name] = run_phase(control, seconds, abused=abused)
        peers[name] = run_peer(seconds, cpu, max(1, cycle["priority"]), abused=abused)
    result: dict[str, Any] = {name: phase.to_dict() for name, phase in phases.items()}
    result["abused_to_quiet"] = {
        stage: phases["abused"].stages[stage].ratio_to(phases["quiet"].stages[stage])
        for stage in phases["quiet"].stages
    }
    result["cyclictest"], result["wake_to_cyclictest"] = {}, {}
    for name, peer in peers.items():
        is_known = isinstance(peer, Distribution)
        result["cyclictest"][name] = peer.to_dict() if is_known else peer
        if is_known:
            wake = phases[name].stages[Stage.WAKE.name]
            result["wake_to_cyclictest"][name] = wake.ratio_to(peer)
    return {"seconds": seconds, "profile": str(control), **result}


def table(result: dict[str, Any]) -> str:
    """The figures for reading."""
    columns = ("p50_us", "p99_us", "p999_us", "max_us")
    lines = [f"{'':24}" + "".join(f"{name:>12}" for name in columns)]
    for phase in ("quiet", "abused"):
        for stage, spread in result[phase]["stages"].items():
            lines.append(f"{phase + ' ' + stage.lower():24}" + _row(spread, columns))
        peer = result["cyclictest"][phase]
        row = peer if isinstance(peer, str) else _row(peer, columns)
        lines.append(f"{phase + ' cyclictest':24}{row}")
    for stage, ratios in result["abused_to_quiet"].items():
        lines.append(f"{'abused/quiet ' + stage.lower():24}" + _row(ratios, columns))
    lines.append(f"abused: {result['abused']['findings']}")
    return "\n".join(lines)


def _row(figures: dict[str, float], columns: tuple[str, ...]) -> str:
    return "".join(f"{figures.get(name, float('nan')):12.1f}" for name in columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--control", type=Path, default=SAMPLE, help="a control file")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the four runs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--output", type=Path, help="also write the JSON to this file")
    arguments = parser.parse_args()
    result = measure(arguments.control.resolve(), arguments.seconds)
    text = json.dumps(result, indent=2)
    if arguments.output is not None:
        arguments.output.write_text(text + "\n")
    sys.stdout.write((text if arguments.json else table(result)) + "\n")


if __name__ == "__main__":
    main()
