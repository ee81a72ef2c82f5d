"""The page of one robot, its stream, its pictures, and the wishes that go back to the robot."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from pydantic import Field

from fleet.local import Reply
from fleet.page.frame import Frame, Streams
from fleet.page.view import View
from fleet.problem import ProblemError
from fleet.security import note
from fleet.watch import Board
from fleet.wishes import FaultWish, StopWish, TaskWish, Wishes


class RobotPages:
    def __init__(self, wishes: Wishes, frame: Frame, streams: Streams) -> None:
        self._wishes = wishes
        self._watch = wishes.watch
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
        board = self._wishes.board(robot_id)
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
        board = self._wishes.board(robot_id)
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
        return JSONResponse(self._wishes.board(robot_id).robot.live)

    async def events(self, robot_id: str, limit: Annotated[int, Field(ge=1, le=1000)] = 100) -> Any:
        self._wishes.board(robot_id)
        return await self._watch.events(robot_id, limit)

    async def accounting(self, robot_id: str) -> Any:
        self._wishes.board(robot_id)
        return await self._watch.accounting(robot_id)

    async def snapshot(self, robot_id: str, camera: str) -> Response:
        snapshot = self._wishes.board(robot_id).robot.snapshots.get(camera)
        if snapshot is None:
            raise ProblemError(404, "no_picture", "no picture of this camera has come yet")
        return Response(snapshot.jpeg, media_type="image/jpeg")

    async def inject(self, robot_id: str, wish: FaultWish, request: Request) -> JSONResponse:
        note(request, f"{wish.component} {wish.kind}")
        return _answer(await self._wishes.inject(robot_id, wish))

    async def clear(self, robot_id: str) -> JSONResponse:
        return _answer(await self._wishes.clear(robot_id))

    async def stop(self, robot_id: str, wish: StopWish, request: Request) -> JSONResponse:
        note(request, wish.level)
        return _answer(await self._wishes.stop(robot_id, wish))

    async def rearm(self, robot_id: str, request: Request) -> JSONResponse:
        return _answer(await self._wishes.rearm(robot_id, request.state.who))

    async def task(self, robot_id: str, wish: TaskWish, request: Request) -> JSONResponse:
        note(request, wish.skill)
        return _answer(await self._wishes.submit(robot_id, wish, request.state.who))

    def _cameras(self, board: Board) -> list[str]:
        return sorted({"cell", "bin", *board.robot.snapshots}, key=lambda n: (n != "cell", n))


def _answer(reply: Reply) -> JSONResponse:
    status = 200 if reply.is_good else reply.status
    return JSONResponse({"ok": reply.is_good, "message": reply.text}, status)
