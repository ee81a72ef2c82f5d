"""The page of the whole fleet, and what belongs to no single robot."""

import asyncio
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

from fleet.clock import Clock
from fleet.enrolment import Enrolment, EnrolmentError, Enrolments
from fleet.incidents.runbook import ROOT, read_runbook
from fleet.mender import announce, failed
from fleet.numbers import Known, Numbers
from fleet.page.fleet_view import Asked, asked_of, columns, fleet_view, rows_view
from fleet.page.frame import Frame, Streams
from fleet.page.incident_pages import worded
from fleet.page.view import View
from fleet.picture import Picture
from fleet.problem import ProblemError
from fleet.roster import Duty
from fleet.settings import FleetSettings
from fleet.watch import Watch
from ota.mender import MenderError

RUNBOOKS = ROOT / "docs" / "runbooks"
NS_PER_S = 1_000_000_000
FLEET_PERIOD_S = 0.5


class FleetPages:
    def __init__(
        self,
        settings: FleetSettings,
        watch: Watch,
        numbers: Numbers,
        enrolments: Enrolments | None,
        clock: Clock,
        frame: Frame,
        streams: Streams,
    ) -> None:
        self._settings = settings
        self._watch = watch
        self._numbers = numbers
        self._enrolments = enrolments
        self._clock = clock
        self._frame = frame
        self._streams = streams
        self._shared: tuple[Picture, Known, View] | None = None

    def add_to(self, app: FastAPI) -> None:
        app.get("/", response_class=HTMLResponse, include_in_schema=False)(self.index)
        app.get("/fleet", response_class=HTMLResponse, include_in_schema=False)(self.fleet)
        app.get("/fleet/stream", response_class=StreamingResponse, include_in_schema=False)(
            self.stream
        )
        app.post("/enrolments/{robot_id}/approve", include_in_schema=False)(self.approve)
        app.get("/runbooks/{name}", include_in_schema=False)(self.runbook)
        app.get("/healthz", include_in_schema=False)(self.health)

    async def index(self) -> Response:
        """Who has one robot wants to see it."""
        boards, asking = self._watch.boards, await asyncio.to_thread(self._asking)
        if len(boards) == 1 and not asking:
            return RedirectResponse(f"/robots/{next(iter(boards))}", 303)
        return RedirectResponse("/fleet", 303)

    async def fleet(self, request: Request) -> Response:
        asked = asked_of(dict(request.query_params))
        view, asking = await asyncio.gather(self._look(asked), asyncio.to_thread(self._asking))
        return self._frame.render(
            "fleet.html",
            request,
            view=view,
            asked=asked,
            asking=asking,
            columns=columns(asked),
            duties=list(Duty),
            filtered=asked.link(sort=None, down=None, page=None) != "/fleet",
        )

    async def stream(self, request: Request) -> StreamingResponse:
        asked = asked_of(dict(request.query_params))
        return self._streams.start(request, lambda: self._look(asked), FLEET_PERIOD_S)

    async def _look(self, asked: Asked) -> View:
        """The part that all viewers share is made once for each picture and its numbers."""
        picture, known = self._watch.picture(), await self._numbers.get()
        now_s = self._clock.wall_ns() / NS_PER_S
        kept = self._shared
        if kept is None or kept[0] is not picture or kept[1] is not known:
            made = fleet_view(picture, known, self._settings.targets, now_s)
            kept = self._shared = (picture, known, made)
        shared, rows = kept[2], rows_view(picture, asked, now_s)
        return View(
            {**shared.text, **rows.text},
            {**shared.state, **rows.state},
            {**shared.markup, **rows.markup},
        )

    def _asking(self) -> list[Enrolment]:
        """Robots that wait for an operator."""
        return [] if self._enrolments is None else self._enrolments.asking()

    async def approve(self, robot_id: str) -> JSONResponse:
        """The click: this robot is one of ours."""
        if self._enrolments is None:
            detail = "this fleet has no authority of its own; approve it there"
            raise ProblemError(404, "no_authority", detail)
        now_s = self._clock.wall_ns() // NS_PER_S
        try:
            await asyncio.to_thread(self._enrolments.approve, robot_id, now_s)
        except EnrolmentError as error:
            return JSONResponse({"ok": False, "message": str(error)}, 409)
        try:
            await asyncio.to_thread(announce, self._settings, self._enrolments, robot_id)
        except MenderError as error:
            return JSONResponse({"ok": False, "message": failed(robot_id, error)}, 502)
        return JSONResponse({"ok": True, "message": f"{robot_id} is enrolled"})

    async def runbook(self, request: Request, name: str) -> Response:
        known = {path.stem: str(path.relative_to(ROOT)) for path in RUNBOOKS.glob("*.md")}
        if name not in known:
            raise ProblemError(404, "no_such_runbook", f"no runbook {name!r}")
        return self._frame.render(
            "runbook.html",
            request,
            runbook=name,
            book=read_runbook(known[name]),
            worded=worded,
        )

    async def health(self) -> dict[str, Any]:
        return {"robots": len(self._watch.boards), "streams": self._streams.open}
