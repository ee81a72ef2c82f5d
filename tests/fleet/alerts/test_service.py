"""Alerts that are told, remembered and passed on, on real rows; and what a restart changes."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import orjson
import pytest
import sqlalchemy as sql
from sqlalchemy.engine import Engine as Rows

from fleet.alerts import ActiveAlert, Alerts
from fleet.alerts.alert import UNKNOWN, summary_of
from fleet.alerts.book import AlertRows, Entry
from fleet.alerts.tell import WebhookTeller, open_teller
from fleet.metrics.tables import SEEN
from fleet.store.rows import Transaction, open_rows
from fleet.store.series import StoreUnavailableError
from tests.fleet.alerts.made import at, rule, rules, sample

RULES = rules(
    rule(clear=60.0),
    rule(alert="test.long", for_s=100.0),
)


@pytest.fixture
def rows(rows_url: str) -> Iterator[Rows]:
    engine = open_rows(rows_url)
    yield engine
    engine.dispose()


class Ears:
    """What was begun and ended, in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def react(self, began: list[ActiveAlert], ended: list[tuple[ActiveAlert, int]], _: int) -> None:
        self.heard += [("began", one.key) for one in began]
        self.heard += [("ended", one.key) for one, _ in ended]


def feed(alerts: Alerts, values: dict[float, float | None]) -> None:
    for second, value in values.items():
        alerts.observe([sample(second, value)])
        alerts.tick(at(second))


def test_alert_is_told_with_its_value_and_ends(rows: Rows) -> None:
    ears = Ears()
    alerts = Alerts.open(RULES, rows, listener=ears)
    alerts.note_site("osaka-01", "osaka")
    feed(alerts, {0: 40, 1: 75})
    (alert,) = alerts.active("osaka-01")
    assert (alert.summary, alert.site) == ("osaka-01 has 75, above 70.", "osaka")
    assert alert.since_ns == at(1)
    feed(alerts, {2: 65, 3: 55})
    assert alerts.active() == []
    assert ears.heard == [("began", "rule_0"), ("ended", "rule_0")]
    feed(alerts, {9: 40, 20: 40})
    (episode,) = alerts.history("osaka-01")
    assert (episode["began_ns"], episode["ended_ns"], episode["past"]) == (at(1), at(3), False)


def test_what_fires_fires_on_after_a_restart_and_a_clock_that_ran_runs_on(rows: Rows) -> None:
    alerts = Alerts.open(RULES, rows)
    feed(alerts, dict.fromkeys(range(60), 80))
    ears = Ears()
    again = Alerts.open(RULES, rows, listener=ears)
    assert [one.key for one in again.active()] == ["rule_0"]
    assert again.active()[0].since_ns == at(0)
    feed(again, dict.fromkeys(range(62, 105), 80))
    assert {one.key for one in again.active()} == {"rule_0", "rule_1"}
    assert ears.heard == [("began", "rule_1")]  # the other one was told before


def test_after_a_restart_an_alert_is_of_the_same_site_before_its_robot_is_heard(rows: Rows) -> None:
    """Alertmanager knows an alert by its labels: without its site it is another one."""
    seen = {"robot": "osaka-01", "site": "osaka", "hardware": "sim", "version": "v1"}
    times = {"config_hash": "", "first_s": 1, "heard_s": 1, "misdated": 0}
    with Transaction(rows) as connection:
        connection.execute(sql.insert(SEEN).values(**seen, **times))
    alerts = Alerts.open(RULES, rows)
    alerts.note_site("osaka-01", "osaka")
    feed(alerts, {0: 80})
    again = Alerts.open(RULES, rows)
    assert [one.site for one in again.active()] == ["osaka"]
    again.tick(at(1))
    feed(again, {2: 81})
    assert [one.site for one in again.active()] == ["osaka"]


def test_alert_that_ended_while_nobody_watched_ends_when_it_is_heard_of(rows: Rows) -> None:
    feed(Alerts.open(RULES, rows), {0: 80, 1: 80})
    again = Alerts.open(RULES, rows)
    again.tick(at(1000))
    assert [one.known for one in again.active()] == [False]
    feed(again, {1001: 40})
    assert again.active() == []


def test_rule_that_is_gone_fires_no_more_after_a_restart(rows: Rows) -> None:
    feed(Alerts.open(RULES, rows), {0: 80})
    only = RULES.model_copy(update={"rules": {"other": RULES.rules["rule_1"]}})
    again = Alerts.open(only, rows)
    again.tick(at(5))
    assert again.active() == []


def test_silent_robot_keeps_what_fires_and_says_what_is_not_known(rows: Rows) -> None:
    alerts = Alerts.open(RULES, rows)
    feed(alerts, {0: 80})
    alerts.tick(at(10_000))
    assert [(one.key, one.known) for one in alerts.active()] == [("rule_0", False)]
    assert alerts.no_data("osaka-01") == ["rule_1"]


def test_replayed_alert_is_in_the_history_and_tells_nobody(rows: Rows) -> None:
    ears = Ears()
    alerts = Alerts.open(RULES, rows, listener=ears)
    feed(alerts, dict.fromkeys(range(10), 40))
    feed(alerts, {86_400 + second: 40 for second in range(10)})
    alerts.observe(sample(t, 80 if 3000 < t < 4000 else 40) for t in range(10, 80_000, 10))
    alerts.tick(at(86_411))
    assert ears.heard == []
    past = [(row["rule"], row["began_ns"], row["ended_ns"]) for row in alerts.history()]
    assert ("rule_0", at(3010), at(4000)) in past
    assert all(row["past"] and row["told_ns"] is None for row in alerts.history())


def test_sample_of_a_time_that_has_not_come_is_refused(rows: Rows) -> None:
    alerts = Alerts.open(RULES, rows)
    alerts.observe([sample(10 * 365 * 86_400, 80)])
    feed(alerts, {0: 40, 1: 80})
    assert alerts.refused == 1
    assert [one.key for one in alerts.active()] == ["rule_0"]


def test_robot_that_left_the_fleet_is_forgotten(rows: Rows) -> None:
    alerts = Alerts.open(RULES, rows)
    feed(alerts, {0: 80})
    alerts.forget("osaka-01", at(1))
    alerts.tick(at(2))
    assert alerts.active() == []
    assert Alerts.open(RULES, rows).active() == []


def test_rows_that_fail_for_a_while_lose_nothing(rows: Rows, monkeypatch) -> None:
    alerts = Alerts.open(RULES, rows)
    whole = AlertRows.write
    with monkeypatch.context() as broken:

        def fail(*_: Any) -> None:
            raise StoreUnavailableError("the disk is full")

        broken.setattr(AlertRows, "write", fail)
        feed(alerts, {0: 80, 1: 80, 2: 40})
    assert AlertRows.write is whole
    feed(alerts, {10: 40})
    (episode,) = alerts.history()
    assert (episode["began_ns"], episode["ended_ns"]) == (at(0), at(2))


def test_same_entry_written_twice_changes_nothing(rows: Rows) -> None:
    book = AlertRows(rows, RULES)
    alerts = Alerts.open(RULES, rows)
    feed(alerts, {0: 80})
    entry = Entry(told=alerts.active())
    book.write(entry, at(0))
    book.write(entry, at(0))
    assert len(book.history()) == 1


class Hook:
    """A real receiver, that can be told to refuse."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if outer.status == 200:
                    outer.taken.append(orjson.loads(body))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/alerts"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.close()


def hooked(url: str):
    notify = RULES.notify.model_copy(update={"webhook_url": url})
    return RULES.model_copy(update={"notify": notify})


def test_webhook_is_posted_each_beginning_and_each_end_until_it_takes_them(
    rows: Rows, hook: Hook
) -> None:
    made = hooked(hook.url)
    alerts = Alerts.open(made, rows, open_teller(made, rows, "http://127.0.0.1:8080/"))
    hook.status = 503
    feed(alerts, {0: 80})
    assert alerts.deliver(at(0))  # it is on disk, and not lost
    assert hook.taken == []
    feed(alerts, {1: 40})
    alerts.deliver(at(1))
    again = Alerts.open(made, rows, open_teller(made, rows, "http://127.0.0.1:8080/"))
    hook.status = 200
    again.deliver(at(2))
    assert [(row["state"], row["key"]) for row in hook.taken] == [
        ("firing", "rule_0"),
        ("resolved", "rule_0"),
    ]
    assert hook.taken[1]["ended_ns"] == at(1)
    again.deliver(at(3))
    assert len(hook.taken) == 2


def test_webhook_that_is_away_does_not_hold_up_the_watch(rows: Rows) -> None:
    made = hooked("http://127.0.0.1:9/alerts")
    teller = open_teller(made, rows, "http://127.0.0.1:8080/")
    assert isinstance(teller, WebhookTeller)
    alerts = Alerts.open(made, rows, teller)
    feed(alerts, {0: 80})
    alerts.deliver(at(0))
    feed(alerts, {1: 40})
    assert alerts.active() == []


def test_summary_is_filled_in_also_when_the_value_is_not_known() -> None:
    made = rule(summary="{subject} at {value:.0%} of {threshold:g}")
    assert summary_of(made, "osaka-01", 0.5) == "osaka-01 at 50% of 70"
    assert summary_of(made, "osaka-01", None) == f"osaka-01 at {UNKNOWN} of 70"
