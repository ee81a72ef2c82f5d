"""The page of events, its filters and its export: the questions of `bedplate fleet events`."""

from itertools import islice
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from sqlalchemy.engine import Engine

from fleet.clock import Clock
from fleet.events import find
from fleet.events.export import Format, export
from fleet.events.search import every
from fleet.page.event_view import SEVERITIES, SINCE, Asked, asked_of, rows
from fleet.page.frame import Frame
from fleet.problem import ProblemError

SHOWN = 100
EXPORTED_MAX = 100_000
MEDIA = {Format.CSV: "text/csv; charset=utf-8", Format.JSONL: "application/x-ndjson"}


class EventPages:
    def __init__(self, database: Engine, clock: Clock, frame: Frame) -> None:
        self._rows = database
        self._clock = clock
        self._frame = frame

    def add_to(self, app: FastAPI) -> None:
        app.get("/events", response_class=HTMLResponse, include_in_schema=False)(self.page)
        app.get("/events/export", response_class=StreamingResponse, include_in_schema=False)(
            self.export
        )

    def page(self, request: Request) -> Response:
        asked = self._asked(request)
        found = [] if asked.mistakes else find(self._rows, asked.wanted, SHOWN, asked.after)
        older = asked.link(before=str(found[-1].cursor)) if len(found) == SHOWN else None
        return self._frame.render(
            "events.html",
            request,
            asked=asked,
            rows=rows(found),
            count=len(found),
            older=older,
            severities=SEVERITIES,
            spans=SINCE,
        )

    def export(
        self, request: Request, form: Annotated[Format, Query(alias="format")] = Format.CSV
    ) -> Response:
        """As many as one can open in a table; more by `bedplate fleet events --export`."""
        asked = self._asked(request)
        if asked.mistakes:
            raise ProblemError(400, "wrong_filter", "; ".join(asked.mistakes))
        found = islice(every(self._rows, asked.wanted), EXPORTED_MAX)
        return StreamingResponse(
            export(found, form),
            media_type=MEDIA[form],
            headers={"content-disposition": f'attachment; filename="events.{form.value}"'},
        )

    def _asked(self, request: Request) -> Asked:
        return asked_of(dict(request.query_params), self._clock.wall_ns())
