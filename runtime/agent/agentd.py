"""The agent: decides the modes, arms and re-arms, works through tasks, watches health, answers.

It steps at 20 Hz, because Tier 1 asks for proof of life every 100 ms and stops the arm without it.
"""

import logging

import numpy as np

from runtime.agent.api import LocalApi
from runtime.agent.apiserver import ApiServer
from runtime.agent.directive import answer_to, directive_fields
from runtime.agent.duty import Duty
from runtime.agent.execution import Area, Rules
from runtime.agent.journeys import Journeys, Whose
from runtime.agent.look import look_of
from runtime.agent.readings import Messages, read_everything
from runtime.agent.shared import Command, Inbox, RearmOutcome, Snapshot, SnapshotBox, Verb
from runtime.agent.skills import SkillShelf
from runtime.agent.store import TaskStore
from runtime.agent.view import summarize_control, view_of
from runtime.daemon import Context, run_daemon
from runtime.health.check import Sources
from runtime.health.rounds import HealthRounds, discover_checks
from runtime.modes import (
    NO_REARM,
    Effects,
    ModeState,
    Readings,
    StopCause,
    automatic_rearm,
    decide,
    effects_of,
    names_of,
)
from runtime.shm import StopLevel
from runtime.telemetry.client import Severity
from runtime.uplink import Uplink, read_uplink

log = logging.getLogger(__name__)

DIRECTIVE_LIFE_NS = 500_000_000
GOAL_LIFE_NS = 500_000_000
UPLINK_EVERY_NS = 250_000_000
OWN_REARM_EVERY_NS = 1_000_000_000
MODE_METRIC_EVERY_NS = 1_000_000_000


class Agent:
    rate_hz = 20.0

    def __init__(self, context: Context, *, serve: bool) -> None:
        self._context = context
        config, paths, shm = context.config, context.paths, context.shm
        self._state = shm.state_reader()
        self._gpu = shm.reader("hal.gpu")
        self._scene = shm.reader("scene")
        self._people = shm.reader("people")
        self._policy = shm.reader("policy_status")
        self._verdict = shm.reader("verdict")
        self._directive = shm.writer("directive")
        self._goal = shm.writer("goal")
        self._messages = Messages(None, None, None, None)
        self._uplink: Uplink | None = None
        self._uplink_read_ns: int | None = None
        self._mode_state = ModeState()
        self._requested_stop = StopLevel.NONE
        self._operator_stop: StopLevel | None = None
        self._rearm_count = 0
        self._has_stopped = False  # a stop of Tier 1 with reason "requested" is this agent's own
        self._rearmed_ns = -OWN_REARM_EVERY_NS
        self._health_at_ns = 0
        self._metric_at_ns = 0
        self._box, self.inbox = SnapshotBox(), Inbox()
        capacity = config.policy.skills.cache_max
        self.shelf = SkillShelf(paths, config.robot.arm.kind.value, capacity)
        self._store = TaskStore(paths.tasks)
        self.duty = Duty(
            self._store,
            rules_of(context),
            context.clock,
            context.telemetry,
            self.shelf.hash_of,
            config.facility.auto_duty,
            Journeys(
                Whose(config.facility.site, config.robot_id),
                config.telemetry.traces,
                context.clock,
                context.telemetry,
            ),
        )
        self._health = HealthRounds(
            self._sources(),
            config.modes.health,
            round(config.telemetry.health_period_s * 1e9),
            [check for check in discover_checks() if serve or not check.of_machine],
        )
        self._server: ApiServer | None = None
        if serve:
            api = LocalApi(config, context.clock, self._box, self.inbox, self.shelf)
            self._server = ApiServer(api.app, paths.agent_socket)

    def step(self, now_ns: int) -> None:
        self._read(now_ns)
        # What was just read may be younger than this step's beginning, and must not look as if it
        # came from the future.
        now_ns = max(now_ns, self._context.clock.now_ns())
        self._check_health(now_ns)
        readings = self._readings(now_ns)
        self._decide(readings, now_ns, self._own_rearm(now_ns))
        for command in self.inbox.drain():
            self._obey(command, now_ns)
        self._publish_directive(now_ns)
        self._work(now_ns)
        self._publish_snapshot(now_ns)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._store.close()

    @property
    def lasting_causes(self) -> frozenset[StopCause]:
        """What no re-arm clears yet."""
        return self._mode_state.present_causes

    @property
    def accepts_new_skills(self) -> bool:
        offline = self._mode_state.network_offline.active
        return self._effects().behaviour.new_skills and not offline

    def _read(self, now_ns: int) -> None:
        self._messages = Messages(
            state=self._state.latest(),
            gpu=self._gpu.latest(),
            scene=self._scene.latest(),
            people=self._people.latest(),
        )
        if self._uplink_read_ns is None or now_ns - self._uplink_read_ns >= UPLINK_EVERY_NS:
            self._uplink_read_ns = now_ns
            self._uplink = read_uplink(self._context.paths.uplink)

    def _check_health(self, now_ns: int) -> None:
        before = self._health.findings
        report = self._health.step(now_ns)
        if self._health.findings is not before:
            self._health_at_ns = now_ns
        if not report:
            return
        for finding in self._health.findings:
            self._context.telemetry.metric(
                "health",
                {
                    "check": finding.check,
                    "state": finding.state.value,
                    "unit": finding.unit,
                    "age_s": round(finding.age_ns / 1e9, 3),
                    "critical": finding.critical,
                    "note": finding.note,
                    **({} if finding.value is None else {"value": finding.value}),
                },
            )

    def _readings(self, now_ns: int) -> Readings:
        config = self._context.config
        return read_everything(
            self._messages,
            self._uplink,
            self._health.findings,
            self._health_at_ns,
            operator_stop=self._operator_stop is not None,
            own_request=self._has_stopped,
            network_silence_ns=config.modes.fresh.network_ms * 1_000_000,
        )

    def _own_rearm(self, now_ns: int) -> frozenset[StopCause]:
        """Tier 1 may refuse, so one that is asked again and again waits between its attempts."""
        config = self._context.config
        if now_ns - self._rearmed_ns < OWN_REARM_EVERY_NS:
            return NO_REARM
        cleared = automatic_rearm(
            self._mode_state,
            config.modes,
            auto_arm=config.facility.auto_arm,
            best_effort=not config.hardware.realtime.required,
        )
        if cleared:
            self._rearmed_ns = now_ns
        return cleared

    def _decide(self, readings: Readings, now_ns: int, rearm: frozenset[StopCause]) -> None:
        before = self._mode_state
        after = decide(before, readings, now_ns, self._context.config.modes, rearm)
        self._mode_state = after
        if before.causes and not after.causes:
            self._rearm_count = max(self._rearm_count, self._accepted_rearm()) + 1
            self._tell("agent.rearmed", Severity.INFO, before.causes)
        elif after.causes - before.causes:
            self._tell("agent.stop_requested", Severity.WARNING, after.causes - before.causes)
        if before.modes != after.modes:
            self._tell_modes(after)

    def _obey(self, command: Command, now_ns: int) -> None:
        """A command's failure is its sender's to hear, not the end of the agent."""
        try:
            result = self._do(command, now_ns)
        except Exception as error:  # noqa: BLE001 - handed to the thread that asked
            command.reply.set_exception(error)
        else:
            command.reply.set_result(result)

    def _do(self, command: Command, now_ns: int) -> object:
        match command.verb:
            case Verb.SUBMIT:
                assert command.request is not None
                return self.duty.submit(command.request)
            case Verb.CANCEL:
                return self.duty.cancel_waiting()
            case Verb.STOP:
                self._operator_stop = max(command.level, self._operator_stop or StopLevel.NONE)
                self._decide(self._readings(now_ns), now_ns, NO_REARM)
                return self._operator_stop
            case Verb.REARM:
                return self._rearm(now_ns)

    def _rearm(self, now_ns: int) -> RearmOutcome:
        """A person's decision: clears every cause that is past, whatever it was."""
        asked = self._mode_state.causes
        self._operator_stop = None
        self._decide(self._readings(now_ns), now_ns, asked)
        remaining = self._mode_state.causes
        return RearmOutcome(tuple(asked - remaining), tuple(remaining))

    def _publish_directive(self, now_ns: int) -> None:
        state, effects = self._messages.state, self._effects()
        stop = self._stop_level()
        self._has_stopped = self._has_stopped or stop is not StopLevel.NONE
        fields = directive_fields(
            self._mode_state.modes, effects, stop, estop=stop is StopLevel.POWER_OFF
        )
        self._directive.write(
            None,
            epoch=0 if state is None else int(state["epoch"]),
            created_ns=now_ns,
            expires_ns=now_ns + DIRECTIVE_LIFE_NS,
            challenge_response=0 if state is None else answer_to(int(state["challenge"])),
            rearm_count=self._rearm_count,
            **fields,
        )

    def _stop_level(self) -> StopLevel:
        if not self._mode_state.causes:
            return StopLevel.NONE
        return max(StopLevel.CONTROLLED, self._operator_stop or StopLevel.NONE)

    def _work(self, now_ns: int) -> None:
        config = self._context.config
        policy = self._policy.latest()
        view = view_of(
            self._messages,
            policy,
            now_ns,
            config.modes.fresh,
            home_rad=np.asarray(config.robot.home_rad),
            may_move=not self._mode_state.causes and self._armed(),
        )
        look = look_of(self._messages.state, policy, self._verdict.latest(), now_ns)
        self.duty.step(now_ns, view, look)
        state = self._messages.state
        self._goal.write(
            None,
            epoch=0 if state is None else int(state["epoch"]),
            created_ns=now_ns,
            expires_ns=now_ns + GOAL_LIFE_NS,
            **self.duty.goal_fields(),
        )

    def _armed(self) -> bool:
        state = self._messages.state
        return state is not None and StopLevel(int(state["stop_level"])) is StopLevel.NONE

    def _accepted_rearm(self) -> int:
        state = self._messages.state
        return 0 if state is None else int(state["rearm_count"])

    def _publish_snapshot(self, now_ns: int) -> None:
        offline = self._mode_state.network_offline.active
        self._box.put(
            Snapshot(
                at_ns=now_ns,
                mode_state=self._mode_state,
                effects=self._effects(),
                online=not offline,
                control=summarize_control(self._messages.state, now_ns),
                running=self.duty.running,
                queue=tuple(self.duty.queue),
                recent=tuple(self.duty.recent),
                tally=self.duty.tally,
                findings=self._health.findings,
                refused_writes=self._store.refused_writes,
            )
        )
        if now_ns - self._metric_at_ns >= MODE_METRIC_EVERY_NS:
            self._metric_at_ns = now_ns
            tally = self.duty.tally
            self._context.telemetry.metric(
                "agent",
                {
                    "mode": int(self._mode_state.modes),
                    "tasks_done": tally.done,
                    "tasks_failed": tally.failed,
                    "tasks_waiting": len(self.duty.queue),
                    "rearm_count": self._rearm_count,
                    "refused_writes": self._store.refused_writes,
                },
            )

    def _effects(self) -> Effects:
        return effects_of(self._mode_state.modes, self._context.config.modes)

    def _tell_modes(self, state: ModeState) -> None:
        names = [name.value for name in names_of(state.modes)]
        human = effects_of(state.modes, self._context.config.modes).behaviour.request_human
        log.info("modes: %s", ", ".join(names))
        self._context.telemetry.event(
            "mode.changed",
            Severity.CRITICAL if human else Severity.INFO,
            {
                "modes": "+".join(names),
                "bits": int(state.modes),
                "causes": "+".join(sorted(cause.value for cause in state.causes)),
                "request_human": human,
            },
        )

    def _tell(self, event: str, severity: Severity, causes: frozenset[StopCause]) -> None:
        words = "+".join(sorted(cause.value for cause in causes))
        log.info("%s: %s", event, words)
        self._context.telemetry.event(event, severity, {"causes": words})

    def _sources(self) -> Sources:
        return Sources(
            clock=self._context.clock,
            data_dir=self._context.paths.data,
            state=lambda: self._messages.state,
            gpu=lambda: self._messages.gpu,
            uplink=lambda: self._uplink,
        )


def rules_of(context: Context) -> Rules:
    robot, policy = context.config.robot, context.config.policy
    return Rules(
        pick=Area(robot.pick.center_m, robot.pick.inner_m),
        place=Area(robot.place.center_m, robot.place.inner_m),
        attempts_max=1 + policy.retries,
    )


def build(context: Context) -> Agent:
    """Without the API and without a look at the computer: the same run gives the same bytes."""
    return Agent(context, serve=False)


def build_served(context: Context) -> Agent:
    return Agent(context, serve=True)


if __name__ == "__main__":
    run_daemon("agentd", build_served)
