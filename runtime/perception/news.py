"""What the eyes report to the fleet: a metric a second, and an event when something changes."""

from collections import deque

from runtime.hal.clock import NS_PER_S
from runtime.latch import Condition, Latch
from runtime.perception.devices import Networks
from runtime.perception.inference import Outcome, Result
from runtime.perception.inference.port import Ledger
from runtime.perception.level import Level
from runtime.shm.enums import GpuState, Trigger, Workspace
from runtime.telemetry.client import Severity, TelemetryClient

METRIC_EVERY_NS = NS_PER_S
LATE_WINDOW_NS = 2 * NS_PER_S
LATE_MIN_RUNS = 20
SEES_AGAIN_NS = 2 * NS_PER_S  # on a starved host a camera is blind and not twice a second
_GPU_SEVERITY = {
    GpuState.OK: Severity.INFO,
    GpuState.UNKNOWN: Severity.WARNING,
    GpuState.OVERLOADED: Severity.WARNING,
    GpuState.OFFLINE: Severity.CRITICAL,
}


class News:
    def __init__(self, telemetry: TelemetryClient, ledger: Ledger, networks: Networks) -> None:
        self._telemetry = telemetry
        self._ledger = ledger
        self._networks = networks
        self._metric_ns = 0
        self._recent: deque[tuple[int, bool]] = deque()
        self._level: int | None = None
        self._gpu: GpuState | None = None
        self._blind: dict[str, Latch] = {}  # as it was told
        self._restarts = 0
        self._first = networks.levels[Level.FAST].name
        self._why = Trigger(0)

    def count(self, result: Result, now_ns: int) -> None:
        """Level 1's punctuality: its lateness is what an overloaded device shows first."""
        if result.network != self._first:
            return
        self._recent.append((now_ns, result.outcome is not Outcome.DONE))

    def late_ratio(self, now_ns: int) -> float:
        while self._recent and now_ns - self._recent[0][0] > LATE_WINDOW_NS:
            self._recent.popleft()
        if len(self._recent) < LATE_MIN_RUNS:
            return 0.0
        return sum(late for _, late in self._recent) / len(self._recent)

    def tell(
        self,
        now_ns: int,
        level: int,
        why: Trigger,
        gpu: GpuState,
        blind: dict[str, bool],
        workspace: Workspace,
    ) -> None:
        self._tell_level(level, why)
        self._tell_gpu(gpu)
        self._tell_blindness(now_ns, blind)
        self._tell_restarts()
        self._why |= why
        if now_ns - self._metric_ns >= METRIC_EVERY_NS:
            self._metric_ns = now_ns
            self._metric(level, gpu, workspace)
            self._why = Trigger(0)

    def _metric(self, level: int, gpu: GpuState, workspace: Workspace) -> None:
        fields: dict[str, float | int | bool | str] = {
            "level": level,
            "gpu": gpu.name.lower(),
            "workspace": workspace.name.lower(),
            "triggers": int(self._why),
            "restarts": self._ledger.restarts,
        }
        names = {row.key: self._networks.levels[row].name for row in Level}
        names["parts"] = self._networks.parts.name
        for key, name in names.items():
            row = self._ledger.of(name)
            fields |= {
                f"{key}_runs": row.done,
                f"{key}_late": row.late,
                f"{key}_failed": row.failed,
                f"{key}_refused": row.refused,
                f"{key}_latency_us": row.latency_ns // 1000,
            }
        self._telemetry.metric("cascade", fields)

    def _tell_level(self, level: int, why: Trigger) -> None:
        # Levels 2 and 3 come and go with every walker; what changes seldom is whether networks
        # look at all.
        looking = min(level, 1)
        if self._level is not None and looking != self._level:
            self._telemetry.event(
                "perception.level_changed",
                Severity.WARNING if looking == 0 else Severity.INFO,
                {"from": self._level, "to": looking, "triggers": int(why)},
            )
        self._level = looking

    def _tell_gpu(self, gpu: GpuState) -> None:
        if self._gpu is not None and gpu is not self._gpu:
            fields = {"from": self._gpu.name.lower(), "to": gpu.name.lower()}
            self._telemetry.event("perception.gpu_changed", _GPU_SEVERITY[gpu], fields)
        self._gpu = gpu

    def _tell_blindness(self, now_ns: int, blind: dict[str, bool]) -> None:
        """Blind at once; seeing when it has seen for a while."""
        for camera, is_blind in blind.items():
            look = Condition.BAD if is_blind else Condition.GOOD
            was = self._blind.get(camera, Latch(is_blind))
            now = was.look(look, now_ns, leave_ns=SEES_AGAIN_NS)
            if now.active != was.active:
                name = "perception.camera_blind" if is_blind else "perception.camera_seeing"
                severity = Severity.CRITICAL if is_blind else Severity.INFO
                self._telemetry.event(name, severity, {"camera": camera})
            self._blind[camera] = now

    def _tell_restarts(self) -> None:
        if self._ledger.restarts > self._restarts:
            self._restarts = self._ledger.restarts
            self._telemetry.event(
                "perception.worker_lost", Severity.WARNING, {"restarts": self._restarts}
            )
