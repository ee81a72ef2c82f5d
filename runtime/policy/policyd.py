"""policyd: from what is seen to where the joints shall be, a hundred times a second.

Each step reads top to bottom: read → progress of the task → answer of a network when one is due →
pace → checks before the action → command → status. Nothing moves without passing the checks.
"""

from dataclasses import replace

import numpy as np

from conf.schema import Config
from records import Severity
from runtime.daemon import Context, run_daemon
from runtime.policy import chunk as playing
from runtime.policy import progress as tasks
from runtime.policy.chunk import Playback
from runtime.policy.detour import detour_chunk
from runtime.policy.inference import Answer, Inference, load_inference
from runtime.policy.inputs import InputReader, Inputs
from runtime.policy.kinematics import Array, Kinematics, open_kinematics
from runtime.policy.observation import Observed, Stage, build_observation
from runtime.policy.precheck import Action, ActionRules, Box, check_action
from runtime.policy.progress import ArmView, GoalView, Progress, TaskRules
from runtime.policy.shelf import SkillShelf
from runtime.policy.target import refine_target
from runtime.shm import ActivePolicy, PolicyReason, Shm, Source, Workspace
from runtime.skills.cache import SkillCache
from runtime.skills.conditions import Facts, unmet_postconditions, unmet_preconditions
from runtime.skills.manifest import Precondition, SkillManifest

STEP_NS = 10_000_000
LONGEST_STEP_NS = 30_000_000
STANDING_PACE = 0.02
DETOUR_SPEED_RATIO = 0.6
REJECTION_REPEAT_NS = 1_000_000_000
MAX_JOINTS = 8
UNMET_REASONS = {
    Precondition.GRIPPER_EMPTY: PolicyReason.UNHEALTHY,
    Precondition.TARGET_VISIBLE: PolicyReason.TARGET_LOST,
    Precondition.WORKSPACE_CLEAR: PolicyReason.WORKSPACE_OCCUPIED,
}


class PolicyDaemon:
    rate_hz = 100.0

    def __init__(self, context: Context, kinematics: Kinematics) -> None:
        config = context.config
        self._config = config
        self._kinematics = kinematics
        self._telemetry = context.telemetry
        self._joints = len(config.robot.home_rad)
        self._home = np.array(config.robot.home_rad)  # until a skill says where it rests
        self._reader = InputReader(context.shm, self._joints)
        self._shelf = SkillShelf(
            SkillCache.open(context.paths.skills, context.paths.pki / "skills"),
            config.policy.skill,
            str(config.robot.arm.kind),
            context.telemetry,
        )
        self._now = context.clock.now_ns
        self._out = _Output(context.shm, config)
        self._inference: Inference | None = None
        self._manifest: SkillManifest | None = None
        self._playback: Playback | None = None
        self._progress: Progress | None = None
        self._answer: Answer | None = None
        self._situation: object = None
        self._scene_ns = 0
        self._last_ns = 0
        self._decided_ns = 0
        self._observed_ns = 0  # when the picture was taken that was there at the last decision
        self._wanted_pace = 0.0
        self._rejected = 0
        self._rejection = PolicyReason.NONE
        self._told_ns = 0
        self._chunks = 0

    def step(self, now_ns: int) -> None:
        dt_ns = min(now_ns - self._last_ns, LONGEST_STEP_NS) if self._last_ns else STEP_NS
        self._last_ns = now_ns
        seen = self._reader.read(now_ns)
        if seen is None:
            self._rest(PolicyReason.STALE_STATE, now_ns)
            return
        if seen.goal is None:
            self._rest(PolicyReason.NO_GOAL, now_ns)
            return
        if not self._has_skill(seen.skill_hash, now_ns):
            self._rest(PolicyReason.SKILL_MISSING, now_ns)
            return
        if not (seen.orders.allowed and seen.state.may_move):
            self._rest(PolicyReason.MODE_FORBIDS, now_ns)
            return
        self._act(seen, seen.goal, now_ns, dt_ns)

    def close(self) -> None:
        self._playback = None

    def _act(self, seen: Inputs, goal: GoalView, now_ns: int, dt_ns: int) -> None:
        playback = self._anchored(seen)
        progress = self._advance_task(seen, goal, playback, dt_ns)
        if self._is_due(seen, now_ns) or playback.chunk is None:
            self._decided_ns, self._observed_ns = now_ns, seen.scene_ns
            playback = self._decide(seen, progress, playback)
            self._wanted_pace = self._pace(seen, progress, playback)
        playback = playing.advance(playback, self._wanted_pace, seen.state.q_cmd_rad, dt_ns / 1e9)
        self._playback, self._progress = playback, progress
        suction = playback.reference.suction if tasks.allows_suction(progress) else 0.0
        self._out.command(playback, suction, seen, self._observed_ns, goal.task_id, now_ns)
        self._status(seen, progress, now_ns)

    def _is_due(self, seen: Inputs, now_ns: int) -> bool:
        """Decisions come at the directive's rate; in between the checked chunk is played on."""
        return now_ns - self._decided_ns >= 1_000_000_000 // seen.orders.rate_hz - STEP_NS // 4

    def _anchored(self, seen: Inputs) -> Playback:
        """The reference goes on from where it was, or begins where Tier 1 holds the arm."""
        playback = self._playback
        if playback is None or playing.is_lost(playback, seen.state.q_cmd_rad):
            return playing.begin(seen.state.q_cmd_rad, 1.0 if seen.state.holding else 0.0)
        return playback

    def _advance_task(
        self, seen: Inputs, goal: GoalView, playback: Playback, dt_ns: int
    ) -> Progress:
        before = self._progress
        if before is not None and before.stage is Stage.REACH and seen.scene_ns > self._scene_ns:
            self._scene_ns = seen.scene_ns
            target = refine_target(
                before.target_m, goal.target_m, seen.object_id, seen.parts, seen.state.tip_m
            )
            before = replace(before, target_m=target)
        arm = ArmView(
            q_rad=seen.state.q_cmd_rad,
            speed_rad_s=float(np.max(np.abs(seen.state.qd_cmd_rad_s))),
            tip_m=seen.state.tip_m,
            suction=playback.reference.suction,
            holding=seen.state.holding,
            push_nm=seen.state.push_nm,
        )
        moving = self._wanted_pace > STANDING_PACE
        return tasks.advance(before, goal, arm, dt_ns, self._rules(), moving=moving)

    def _rules(self) -> TaskRules:
        assert self._manifest is not None
        timeout_s = self._manifest.limits.task_timeout_s
        return TaskRules(home_rad=self._home, task_timeout_ns=round(timeout_s * 1e9))

    def _decide(self, seen: Inputs, progress: Progress, playback: Playback) -> Playback:
        """A new chunk when the old one is used up, or when what it was made for has changed."""
        detour = seen.orders.waypoint_rad is not None
        situation = (progress.key, progress.stage, seen.state.contact, detour)
        changed = situation != self._situation
        self._situation = situation
        if not (changed or playback.wants_inference):
            return playback
        if detour:
            return playing.load(playback, self._detour(seen, playback))
        answer = self._infer(seen, progress, playback)
        self._answer = answer
        if answer.chunk is None:
            return replace(playback, chunk=None)
        self._chunks += 1
        return playing.load(playback, answer.chunk)

    def _detour(self, seen: Inputs, playback: Playback) -> playing.Chunk:
        assert self._manifest is not None
        assert seen.orders.waypoint_rad is not None
        limits = self._manifest.limits
        reference = playback.reference
        return detour_chunk(
            reference.q_rad,
            reference.nominal_rad_s,
            seen.orders.waypoint_rad,
            velocity_limit_rad_s=DETOUR_SPEED_RATIO * limits.joint_velocity_rad_s,
            acceleration_limit_rad_s2=limits.joint_acceleration_rad_s2,
            suction=reference.suction,
        )

    def _infer(self, seen: Inputs, progress: Progress, playback: Playback) -> Answer:
        assert self._inference is not None
        reference = playback.reference
        tool = self._kinematics.tool(reference.q_rad)
        goals = {
            Stage.REACH: progress.target_m,
            Stage.CARRY: progress.release_m,
            Stage.RETREAT: self._kinematics.tool(self._home).tip_m,
        }
        observed = Observed(
            q_rad=reference.q_rad,
            qd_rad_s=reference.nominal_rad_s,
            tip_m=tool.tip_m,
            tool_axis=tool.axis,
            goal_m=goals[progress.stage],
            stage=int(progress.stage),
            gripper=np.float64(reference.suction),
            contact=np.float64(seen.state.contact and progress.stage is not Stage.RETREAT),
            holding=np.float64(progress.stage is Stage.CARRY),
        )
        return self._inference.answer(build_observation(observed))

    def _pace(self, seen: Inputs, progress: Progress, playback: Playback) -> float:
        """How fast the chunk may be played: not at all at rest, or on an action that is refused."""
        if playback.chunk is None or (progress.stage is Stage.RETREAT and progress.at_home):
            return 0.0
        reason = self._may_begin(seen, progress)
        if reason is PolicyReason.NONE:
            reason = self._check(seen, playback)
        self._account(reason, seen, progress)
        return seen.orders.pace if reason is PolicyReason.NONE else 0.0

    def _may_begin(self, seen: Inputs, progress: Progress) -> PolicyReason:
        """Before a skill's first motion: the first of its own preconditions that does not hold."""
        assert self._manifest is not None
        if progress.stage is not Stage.REACH or progress.active_ns > 0:
            return PolicyReason.NONE
        for rule in unmet_preconditions(self._manifest, self._facts(seen, progress)):
            return UNMET_REASONS[rule]
        return PolicyReason.NONE

    def _facts(self, seen: Inputs, progress: Progress) -> Facts:
        return Facts(
            gripper_empty=not seen.state.holding,
            target_visible=any(part.object_id == seen.object_id for part in seen.parts),
            workspace_clear=seen.conditions.workspace is Workspace.CLEAR,
            arm_at_home=progress.at_home,
        )

    def _check(self, seen: Inputs, playback: Playback) -> PolicyReason:
        """The action is the pose after the next two steps, at the pace that is asked for."""
        ahead = playing.advance(playback, 1.0, seen.state.q_cmd_rad, 2 * playing.STEP_S)
        q_rad = ahead.reference.q_rad
        if not np.all(np.isfinite(q_rad)):
            return PolicyReason.OUTSIDE_LIMITS
        centers, radii = self._kinematics.spheres(q_rad)
        velocity = ahead.reference.nominal_rad_s * max(seen.orders.pace, playback.reference.pace)
        action = Action(q_rad, velocity, self._kinematics.tool(q_rad).tip_m, centers, radii)
        assert self._manifest is not None
        return check_action(action, seen.conditions, self._action_rules(self._manifest))

    def _action_rules(self, manifest: SkillManifest) -> ActionRules:
        if self._cached_rules is None:
            self._cached_rules = action_rules(self._config, manifest)
        return self._cached_rules

    _cached_rules: ActionRules | None = None

    def _account(self, reason: PolicyReason, seen: Inputs, progress: Progress) -> None:
        """Every rejected action is counted; the incident is told at once and while it lasts."""
        before, self._rejection = self._rejection, reason
        if reason is PolicyReason.NONE:
            return
        self._rejected += 1
        if reason is before and self._last_ns - self._told_ns < REJECTION_REPEAT_NS:
            return
        self._told_ns = self._last_ns
        self._telemetry.event(
            "action.rejected",
            Severity.WARNING,
            {
                "reason": reason.name.lower(),
                "task_id": progress.key[0],
                "stage": progress.stage.name.lower(),
                "rejected_actions": self._rejected,
                "workspace": seen.conditions.workspace.name.lower(),
                "people_age_ms": (seen.conditions.people_age_ns or 0) / 1e6,
                "verdict": seen.conditions.verdict.name.lower(),
            },
        )

    def _has_skill(self, skill_hash: int, now_ns: int) -> bool:
        skill = self._shelf.wanted(skill_hash, now_ns)
        if skill is None:
            return False
        if skill.manifest is not self._manifest:
            deadline_ns = round(self._config.policy.primary.deadline_ms * 1e6)
            self._inference = load_inference(skill, deadline_ns=deadline_ns, now=self._now)
            self._manifest, self._cached_rules = skill.manifest, None
            self._home = np.array(skill.manifest.home_rad)
            self._playback = None
        return True

    def _rest(self, reason: PolicyReason, now_ns: int) -> None:
        """No command: Tier 1 holds the arm, and the reference starts anew with the motion."""
        self._playback, self._wanted_pace, self._situation = None, 0.0, None
        self._out.status(
            now_ns,
            reason=reason,
            rejected_actions=self._rejected,
            chunk_index=self._chunks,
            task_id=0 if self._progress is None else self._progress.key[0],
        )

    def _status(self, seen: Inputs, progress: Progress, now_ns: int) -> None:
        assert self._manifest is not None
        unmet = unmet_postconditions(self._manifest, self._facts(seen, progress))
        answer = self._answer
        reason = progress.failure
        if reason is PolicyReason.NONE:
            reason = self._rejection
        if reason is PolicyReason.NONE and answer is not None:
            reason = answer.reason
        self._out.status(
            now_ns,
            task_id=progress.key[0],
            inference_ns=0 if answer is None else answer.inference_ns,
            rejected_actions=self._rejected,
            chunk_index=self._chunks,
            reason=reason,
            active=ActivePolicy.NONE if answer is None else answer.active,
            progress=progress.percent,
            done=progress.done and not unmet,
            failed=progress.failed,
        )


class _Output:
    """The two topics that policyd owns."""

    def __init__(self, shm: Shm, config: Config) -> None:
        self._command = shm.writer("command.policy")
        self._status = shm.writer("policy_status")
        self._expiry_ns = config.robot.safety.command.expiry_ms * 1_000_000
        self._epoch = 0

    def command(
        self,
        playback: Playback,
        suction: float,
        seen: Inputs,
        observed_ns: int,
        task_id: int,
        now_ns: int,
    ) -> None:
        self._epoch = seen.state.epoch
        self._command.write(
            epoch=self._epoch,
            created_ns=now_ns,
            expires_ns=now_ns + self._expiry_ns,
            source=int(Source.POLICY),
            task_id=task_id,
            observed_ns=observed_ns,
            q=_padded(playback.reference.q_rad),
            qd=_padded(playback.velocity_rad_s),
            gripper=suction,
        )

    def status(self, now_ns: int, **fields: float | int) -> None:
        record = self._status.new()
        record["epoch"], record["created_ns"] = self._epoch, now_ns
        for name, value in fields.items():
            record[name] = value
        self._status.write(record)


def action_rules(config: Config, manifest: SkillManifest) -> ActionRules:
    """The profile's limits, tightened by the skill's."""
    limits = config.robot.limits.ordered
    fastest = manifest.limits.joint_velocity_rad_s
    return ActionRules(
        position_min_rad=np.array([limit.position_min_rad for limit in limits]),
        position_max_rad=np.array([limit.position_max_rad for limit in limits]),
        velocity_max_rad_s=np.array([min(limit.velocity_rad_s, fastest) for limit in limits]),
        workspace=Box(config.facility.workspace.min_m, config.facility.workspace.max_m),
        keep_out=tuple(Box(box.min_m, box.max_m) for box in config.facility.keep_out.values()),
        people_stale_ns=config.facility.people.stale_ms * 1_000_000,
        motor_stop_c=config.robot.safety.thermal.motor_stop_c,
        gripper_pressure_max_kpa=config.robot.gripper.pressure_max_kpa,
    )


def _padded(values: Array) -> Array:
    return np.concatenate([values, np.zeros(MAX_JOINTS - len(values))])


def build(context: Context) -> PolicyDaemon:
    return PolicyDaemon(context, open_kinematics(context.paths.control.read_bytes()))


if __name__ == "__main__":
    run_daemon("policyd", build)
