"""The page of one robot, its stream, its pictures, and the wishes that go back to the robot."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from fleet.local import Reply, ask, clear_faults
from fleet.page.frame import Frame, Streams
from fleet.page.view import View
from fleet.problem import ProblemError
from fleet.settings import FleetSettings, RobotEntry
from fleet.watch import Board, Watch

Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]{0,47}$")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FaultWish(Body):
    component: Word
    kind: Word


class StopWish(Body):
    level: Literal["controlled", "hold", "power_off"] = "controlled"


class TaskWish(Body):
    skill: Word = "pick_place"
    high_value: bool = False


class RobotPages:
    def __init__(
        self, settings: FleetSettings, watch: Watch, frame: Frame, streams: Streams
    ) -> None:
        self._settings = settings
        self._watch = watch
        self._frame = frame
        self._streams = streams

    def add_to(self, app: FastAPI) -> None:
        """Not in the schema: what pages ask of us may change with them, the API may not."""
        get: tuple[tuple[str, Callable[..., Any], type[Response]], ...] = (
            ("", self.page, HTMLResponse),
            ("/stream", self.stream, StreamingResponse),
            ("/live", self.live, JSONResponse),
            ("/events", self.events, JSONResponse),
            ("/accounting", self.accounting, JSONResponse),
            ("/snapshot/{camera}", self.snapshot, Response),
        )
        post: tuple[tuple[str, Callable[..., Any]], ...] = (
            ("/faults", self.inject),
            ("/faults/clear", self.clear),
            ("/stop", self.stop),
            ("/rearm", self.rearm),
            ("/tasks", self.task),
        )
        at = "/robots/{robot_id}"
        for path, handler, kind in get:
            app.get(at + path, response_class=kind, include_in_schema=False)(handler)
        for path, handler in post:
            app.post(at + path, include_in_schema=False)(handler)

    async def page(self, robot_id: str, request: Request) -> Response:
        board = self._board(robot_id)
        view = await self._watch.load(board)
        return self._frame.render(
            "robot.html",
            request,
            robot=board.robot,
            entry=board.entry,
            view=view,
            cameras=self._cameras(board),
        )

    async def stream(self, robot_id: str, request: Request) -> StreamingResponse:
        board = self._board(robot_id)
        first = True

        async def look() -> View:
            nonlocal first
            if first:
                first = False
                board.viewers += 1
                board.view = await self._watch.load(board)
            return board.view

        def leave() -> None:
            board.viewers -= not first

        return self._streams.start(request, look, leave=leave)

    async def live(self, robot_id: str) -> JSONResponse:
        return JSONResponse(self._board(robot_id).robot.live)

    async def events(self, robot_id: str, limit: Annotated[int, Field(ge=1, le=1000)] = 100) -> Any:
        self._board(robot_id)
        return await self._watch.events(robot_id, limit)

    async def accounting(self, robot_id: str) -> Any:
        self._board(robot_id)
        return await self._watch.accounting(robot_id)

    async def snapshot(self, robot_id: str, camera: str) -> Response:
        snapshot = self._board(robot_id).robot.snapshots.get(camera)
        if snapshot is None:
            raise ProblemError(404, "no_picture", "no picture of this camera has come yet")
        return Response(snapshot.jpeg, media_type="image/jpeg")

    async def inject(self, robot_id: str, wish: FaultWish) -> JSONResponse:
        entry = self._simulated(robot_id)
        reply = await ask(entry.faults_socket, "POST", "/faults", wish.model_dump())
        if reply.is_good and isinstance(reply.body, dict):
            reply = Reply(200, f"{wish.component}: {reply.body.get('effect', wish.kind)}")
        return _answer(reply)

    async def clear(self, robot_id: str) -> JSONResponse:
        return _answer(await clear_faults(self._simulated(robot_id).faults_socket))

    async def stop(self, robot_id: str, wish: StopWish) -> JSONResponse:
        socket = self._local(robot_id).agent_socket
        reply = await ask(socket, "POST", "/v1/stop", wish.model_dump())
        return _answer(Reply(reply.status, "stop requested") if reply.is_good else reply)

    async def rearm(self, robot_id: str) -> JSONResponse:
        reply = await ask(self._local(robot_id).agent_socket, "POST", "/v1/rearm", {})
        if reply.is_good and isinstance(reply.body, dict) and reply.body.get("remaining"):
            causes = ", ".join(str(cause) for cause in reply.body["remaining"])
            reply = Reply(409, f"not re-armed: {causes.replace('_', ' ')} is still there")
        return _answer(Reply(reply.status, "re-armed") if reply.is_good else reply)

    async def task(self, robot_id: str, wish: TaskWish) -> JSONResponse:
        socket = self._local(robot_id).agent_socket
        reply = await ask(socket, "POST", "/v1/tasks", wish.model_dump())
        return _answer(Reply(reply.status, "task accepted") if reply.is_good else reply)

    def _cameras(self, board: Board) -> list[str]:
        return sorted({"cell", "bin", *board.robot.snapshots}, key=lambda n: (n != "cell", n))

    def _board(self, robot_id: str) -> Board:
        board = self._watch.boards.get(robot_id)
        if board is None:
            raise ProblemError(404, "no_such_robot", f"no robot {robot_id!r} has been heard")
        return board

    def _local(self, robot_id: str) -> RobotEntry:
        self._board(robot_id)
        entry = self._settings.robot(robot_id)
        if entry is None:
            detail = "this robot is not on this machine; ask it on its own"
            raise ProblemError(409, "not_here", detail)
        return entry

    def _simulated(self, robot_id: str) -> RobotEntry:
        entry = self._local(robot_id)
        if not entry.simulated:
            detail = "this robot is not simulated: nothing of it can be broken"
            raise ProblemError(409, "not_simulated", detail)
        return entry


def _answer(reply: Reply) -> JSONResponse:
    status = 200 if reply.is_good else reply.status
    return JSONResponse({"ok": reply.is_good, "message": reply.text}, status)
