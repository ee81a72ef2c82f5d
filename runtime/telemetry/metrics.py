"""Durable metrics of the whole robot, once a second, from the same readings as the live message."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan

from runtime.shm import Check, Histogram, Reject, Stage
from runtime.telemetry.client import Value
from runtime.telemetry.live import TRIGGERS
from runtime.telemetry.reading import Readings, words
from runtime.telemetry.spool import Depth

Metric = tuple[str, dict[str, Value]]


@dataclass
class Since:
    """What was read the last time: latency is reported for the second, not for all time."""

    histograms: dict[Stage, Histogram] = field(default_factory=dict)


def robot_metrics(readings: Readings, since: Since) -> list[Metric]:
    """One row a measurement; a process that never spoke has none. NaN is dropped by the client."""
    made = [*_control(readings, since), *_perception(readings), *_tier2(readings)]
    since.histograms = dict(readings.histograms)
    return made


def _control(readings: Readings, since: Since) -> list[Metric]:
    state = readings.state
    if state is None:
        return []
    control: dict[str, Value] = {
        "age_ms": (readings.at_ns - int(state["created_ns"])) / 1e6,
        "misses": int(state["misses"]),
        "stop_level": int(state["stop_level"]),
        "stop_reason": int(state["stop_reason"]),
        "exec_state": int(state["exec_state"]),
        "source_kind": int(state["source"]),
        "mode": int(state["mode"]),
        "realtime": int(state["realtime"]),
        "estop": bool(state["estop"]),
        "speed_limit_ratio": float(state["speed_limit_ratio"]),
        "separation_m": float(state["separation_m"]),
        "people_age_ms": int(state["people_age_ns"]) / 1e6,
        "observed_age_ms": _age_ms(int(state["observed_age_ns"])),
        "tool_speed_m_s": float(state["tool_speed_m_s"]),
        "gripper_pressure_kpa": float(state["gripper_pressure_kpa"]),
        "gripper_holding": bool(state["gripper_holding"]),
        "battery_ratio": float(state["battery_ratio"]),
        **_latency(readings, since),
    }
    shield: dict[str, Value] = {
        f"intervened_{c.name.lower()}": int(state["interventions"][c]) for c in Check
    }
    shield |= {f"rejected_{r.name.lower()}": int(state["rejected"][r]) for r in Reject}
    joints: dict[str, Value] = {}
    for index in range(min(int(state["joints"]), 8)):
        joints[f"q{index}_rad"] = float(state["q"][index])
        joints[f"qd{index}_rad_s"] = float(state["qd"][index])
        joints[f"tau_ext{index}_nm"] = float(state["tau_ext"][index])
        joints[f"temp{index}_c"] = float(state["motor_temp_c"][index])
    return [("control", control), ("shield", shield), ("joint", joints)]


def _age_ms(age_ns: int) -> float:
    """NaN, which is not sent, where there is none."""
    return age_ns / 1e6 if age_ns >= 0 else nan


def _latency(readings: Readings, since: Since) -> dict[str, Value]:
    fields: dict[str, Value] = {}
    for stage in (Stage.WAKE, Stage.CYCLE):
        now, before = readings.histograms.get(stage), since.histograms.get(stage)
        if now is None or before is None or now.counts.sum() < before.counts.sum():
            continue
        second = now - before
        name = stage.name.lower()
        for label, ratio in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            fields[f"{name}_{label}_us"] = second.quantile_us(ratio)
    return fields


def _perception(readings: Readings) -> list[Metric]:
    scene, people = readings.get("scene"), readings.get("people")
    made: list[Metric] = []
    if scene is not None:
        fields: dict[str, Value] = {
            "age_ms": (readings.at_ns - int(scene["capture_ns"])) / 1e6,
            "level": int(scene["level"]),
            "objects": int(scene["count"]),
            "occlusion": float(scene["occlusion"]),
            "frames": int(scene["frames"]),
            "gpu_state": int(scene["gpu_state"]),
            "triggers": "+".join(words(int(scene["triggers"]), TRIGGERS)),
        }
        for level in range(3):
            fields[f"latency{level + 1}_ms"] = int(scene["latency_ns"][level]) / 1e6
            fields[f"runs{level + 1}"] = int(scene["runs"][level])
            fields[f"late_drops{level + 1}"] = int(scene["late_drops"][level])
        made.append(("perception", fields))
    if people is not None:
        fields = {"count": int(people["count"]), "workspace": int(people["workspace"])}
        made.append(("people", fields))
    return made


def _tier2(readings: Readings) -> list[Metric]:
    made: list[Metric] = []
    if (verdict := readings.get("verdict")) is not None:
        fields: dict[str, Value] = {
            "verdict": int(verdict["verdict"]),
            "surprise": float(verdict["surprise"]),
            "speed_scale": float(verdict["speed_scale"]),
        }
        made.append(("safety", fields))
    if (status := readings.get("policy_status")) is not None:
        fields = {
            "active": int(status["active"]),
            "reason": int(status["reason"]),
            "inference_ms": int(status["inference_ns"]) / 1e6,
            "rejected_actions": int(status["rejected_actions"]),
        }
        made.append(("policy", fields))
    if (plan := readings.get("plan")) is not None:
        fields = {"status": int(plan["status"]), "clearance_m": float(plan["clearance_m"])}
        made.append(("plan", fields))
    if (gpu := readings.get("hal.gpu")) is not None:
        fields = {
            "present": bool(gpu["present"]),
            "load_ratio": float(gpu["load_ratio"]),
            "slowdown": float(gpu["slowdown"]),
            "temp_c": float(gpu["temp_c"]),
        }
        made.append(("gpu", fields))
    return made


def spool_metric(depth: Depth, own: Mapping[str, Value]) -> Metric:
    """The books of this robot's own telemetry."""
    fields: dict[str, Value] = {f"held_{p.value}": n for p, n in depth.records.items()}
    fields |= {
        "used_ratio": depth.used_ratio,
        "committed": depth.committed,
        "durable": depth.durable,
        "disk_full": depth.disk_full,
        **depth.counters,
        **own,
    }
    return "telemetry", fields
