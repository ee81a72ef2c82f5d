"""The offline hour on the wall clock: a free-running robot and broker, a network that is cut."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx

from conf.load import compose
from runtime.paths import Paths, robot_paths
from sim.drills.drill import DrillOptions, Report
from sim.status import Glance, Watcher
from sim.supplies import ROOT

HOUR_S = 3600.0
SETTLE_S = 15.0
LOOK_EVERY_S = 5.0
SAY_EVERY = 12
DRAIN_TIMEOUT_S = 300.0
NEARLY_EMPTY = 500
START_TIMEOUT_S = 240.0
SPOOL_TABLES = ("alert", "event", "metric")


def soak(options: DrillOptions, report: Report) -> None:
    offline_s = max(60.0, HOUR_S * options.scale)
    paths = robot_paths(options.var, compose().config.robot_id)
    with running(START_TIMEOUT_S + offline_s + DRAIN_TIMEOUT_S + SETTLE_S):
        watcher = Watcher(paths)
        time.sleep(SETTLE_S)
        set_network(paths, "off")
        first = watcher.look()
        glances = [look(watcher, options, n) for n in range(int(offline_s / LOOK_EVERY_S))]
        waiting = held(paths)
        set_network(paths, "ok")
        drained_s = wait_drained(paths)
        last = watcher.look()
        watcher.close()
    judge(report, first, glances, last)
    report.figures |= {"offline_s": offline_s, "spooled_records": waiting}
    report.figures["drained_in_s"] = "not" if drained_s is None else round(drained_s, 1)
    report.expect("records waited on the robot's disk", waiting > 0, waiting)
    report.expect("the spool drains after reconnection", drained_s is not None, held(paths))


def judge(report: Report, first: Glance, glances: list[Glance], last: Glance) -> None:
    alive = all(glance.control_is_alive and glance.agent_answers for glance in glances)
    offline = sum("network_offline" in glance.modes for glance in glances)
    done = last.done - first.done
    report.figures |= {
        "cycles": last.cycles - first.cycles,
        "missed": last.misses - first.misses,
        "tasks_done_offline": done,
        "tasks_failed_offline": last.failed - first.failed,
        "realtime": last.realtime,
    }
    report.expect("Tier 1 and the agent lived all the while", alive, len(glances))
    report.expect("the network's loss held as a mode", offline >= len(glances) - 3, offline)
    report.expect("tasks were done without network", done > 0, done)


def look(watcher: Watcher, options: DrillOptions, number: int) -> Glance:
    time.sleep(LOOK_EVERY_S)
    glance = watcher.look()
    if number % SAY_EVERY == 0:
        options.say(glance.line())
    return glance


@contextlib.contextmanager
def running(seconds: float) -> Iterator[None]:
    command = ["-m", "bedplate", "run", "--no-browser", "--seconds", str(seconds)]
    launcher = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert launcher.stdout is not None
        if not any(re.search(r"http://\S+", line) for line in launcher.stdout):
            raise RuntimeError("`bedplate run` ended before its page was served; run it alone")
        yield
    finally:
        launcher.terminate()
        launcher.communicate()


def set_network(paths: Paths, kind: str) -> None:
    transport = httpx.HTTPTransport(uds=str(paths.faults_socket))
    with httpx.Client(transport=transport, base_url="http://cell", timeout=5.0) as cell:
        cell.post("/faults", json={"component": "network", "kind": kind}).raise_for_status()


def held(paths: Paths) -> int:
    """Rows in the spool, read beside its owner."""
    with contextlib.closing(sqlite3.connect(f"file:{paths.spool}?mode=ro", uri=True)) as spool:
        return sum(
            spool.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in SPOOL_TABLES
        )


def wait_drained(paths: Paths) -> float | None:
    started = time.monotonic()
    while (elapsed_s := time.monotonic() - started) < DRAIN_TIMEOUT_S:
        if held(paths) <= NEARLY_EMPTY:
            return elapsed_s
        time.sleep(1.0)
    return None
