"""The robot's local API, version 1: OpenAPI over a Unix socket that only this robot can reach.

Replies come from the agent's newest snapshot; wishes go into its inbox and are done by its step, so
that nothing here can delay or race with it. A snapshot that has grown old is refused, not shown.
"""

from collections.abc import Callable
from concurrent.futures import TimeoutError as ReplyTimeoutError
from typing import Annotated, Literal

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from conf.schema import Config
from runtime.agent.duty import Accepted, QueueFullError, Request
from runtime.agent.problem import ProblemError, handle_http, handle_invalid, handle_problem
from runtime.agent.replies import (
    ControlReply,
    DrillReply,
    HealthReply,
    ModeReply,
    RearmReply,
    SkillReply,
    SkillsReply,
    StateReply,
    StopReply,
    TaskObject,
    TaskReply,
    TasksReply,
    control_reply,
    finding_reply,
    mode_reply,
    running_reply,
    task_reply,
    tasks_reply,
)
from runtime.agent.shared import Command, Inbox, RearmOutcome, Snapshot, SnapshotBox, Verb
from runtime.agent.skills import SkillShelf
from runtime.agent.task import TaskSource
from runtime.hal.clock import Clock
from runtime.health.check import HealthState
from runtime.health.rounds import worst_critical
from runtime.shm import StopLevel
from runtime.skills.refusal import RefusalReason, SkillRefusedError

REPLY_TIMEOUT_S = 3.0
SNAPSHOT_OLD_NS = 2_000_000_000

SkillName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NewTask(Body):
    skill: SkillName = "pick_place"
    object_id: TaskObject | None = Field(None, description="null: the next part that is seen")
    high_value: bool = False
    source: Literal["api", "fleet"] = "api"


class NewStop(Body):
    level: Literal["controlled", "hold", "power_off"] = "controlled"
    cancel_tasks: bool = False


class NewRearm(Body):
    pass


class NewDrill(Body):
    name: SkillName


class LocalApi:
    """The handlers; `app` is what serves them."""

    def __init__(
        self, config: Config, clock: Clock, box: SnapshotBox, inbox: Inbox, shelf: SkillShelf
    ) -> None:
        self._config = config
        self._clock = clock
        self._box = box
        self._inbox = inbox
        self._shelf = shelf
        self.app = FastAPI(
            title="Bedplate robot runtime agent",
            version="1.0.0",
            description="State, modes, tasks, skills, stop and re-arm of one robot.",
        )
        self.app.add_exception_handler(ProblemError, handle_problem)
        self.app.add_exception_handler(RequestValidationError, handle_invalid)
        self.app.add_exception_handler(HTTPException, handle_http)
        self._add_routes()

    def _add_routes(self) -> None:
        get: list[tuple[str, Callable[..., BaseModel], str]] = [
            ("/v1/state", self.get_state, "everything at a glance"),
            ("/v1/mode", self.get_mode, "modes that hold, why, and what they allow"),
            ("/v1/tasks", self.get_tasks, "running, waiting and recent tasks"),
            ("/v1/skills", self.get_skills, "skills in the cache"),
            ("/v1/health", self.get_health, "findings of the health checks"),
        ]
        post: list[tuple[str, Callable[..., BaseModel], int, str]] = [
            ("/v1/tasks", self.post_task, 201, "ask for a task"),
            ("/v1/stop", self.post_stop, 200, "stop the arm; only a re-arm ends it"),
            ("/v1/rearm", self.post_rearm, 200, "let the arm move again, by a person's decision"),
            ("/v1/drills", self.post_drill, 200, "how to run a drill of this name"),
        ]
        for path, handler, summary in get:
            self.app.get(path, summary=summary)(handler)
        for path, handler, status, summary in post:
            self.app.post(path, summary=summary, status_code=status)(handler)

    def get_state(self) -> StateReply:
        snapshot = self._snapshot()
        control: ControlReply | None = None
        if snapshot.control is not None:
            control = control_reply(snapshot.control)
        return StateReply(
            robot_id=self._config.robot_id,
            artifact_name=self._config.artifact_name,
            config_hash=self._config.config_hash,
            at_ns=snapshot.at_ns,
            online=snapshot.online,
            mode=mode_reply(snapshot),
            control=control,
            running=running_reply(snapshot),
        )

    def get_mode(self) -> ModeReply:
        return mode_reply(self._snapshot())

    def get_tasks(self) -> TasksReply:
        return tasks_reply(self._snapshot())

    def get_skills(self) -> SkillsReply:
        skills = [
            SkillReply(name=skill.name, version=skill.version, digest=skill.digest)
            for skill in self._shelf.list()
        ]
        return SkillsReply(capacity=self._config.policy.skills.cache_max, skills=skills)

    def get_health(self) -> HealthReply:
        findings = self._snapshot().findings
        return HealthReply(
            healthy=worst_critical(findings) is HealthState.OK,
            findings=[finding_reply(finding) for finding in findings],
        )

    def post_task(self, body: NewTask) -> TaskReply:
        snapshot = self._snapshot()
        allowed = snapshot.effects.behaviour.new_skills and snapshot.online
        try:
            self._shelf.obtain(body.skill, online=allowed)
        except SkillRefusedError as error:
            raise _skill_problem(error) from error
        request = Request(body.skill, TaskSource(body.source), body.object_id, body.high_value)
        try:
            accepted = self._ask(Command(Verb.SUBMIT, request=request))
        except QueueFullError as error:
            raise ProblemError(429, "queue_full", "too many tasks wait", str(error)) from error
        assert isinstance(accepted, Accepted)
        self._wait_for_disk(accepted)
        return task_reply(accepted.task)

    def post_stop(self, body: NewStop) -> StopReply:
        level = StopLevel[body.level.upper()]
        if body.cancel_tasks:
            self._ask(Command(Verb.CANCEL))
        self._ask(Command(Verb.STOP, level=level))
        return StopReply(level=level.name.lower())

    def post_rearm(self, _body: NewRearm) -> RearmReply:
        outcome = self._ask(Command(Verb.REARM))
        assert isinstance(outcome, RearmOutcome)
        return RearmReply(
            cleared=sorted(cause.value for cause in outcome.cleared),
            remaining=sorted(cause.value for cause in outcome.remaining),
        )

    def post_drill(self, body: NewDrill) -> DrillReply:
        """Drills stop and restart processes, so they are run from outside the agent."""
        return DrillReply(drill=body.name, command=f"bedplate drill run {body.name}")

    def _snapshot(self) -> Snapshot:
        snapshot = self._box.get()
        if snapshot is None or self._clock.now_ns() - snapshot.at_ns > SNAPSHOT_OLD_NS:
            raise ProblemError(
                503,
                "agent_not_stepping",
                "the agent has not stepped lately",
                "its newest state is missing or more than 2 s old, so none is shown;"
                " Tier 1 stops the arm by itself; look at the agent's log",
            )
        return snapshot

    def _wait_for_disk(self, accepted: Accepted) -> None:
        try:
            saved = accepted.saved.result(timeout=REPLY_TIMEOUT_S)
        except ReplyTimeoutError:
            saved = False
        if not saved:
            raise ProblemError(
                507,
                "not_durable",
                "the task waits, but is not on disk",
                f"task {accepted.task.task_id} will run unless the agent ends first; the data"
                " partition takes no writes: look at the disk check in /v1/health",
                task_id=accepted.task.task_id,
            )

    def _ask(self, command: Command) -> object:
        self._inbox.put(command)
        try:
            return command.reply.result(timeout=REPLY_TIMEOUT_S)
        except ReplyTimeoutError as error:
            raise ProblemError(
                503,
                "agent_not_stepping",
                "the agent did not answer",
                f"no step took the request within {REPLY_TIMEOUT_S} s; it may still be done",
            ) from error


def _skill_problem(error: SkillRefusedError) -> ProblemError:
    offline = error.reason is RefusalReason.NOT_CACHED_OFFLINE
    return ProblemError(
        409 if offline else 422,
        f"skill_{error.reason.value}",
        "the skill is refused",
        error.refusal.text(),
        reason=error.reason.value,
    )
