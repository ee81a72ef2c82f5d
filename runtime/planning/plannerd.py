"""plannerd: a local plan ten times a second, and the fallback's command a hundred times.

Commands expire within a few periods, so the fallback is stepped at the full rate; planning, which
is the dearer part, runs in every tenth step.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from conf.schema import Config
from records import Severity
from runtime.daemon import Context, run_daemon
from runtime.planning.fallback import Aim, Fallback, FallbackRules, FallbackStep, Surroundings
from runtime.planning.intent import IntentTracker
from runtime.planning.local import LocalPlanner, Plan, PlannerRules
from runtime.planning.motion import Motion, MotionLimits
from runtime.planning.people import NOBODY, Crowd, nearest_m
from runtime.policy.kinematics import Array, Kinematics, open_kinematics
from runtime.shm import (
    ExecState,
    PlanStatus,
    Shm,
    Source,
    Sources,
    StopLevel,
    Verdict,
    Workspace,
)

STEP_NS = 10_000_000
STATE_STALE_NS = 50_000_000
DIRECTIVE_STALE_NS = 1_000_000_000
# Shorter gaps are the scheduler's: Tier 1 brakes and resumes by itself, nobody needs to take over.
POLICY_SILENT_NS = 150_000_000
PEOPLE_SILENT_NS = 1_000_000_000
MAX_JOINTS = 8
POLICY_VELOCITY_RAD_S = 1.0
POLICY_ACCELERATION_RAD_S2 = 4.0
POLICY_JERK_RAD_S3 = 100.0


@dataclass(frozen=True)
class Joints:
    q_cmd_rad: Array
    qd_cmd_rad_s: Array
    epoch: int
    holding: bool
    suction: float
    may_move: bool


class PlannerDaemon:
    rate_hz = 100.0

    def __init__(self, context: Context, kinematics: Kinematics) -> None:
        config = context.config
        self._joints = len(config.robot.home_rad)
        self._config = config
        self._telemetry = context.telemetry
        self._state = context.shm.state_reader()
        topics = ("people", "goal", "directive", "verdict", "command.policy")
        self._readers = {topic: context.shm.reader(topic) for topic in topics}
        self._plan_out = context.shm.writer("plan")
        self._out = _FallbackOutput(context.shm, config)
        self._planner = LocalPlanner(kinematics, planner_rules(config))
        self._intent = IntentTracker(kinematics, planner_rules(config))
        self._fallback = Fallback(kinematics, fallback_rules(config))
        self._period_ns = round(1e9 / config.policy.planner.rate_hz)
        self._planned_ns = -self._period_ns
        self._aim: Aim | None = None
        self._policy_free_ns: int | None = None

    def step(self, now_ns: int) -> None:
        joints = self._read_joints(now_ns)
        if joints is None:
            self._fallback.rest()
            return
        crowd, workspace = self._read_people()
        if now_ns - self._planned_ns >= self._period_ns - STEP_NS // 4:
            self._planned_ns = now_ns
            self._publish(self._plan(joints, crowd, now_ns), joints, now_ns)
        self._drive(joints, crowd, workspace, now_ns)

    def close(self) -> None:
        self._fallback.rest()

    def _plan(self, joints: Joints, crowd: Crowd | None, now_ns: int) -> Plan:
        if crowd is None or now_ns - crowd.seen_ns > self._stale_ns():
            # Nobody knows where people are: as slowly as Tier 1 would allow, and not called clear.
            slow = self._config.facility.people.slow_ratio_unknown
            return Plan(PlanStatus.UNKNOWN, slow, float("nan"))
        directive = self._fresh("directive", now_ns, DIRECTIVE_STALE_NS)
        margin = 1.0 if directive is None else float(directive["margin_multiplier"])
        motion = Motion(joints.q_cmd_rad, joints.qd_cmd_rad_s, np.zeros_like(joints.q_cmd_rad))
        target = self._intent.target(
            self._readers["goal"].latest(), joints.q_cmd_rad, holding=joints.holding
        )
        age_s = max(now_ns - crowd.seen_ns, 0) / 1e9
        return self._planner.plan(motion, target, crowd, age_s, margin)

    def _publish(self, plan: Plan, joints: Joints, now_ns: int) -> None:
        waypoint = joints.q_cmd_rad if plan.waypoint_rad is None else plan.waypoint_rad
        self._plan_out.write(
            epoch=joints.epoch,
            created_ns=now_ns,
            expires_ns=now_ns + 5 * self._period_ns,
            status=int(plan.status),
            blocked=plan.blocked,
            has_waypoint=plan.waypoint_rad is not None,
            speed_scale=plan.speed_scale,
            waypoint=_padded(waypoint),
            clearance_m=plan.clearance_m,
        )

    def _drive(
        self, joints: Joints, crowd: Crowd | None, workspace: Workspace, now_ns: int
    ) -> None:
        """The fallback drives when it may and the policy may not, or has fallen silent."""
        directive = self._fresh("directive", now_ns, DIRECTIVE_STALE_NS)
        if directive is None or not joints.may_move:
            self._policy_free_ns = None
        if directive is None or not joints.may_move or not self._is_needed(directive, now_ns):
            self._fallback.rest()
            self._tell(None)
            return
        known = self._surroundings(directive, joints, crowd, workspace, now_ns)
        step = self._fallback.step(joints.q_cmd_rad, joints.qd_cmd_rad_s, known, STEP_NS)
        if step is not None:
            self._out.write(step, joints.epoch, now_ns)
        self._tell(step)

    def _is_needed(self, directive: Any, now_ns: int) -> bool:
        allowed = Sources(int(directive["allowed_sources"]))
        if not allowed & Sources.FALLBACK:
            return False
        if not allowed & Sources.POLICY:
            self._policy_free_ns = None
            return True
        # A policy that has just been allowed gets the same time to speak up.
        if self._policy_free_ns is None:
            self._policy_free_ns = now_ns
        if now_ns - self._policy_free_ns < POLICY_SILENT_NS:
            return False
        return self._fresh("command.policy", now_ns, POLICY_SILENT_NS) is None

    def _surroundings(
        self,
        directive: Any,
        joints: Joints,
        crowd: Crowd | None,
        workspace: Workspace,
        now_ns: int,
    ) -> Surroundings:
        verdict = self._readers["verdict"].latest()
        planner = self._config.policy.planner
        near = float("nan")
        if crowd is not None:
            near = nearest_m(crowd, planner.horizon_s, planner.spread_m_s)
        return Surroundings(
            policy_allowed=bool(int(directive["allowed_sources"]) & Sources.POLICY),
            people_age_ns=None if crowd is None else now_ns - crowd.seen_ns,
            nearest_m=near,
            workspace=workspace,
            verdict=Verdict.UNKNOWN if verdict is None else Verdict(int(verdict["verdict"])),
            speed_scale=float(directive["speed_scale"]),
            holding=joints.holding,
            suction=joints.suction,
        )

    def _tell(self, step: FallbackStep | None) -> None:
        """An event whenever the fallback begins, ends or changes what it does."""
        aim = None if step is None else step.aim
        if aim is self._aim:
            return
        self._aim = aim
        fields = {"aim": "none" if step is None else step.aim.value}
        if step is not None:
            fields["stands_because"] = step.ambiguity.value
        self._telemetry.event("fallback.aim_changed", Severity.INFO, fields)

    def _read_joints(self, now_ns: int) -> Joints | None:
        state = self._state.latest()
        if state is None or now_ns - int(state["created_ns"]) > STATE_STALE_NS:
            return None
        n = self._joints
        running = int(state["exec_state"]) in {
            ExecState.READY,
            ExecState.EXECUTING,
            ExecState.BRAKING,
        }
        return Joints(
            q_cmd_rad=np.array(state["q_cmd"][:n]),
            qd_cmd_rad_s=np.array(state["qd_cmd"][:n]),
            epoch=int(state["epoch"]),
            holding=bool(state["gripper_holding"]),
            suction=float(state["gripper_cmd"]),
            may_move=running and int(state["stop_level"]) == StopLevel.NONE,
        )

    def _read_people(self) -> tuple[Crowd | None, Workspace]:
        record = self._readers["people"].latest()
        if record is None:
            return None, Workspace.UNKNOWN
        count = int(record["count"])
        crowd = NOBODY
        if count:
            crowd = Crowd(
                np.array(record["pos"][:count, :2]),
                np.array(record["vel"][:count, :2]),
                np.array(record["radius_m"][:count]),
                0,
            )
        seen = Crowd(
            crowd.position_m, crowd.velocity_m_s, crowd.radius_m, int(record["capture_ns"])
        )
        return seen, Workspace(int(record["workspace"]))

    def _fresh(self, topic: str, now_ns: int, stale_ns: int) -> Any:
        record = self._readers[topic].latest()
        if record is None or now_ns - int(record["created_ns"]) > stale_ns:
            return None
        return record

    def _stale_ns(self) -> int:
        return self._config.facility.people.stale_ms * 1_000_000


class _FallbackOutput:
    def __init__(self, shm: Shm, config: Config) -> None:
        self._writer = shm.writer("command.fallback")
        self._expiry_ns = config.robot.safety.command.expiry_ms * 1_000_000

    def write(self, step: FallbackStep, epoch: int, now_ns: int) -> None:
        self._writer.write(
            epoch=epoch,
            created_ns=now_ns,
            expires_ns=now_ns + self._expiry_ns,
            source=int(Source.FALLBACK),
            q=_padded(step.motion.q_rad),
            qd=_padded(step.motion.qd_rad_s),
            gripper=step.suction,
        )


def planner_rules(config: Config) -> PlannerRules:
    limits, planner = config.robot.limits.ordered, config.policy.planner
    joints = len(limits)
    return PlannerRules(
        horizon_s=planner.horizon_s,
        clearance_m=planner.clearance_m,
        spread_m_s=planner.spread_m_s,
        reach_m=arm_reach_m(config),
        home_rad=np.array(config.robot.home_rad),
        low_rad=np.array([limit.position_min_rad for limit in limits]),
        high_rad=np.array([limit.position_max_rad for limit in limits]),
        limits=MotionLimits(
            np.full(joints, POLICY_VELOCITY_RAD_S),
            np.full(joints, POLICY_ACCELERATION_RAD_S2),
            np.full(joints, POLICY_JERK_RAD_S3),
        ),
    )


def fallback_rules(config: Config) -> FallbackRules:
    planner, fallback = planner_rules(config), config.policy.fallback
    limits = config.robot.limits.ordered
    joints = len(limits)
    return FallbackRules(
        moving=MotionLimits(
            np.full(joints, fallback.velocity_rad_s),
            np.full(joints, fallback.acceleration_rad_s2),
            np.full(joints, fallback.jerk_rad_s3),
        ),
        # Standing still may use half of what the joints can do: it is the way to safety.
        braking=MotionLimits(
            np.array([limit.velocity_rad_s for limit in limits]),
            np.array([0.5 * limit.acceleration_rad_s2 for limit in limits]),
            np.array([0.5 * limit.jerk_rad_s3 for limit in limits]),
        ),
        people_distance_m=fallback.people_distance_m,
        people_stale_ns=config.facility.people.stale_ms * 1_000_000,
        home_rad=planner.home_rad,
        low_rad=planner.low_rad,
        high_rad=planner.high_rad,
        place_m=config.robot.place.center_m,
    )


def arm_reach_m(config: Config) -> float:
    """Length of the stretched arm: nobody beyond it can be touched."""
    model = config.robot.model
    lengths = [float(np.linalg.norm(link.pos_m)) for link in model.links[1:]]
    return sum(lengths) + float(np.linalg.norm(model.tool.pos_m))


def _padded(values: Array) -> Array:
    return np.concatenate([values, np.zeros(MAX_JOINTS - len(values))])


def build(context: Context) -> PlannerDaemon:
    return PlannerDaemon(context, open_kinematics(context.paths.control.read_bytes()))


if __name__ == "__main__":
    run_daemon("plannerd", build)
