"""Routes about incidents: what is wrong, what was done, its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import PlainTextResponse
from pydantic import Field

from conf.schema.alerts import Severity
from fleet.api.replies import Reply
from fleet.incidents.decide import affected
from fleet.incidents.desk import Desk, NoIncidentError, RefusedError
from fleet.incidents.export import export
from fleet.incidents.model import Entry, Incident, Kind, Member, State, StepState
from fleet.problem import ProblemError
from fleet.roster import PAGE_MAX
from fleet.security import note
from fleet.wishes import Wish

NS_PER_S = 1_000_000_000
ID_MAX = 2**31 - 1
Number = Annotated[int, Path(ge=1, le=ID_MAX)]
Step = Annotated[int, Path(ge=1, le=999)]
Words = Annotated[str, Field(min_length=1, max_length=5000, pattern=r"\w")]


class OpenWish(Wish):
    title: Annotated[str, Field(min_length=1, max_length=300, pattern=r"\w")]
    subject: str = Field(
        "fleet", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="a robot, or `fleet`"
    )
    runbook: str = Field(
        "", pattern=r"^$|^docs/runbooks/[a-z][a-z0-9_]{0,60}\.md$", description="its steps"
    )


class NoteWish(Wish):
    text: Words


class StepWish(Wish):
    needed: bool = Field(True, description="false: it need not be done here")


class CloseWish(Wish):
    cause: Words = Field(description="what it was")
    prevention: Words = Field(description="what keeps it from coming again")


class OpenedReply(Reply):
    incident_id: int


class MemberReply(Reply):
    subject: str
    rule: str
    summary: str
    began_s: float
    ended_s: float | None

    @classmethod
    def of(cls, one: Member) -> "MemberReply":
        return cls(
            subject=one.subject,
            rule=one.rule,
            summary=one.summary,
            began_s=one.began_ns / NS_PER_S,
            ended_s=_seconds(one.ended_ns),
        )


class RunbookStepReply(Reply):
    number: int
    text: str
    commands: list[str]
    done_s: float | None = Field(description="null: it is open")
    done_by: str | None
    needed: bool

    @classmethod
    def of(cls, one: StepState) -> "RunbookStepReply":
        return cls(
            number=one.number,
            text=one.text,
            commands=list(one.commands),
            done_s=_seconds(one.done_ns),
            done_by=one.done_by,
            needed=one.needed,
        )


class EntryReply(Reply):
    at_s: float
    kind: Kind
    who: str
    text: str

    @classmethod
    def of(cls, one: Entry) -> "EntryReply":
        return cls(at_s=one.at_ns / NS_PER_S, kind=one.kind, who=one.who, text=one.text)


class IncidentReply(Reply):
    incident_id: int
    title: str
    severity: Severity
    state: State
    subject: str
    about: list[str] = Field(description="each robot whose alerts are in it")
    site: str
    runbook: str
    opened_s: float
    opened_by: str
    recovered_s: float | None = Field(description="when the last alert in it ended")
    closed_s: float | None
    closed_by: str | None
    firing: int = Field(description="alerts in it that fire")

    @classmethod
    def of(cls, one: Incident) -> "IncidentReply":
        return cls.model_validate(_fields(one))


class IncidentDetailReply(IncidentReply):
    cause: str
    prevention: str
    alerts: list[MemberReply]
    steps: list[RunbookStepReply]
    timeline: list[EntryReply] = Field(description="oldest first")
    before_closing: list[str] = Field(description="why it cannot be closed yet")

    @classmethod
    def whole(cls, one: Incident, before_closing: list[str]) -> "IncidentDetailReply":
        parts = {
            "cause": one.cause,
            "prevention": one.prevention,
            "alerts": [MemberReply.of(member) for member in one.members],
            "steps": [RunbookStepReply.of(step) for step in one.steps],
            "timeline": [EntryReply.of(entry) for entry in one.timeline],
            "before_closing": before_closing,
        }
        return cls.model_validate({**_fields(one), **parts})


class IncidentsReply(Reply):
    items: list[IncidentReply]
    next: str | None = Field(description="cursor of the next page; null: this is the last")


class Document(PlainTextResponse):
    media_type = "text/markdown"


class IncidentsApi:
    """Handlers that are no coroutines: the framework gives each a thread, as the rows want."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, router: APIRouter) -> None:
        tags: list[str | Enum] = ["incidents"]
        at = "/incidents/{incident_id}"
        router.get("/incidents", tags=tags, summary="incidents, newest first")(self.incidents)
        router.post("/incidents", tags=tags, summary="open one by hand", status_code=201)(self.open)
        router.get(at, tags=tags, summary="one, with steps and timeline")(self.incident)
        router.get(f"{at}/export", tags=tags, summary="one as a document", response_class=Document)(
            self.export
        )
        router.post(f"{at}/notes", tags=tags, summary="write into its timeline", status_code=204)(
            self.note
        )
        router.put(f"{at}/steps/{{number}}", tags=tags, summary="tick a step off", status_code=204)(
            self.settle
        )
        router.post(f"{at}/close", tags=tags, summary="close it, when it is over", status_code=204)(
            self.close
        )

    def incidents(
        self,
        state: State | None = None,
        cursor: Annotated[str | None, Query(pattern=r"^[1-9][0-9]{0,8}$")] = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    ) -> IncidentsReply:
        found = self._desk.page(state, None if cursor is None else int(cursor), limit)
        return IncidentsReply(
            items=[IncidentReply.of(one) for one in found],
            next=str(found[-1].incident_id) if len(found) == limit else None,
        )

    def open(self, wish: OpenWish, request: Request) -> OpenedReply:
        note(request, wish.subject)
        with _answered():
            made = self._desk.open(
                wish.title, request.state.who.name, subject=wish.subject, runbook=wish.runbook
            )
        return OpenedReply(incident_id=made)

    def incident(self, incident_id: Number) -> IncidentDetailReply:
        with _answered():
            found = self._desk.find(incident_id)
        return IncidentDetailReply.whole(found, self._desk.before_closing(found))

    def export(self, incident_id: Number) -> Document:
        with _answered():
            return Document(export(self._desk.find(incident_id)))

    def note(self, incident_id: Number, wish: NoteWish, request: Request) -> None:
        with _answered():
            self._desk.note(incident_id, wish.text, request.state.who.name)

    def settle(self, incident_id: Number, number: Step, wish: StepWish, request: Request) -> None:
        with _answered():
            self._desk.settle(incident_id, number, request.state.who.name, needed=wish.needed)

    def close(self, incident_id: Number, wish: CloseWish, request: Request) -> None:
        with _answered():
            self._desk.close(
                incident_id, request.state.who.name, cause=wish.cause, prevention=wish.prevention
            )


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except NoIncidentError as error:
        raise ProblemError(404, "no_such_incident", str(error)) from error
    except RefusedError as error:
        raise ProblemError(409, "refused", str(error)) from error


def _fields(one: Incident) -> dict[str, object]:
    return {
        "incident_id": one.incident_id,
        "title": one.title,
        "severity": one.severity,
        "state": one.state,
        "subject": one.subject,
        "about": list(affected(one)),
        "site": one.site,
        "runbook": one.runbook,
        "opened_s": one.opened_ns / NS_PER_S,
        "opened_by": one.opened_by,
        "recovered_s": _seconds(one.recovered_ns),
        "closed_s": _seconds(one.closed_ns),
        "closed_by": one.closed_by,
        "firing": len(one.firing),
    }


def _seconds(at_ns: int | None) -> float | None:
    return None if at_ns is None else at_ns / NS_PER_S
