"""Routes that act on a robot: stop, re-arm, a task, maintenance. Each is in the audit."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from fleet.api.replies import MaintenanceReply, Reply
from fleet.api.robots import RobotId
from fleet.local import Reply as Answer
from fleet.people.roles import Principal
from fleet.problem import ProblemError
from fleet.security import note
from fleet.upkeep import HOURS_MAX, REASON_MAX, HeldError, Upkeep
from fleet.wishes import RearmWish, StopWish, TaskWish, Wish, Wishes

LINE = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"  # not blank, no control characters


class MaintenanceWish(Wish):
    reason: Annotated[str, Field(max_length=REASON_MAX, pattern=LINE)]
    hours: float = Field(4.0, gt=0, le=HOURS_MAX, description="then it ends by itself")


class StopReply(Reply):
    level: str = Field(description="asked for; what the arm does is in `live`")


class RearmReply(Reply):
    cleared: list[str] = Field(description="why it stood")


class SubmittedReply(Reply):
    task_id: int
    skill: str


class DeedsApi:
    def __init__(self, wishes: Wishes, upkeep: Upkeep) -> None:
        self._wishes = wishes
        self._upkeep = upkeep

    def add_to(self, router: APIRouter) -> None:
        at = "/robots/{robot_id}"
        for path, handler, status, summary in (
            ("/stop", self.stop, 200, "stop it; only a re-arm ends that"),
            ("/rearm", self.rearm, 200, "let it move again, by a person's decision"),
            ("/tasks", self.submit, 201, "give it a task"),
        ):
            router.post(at + path, tags=["robots"], summary=summary, status_code=status)(handler)
        path = f"{at}/maintenance"
        router.put(path, tags=["robots"], summary="somebody works on it")(self.begin)
        router.delete(path, tags=["robots"], summary="nobody does any more", status_code=204)(
            self.end
        )

    async def stop(self, robot_id: RobotId, wish: StopWish, request: Request) -> StopReply:
        note(request, wish.level)
        body = _good(await self._wishes.stop(robot_id, wish))
        return StopReply(level=str(body.get("level", wish.level)))

    async def rearm(self, robot_id: RobotId, request: Request, _wish: RearmWish) -> RearmReply:
        body = _good(await self._wishes.rearm(robot_id, request.state.who))
        return RearmReply(cleared=[str(cause) for cause in body.get("cleared") or ()])

    async def submit(self, robot_id: RobotId, wish: TaskWish, request: Request) -> SubmittedReply:
        note(request, wish.skill)
        body = _good(await self._wishes.submit(robot_id, wish, request.state.who))
        task_id = body.get("task_id")
        if not isinstance(task_id, int):
            raise ProblemError(502, "no_answer", "the robot took the task without a number for it")
        return SubmittedReply(task_id=task_id, skill=wish.skill)

    async def begin(
        self, robot_id: RobotId, wish: MaintenanceWish, request: Request
    ) -> MaintenanceReply:
        note(request, f"{wish.hours:g} h: {wish.reason}")
        self._wishes.board(robot_id)
        who: Principal = request.state.who
        try:
            made = await asyncio.to_thread(
                self._upkeep.begin, robot_id, who, wish.reason, wish.hours
            )
        except HeldError as error:
            raise ProblemError(409, "in_maintenance", str(error)) from error
        await self._tell()
        return MaintenanceReply.of(made)

    async def end(self, robot_id: RobotId, request: Request) -> None:
        self._wishes.board(robot_id)
        try:
            await asyncio.to_thread(self._upkeep.end, robot_id, request.state.who)
        except HeldError as error:
            raise ProblemError(409, "in_maintenance", str(error)) from error
        await self._tell()

    async def _tell(self) -> None:
        self._wishes.watch.note_maintenance(await asyncio.to_thread(self._upkeep.all))


def _good(answer: Answer) -> dict[str, Any]:
    """The robot's body, or its refusal as a problem of ours."""
    if answer.is_good:
        return answer.body if isinstance(answer.body, dict) else {}
    match answer.status:
        case 502 | 503 | 504:
            raise ProblemError(answer.status, "no_answer", answer.text)
        case status if status >= 500:
            raise ProblemError(502, "robot_failed", answer.text)
        case _:
            raise ProblemError(409, "robot_refused", answer.text)
