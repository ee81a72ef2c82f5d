"""Incidents follow the alerts: opened, joined, filled with what is known, recovered."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Engine

from conf.schema.alerts import Alerts as AlertRules
from conf.schema.alerts import FirstAction, Rule
from fleet.alerts.alert import ActiveAlert
from fleet.alerts.sample import FLEET
from fleet.incidents.book import IncidentBook
from fleet.incidents.decide import Joins, Opens, place_alert
from fleet.incidents.evidence import LOOK_BACK_NS, Evidence
from fleet.incidents.model import BY_ITSELF, Entry, Kind
from fleet.incidents.runbook import ROOT, Runbook, RunbookError, read_runbook
from fleet.store.series import SeriesStore, StoreUnavailableError

log = logging.getLogger(__name__)

StopRobot = Callable[[str], str]
"""Asks a robot to stop; says in words what came of it."""


class Incidents:
    """The listener of `fleet.alerts.service.Alerts`. What fails is tried again by `reconcile`."""

    def __init__(
        self,
        rules: AlertRules,
        rows: Engine,
        series: SeriesStore | None = None,
        stop_robot: StopRobot | None = None,
        root: Path = ROOT,
    ) -> None:
        self.book = IncidentBook(rows)
        self._rules = rules
        self._evidence = Evidence(rows, series)
        self._stop_robot = stop_robot
        self._root = root

    def react(
        self, began: list[ActiveAlert], ended: list[tuple[ActiveAlert, int]], now_ns: int
    ) -> None:
        """Raises nothing: an alert must be told also when no incident can be written."""
        try:
            for alert in began:
                self._place(alert, now_ns)
            for alert, ended_ns in ended:
                self.book.end_alert(alert, ended_ns)
        except StoreUnavailableError as error:
            log.warning("an incident cannot be written just now: %s", error)

    def reconcile(self, active: Iterable[ActiveAlert], now_ns: int) -> None:
        """What a crash or a full disk has left out; twice the same changes nothing."""
        firing = {(one.subject, one.key): one for one in active}
        try:
            members = [m for one in self.book.open_ones() for m in one.firing]
            known = {(one.subject, one.rule) for one in members}
            gone = [one for one in members if (one.subject, one.rule) not in firing]
            ended = [(self._as_alert(one), now_ns) for one in gone]
        except StoreUnavailableError as error:
            log.warning("incidents cannot be read just now: %s", error)
            return
        self.react([one for key, one in firing.items() if key not in known], ended, now_ns)

    def open_by_hand(
        self, title: str, who: str, now_ns: int, *, subject: str, site: str, runbook: str
    ) -> int:
        """Raises RunbookError when there is no such page."""
        made = read_runbook(runbook, self._root) if runbook else None
        header = {
            "title": title,
            "severity": "warning",
            "subject": subject,
            "site": site,
            "runbook": runbook,
            "opened_ns": now_ns,
            "opened_by": who,
        }
        incident_id = self.book.open(header, made, None)
        self._gather(incident_id, [] if subject == FLEET else [subject], now_ns)
        return incident_id

    def _place(self, alert: ActiveAlert, now_ns: int) -> None:
        rule = self._rules.rules[alert.key]
        match place_alert(self.book.open_ones(), rule, alert):
            case None:
                return
            case Joins() as joins:
                self.book.join(joins, now_ns)
            case Opens():
                self._open(rule, alert, now_ns)

    def _open(self, rule: Rule, alert: ActiveAlert, now_ns: int) -> None:
        header: dict[str, Any] = {
            "title": alert.summary,
            "severity": alert.severity.value,
            "subject": alert.subject,
            "site": alert.site,
            "runbook": rule.runbook,
            "opened_ns": now_ns,
            "opened_by": BY_ITSELF,
        }
        incident_id = self.book.open(header, self._runbook(rule.runbook), alert)
        log.warning("incident %d: %s", incident_id, alert.summary)
        subjects = [] if alert.subject == FLEET else [alert.subject]
        self._gather(incident_id, subjects, now_ns)
        for action in rule.first_actions:
            text = self._act(action, alert.subject, now_ns)
            self.book.note(incident_id, [Entry(now_ns, Kind.ACTION, BY_ITSELF, text)])

    def _gather(self, incident_id: int, subjects: list[str], now_ns: int) -> None:
        """What changed in the hours before; an incident stands also without it."""
        since_ns = now_ns - LOOK_BACK_NS
        try:
            found = self._evidence.changes(subjects, since_ns, now_ns)
            found += self._evidence.network(since_ns, now_ns)
        except StoreUnavailableError as error:
            found = [
                Entry(now_ns, Kind.CHANGED, BY_ITSELF, f"what changed cannot be read: {error}")
            ]
        self.book.note(incident_id, found)

    def _act(self, action: FirstAction, subject: str, now_ns: int) -> str:
        """What was done, in words; what could not be done says so."""
        try:
            lines = self._do(action, subject, now_ns)
        except StoreUnavailableError as error:
            lines = [f"not possible: {error}"]
        what = action.value.replace("_", " ")
        return "\n".join([f"{what}:", *(lines or ["nothing was found"])])

    def _do(self, action: FirstAction, subject: str, now_ns: int) -> list[str]:
        robot_id = None if subject == FLEET else subject
        match action:
            case FirstAction.GATHER_EVENTS:
                return self._evidence.events(robot_id, now_ns - LOOK_BACK_NS, now_ns)
            case FirstAction.GATHER_VERSIONS:
                return self._evidence.running()
            case FirstAction.GATHER_ACCOUNTING:
                return self._evidence.accounting(subject)
            case FirstAction.STOP_ROBOT:
                if self._stop_robot is None:
                    return [f"{subject} cannot be stopped from here; stop it at its own page"]
                return [self._stop_robot(subject)]

    def _runbook(self, name: str) -> Runbook | None:
        try:
            return read_runbook(name, self._root)
        except RunbookError as error:
            log.error("an incident without its steps: %s", error)
            return None

    def _as_alert(self, member: Any) -> ActiveAlert:
        rule = self._rules.rules.get(member.rule) or next(iter(self._rules.rules.values()))
        return ActiveAlert(
            key=member.rule,
            name=rule.alert if member.rule in self._rules.rules else member.rule,
            subject=member.subject,
            site="",
            severity=rule.severity,
            summary=member.summary,
            runbook=rule.runbook,
            since_ns=member.began_ns,
            value=None,
        )
