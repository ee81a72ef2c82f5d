"""safetyd as a process against real files of shared memory: when it has an opinion at all."""

from pathlib import Path

import numpy as np
import pytest

from conf.load import compose
from runtime.daemon import Context
from runtime.hal.clock import VirtualClock
from runtime.paths import Paths
from runtime.safety import safetyd
from runtime.shm import ExecState, Shm, Verdict
from runtime.telemetry.client import MemorySink, TelemetryClient

STEP_NS = 10_000_000


class Bench:
    """An arm at rest as controld would describe it, and the verdicts on it."""

    def __init__(self, root: Path) -> None:
        config = compose(facility="osaka", hardware="sim_x86").config
        paths = Paths(root / "run", root / "data")
        paths.shm.mkdir(parents=True)
        shm, self.clock, self.sink = Shm(paths.shm), VirtualClock(), MemorySink()
        telemetry = TelemetryClient(self.sink, "safetyd", self.clock)
        self.home = np.array(config.robot.home_rad)
        self.state, self.verdicts = shm.writer("state"), shm.reader("verdict")
        self.daemon = safetyd.build(Context(config, paths, self.clock, shm, telemetry))

    def see(self, exec_state: ExecState, q_rad: np.ndarray, steps: int) -> list[Verdict]:
        given: list[Verdict] = []
        for _ in range(steps):
            now_ns, n = self.clock.advance(STEP_NS), len(self.home)
            record = self.state.new()
            record["created_ns"], record["exec_state"] = now_ns, int(exec_state)
            record["q"][:n], record["q_cmd"][:n] = q_rad, self.home
            self.state.write(record)
            given.append(self.judge(now_ns))
        return given

    def judge(self, now_ns: int) -> Verdict:
        self.daemon.step(now_ns)
        record = self.verdicts.latest()
        assert record is not None
        assert record["created_ns"] == now_ns
        return Verdict(int(record["verdict"]))

    def events(self) -> list:
        return [record for record in self.sink.drain() if record.kind == "event"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_nothing_is_said_of_an_arm_that_has_no_sensors_yet(bench: Bench) -> None:
    nowhere = np.zeros(len(bench.home))
    assert set(bench.see(ExecState.STARTING, nowhere, 50)) == {Verdict.UNKNOWN}
    found = bench.see(ExecState.EXECUTING, bench.home, 60)
    assert found[-1] is Verdict.OK
    assert Verdict.VETO not in found
    assert not any(event.severity == "warning" for event in bench.events())


def test_an_arm_that_is_not_where_it_was_sent_is_vetoed(bench: Bench) -> None:
    assert bench.see(ExecState.EXECUTING, bench.home, 60)[-1] is Verdict.OK
    assert bench.see(ExecState.EXECUTING, bench.home + 0.05, 20)[-1] is Verdict.VETO


def test_silence_of_tier_1_ends_an_approval(bench: Bench) -> None:
    assert bench.see(ExecState.EXECUTING, bench.home, 60)[-1] is Verdict.OK
    assert bench.judge(bench.clock.advance(10 * STEP_NS)) is Verdict.UNKNOWN
