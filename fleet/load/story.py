"""What one simulated robot says: tasks with all their actions, and metrics. Pure, from a seed."""

import heapq
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.load.journey import Attempt, journey
from fleet.load.plan import Plan
from records import Priority
from runtime.telemetry.client import Value
from runtime.telemetry.line import typed_names
from runtime.telemetry.span import MEASUREMENT, fields_of, is_sampled, trace_id_of

NS = 10**9
REASONS = ("grasp_missed", "part_dropped", "object_not_seen", "pick_timeout")


@dataclass(frozen=True, order=True)
class Said:
    at_ns: int
    order: int
    measurement: str = field(compare=False)
    priority: Priority = field(compare=False)
    fields: Mapping[str, Value] = field(compare=False)


@dataclass
class Totals:
    done: int = 0
    failed: int = 0
    attempts: int = 0
    errors: int = 0


class Story:
    """`until` is called with times that never go back."""

    def __init__(self, plan: Plan, number: int, start_ns: int) -> None:
        self.totals = Totals()
        self.busy_until_ns = start_ns
        self._plan = plan
        self._number = number
        # Two streams of chance and order, so that how often one asks changes nothing.
        self._draw = random.Random(f"{plan.seed}/{number}/tasks")
        self._draw_metrics = random.Random(f"{plan.seed}/{number}/metrics")
        self._said = {True: 0, False: 1}  # of tasks, and metrics
        self._waiting: list[Said] = []
        self._task_id = number * 100_000
        self._version = plan.version_of(number, start_ns)
        self._metric_ns = start_ns + round(self._draw_metrics.random() * plan.metric_period_s * NS)
        self._task_ns = start_ns + round(self._draw.random() * plan.task_period_s * NS)

    def until(self, now_ns: int) -> list[Said]:
        """All that happened since the last call, in the order of its times."""
        while self._task_ns <= now_ns:
            self._task(self._task_ns)
            spread = self._draw.uniform(0.7, 1.3) * self._plan.task_period_s
            self._task_ns = max(self._task_ns + round(spread * NS), self.busy_until_ns)
        while self._metric_ns <= now_ns:
            self._metrics(self._metric_ns)
            self._metric_ns += round(self._plan.metric_period_s * NS)
        said: list[Said] = []
        while self._waiting and self._waiting[0].at_ns <= now_ns:
            said.append(heapq.heappop(self._waiting))
        return said

    def _task(self, at_ns: int) -> None:
        self._note_version(at_ns)
        self._task_id += 1
        task = self._draw.choice(self._plan.tasks)[0]
        likely = self._plan.success(self._number, at_ns, task)
        self._event(at_ns, "task.started", task)
        attempts = [self._attempt(at_ns, task, self._draw.random() < likely)]
        failed = attempts[0].reason
        if failed and self._draw.random() < 0.3:  # a second try, which seldom helps
            again_ns = attempts[0].over_ns + NS // 2
            self._event(again_ns, "recovery.retried", task, attempt=2.0, reason=failed)
            attempts.append(self._attempt(again_ns, task, False))
        self._end(at_ns, attempts[-1].over_ns, task, len(attempts), attempts[-1].reason)
        self._journey(at_ns, task, attempts)
        self.busy_until_ns = attempts[-1].over_ns

    def _attempt(self, begun_ns: int, task: str, well: bool) -> Attempt:
        draw = self._draw
        steps = (("perception.looked", 28.0), ("decision.made", 15.0))
        over_ns = [begun_ns]
        for name, typical_ms in steps:
            took_ms = _log_normal(draw, typical_ms)
            over_ns.append(over_ns[-1] + round(took_ms * 1e6))
            self._event(over_ns[-1], name, task, latency_ms=took_ms)
        _, looked_ns, at_ns = over_ns
        took_ms = _log_normal(draw, 145.0)
        reason = "" if well else self._reason(at_ns, task)
        name = "action.done" if well else "action.failed"
        more: dict[str, Value] = {"latency_ms": took_ms, "command": draw.uniform(-1, 1)}
        more["reason"] = reason or "none"
        self._event(at_ns + round(took_ms * 1e6), name, task, "info", **more)
        end_ns = at_ns + round(draw.uniform(2.5, 5.0) * NS)
        self._event(end_ns, "feedback.given", task, good=well)
        if reason:
            self._event(end_ns + 1, "task.attempt_failed", task, "warning", reason=reason)
        return Attempt(begun_ns, looked_ns, at_ns, end_ns + 2, reason)

    def _journey(self, at_ns: int, task: str, attempts: list[Attempt]) -> None:
        """Of one task in so many, as the trace's own number decides."""
        site, name = self._plan.site(self._number), self._plan.name(self._number)
        trace_id = trace_id_of(site, name, self._task_id, at_ns)
        if not is_sampled(trace_id, self._plan.traces_ratio):
            return
        over_ns = attempts[-1].over_ns
        for span in journey(trace_id, self._task_id, task, at_ns, attempts):
            fields = {**fields_of(span, over_ns), "source": "agentd"}
            self._say(over_ns, MEASUREMENT, Priority.METRIC, fields)

    def _reason(self, at_ns: int, task: str) -> str:
        bad = self._plan.bad
        planted = bad is not None and task == bad.task and bad.has(self._number, at_ns)
        return self._plan.reason if planted else self._draw.choice(REASONS)

    def _end(self, begun_ns: int, at_ns: int, task: str, attempt: int, reason: str) -> None:
        totals = self.totals
        totals.attempts += attempt
        totals.errors += attempt - int(not reason)
        totals.done, totals.failed = (
            totals.done + int(not reason),
            totals.failed + int(bool(reason)),
        )
        self._event(
            at_ns,
            "task.failed" if reason else "task.done",
            task,
            "warning" if reason else "info",
            attempt=float(attempt),
            reason=reason or "none",
            duration_s=(at_ns - begun_ns) / 1e9,
            done_total=float(totals.done),
            failed_total=float(totals.failed),
        )

    def _note_version(self, at_ns: int) -> None:
        version = self._plan.version_of(self._number, at_ns)
        if version != self._version:
            fields: dict[str, Value] = {
                "artifact_name": version,
                "before": self._version,
                "slot": "B",
                "healthy": "yes",
            }
            self._version = version
            self._say(at_ns, "event", Priority.EVENT, _own("boot.reported", "info", "boot", fields))

    def _metrics(self, at_ns: int) -> None:
        draw, plan = self._draw_metrics, self._plan
        step_ns = round(plan.metric_period_s * NS / plan.samples)
        for sample in range(plan.samples):
            when_ns = at_ns + sample * step_ns
            phase = when_ns / 1e9 / 7 + self._number
            control: dict[str, Value] = {
                "stop_level": 0.0,
                "misses": 0.0,
                "observed_age_ms": _log_normal(draw, 145.0),
                "exec_state": 3.0,
                "cycle_p50_us": _log_normal(draw, 38.0),
                "cycle_p99_us": _log_normal(draw, 90.0),
                "battery_ratio": 0.6 + 0.3 * math.sin(phase / 60),
                "gripper_pressure_kpa": 46.0 + draw.gauss(0, 0.5),
                "speed_limit_ratio": 1.0,
                "tool_speed_m_s": abs(0.3 * math.sin(phase)),
            }
            joints: dict[str, Value] = {}
            for joint in range(7):
                joints[f"q{joint}_rad"] = math.sin(phase + joint)
                joints[f"temp{joint}_c"] = 38.0 + joint + draw.gauss(0, 0.2)
            looked = {"latency1_ms": _log_normal(draw, 6.0), "age_ms": draw.uniform(10, 40)}
            policy = {"active": 1.0, "inference_ms": _log_normal(draw, 14.0)}
            rows = {"control": control, "joint": joints, "perception": looked, "policy": policy}
            for measurement, fields in rows.items():
                self._say(when_ns, measurement, Priority.METRIC, fields)

    def _event(
        self, at_ns: int, name: str, task: str, severity: str = "info", **fields: Value
    ) -> None:
        of_task: dict[str, Value] = {"task_id": float(self._task_id), "skill": task, **fields}
        self._say(at_ns, "event", Priority.EVENT, _own(name, severity, "agentd", of_task))

    def _say(
        self, at_ns: int, measurement: str, priority: Priority, fields: Mapping[str, Value]
    ) -> None:
        of_tasks = measurement in ("event", MEASUREMENT)
        self._said[of_tasks] += 2
        order = self._said[of_tasks]
        heapq.heappush(self._waiting, Said(at_ns, order, measurement, priority, fields))


def _own(name: str, severity: str, source: str, fields: dict[str, Value]) -> dict[str, Value]:
    return {**typed_names(fields), "name": name, "severity": severity, "source": source}


def _log_normal(draw: random.Random, middle: float) -> float:
    return middle * math.exp(draw.gauss(0, 0.35))
