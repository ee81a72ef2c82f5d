"""From messages to the agent's look at its task, and to what the API says of Tier 1."""

from math import isfinite

import numpy as np
from numpy.typing import NDArray

from conf.schema.modes import Fresh
from runtime.agent.execution import PolicyReport, Scene, SeenPart, View
from runtime.agent.readings import Messages
from runtime.agent.shared import ControlSummary
from runtime.shm import (
    ExecState,
    ObjectKind,
    PolicyReason,
    Realtime,
    Source,
    StopLevel,
    StopReason,
)

NS_PER_MS = 1_000_000
AT_HOME_RAD = 0.08
POLICY_FRESH_NS = 500_000_000
SIDE_MIN_M, RADIUS_MAX_M = 0.015, 0.08  # of a part's footprint, as perception measures it


def view_of(
    messages: Messages,
    policy: np.void | None,
    now_ns: int,
    fresh: Fresh,
    *,
    home_rad: NDArray[np.float64],
    may_move: bool,
) -> View:
    state = messages.state
    if state is not None and not _is_fresh(state, now_ns, fresh.control_ms):
        state = None
    return View(
        scene=_scene(messages.scene, now_ns, fresh),
        policy=_policy(policy, now_ns),
        holding=None if state is None else bool(state["gripper_holding"]),
        may_move=may_move,
        at_home=state is not None and _is_near(state["q"], home_rad),
        fallback=state is not None and Source(int(state["source"])) is Source.FALLBACK,
    )


def _is_fresh(record: np.void, now_ns: int, limit_ms: int) -> bool:
    return 0 <= now_ns - int(record["created_ns"]) <= limit_ms * NS_PER_MS


def _is_near(q_rad: NDArray[np.float64], home_rad: NDArray[np.float64]) -> bool:
    return bool(np.all(np.abs(q_rad[: home_rad.size] - home_rad) < AT_HOME_RAD))


def _scene(scene: np.void | None, now_ns: int, fresh: Fresh) -> Scene | None:
    if scene is None or now_ns - int(scene["capture_ns"]) > fresh.perception_ms * NS_PER_MS:
        return None
    parts: list[SeenPart] = []
    for index in range(min(int(scene["count"]), len(scene["kind"]))):
        position = scene["pos"][index]
        if int(scene["kind"][index]) != ObjectKind.PART or not np.isfinite(position).all():
            continue
        x, y, z = (float(value) for value in position)
        confidence, radius_m = float(scene["confidence"][index]), _radius_m(scene["size"][index])
        parts.append(SeenPart(int(scene["id"][index]), (x, y, z), confidence, radius_m))
    return Scene(int(scene["capture_ns"]), tuple(parts))


def _radius_m(size_m: NDArray[np.float64]) -> float:
    """Of the circle around a footprint. A side that was not measured is taken as the other one."""
    sides = [float(side) for side in size_m[:2] if np.isfinite(side) and side > SIDE_MIN_M]
    if not sides:
        return RADIUS_MAX_M
    return min(RADIUS_MAX_M, float(np.hypot(sides[0], sides[-1])) / 2)


def _policy(policy: np.void | None, now_ns: int) -> PolicyReport | None:
    if policy is None or now_ns - int(policy["created_ns"]) > POLICY_FRESH_NS:
        return None
    return PolicyReport(
        task_id=int(policy["task_id"]),
        done=bool(policy["done"]),
        failed=bool(policy["failed"]),
        reason=PolicyReason(int(policy["reason"])).name.lower(),
    )


def summarize_control(state: np.void | None, now_ns: int) -> ControlSummary | None:
    if state is None:
        return None
    separation = float(state["separation_m"])
    return ControlSummary(
        age_ns=now_ns - int(state["created_ns"]),
        cycle=int(state["cycle"]),
        exec_state=ExecState(int(state["exec_state"])).name.lower(),
        stop_level=StopLevel(int(state["stop_level"])).name.lower(),
        stop_reason=StopReason(int(state["stop_reason"])).name.lower(),
        source=Source(int(state["source"])).name.lower(),
        realtime=Realtime(int(state["realtime"])).name.lower(),
        misses=int(state["misses"]),
        speed_limit_ratio=float(state["speed_limit_ratio"]),
        separation_m=separation if isfinite(separation) else None,
    )
