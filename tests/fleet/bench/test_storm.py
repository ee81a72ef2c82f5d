"""A storm of a few robots with real servers: what the bench's figures are made of, end to end."""

import multiprocessing
import os
import signal

import pytest

from conf.schema.telemetry import Store
from fleet.bench import storm as bench
from fleet.bench.servers import servers
from fleet.load.apart import CrowdApart
from fleet.load.plan import Plan

pytestmark = pytest.mark.slow


def test_backlog_drains_nothing_is_missing_and_those_at_work_were_heard_all_along(
    has_mosquitto: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "QUIET_S", 4.0)
    found = bench.storm(4, 60.0, 2, 120.0, Store.EMBEDDED)
    assert found.drained
    assert found.backlog > 4 * 60
    assert found.missing == 0
    assert found.live_before.count > 0
    assert found.live_meanwhile.count > 0
    assert multiprocessing.active_children() == []


def test_robots_in_a_process_that_dies_are_missed_at_once(has_mosquitto: None) -> None:
    with servers(Store.EMBEDDED) as side:
        crowd = CrowdApart(Plan(robots=1), side.settings)
        (child,) = multiprocessing.active_children()
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        with pytest.raises((EOFError, BrokenPipeError)):
            crowd.take()
