"""Maintenance and a real Alertmanager: nobody is told of a robot that somebody works on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from conf.schema.notify import Notify
from fleet.alerts.alertmanager import Alertmanager
from fleet.clock import SystemClock
from fleet.store.rows import open_rows
from fleet.upkeep import AlertmanagerSilences, Upkeep
from tests.fleet.alerts.test_alertmanager import Site as Alerting
from tests.fleet.alerts.test_alertmanager import has_alertmanager
from tests.fleet.ports import own_port
from tests.fleet.test_upkeep import ANNA

__all__ = ["has_alertmanager"]


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Engine]:
    engine = open_rows(f"sqlite:///{tmp_path / 'rows.sqlite'}")
    yield engine
    engine.dispose()


def test_alertmanager_tells_nobody_of_a_robot_in_maintenance(
    has_alertmanager: None, rows: Engine, tmp_path: Path
) -> None:
    alerting = Alerting(tmp_path)
    try:
        silences = AlertmanagerSilences(alerting.client, SystemClock())
        upkeep = Upkeep(rows, SystemClock(), silences)
        kept = upkeep.begin("r1", ANNA, "new gripper", 1)
        (held,) = alerting.client.silences()
        assert (held.silence_id, held.author) == (kept.silence, "anna")
        assert held.matchers == {"subject": "r1"}
        assert "new gripper" in held.comment
        upkeep.begin("r1", ANNA, "and its hose", 2)
        assert len(alerting.client.silences()) == 1
        upkeep.end("r1", ANNA)
        assert alerting.client.silences() == []
    finally:
        alerting.close()


def test_maintenance_holds_where_alertmanager_does_not_answer(rows: Engine) -> None:
    nobody = Notify.model_validate({"alertmanager": True, "alertmanager_port": own_port(39_900)})
    silences = AlertmanagerSilences(Alertmanager(nobody, "http://x/"), SystemClock())
    upkeep = Upkeep(rows, SystemClock(), silences)
    assert upkeep.begin("r1", ANNA, "new gripper", 1).silence == ""
    assert upkeep.end("r1", ANNA)
