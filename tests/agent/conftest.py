"""An agent on a bench: real shared memory, a clock that moves when told, hand-made messages."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from conf.load import compose
from conf.schema import Config
from runtime.daemon import Context
from runtime.hal.clock import VirtualClock
from runtime.paths import Paths
from runtime.shm import GpuState, ObjectKind, Shm, StopLevel, StopReason, Workspace
from runtime.telemetry.client import MemorySink, TelemetryClient
from runtime.uplink import Uplink, write_uplink

STEP_NS = 50_000_000
BATCH_NS = 1_000_000_000
PART_SIZE_M = (0.084, 0.070, 0.040)


@pytest.fixture(scope="session")
def profile() -> Config:
    return compose().config


@dataclass
class World:
    """What stands around the agent. `fields` of a topic are published anew before each step."""

    context: Context
    sink: MemorySink
    clock: VirtualClock
    silent: set[str] = field(default_factory=set)
    state: dict[str, object] = field(default_factory=dict)
    gpu: dict[str, object] = field(default_factory=dict)
    scene: dict[str, object] = field(default_factory=dict)
    people: dict[str, object] = field(default_factory=dict)
    policy: dict[str, object] = field(default_factory=dict)
    parts: list[tuple[int, tuple[float, float, float]]] = field(default_factory=list)
    online: bool = True
    obedient: bool = True  # Tier 1 does as the directive says

    def __post_init__(self) -> None:
        shm = self.context.shm
        topics = ("state", "hal.gpu", "scene", "people", "policy_status")
        self.writers = {topic: shm.writer(topic) for topic in topics}
        self.directives = shm.reader("directive")
        self.goals = shm.reader("goal")
        config = self.context.config
        q = np.zeros(8)
        q[: len(config.robot.home_rad)] = config.robot.home_rad
        self.state = {
            "joints": 7,
            "q": q,
            "battery_ratio": 0.9,
            "epoch": 1,
            "challenge": 77,
            "stop_level": int(StopLevel.HOLD),
            "stop_reason": int(StopReason.BOOT),
            **self.state,
        }
        self.state["motor_temp_c"] = np.full(8, 30.0)
        self.gpu = {"present": 1, "slowdown": 1.0, "load_ratio": 0.2, "temp_c": 50.0, **self.gpu}
        self.scene = {"gpu_state": int(GpuState.OK), **self.scene}
        self.people = {"workspace": int(Workspace.CLEAR), **self.people}

    @property
    def directive(self) -> np.void:
        record = self.directives.latest()
        assert record is not None
        return record

    @property
    def goal(self) -> np.void:
        record = self.goals.latest()
        assert record is not None
        return record

    def publish(self) -> None:
        now_ns = self.clock.now_ns()
        if self.obedient:
            self._obey()
        topics = {
            "state": self.state,
            "hal.gpu": self.gpu,
            "scene": {**self.scene, **self._seen(), "capture_ns": now_ns},
            "people": {**self.people, "capture_ns": now_ns},
            "policy_status": self.policy,
        }
        for topic, fields in topics.items():
            if topic not in self.silent:
                self.writers[topic].write(None, created_ns=now_ns, **fields)
        if "uplink" not in self.silent:
            write_uplink(self.context.paths.uplink, Uplink(self.online, now_ns, now_ns))

    def run(self, agent, for_ms: int) -> None:
        for _ in range(for_ms // 50):
            self.clock.advance(STEP_NS)
            self.publish()
            agent.step(self.clock.now_ns())

    def events(self, name: str) -> list[dict[str, object]]:
        return [dict(r.fields) for r in self._drained() if r.name == name]

    def _drained(self):
        self._all = [*getattr(self, "_all", []), *self.sink.drain()]
        return self._all

    def _seen(self) -> dict[str, object]:
        count = len(self.parts)
        kind, ids = np.zeros(16, np.uint32), np.zeros(16, np.uint32)
        pos, confidence, size = np.zeros((16, 3)), np.zeros(16), np.zeros((16, 3))
        for index, (object_id, position) in enumerate(self.parts):
            kind[index], ids[index] = int(ObjectKind.PART), object_id
            pos[index], confidence[index], size[index] = position, 0.9, PART_SIZE_M
        seen = {"count": count, "kind": kind, "id": ids, "pos": pos}
        return seen | {"confidence": confidence, "size": size}

    def _obey(self) -> None:
        """As controld: the ladder rises on request, and falls on a re-arm above the last."""
        directive = self.directives.latest()
        if directive is None:
            return
        if directive["rearm_count"] > self.state.get("rearm_count", 0) and not self.state.get(
            "estop"
        ):
            self.state |= {
                "rearm_count": int(directive["rearm_count"]),
                "stop_level": int(StopLevel.NONE),
                "stop_reason": int(StopReason.NONE),
            }
        elif directive["stop_request"] > self.state["stop_level"]:
            self.state |= {
                "stop_level": int(directive["stop_request"]),
                "stop_reason": int(StopReason.REQUESTED),
            }


def make_context(config: Config, home: Path, clock: VirtualClock, sink: MemorySink) -> Context:
    paths = Paths(run=home / "run", data=home / "data")
    (paths.run / "shm").mkdir(parents=True)
    paths.data.mkdir()
    return Context(config, paths, clock, Shm(paths.shm), TelemetryClient(sink, "agentd", clock))


@pytest.fixture
def world(profile: Config, tmp_path: Path) -> World:
    clock, sink = VirtualClock(BATCH_NS), MemorySink()
    quiet = profile.model_copy(
        update={"facility": profile.facility.model_copy(update={"auto_duty": None})}
    )
    return World(make_context(quiet, tmp_path, clock, sink), sink, clock)


@pytest.fixture
def duty_world(profile: Config, tmp_path: Path) -> World:
    clock, sink = VirtualClock(BATCH_NS), MemorySink()
    return World(make_context(profile, tmp_path, clock, sink), sink, clock)


__all__ = ["World", "replace"]
