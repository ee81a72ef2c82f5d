"""The live message: all that the robot's page shows, made from readings alone.

A part whose process has never spoken is null; a part that has fallen silent carries its age.
Missing is not zero: numbers that are not known are null too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.shm import (
    ActivePolicy,
    Backend,
    Check,
    ExecState,
    GpuState,
    Histogram,
    Mode,
    ObjectKind,
    Phase,
    PlanStatus,
    PolicyReason,
    Realtime,
    Reject,
    Source,
    Stage,
    StopLevel,
    StopReason,
    Trigger,
    Verdict,
    Workspace,
)
from runtime.telemetry.reading import Readings, age_ms, number, word, words
from runtime.telemetry.spool import Depth

TRIGGERS = {member.name: int(member) for member in Trigger if member.name}
MODES = {member.name: int(member) for member in Mode if member.name and int(member)}
BINS_PER_OCTAVE = 4


@dataclass(frozen=True)
class About:
    """What does not change while telemetryd runs."""

    robot_id: str
    site: str
    title: str
    arm: str
    hardware: str
    artifact_name: str
    config_hash: str
    simulated: bool
    epoch: int
    period_us: int
    workspace_m: tuple[float, float, float, float]  # x and y of the lower, then the upper corner


@dataclass(frozen=True)
class Tasks:
    done: int | None = None
    failed: int | None = None
    waiting: int | None = None


@dataclass(frozen=True)
class Way:
    """The uplink, as far as the page shows it."""

    connected: bool
    on_their_way: int
    heard_age_ms: float | None


def live_message(
    about: About,
    readings: Readings,
    tasks: Tasks,
    depth: Depth,
    way: Way,
    wall_ns: int,
    update: Mapping[str, Any] | None = None,
    host: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "v": 1,
        "wall_ns": wall_ns,
        "about": about.__dict__,
        "control": _control(readings),
        "perception": _perception(readings),
        "people": _people(readings),
        "policy": _policy(readings),
        "plan": _plan(readings),
        "verdict": _verdict(readings),
        "mode": _mode(readings),
        "goal": _goal(readings),
        "tasks": tasks.__dict__,
        "spool": _spool(depth),
        "uplink": way.__dict__,
        "update": update,
        "host": host,
    }


def _control(readings: Readings) -> dict[str, Any] | None:
    state = readings.state
    if state is None:
        return None
    separation = float(state["separation_m"])
    return {
        "age_ms": age_ms(state, readings.at_ns),
        "cycle": int(state["cycle"]),
        "exec": word(ExecState, state["exec_state"]),
        "source": word(Source, state["source"]),
        "realtime": word(Realtime, state["realtime"]),
        "stop": {
            "level": word(StopLevel, state["stop_level"]),
            "reason": word(StopReason, state["stop_reason"]),
        },
        "estop": bool(state["estop"]),
        "speed_limit_ratio": number(state["speed_limit_ratio"]),
        "separation_m": number(separation),
        "separation": _separation_word(separation),
        "people_age_ms": _ns_to_ms(state["people_age_ns"]),
        "sensors_age_ms": _ns_to_ms(state["sensors_age_ns"]),
        "misses": int(state["misses"]),
        "interventions": counts(Check, state["interventions"]),
        "rejected": counts(Reject, state["rejected"]),
        "joints": _joints(state),
        "tool_m": [number(value) for value in state["tool_pos"]],
        "tool_speed_m_s": number(state["tool_speed_m_s"]),
        "gripper": {
            "command": number(state["gripper_cmd"]),
            "pressure_kpa": number(state["gripper_pressure_kpa"], 2),
            "holding": bool(state["gripper_holding"]),
        },
        "battery_ratio": number(state["battery_ratio"]),
        "latency": {
            "wake": latency(readings.histograms.get(Stage.WAKE)),
            "cycle": latency(readings.histograms.get(Stage.CYCLE)),
        },
    }


def _joints(state: np.void) -> list[dict[str, float | None]]:
    return [
        {
            "q_rad": number(state["q"][index]),
            "qd_rad_s": number(state["qd"][index]),
            "tau_ext_nm": number(state["tau_ext"][index], 2),
            "temp_c": number(state["motor_temp_c"][index], 1),
        }
        for index in range(min(int(state["joints"]), 8))
    ]


def _separation_word(separation_m: float) -> str:
    """Infinity says that nobody is there; not-a-number says that nobody knows."""
    if np.isnan(separation_m):
        return "unknown"
    return "nobody" if np.isinf(separation_m) else "measured"


def _ns_to_ms(value: int) -> float | None:
    """Ages of what never came are as large as the type allows."""
    return round(int(value) / 1e6, 1) if 0 <= int(value) < 2**61 else None


def counts(kind: Any, values: Any) -> dict[str, int]:
    return {member.name.lower(): int(values[int(member)]) for member in kind}


def latency(histogram: Histogram | None) -> dict[str, Any] | None:
    """Quantiles, and the counts in bins that a page can draw."""
    if histogram is None or not histogram.counts.any():
        return None
    return {
        "count": int(histogram.counts.sum()),
        "p50_us": number(histogram.quantile_us(0.5), 2),
        "p99_us": number(histogram.quantile_us(0.99), 2),
        "p999_us": number(histogram.quantile_us(0.999), 2),
        "max_us": number(histogram.quantile_us(1.0), 2),
        "bins": bins(histogram),
    }


def bins(histogram: Histogram) -> list[tuple[float | None, int]]:
    """Quarter octaves, from the first to the last that holds anything; null: without bound."""
    merged: dict[int, int] = {}
    top = 0
    for upper, some in zip(histogram.upper_us, histogram.counts, strict=True):
        if np.isfinite(upper):
            top = int(np.ceil(np.log2(upper) * BINS_PER_OCTAVE - 1e-9))
            slot = top
        else:
            slot = top + 1
        merged[slot] = merged.get(slot, 0) + int(some)
    filled = [slot for slot, some in merged.items() if some]
    first, last = min(filled), max(filled)
    return [
        (None if slot > top else round(2 ** (slot / BINS_PER_OCTAVE), 3), merged.get(slot, 0))
        for slot in range(first, last + 1)
    ]


def _perception(readings: Readings) -> dict[str, Any] | None:
    scene = readings.get("scene")
    if scene is None:
        return None
    full_ns = int(scene["last_full_ns"])
    shown = range(min(int(scene["count"]), len(scene["kind"])))
    kinds = [word(ObjectKind, scene["kind"][index]) for index in shown]
    return {
        "age_ms": age_ms(scene, readings.at_ns, "capture_ns"),
        "level": int(scene["level"]),
        "triggers": words(int(scene["triggers"]), TRIGGERS),
        "latency_ms": [_ns_to_ms(value) for value in scene["latency_ns"]],
        "runs": [int(value) for value in scene["runs"]],
        "late_drops": [int(value) for value in scene["late_drops"]],
        "frames": int(scene["frames"]),
        "occlusion": number(scene["occlusion"]),
        "since_full_s": round((readings.at_ns - full_ns) / 1e9, 2) if full_ns > 0 else None,
        "backend": word(Backend, scene["backend"]),
        "gpu": word(GpuState, scene["gpu_state"]),
        "model_hash": f"{int(scene['model_hash']):016x}",
        "objects": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "places_m": [
            [kind, number(scene["pos"][index][0], 2), number(scene["pos"][index][1], 2)]
            for index, kind in zip(shown, kinds, strict=True)
        ],
    }


def _people(readings: Readings) -> dict[str, Any] | None:
    people = readings.get("people")
    if people is None:
        return None
    return {
        "age_ms": age_ms(people, readings.at_ns, "capture_ns"),
        "count": int(people["count"]),
        "places_m": [
            [number(people["pos"][index][axis], 2) for axis in (0, 1)]
            for index in range(min(int(people["count"]), len(people["pos"])))
        ],
        "workspace": word(Workspace, people["workspace"]),
    }


def _policy(readings: Readings) -> dict[str, Any] | None:
    status = readings.get("policy_status")
    if status is None:
        return None
    return {
        "age_ms": age_ms(status, readings.at_ns),
        "active": word(ActivePolicy, status["active"]),
        "reason": word(PolicyReason, status["reason"]),
        "inference_ms": _ns_to_ms(status["inference_ns"]),
        "rejected_actions": int(status["rejected_actions"]),
    }


def _plan(readings: Readings) -> dict[str, Any] | None:
    plan = readings.get("plan")
    if plan is None:
        return None
    return {
        "age_ms": age_ms(plan, readings.at_ns),
        "status": word(PlanStatus, plan["status"]),
        "clearance_m": number(plan["clearance_m"]),
    }


def _verdict(readings: Readings) -> dict[str, Any] | None:
    verdict = readings.get("verdict")
    if verdict is None:
        return None
    return {
        "age_ms": age_ms(verdict, readings.at_ns),
        "verdict": word(Verdict, verdict["verdict"]),
        "surprise": number(verdict["surprise"]),
        "speed_scale": number(verdict["speed_scale"]),
    }


def _mode(readings: Readings) -> dict[str, Any] | None:
    directive = readings.get("directive")
    if directive is None:
        return None
    return {
        "age_ms": age_ms(directive, readings.at_ns),
        "modes": words(int(directive["mode"]), MODES) or ["nominal"],
        "margin_multiplier": number(directive["margin_multiplier"]),
        "speed_scale": number(directive["speed_scale"]),
        "policy_rate_hz": int(directive["policy_rate_hz"]),
        "perception_rate_hz": int(directive["perception_rate_hz"]),
    }


def _goal(readings: Readings) -> dict[str, Any] | None:
    goal = readings.get("goal")
    if goal is None:
        return None
    return {
        "age_ms": age_ms(goal, readings.at_ns),
        "task_id": int(goal["task_id"]),
        "phase": word(Phase, goal["phase"]),
        "attempt": int(goal["attempt"]),
        "object_id": int(goal["object_id"]),
        "high_value": bool(goal["high_value"]),
    }


def _spool(depth: Depth) -> dict[str, Any]:
    counters: Mapping[str, int] = depth.counters
    return {
        "records": {priority.value: held for priority, held in depth.records.items()},
        "used_bytes": depth.used_bytes,
        "max_bytes": depth.max_bytes,
        "committed": depth.committed,
        "durable": depth.durable,
        "disk_full": depth.disk_full,
        "counters": dict(counters),
    }
