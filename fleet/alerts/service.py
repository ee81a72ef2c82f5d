"""The alerts of a fleet: fed with samples, looked at once a second, remembered in rows.

`observe` may be called from any thread and never waits. `tick` decides and writes; `deliver` tells
Alertmanager or the webhook. An alert is told once it is seen to fire *now*: one that is found in
what came after the fact has its place in the history, and wakes nobody.
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from sqlalchemy.engine import Engine as Rows

from conf.schema.alerts import Alerts as AlertRules
from conf.schema.alerts import Signal
from fleet.alerts.alert import ActiveAlert, summary_of, worst_first
from fleet.alerts.book import AlertRows, Entry
from fleet.alerts.engine import Engine, Place
from fleet.alerts.fold import Phase, View
from fleet.alerts.lane import Lane
from fleet.alerts.sample import FLEET, Sample, ns
from fleet.store.series import StoreUnavailableError

log = logging.getLogger(__name__)

WAITING_MAX = 1_000_000
SAVE_EVERY_NS = 10_000_000_000
EXPIRE_EVERY_NS = 3_600_000_000_000
Key = tuple[str, str]  # subject and rule


class Teller(Protocol):
    """Who passes alerts on; raises nothing, says whether everything was taken."""

    def tell(
        self, active: list[ActiveAlert], ended: list[tuple[ActiveAlert, int]], now_ns: int
    ) -> bool: ...


class Listener(Protocol):
    """Who follows what begins and ends: incidents."""

    def react(
        self, began: list[ActiveAlert], ended: list[tuple[ActiveAlert, int]], now_ns: int
    ) -> None: ...


class Alerts:
    def __init__(
        self,
        rules: AlertRules,
        book: AlertRows,
        teller: Teller | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.engine = Engine(rules)
        self.rules = rules
        self.history = book.history
        self.refused = 0  # samples of a time that has not come yet
        self._book = book
        self._teller = teller
        self._listener = listener
        self._lock = threading.Lock()
        self._waiting: list[Sample] = []
        self._told: dict[Key, ActiveAlert] = {}
        self._sites: dict[str, str] = {}
        self._heard: dict[str, int] = {}
        self._gists: dict[Place, tuple[object, ...]] = {}
        self._saved_ns = self._expired_ns = 0
        self._unsaid: list[tuple[ActiveAlert, int]] = []
        self._entry = Entry()
        self._views: dict[Key, View] = {}

    @classmethod
    def open(
        cls,
        rules: AlertRules,
        rows: Rows,
        teller: Teller | None = None,
        listener: Listener | None = None,
    ) -> "Alerts":
        """Goes on where the process before this one ended; StoreUnavailableError."""
        book = AlertRows(rows, rules)
        made = cls(rules, book, teller, listener)
        made.engine.restore(book.lanes())
        made._heard = book.heard()
        for alert in book.open_episodes():
            if alert.key in rules.rules:
                made._told[alert.subject, alert.key] = alert
                # Its site is that of before until it is heard: of another it were another alert.
                made._sites[alert.subject] = alert.site
        told = made._told_at()
        made._gists = {
            place: gist(lane, told.get(place, ())) for place, lane in made.engine.lanes.items()
        }
        return made

    def observe(self, samples: Iterable[Sample]) -> None:
        with self._lock:
            self._waiting.extend(samples)
            del self._waiting[:-WAITING_MAX]

    def begin(self, subject: str, signals: Iterable[Signal]) -> None:
        """This process hears of it for the first time; others may have before."""
        heard_ns = self._heard.get(subject)
        if heard_ns is not None:
            with self._lock:
                self.engine.begin(subject, signals, heard_ns)

    def note_heard(self, subject: str, at_ns: int) -> None:
        self._heard[subject] = at_ns

    def with_gaps(self) -> set[str]:
        with self._lock:
            return self.engine.with_gaps()

    def gap_of(self, subject: str, signals: Iterable[Signal]) -> tuple[int, int] | None:
        with self._lock:
            return self.engine.gap(subject, signals)

    def note_site(self, subject: str, site: str) -> None:
        """What an alert is grouped by, beside its name."""
        self._sites[subject] = site

    def active(self, subject: str | None = None) -> list[ActiveAlert]:
        """What fires, the worst first."""
        told = list(self._told.values())
        return worst_first([one for one in told if subject in (None, one.subject)])

    def no_data(self, subject: str) -> list[str]:
        """Rules that cannot say anything about it just now."""
        views = self._views.copy().items()
        return [k for (who, k), v in views if who == subject and v.phase is Phase.NO_DATA]

    def forget(self, subject: str, now_ns: int) -> None:
        """A robot that is no longer one of the fleet: what fires of it ends."""
        with self._lock:
            self.engine.forget(subject)
            self._heard.pop(subject, None)
            for place in [place for place in self._gists if place[0] == subject]:
                self._entry.lanes[place] = None
                del self._gists[place]
            for key in [key for key in self._told if key[0] == subject]:
                self._end(key, now_ns)

    def tick(self, now_ns: int) -> None:
        """Decides, and writes what must outlive the process. `now_ns` is wall-clock."""
        with self._lock:
            samples, self._waiting = self._waiting, []
            horizon_ns = now_ns + ns(self.rules.clock_skew_s)
            timely = [one for one in samples if one.at_ns <= horizon_ns]
            self.refused += len(samples) - len(timely)
            self._entry.changes += self.engine.observe(timely)
            places, views = self.engine.news(now_ns)
            began, ended = self._look(views, now_ns)
            self._note_lanes(places, now_ns)
        self._write(now_ns)
        if self._listener is not None and (began or ended):
            self._listener.react(began, ended, now_ns)

    def deliver(self, now_ns: int) -> bool:
        """Tells who is to be told; whether everything was taken."""
        if self._teller is None:
            return True
        with self._lock:
            active, ended = worst_first(list(self._told.values())), list(self._unsaid)
        taken = self._teller.tell(active, ended, now_ns)
        if taken:
            with self._lock:
                self._unsaid = self._unsaid[len(ended) :]
        return taken

    def _look(
        self, views: list[tuple[str, str, View]], now_ns: int
    ) -> tuple[list[ActiveAlert], list[tuple[ActiveAlert, int]]]:
        began: list[ActiveAlert] = []
        ended: list[tuple[ActiveAlert, int]] = []
        for subject, key, view in views:
            place, told = (subject, key), self._told.get((subject, key))
            self._views[place] = view
            if view.phase is Phase.FIRING and (view.known or told is not None):
                alert = self._alert(subject, key, view, told)
                self._told[place] = alert
                if told is None:
                    began.append(alert)
                    self._entry.told.append(alert)
                    log.warning("%s: %s: %s", alert.severity.value, alert.name, alert.summary)
            elif told is not None:
                ended.append(self._end(place, now_ns))
        return began, ended

    def _end(self, place: Key, now_ns: int) -> tuple[ActiveAlert, int]:
        alert = self._told.pop(place)
        row = (alert, now_ns)
        self._entry.ended.append(row)
        self._unsaid.append(row)
        log.info("over: %s of %s", alert.name, alert.subject)
        return row

    def _alert(self, subject: str, key: str, view: View, told: ActiveAlert | None) -> ActiveAlert:
        rule = self.rules.rules[key]
        since_ns = told.since_ns if told is not None else view.since_ns or 0
        site = self._sites.get(subject, FLEET if subject == FLEET else "")
        return ActiveAlert(
            key=key,
            name=rule.alert,
            subject=subject,
            site=site,
            severity=rule.severity,
            summary=summary_of(rule, subject, view.value),
            runbook=rule.runbook,
            since_ns=since_ns,
            value=view.value,
            flapping=view.flapping,
            known=view.known,
        )

    def _note_lanes(self, places: set[Place], now_ns: int) -> None:
        """States that are worth remembering, when they change; their details now and then."""
        refresh = now_ns - self._saved_ns >= SAVE_EVERY_NS
        if refresh:
            self._saved_ns = now_ns
            self._entry.heard = dict(self._heard)
            places = places | set(self._gists)
        told = self._told_at()
        for place in places:
            lane = self.engine.lanes.get(place)
            now = () if lane is None else gist(lane, told.get(place, ()))
            before = self._gists.get(place, ())
            if now == before and not (refresh and now):
                continue
            self._entry.lanes[place] = lane if now else None
            if now:
                self._gists[place] = now
            else:
                self._gists.pop(place, None)

    def _told_at(self) -> dict[Place, tuple[str, ...]]:
        found: dict[Place, tuple[str, ...]] = {}
        for subject, key in self._told:
            place = (subject, self.rules.rules[key].signal)
            found[place] = (*found.get(place, ()), key)
        return found

    def _write(self, now_ns: int) -> None:
        """What cannot be written is tried again with what comes next."""
        entry, self._entry = self._entry, Entry()
        if entry.is_empty:
            return
        try:
            self._book.write(entry, now_ns)
            if now_ns - self._expired_ns >= EXPIRE_EVERY_NS:
                self._expired_ns = now_ns
                self._book.expire(now_ns, self.rules.resolved_kept_days)
        except StoreUnavailableError as error:
            log.warning("alerts would not outlive a restart just now: %s", error)
            self._entry = _joined(entry, self._entry)


def gist(lane: Lane, told: tuple[str, ...] = ()) -> tuple[object, ...]:
    """Empty while nothing of it need be remembered. What was told is, before it is folded."""
    tracks = [
        (key, track.phase, track.since_ns, track.flapping)
        for key, track in lane.tracks.items()
        if track.phase in (Phase.PENDING, Phase.FIRING)
    ]
    holes = [(hole.from_ns, hole.until_ns) for hole in (lane.gap, lane.past) if hole is not None]
    return (*tracks, *holes, *told)


def _joined(first: Entry, second: Entry) -> Entry:
    lanes: Mapping[Place, Lane | None] = {**first.lanes, **second.lanes}
    return replace(
        first,
        lanes=dict(lanes),
        changes=[*first.changes, *second.changes],
        told=[*first.told, *second.told],
        ended=[*first.ended, *second.ended],
        notices=[*first.notices, *second.notices],
        heard=second.heard or first.heard,
    )
