"""The page of one task: its journey as bars, and its events."""

from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import FastAPI, Path, Query, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.engine import Engine

from fleet.events import Event, Wanted, find
from fleet.page.event_view import rows
from fleet.page.frame import Frame
from fleet.page.waterfall import waterfall
from fleet.problem import ProblemError
from fleet.traces.query import trace, traces_of_task
from fleet.traces.told import span_words
from fleet.traces.tree import Trace
from runtime.telemetry.span import Status

EVENTS_SHOWN = 200
TASK_MAX = 2**63 - 1
STATES = {Status.OK: "good", Status.ERROR: "bad", Status.UNSET: ""}


class TaskPages:
    def __init__(self, database: Engine, frame: Frame) -> None:
        self._rows = database
        self._frame = frame

    def add_to(self, app: FastAPI) -> None:
        at = "/robots/{robot_id}/tasks/{task_id}"
        app.get(at, response_class=HTMLResponse, include_in_schema=False)(self.page)

    def page(
        self,
        robot_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,126}$")],
        task_id: Annotated[int, Path(ge=0, le=TASK_MAX)],
        request: Request,
        which: Annotated[str | None, Query(alias="trace", pattern=r"^[0-9a-f]{32}$")] = None,
    ) -> Response:
        traces = traces_of_task(self._rows, robot_id, task_id)
        if which is not None and which not in traces:
            raise ProblemError(404, "no_such_trace", f"task {task_id} of {robot_id} has no {which}")
        chosen = which or (traces[0] if traces else None)
        found = None if chosen is None else trace(self._rows, robot_id, chosen)
        told = find(self._rows, Wanted(robot=robot_id, task_id=task_id), EVENTS_SHOWN)
        if found is None and not told:
            detail = f"nothing has told of task {task_id} of {robot_id}"
            raise ProblemError(404, "no_such_task", detail)
        query = urlencode({"robot": robot_id, "task_id": task_id})
        return self._frame.render(
            "task.html",
            request,
            robot_id=robot_id,
            robot_link=f"/robots/{quote(robot_id, safe='')}",
            task_id=task_id,
            trace=found,
            others=[one for one in traces if one != chosen],
            facts=facts(found, told),
            state=_state(found),
            journey="" if found is None else waterfall(found),
            events=rows(reversed(told), whole=False),
            query=query,
        )


def facts(found: Trace | None, told: list[Event]) -> list[tuple[str, str]]:
    """What it was and what came of it, from the task's own span, else from its newest event."""
    step = None if found is None else found.root.step
    if step is None:
        newest = told[0] if told else None
        return [] if newest is None else [("kind", newest.task), ("newest event", newest.name)]
    said = step.attributes
    attempts = said.get("attempts")
    shown = [
        ("kind", str(said.get("skill", ""))),
        ("result", str(said.get("result", "not ended, as far as is known"))),
        ("reason", str(said.get("reason", ""))),
        ("took", span_words(step.lasted_ns)),
        ("attempts", f"{attempts:g}" if isinstance(attempts, int | float) else ""),
        ("asked by", str(said.get("asked_by", ""))),
        ("version", step.version),
        ("site", step.site),
    ]
    return [(name, value) for name, value in shown if value]


def _state(found: Trace | None) -> str:
    step = None if found is None else found.root.step
    return "" if step is None else STATES[step.status]
