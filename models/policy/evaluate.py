"""Task success of the whole robot: `python -m models.policy.evaluate --tasks 200 --json`.

Everything runs in lock-step: cameras, perception, safety model, planner, policy, agent, Tier 1 and
physics. A task counts as a success when the agent finished it, the truth says that a part came to
rest in the tray, every command came from the policy, and the mode was nominal all the while. With
`--pictures stand_in` perception is replaced by noisy truth, and the report says so.
"""

import argparse
import json
import math
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from models.policy.card import read_card, update_card
from models.policy.robot import working_robot
from runtime.shm import Mode, Source
from runtime.telemetry.client import Record
from runtime.uplink import Uplink, write_uplink
from sim.lockstep import LockStep, Pictures
from sim.robot_model import Arm
from sim.scenario import load_scenario

TASKS_PER_RUN = 5
TASK_LIMIT_S = 40.0
BOOT_LIMIT_S = 10.0
FIRST_SEED = 40_000
ENDINGS = {"task.done", "task.failed", "task.cancelled"}
CONFIDENCE_Z = 1.96


@dataclass(frozen=True)
class TaskResult:
    seed: int
    task_id: int
    ended: str
    reason: str
    attempts: int
    placed: bool
    other_source: bool
    nominal: bool
    duration_s: float

    @property
    def success(self) -> bool:
        good = self.ended == "task.done" and self.placed
        return good and not self.other_source and self.nominal


@dataclass
class Watch:
    """Looks at commands, mode and truth while a run goes on; keeps what the present task saw."""

    run: LockStep
    results: list[TaskResult] = field(default_factory=list)
    _read: int = 0
    _placed: int = 0
    _other: bool = False
    _nominal: bool = True
    _mode: int = Mode.NOMINAL
    _counts: bool = False

    def __post_init__(self) -> None:
        self._state = self.run.shm.state_reader()

    def look(self, now_ns: int) -> None:
        """Called a hundred times a second."""
        state = self._state.latest()
        if state is not None:
            self._other |= int(state["source"]) == Source.FALLBACK
            self._mode = int(state["mode"])
            self._nominal &= self._mode == Mode.NOMINAL
        records = self.run.records
        for record in records[self._read :]:
            if record.name == "task.started":
                self._begin()
            elif record.name in ENDINGS:
                self._end(record)
        self._read = len(records)

    def _begin(self) -> None:
        self._placed = self._tally()
        self._other, self._nominal = False, True
        # A task begun while the robot was still finding the fleet after its start is not asked for.
        self._counts = self._mode == Mode.NOMINAL

    def _end(self, record: Record) -> None:
        if not self._counts:
            return
        facts = record.fields
        self.results.append(
            TaskResult(
                seed=self.run.seed,
                task_id=int(facts["task_id"]),
                ended=record.name,
                reason=f"{facts['reason']} {facts['detail']}".strip(),
                attempts=int(facts["attempt"]),
                placed=self._tally() > self._placed,
                other_source=self._other,
                nominal=self._nominal,
                duration_s=float(facts["duration_s"]),
            )
        )

    def _tally(self) -> int:
        return self.run.plant.director.referee.tally.placed


def run_seed(
    arm: Arm, seed: int, tasks: int, scenario: str, pictures: Pictures
) -> list[TaskResult]:
    """The first `tasks` tasks of one seed."""
    with working_robot(arm, seed, load_scenario(scenario), pictures=pictures) as run:
        watch = Watch(run)
        run.add_hook(0.01, watch.look)
        run.add_hook(0.5, lambda now_ns: _keep_fleet_near(run, now_ns))
        run.run(BOOT_LIMIT_S + tasks * TASK_LIMIT_S, lambda: len(watch.results) >= tasks)
        found = watch.results[:tasks]
    missing = tasks - len(found)
    # A task that never came is a failure of the robot, not a smaller sample.
    absent = TaskResult(seed, 0, "absent", "no task ended in time", 0, False, False, True, 0.0)
    return found + [absent] * missing


def _keep_fleet_near(run: LockStep, now_ns: int) -> None:
    """No telemetry runs here; without this the mode would be network_offline."""
    write_uplink(run.paths.uplink, Uplink(connected=True, last_heard_ns=now_ns, at_ns=now_ns))


def summarize(results: list[TaskResult]) -> dict[str, Any]:
    good = sum(result.success for result in results)
    low, high = wilson(good, len(results))
    failures = Counter(_why(result) for result in results if not result.success)
    durations = sorted(result.duration_s for result in results if result.success)
    return {
        "tasks": len(results),
        "successes": good,
        "success_ratio": round(good / max(1, len(results)), 4),
        "interval_95": [round(low, 4), round(high, 4)],
        "first_attempt_ratio": round(
            sum(r.success and r.attempts <= 1 for r in results) / max(1, len(results)), 4
        ),
        "failures": dict(failures.most_common()),
        "median_duration_s": durations[len(durations) // 2] if durations else None,
    }


def wilson(successes: int, count: int) -> tuple[float, float]:
    """95 % interval of a share."""
    if count == 0:
        return 0.0, 1.0
    share, z2 = successes / count, CONFIDENCE_Z**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = CONFIDENCE_Z / (1 + z2 / count)
    half *= math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _why(result: TaskResult) -> str:
    if result.ended != "task.done":
        return result.reason
    if result.other_source:
        return "another source commanded"
    return "not in nominal mode" if not result.nominal else "part not in the tray"


class Journal:
    """Results on disk after every seed, so that a long proof goes on where it was cut off."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def load(self) -> dict[int, list[TaskResult]]:
        if self._path is None or not self._path.is_file():
            return {}
        rows = (json.loads(line) for line in self._path.read_text().splitlines())
        return {row["seed"]: [TaskResult(**task) for task in row["tasks"]] for row in rows}

    def append(self, seed: int, results: Iterable[TaskResult]) -> None:
        if self._path is None:
            return
        row = {"seed": seed, "tasks": [asdict(result) for result in results]}
        with self._path.open("a") as stream:
            stream.write(json.dumps(row) + "\n")


@dataclass(frozen=True)
class Trial:
    """What is tried; the same for every seed."""

    arm: Arm
    tasks: int
    scenario: str
    pictures: Pictures

    @property
    def seeds(self) -> range:
        return range(FIRST_SEED, FIRST_SEED + math.ceil(self.tasks / TASKS_PER_RUN))

    def run(self, seed: int) -> list[TaskResult]:
        return run_seed(self.arm, seed, TASKS_PER_RUN, self.scenario, self.pictures)


def evaluate(trial: Trial, journal: Journal, processes: int, *, quiet: bool) -> list[TaskResult]:
    """Results in the order of the seeds, however many processes shared them."""
    known = journal.load()
    waiting = [seed for seed in trial.seeds if seed not in known]
    # Each process opens its own renderer, so none may inherit one.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for seed, found in zip(waiting, pool.map(trial.run, waiting), strict=True):
            journal.append(seed, found)
            known[seed] = found
            if not quiet:
                told = [result for one in trial.seeds for result in known.get(one, [])]
                good = sum(result.success for result in told)
                print(f"seed {seed}: {good}/{len(told)} tasks", flush=True)
    return [result for seed in trial.seeds for result in known[seed]][: trial.tasks]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.policy.evaluate", description=__doc__)
    parser.add_argument("--arm", type=Arm, choices=list(Arm), default=Arm.PANDA)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--scenario", default="held_out", help="clutter is reported apart")
    parser.add_argument(
        "--pictures", type=Pictures, choices=list(Pictures), default=Pictures.RENDERED
    )
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--journal", type=Path, help="results so far, to go on from")
    parser.add_argument("--card", action="store_true", help="write the figures onto the card")
    parser.add_argument("--json", action="store_true", help="only the figures, as JSON")
    arguments = parser.parse_args()
    trial = Trial(arguments.arm, arguments.tasks, arguments.scenario, arguments.pictures)
    journal = Journal(arguments.journal)
    results = evaluate(trial, journal, arguments.processes, quiet=arguments.json)
    head = {
        "arm": arguments.arm.value,
        "scenario": arguments.scenario,
        "pictures": arguments.pictures.value,
        "first_seed": FIRST_SEED,
        "tasks_per_seed": TASKS_PER_RUN,
    }
    report = {**head, **summarize(results)}
    if arguments.card:
        quality = dict(read_card(arguments.arm.value).get("quality", {}))
        quality[f"{arguments.scenario}, {arguments.pictures.value}"] = report
        update_card(arguments.arm.value, "quality", quality)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
