"""Routes about the journeys of tasks."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy.engine import Engine

from fleet.api.parameters import NS_MAX, MomentNs, TimeCursor, place_of
from fleet.api.replies import Reply
from fleet.problem import ProblemError
from fleet.traces.query import Journey, Wanted, find_trace, journeys
from fleet.traces.told import as_rows
from runtime.telemetry.span import Status

TRACES_MAX = 1000
Text = Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00]*$")]
TraceId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="W3C trace id")]
Values = dict[str, bool | int | float | str]


class JourneyReply(Reply):
    trace_id: str
    robot_id: str
    site: str
    version: str
    task_id: int
    start_ns: int = Field(description="by the robot's clock, whatever it says")
    end_ns: int | None = Field(description="null: it goes on, or its end was not told")
    status: Status
    attributes: Values

    @classmethod
    def of(cls, found: Journey) -> "JourneyReply":
        step = found.step
        return cls.model_validate({**step.__dict__, "robot_id": step.robot})


class JourneysReply(Reply):
    items: list[JourneyReply] = Field(description="newest first")
    next: str | None


class StepReply(Reply):
    span_id: str
    parent_id: str | None
    depth: int
    missing: bool = Field(description="others name it, and it is not here: lost, or on its way")
    name: str | None
    source: str | None = Field(description="which process")
    on_robot: bool | None = Field(description="false: the fleet's step, by the fleet's clock")
    start_ns: int | None
    end_ns: int | None
    status: Status | None
    attributes: Values


class TraceReply(Reply):
    trace_id: str
    missing: int
    steps: list[StepReply] = Field(description="depth first; parents come before children")


class TracesApi:
    def __init__(self, rows: Engine) -> None:
        self._rows = rows

    def add_to(self, router: APIRouter) -> None:
        get = router.get
        get("/traces", tags=["traces"], summary="journeys of tasks, newest first")(self.traces)
        get("/traces/{trace_id}", tags=["traces"], summary="one journey, step by step")(self.trace)

    def traces(
        self,
        robot: Text = None,
        site: Text = None,
        version: Text = None,
        task_id: Annotated[int | None, Query(ge=0, le=NS_MAX)] = None,
        status: Status | None = None,
        longer_ms: Annotated[float | None, Query(ge=0, le=1e12)] = None,
        since_ns: MomentNs = None,
        until_ns: MomentNs = None,
        cursor: TimeCursor = None,
        limit: Annotated[int, Query(ge=1, le=TRACES_MAX)] = 100,
    ) -> JourneysReply:
        wanted = Wanted(
            since_ns=since_ns,
            until_ns=until_ns,
            robot=robot,
            site=site,
            version=version,
            task_id=task_id,
            status=status,
            longer_ms=longer_ms,
        )
        found = journeys(self._rows, wanted, limit, place_of(cursor))
        last = found[-1].cursor if len(found) == limit else None
        return JourneysReply(
            items=[JourneyReply.of(item) for item in found],
            next=None if last is None else str(last),
        )

    def trace(self, trace_id: TraceId) -> TraceReply:
        found = find_trace(self._rows, trace_id)
        if found is None:
            raise ProblemError(404, "no_such_trace", f"nothing has told of trace {trace_id}")
        steps = [StepReply.model_validate(row) for row in as_rows(found)]
        return TraceReply(trace_id=trace_id, missing=found.missing, steps=steps)
