"""What people do with incidents, by page or by API: the same rules for both."""

from collections.abc import Callable
from dataclasses import dataclass

from fleet.alerts.sample import FLEET
from fleet.clock import Clock
from fleet.incidents.decide import reasons_to_stay_open
from fleet.incidents.model import Entry, Incident, Kind, State
from fleet.incidents.runbook import RunbookError
from fleet.incidents.watch import Incidents

SITE_UNKNOWN = ""


class NoIncidentError(LookupError):
    """There is none of that number."""


class RefusedError(RuntimeError):
    """It cannot be done just now; the text says why."""


@dataclass(frozen=True)
class Desk:
    """Blocks on rows; raises StoreUnavailableError beside the errors above."""

    incidents: Incidents
    calm_s: float
    clock: Clock
    site_of: Callable[[str], str | None]  # None: no such robot was ever heard

    def page(self, state: State | None, before: int | None, limit: int) -> list[Incident]:
        """Newest first, without steps and timeline."""
        return self.incidents.book.page(state, before, limit)

    def find(self, incident_id: int) -> Incident:
        found = self.incidents.book.find(incident_id)
        if found is None:
            raise NoIncidentError(f"there is no incident {incident_id}")
        return found

    def open(self, title: str, who: str, *, subject: str, runbook: str) -> int:
        site = SITE_UNKNOWN if subject == FLEET else self.site_of(subject)
        if site is None:
            raise RefusedError(f"no robot {subject!r} has been heard; `fleet` is all of them")
        try:
            return self.incidents.open_by_hand(
                plain(title), who, self.clock.wall_ns(), subject=subject, site=site, runbook=runbook
            )
        except RunbookError as error:
            raise RefusedError(" ".join(str(error).split())) from error

    def note(self, incident_id: int, text: str, who: str) -> None:
        """Also of a closed one: what is learnt afterwards belongs to it."""
        found = self.find(incident_id)
        entry = Entry(self.clock.wall_ns(), Kind.NOTE, who, plain(text))
        self.incidents.book.note(found.incident_id, [entry])

    def settle(self, incident_id: int, number: int, who: str, *, needed: bool) -> None:
        """A step is done, or was found unneeded."""
        found, now_ns = self.find(incident_id), self.clock.wall_ns()
        if not self.incidents.book.tick(incident_id, number, who, now_ns, needed=needed):
            rest = ", ".join(str(step.number) for step in found.steps if not step.is_settled)
            raise RefusedError(f"step {number} is not open; open are: {rest or 'none'}")

    def close(self, incident_id: int, who: str, *, cause: str, prevention: str) -> None:
        found, now_ns = self.find(incident_id), self.clock.wall_ns()
        cause, prevention = plain(cause), plain(prevention)
        reasons = reasons_to_stay_open(found, now_ns, self.calm_s, cause, prevention)
        if reasons:
            raise RefusedError("; ".join(reasons))
        self.incidents.book.close(incident_id, who, now_ns, cause=cause, prevention=prevention)

    def before_closing(self, found: Incident) -> list[str]:
        """What is left to do, beside saying cause and prevention; empty when it is closed."""
        if found.state is State.CLOSED:
            return []
        said = "said"
        return reasons_to_stay_open(found, self.clock.wall_ns(), self.calm_s, said, said)


def plain(text: str) -> str:
    """What a database and a page can hold: lines of printable characters."""
    lines = text.replace("\r\n", "\n").splitlines()
    return "\n".join("".join(c for c in line if c.isprintable()).rstrip() for line in lines).strip()
