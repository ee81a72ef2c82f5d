"""A run on a virtual clock can be repeated to the byte, and faults act on it as declared."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from conf.schema import Config
from runtime.daemon import Context
from runtime.telemetry.client import Severity
from sim.faults import Component, FaultRefusedError, Kind, ScheduledFault
from sim.film import FilmRecorder, load_film
from sim.lockstep import LockStep, Pictures, Setup
from sim.scenario import FaultEntry, load_scenario
from tests.sim.cores import SwingingCore

S = 1_000_000_000


@dataclass
class Probe:
    """A process that reports what it sees of the arm and counts its own steps."""

    context: Context
    rate_hz: float = 100.0
    steps: list[int] = field(default_factory=list)
    closed: bool = False

    def step(self, now_ns: int) -> None:
        self.steps.append(now_ns)
        sensors = self.context.shm.reader("hal.sensors").latest()
        assert sensors is not None
        if len(self.steps) % 10 == 0:
            self.context.telemetry.metric("probe", {"q0_rad": float(sensors["q"][0])})

    def close(self) -> None:
        self.closed = True


def setup(**changes: object) -> Setup:
    chosen: dict[str, object] = {
        "daemons": ("policyd",),
        "builders": {"policyd": Probe},
        "pictures": Pictures.NONE,
        "core": SwingingCore,
    }
    return Setup(**(chosen | changes))  # type: ignore[arg-type]


def start(config: Config, folder: Path, seed: int = 1, **kwargs: object) -> LockStep:
    kwargs.setdefault("setup", setup())
    return LockStep(config, folder / "run", folder / "data", seed, **kwargs)  # type: ignore[arg-type]


def probe_of(run: LockStep) -> Probe:
    process = run.process("policyd")
    assert isinstance(process, Probe)
    return process


def test_same_seed_gives_identical_telemetry_and_another_seed_other(
    config: Config, tmp_path: Path
) -> None:
    fault = ScheduledFault(
        at_ns=S // 2, component=Component.JOINT_SENSOR, kind=Kind.GARBAGE, lasts_ns=S // 2
    )

    def digest(folder: str, seed: int) -> tuple[str, bytes]:
        with start(config, tmp_path / folder, seed, faults=[fault]) as run:
            run.run(1.5)
            return run.telemetry_digest(), run.plant.scene.capture().tobytes()

    first = digest("a", 5)
    assert first == digest("b", 5)
    assert first[0] != digest("c", 6)[0]


def test_native_core_and_rendered_pictures_repeat_too(
    config: Config, tmp_path: Path, needs_gl: None
) -> None:
    def pictures(folder: str) -> tuple[bytes, bytes]:
        chosen = Setup(daemons=(), pictures=Pictures.RENDERED)
        with start(config, tmp_path / folder, setup=chosen) as run:
            run.run(0.3)
            state = run.shm.state_reader().latest()
            image = run.shm.image_reader("camera.cell.rgb").latest()
            assert state is not None
            assert image is not None
            assert int(state["cycle"]) == 300
            return image.array.tobytes(), state["q"].tobytes()

    assert pictures("a") == pictures("b")


def test_processes_step_at_their_rates(config: Config, tmp_path: Path) -> None:
    with start(config, tmp_path) as run:
        run.run(2.0)
        steps = probe_of(run).steps
        assert len(steps) == pytest.approx(200, abs=2)
        assert set(np.diff(steps)) == {10_000_000}
        assert run.elapsed_s == 2.0


def test_until_ends_a_run_early(config: Config, tmp_path: Path) -> None:
    with start(config, tmp_path) as run:
        assert run.run(5.0, until=lambda: len(probe_of(run).steps) >= 20)
        assert run.elapsed_s < 0.3
        assert not run.run(0.1, until=lambda: False)


def test_hooks_are_called_at_their_period(config: Config, tmp_path: Path) -> None:
    called: list[int] = []
    with start(config, tmp_path) as run:
        run.add_hook(0.1, called.append)
        run.run(1.0)
    assert len(called) == 10


def test_a_process_that_is_off_is_ended_and_built_anew(config: Config, tmp_path: Path) -> None:
    with start(config, tmp_path) as run:
        run.run(0.2)
        before = probe_of(run)
        run.inject(Component.POLICYD, Kind.OFF)
        run.run(0.5)
        assert before.closed
        assert run.process("policyd") is None
        run.clear(Component.POLICYD)
        run.run(0.2)
        assert probe_of(run) is not before
        assert len(probe_of(run).steps) == pytest.approx(20, abs=2)


@pytest.mark.parametrize(
    ("kind", "share"), [(Kind.STUCK, 0.0), (Kind.SLOW, 0.2), (Kind.DELAYED, 0.5)]
)
def test_a_process_with_a_fault_gets_its_share_of_steps(
    config: Config, tmp_path: Path, kind: Kind, share: float
) -> None:
    with start(config, tmp_path) as run:
        run.run(0.1)
        before = len(probe_of(run).steps)
        run.inject(Component.POLICYD, kind)
        run.run(1.2)
        assert (len(probe_of(run).steps) - before) / 120 == pytest.approx(share, abs=0.06)


def test_a_scribbling_process_spoils_its_own_records_only(config: Config, tmp_path: Path) -> None:
    with start(config, tmp_path) as run:
        writer = run.shm.writer("command.policy")
        writer.write(created_ns=1, task_id=77)
        clean = (run.paths.shm / "command.policy").read_bytes()
        run.inject(Component.POLICYD, Kind.GARBAGE)
        run.run(0.05)
        spoiled = (run.paths.shm / "command.policy").read_bytes()
        assert spoiled[:4096] == clean[:4096]
        assert spoiled[4096:] != clean[4096:]
        sensors = run.shm.reader("hal.sensors").latest()
        assert sensors is not None
        assert np.isfinite(sensors["q"]).all()


def test_wall_clock_jumps_and_jumps_back(config: Config, tmp_path: Path) -> None:
    with start(config, tmp_path) as run:
        gap = run.clock.wall_ns() - run.clock.now_ns()
        run.inject(Component.CLOCK, Kind.WRONG)
        assert run.clock.wall_ns() - run.clock.now_ns() == gap + 7200 * S
        run.clear(Component.CLOCK)
        assert run.clock.wall_ns() - run.clock.now_ns() == gap


def test_faults_are_told_and_impossible_ones_refused(config: Config, tmp_path: Path) -> None:
    with start(config, tmp_path) as run:
        run.inject(Component.GPU, Kind.OFF)
        run.run(0.2)
        gpu = run.shm.reader("hal.gpu").latest()
        assert gpu is not None
        assert not gpu["present"]
        told = [record for record in run.records if record.name == "fault.injected"]
        assert [(r.fields["component"], r.severity) for r in told] == [("gpu", Severity.WARNING)]
        with pytest.raises(FaultRefusedError, match="free-running"):
            run.inject(Component.NETWORK, Kind.OFF)


def test_scenario_faults_come_and_go_by_themselves(config: Config, tmp_path: Path) -> None:
    entry = FaultEntry(at_s=0.1, component=Component.GPU, kind=Kind.OFF, for_s=0.2)
    chosen = load_scenario("empty").model_copy(update={"faults": (entry,)})
    with start(config, tmp_path, scenario=chosen) as run:
        assert run.board.active(Component.GPU) is None
        run.run(0.15)
        assert run.board.active(Component.GPU) is not None
        run.run(0.2)
        assert run.board.active(Component.GPU) is None


def test_stand_in_eyes_publish_people_and_parts_with_their_age(
    config: Config, tmp_path: Path
) -> None:
    with start(config, tmp_path, setup=setup(pictures=Pictures.STAND_IN, daemons=())) as run:
        run.run(0.2)
        people, scene = (run.shm.reader(topic).latest() for topic in ("people", "scene"))
        assert people is not None
        assert scene is not None
        assert people["count"] == sum(s is not None for s in run.plant.scene.stances())
        assert scene["count"] == 3
        truth = run.plant.scene.parts()[int(scene["id"][0]) - 1]
        assert scene["pos"][0][:2] == pytest.approx(truth.position_m[:2], abs=0.01)
        assert scene["capture_ns"] < scene["created_ns"]


def test_film_plays_what_was_recorded(config: Config, tmp_path: Path, needs_gl: None) -> None:
    topics = ("camera.cell.rgb", "camera.cell.depth")
    live = setup(pictures=Pictures.RENDERED, daemons=())
    with start(config, tmp_path / "live", setup=live) as run:
        recorder = FilmRecorder(run.shm, topics, rate_hz=10.0)
        run.add_hook(recorder.period_s, recorder.step)
        run.run(0.6)
    recorder.film().save(tmp_path / "film.npz")
    film = load_film(tmp_path / "film.npz")
    assert film.length >= 4
    with start(
        config,
        tmp_path / "again",
        setup=setup(pictures=Pictures.RECORDED, film=film, daemons=()),
    ) as run:
        run.run(0.02)
        shown = run.shm.image_reader("camera.cell.rgb").latest()
        assert shown is not None
        assert (shown.array == film.pictures["camera.cell.rgb"][0]).all()


def test_unknown_process_is_named_with_those_that_run(config: Config, tmp_path: Path) -> None:
    with start(config, tmp_path) as run, pytest.raises(LookupError, match="policyd"):
        run.process("visiond")
