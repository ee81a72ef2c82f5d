"""What policyd reads each step, with ages; a message that is too old counts as none."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.policy.kinematics import Array
from runtime.policy.precheck import Conditions
from runtime.policy.progress import GoalView
from runtime.policy.target import SeenPart
from runtime.shm import (
    ExecState,
    ObjectKind,
    Phase,
    Shm,
    Sources,
    StopLevel,
    Verdict,
    Workspace,
)

STATE_STALE_NS = 50_000_000
DIRECTIVE_STALE_NS = 1_000_000_000
PLAN_STALE_NS = 500_000_000
SCENE_STALE_NS = 300_000_000
CONTACT_KPA = 10.0
PACE_WITHOUT_PLAN = 0.5


@dataclass(frozen=True)
class StateView:
    epoch: int
    q_rad: Array
    q_cmd_rad: Array
    qd_cmd_rad_s: Array
    tip_m: Array
    push_nm: float
    contact: bool
    holding: bool
    may_move: bool
    speed_limit_ratio: float


@dataclass(frozen=True)
class Orders:
    """Directive and plan as far as they bind the policy."""

    allowed: bool
    pace: float
    rate_hz: int
    waypoint_rad: Array | None


@dataclass(frozen=True)
class Inputs:
    state: StateView
    goal: GoalView | None
    object_id: int
    skill_hash: int
    parts: tuple[SeenPart, ...]
    scene_ns: int
    orders: Orders
    conditions: Conditions


class InputReader:
    def __init__(self, shm: Shm, joints: int) -> None:
        self._joints = joints
        self._state = shm.state_reader()
        topics = ("goal", "scene", "plan", "verdict", "directive", "people")
        self._readers = {topic: shm.reader(topic) for topic in topics}

    def read(self, now_ns: int) -> Inputs | None:
        """None without a fresh state: then nothing at all is known."""
        state = self._state.latest()
        if state is None or _age(state, now_ns) > STATE_STALE_NS:
            return None
        goal = self._readers["goal"].latest()
        scene = self._fresh("scene", now_ns, SCENE_STALE_NS)
        return Inputs(
            state=self._state_view(state),
            goal=None if goal is None else _goal_view(goal),
            object_id=0 if goal is None else int(goal["object_id"]),
            skill_hash=0 if goal is None else int(goal["skill_hash"]),
            parts=() if scene is None else _parts(scene),
            scene_ns=0 if scene is None else int(scene["capture_ns"]),
            orders=self._orders(state, now_ns),
            conditions=self._conditions(state, now_ns),
        )

    def _fresh(self, topic: str, now_ns: int, stale_ns: int) -> Any:
        record = self._readers[topic].latest()
        return None if record is None or _age(record, now_ns) > stale_ns else record

    def _state_view(self, state: Any) -> StateView:
        n = self._joints
        stopped = int(state["stop_level"]) != StopLevel.NONE
        running = int(state["exec_state"]) in {
            ExecState.READY,
            ExecState.EXECUTING,
            ExecState.BRAKING,
        }
        ratio = float(state["speed_limit_ratio"])
        return StateView(
            epoch=int(state["epoch"]),
            q_rad=np.array(state["q"][:n]),
            q_cmd_rad=np.array(state["q_cmd"][:n]),
            qd_cmd_rad_s=np.array(state["qd_cmd"][:n]),
            tip_m=np.array(state["tool_pos"]),
            push_nm=float(np.max(np.abs(state["tau_ext"][:n]))),
            contact=float(state["gripper_pressure_kpa"]) > CONTACT_KPA,
            holding=bool(state["gripper_holding"]),
            may_move=running and not stopped,
            speed_limit_ratio=ratio if np.isfinite(ratio) else 0.0,
        )

    def _orders(self, state: Any, now_ns: int) -> Orders:
        directive = self._fresh("directive", now_ns, DIRECTIVE_STALE_NS)
        plan = self._fresh("plan", now_ns, PLAN_STALE_NS)
        verdict = self._readers["verdict"].latest()
        if directive is None:
            return Orders(allowed=False, pace=0.0, rate_hz=100, waypoint_rad=None)
        pace = float(directive["speed_scale"])
        pace = min(pace, PACE_WITHOUT_PLAN if plan is None else float(plan["speed_scale"]))
        if verdict is not None and int(verdict["verdict"]) == Verdict.RESTRICT:
            pace = min(pace, float(verdict["speed_scale"]))
        waypoint = None
        if plan is not None and plan["has_waypoint"]:
            waypoint = np.array(plan["waypoint"][: self._joints])
        return Orders(
            allowed=bool(int(directive["allowed_sources"]) & Sources.POLICY),
            pace=min(pace, float(state["speed_limit_ratio"])),
            rate_hz=max(1, int(directive["policy_rate_hz"])),
            waypoint_rad=waypoint,
        )

    def _conditions(self, state: Any, now_ns: int) -> Conditions:
        people = self._readers["people"].latest()
        verdict = self._readers["verdict"].latest()
        temperatures = state["motor_temp_c"][: self._joints]
        return Conditions(
            workspace=Workspace.UNKNOWN if people is None else Workspace(int(people["workspace"])),
            people_age_ns=None if people is None else now_ns - int(people["capture_ns"]),
            stop_level=StopLevel(int(state["stop_level"])),
            motor_temp_c=float(np.max(temperatures)),
            gripper_pressure_kpa=float(state["gripper_pressure_kpa"]),
            verdict=Verdict.UNKNOWN if verdict is None else Verdict(int(verdict["verdict"])),
        )


def _age(record: Any, now_ns: int) -> int:
    return now_ns - int(record["created_ns"])


def _goal_view(goal: Any) -> GoalView:
    return GoalView(
        task_id=int(goal["task_id"]),
        attempt=int(goal["attempt"]),
        phase=Phase(int(goal["phase"])),
        target_m=np.array(goal["target_pos"]),
        place_m=np.array(goal["place_pos"]),
    )


def _parts(scene: Any) -> tuple[SeenPart, ...]:
    return tuple(
        SeenPart(int(scene["id"][row]), np.array(scene["pos"][row]))
        for row in range(int(scene["count"]))
        if int(scene["kind"][row]) == ObjectKind.PART
    )
