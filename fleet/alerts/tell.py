"""Passing alerts on: to Alertmanager, which knows whom to wake, or to a plain webhook."""

import logging
from dataclasses import asdict
from typing import Any, Final

import httpx
import orjson
from sqlalchemy.engine import Engine as Rows

from conf.schema.alerts import Alerts as AlertRules
from fleet.alerts.alert import ActiveAlert
from fleet.alerts.alertmanager import Alertmanager, AlertmanagerError
from fleet.alerts.book import AlertRows, Entry
from fleet.store.series import StoreUnavailableError

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 5.0
Ended = tuple[ActiveAlert, int]


class AlertmanagerTeller:
    """Says all that fires every `resend_s`, and what is new at once."""

    def __init__(self, client: Alertmanager, resend_ns: int) -> None:
        self._client = client
        self._resend_ns = resend_ns
        self._said: set[tuple[str, str]] = set()
        self._said_ns: int | None = None

    def tell(self, active: list[ActiveAlert], ended: list[Ended], now_ns: int) -> bool:
        firing = {(one.subject, one.key) for one in active}
        due = self._said_ns is None or now_ns - self._said_ns >= self._resend_ns
        if not due and not ended and firing <= self._said:
            return True
        try:
            self._client.send(active, ended, now_ns)
        except AlertmanagerError as error:
            log.warning("%s; it is told again", error)
            return False
        self._said, self._said_ns = firing, now_ns
        return True


class WebhookTeller:
    """Each beginning and each end is written down first and posted until it is taken, in order."""

    def __init__(self, url: str, book: AlertRows, client: httpx.Client | None = None) -> None:
        self._url = url
        self._book = book
        self._client = client or httpx.Client(timeout=TIMEOUT_S, trust_env=False)
        # After a restart what still fires is posted again: better twice than never.
        self._noted: dict[tuple[str, str], ActiveAlert] = {}

    def tell(self, active: list[ActiveAlert], ended: list[Ended], now_ns: int) -> bool:
        """True once it is on disk: what is posted from there may take its time."""
        firing = {(one.subject, one.key): one for one in active}
        began = [one for key, one in firing.items() if key not in self._noted]
        notices = [(now_ns, notice("firing", one, None)) for one in began]
        notices += [(now_ns, notice("resolved", one, at_ns)) for one, at_ns in ended]
        try:
            if notices:
                self._book.write(Entry(notices=notices), now_ns)
            self._noted = firing
            self._post()
        except StoreUnavailableError as error:
            log.warning("alerts cannot be passed on just now: %s", error)
            return self._noted is firing
        return True

    def _post(self) -> None:
        for row in self._book.notices():
            try:
                reply = self._client.post(
                    self._url, content=row.body, headers={"content-type": "application/json"}
                )
                reply.raise_for_status()
            except httpx.HTTPError as error:
                log.warning("the webhook did not take an alert (%s); it is posted again", error)
                return
            self._book.drop_notices([row.id])


def notice(state: str, alert: ActiveAlert, ended_ns: int | None) -> bytes:
    row: dict[str, Any] = asdict(alert)
    return orjson.dumps({"v": 1, "state": state, **row, "ended_ns": ended_ns})


def open_teller(
    rules: AlertRules, rows: Rows, page_url: str
) -> AlertmanagerTeller | WebhookTeller | None:
    """As the configuration has it; None: the page alone."""
    notify = rules.notify
    if notify.alertmanager:
        return AlertmanagerTeller(Alertmanager(notify, page_url), round(notify.resend_s * 1e9))
    if notify.webhook_url:
        return WebhookTeller(notify.webhook_url, AlertRows(rows, rules))
    return None
