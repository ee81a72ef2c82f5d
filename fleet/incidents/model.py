"""An incident as it is known: what it is about, what is done, what happened."""

from dataclasses import dataclass
from enum import StrEnum

BY_ITSELF = "bedplate"
"""Who did what nobody did."""


class State(StrEnum):
    OPEN = "open"
    RECOVERED = "recovered"  # every alert in it is over; it is watched before it is closed
    CLOSED = "closed"


class Kind(StrEnum):
    OPENED = "opened"
    ALERT = "alert"  # one began or ended
    CHANGED = "changed"  # what changed around then: versions, modes, boots
    NETWORK = "network"  # connections that were lost around then
    ACTION = "action"  # done by itself
    STEP = "step"
    NOTE = "note"
    CLOSED = "closed"


@dataclass(frozen=True)
class Member:
    """An alert in the incident."""

    subject: str
    rule: str
    began_ns: int
    ended_ns: int | None
    summary: str


@dataclass(frozen=True)
class StepState:
    number: int
    text: str
    commands: tuple[str, ...]
    done_ns: int | None = None
    done_by: str | None = None
    needed: bool = True  # False: it was decided that it need not be done

    @property
    def is_settled(self) -> bool:
        return self.done_ns is not None


@dataclass(frozen=True)
class Entry:
    at_ns: int
    kind: Kind
    who: str
    text: str


@dataclass(frozen=True)
class Incident:
    incident_id: int
    title: str
    severity: str
    subject: str
    site: str
    runbook: str
    opened_ns: int
    opened_by: str
    recovered_ns: int | None
    closed_ns: int | None
    closed_by: str | None
    cause: str
    prevention: str
    members: tuple[Member, ...] = ()
    steps: tuple[StepState, ...] = ()
    timeline: tuple[Entry, ...] = ()

    @property
    def state(self) -> State:
        if self.closed_ns is not None:
            return State.CLOSED
        return State.OPEN if self.recovered_ns is None else State.RECOVERED

    @property
    def firing(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.ended_ns is None)
