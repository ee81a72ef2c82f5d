"""The whole fleet side in one command, and what it costs, as far as that can be asked quickly."""

from itertools import chain
from pathlib import Path

import httpx
import pytest

from fleet.alerts.alertmanager import Alertmanager, program
from fleet.bench.alone import ingest_cost, message_of
from fleet.bench.told import told
from fleet.load.held import FRAME_ROWS
from fleet.prepare import Prepared
from fleet.settings import FleetSettings
from fleet.up import Side, UpError, commands
from runtime.telemetry.frame import decode_frame
from runtime.telemetry.ranges import count
from tests.fleet.conftest import wait_for

NOW_NS = 1_700_000_000 * 10**9


def test_databases_start_before_those_who_ask_them(settings: FleetSettings) -> None:
    made = Prepared(settings, ["m"], ["i"], ["p"], ["ingest"], ["page"], "http://x/", ["a"])
    names = [name for name, _ in commands(made)]
    assert names == ["postgresql", "influxd", "mosquitto", "alertmanager", "ingestd", "fleetd"]
    bare = Prepared(settings, ["m"], None, None, ["ingest"], ["page"], "http://x/")
    assert [name for name, _ in commands(bare)] == ["mosquitto", "ingestd", "fleetd"]


def test_bench_sends_what_robots_would_send() -> None:
    frames = chain.from_iterable(told(3, 4, 10, NOW_NS))
    made = [decode_frame(message_of(frame).payload) for frame in frames]
    assert {frame.robot_id for frame in made} == {"robot-001", "robot-002", "robot-003"}
    assert all(0 < count(frame.ranges) <= FRAME_ROWS for frame in made)
    cost = ingest_cost(3, 4, 10)
    assert cost.points >= 3 * 3 * 40
    assert cost.points_per_core_s > 0


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_everything_starts_answers_and_ends(has_mosquitto: None, tmp_path: Path) -> None:
    side = Side(tmp_path / "fleet")
    try:
        side.start()
        health = f"{side.made.page_url}healthz"
        wait_for(lambda: _answers(health), 90)
        side.check()
        notify = side.made.settings.alerts.notify
        assert notify.alertmanager is (program() is not None)
        if notify.alertmanager:
            told = Alertmanager(notify, side.made.settings.page_url)
            wait_for(told.is_ready, 60)
            told.close()
        side._parts[-1].process.kill()
        side._parts[-1].process.wait()
        with pytest.raises(UpError, match="fleetd ended with status -9"):
            side.check()
    finally:
        parts = list(side._parts)
        side.end()
    assert all(part.process.poll() is not None for part in parts)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
