"""The whole robot, live: CPU and memory of each process by its budget, tasks, missed cycles."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time

import psutil

from conf.load import compose
from runtime.paths import robot_paths
from runtime.processes import Area, ProcessSpec
from runtime.shm import Shm
from sim.bench.latency import watch_pictures
from sim.run import chosen_processes
from sim.status import Watcher
from sim.supplies import ROOT

START_TIMEOUT_S = 180.0
SETTLE_S = 10.0


def measure_robot(seconds: float) -> dict[str, object]:
    started = time.monotonic()
    total_s = START_TIMEOUT_S + seconds + SETTLE_S
    command = ["-m", "bedplate", "run", "--no-browser", "--seconds", str(total_s)]
    launcher = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        page = _wait_for_page(launcher)
        ready_s = time.monotonic() - started
        time.sleep(SETTLE_S)
        found = _watch(launcher.pid, seconds)
    finally:
        launcher.terminate()
        launcher.communicate()
    return {"page": page, "ready_after_s": round(ready_s, 1), **found}


def _wait_for_page(launcher: subprocess.Popen[str]) -> str:
    assert launcher.stdout is not None
    for line in launcher.stdout:
        address = re.search(r"http://\S+", line)
        if address is not None:
            return address.group()
    raise RuntimeError("`bedplate run` ended before its page was served; run it alone to see why")


def _watch(launcher_pid: int, seconds: float) -> dict[str, object]:
    config = compose().config
    watcher = Watcher(robot_paths(ROOT / "var", config.robot_id))
    specs = chosen_processes(config)
    before = _usage(launcher_pid, specs)
    first, started = watcher.look(), time.monotonic()
    pictures = watch_pictures(Shm(robot_paths(ROOT / "var", config.robot_id).shm), seconds)
    elapsed_s, last = time.monotonic() - started, watcher.look()
    after = _usage(launcher_pid, specs)
    watcher.close()
    rows = {
        spec.name: {
            "cpu_ratio": round((after[spec.name][0] - before[spec.name][0]) / elapsed_s, 3),
            "rss_mib": round(after[spec.name][1], 1),
            "budget_cpu_ratio": spec.budget.cpu_ratio,
            "budget_mib": spec.budget.memory_mib,
        }
        for spec in specs
        if spec.name in before and spec.name in after
    }
    runtime = [spec.name for spec in specs if spec.area is Area.RUNTIME and spec.name in rows]
    return {
        "seconds": round(elapsed_s, 1),
        "processes": rows,
        "robot_cpu_ratio": round(sum(rows[name]["cpu_ratio"] for name in runtime), 3),
        "robot_rss_mib": round(sum(rows[name]["rss_mib"] for name in runtime), 1),
        "all_cpu_ratio": round(sum(row["cpu_ratio"] for row in rows.values()), 3),
        "all_rss_mib": round(sum(row["rss_mib"] for row in rows.values()), 1),
        "budget": {"cpu_ratio": 1.6, "memory_mib": 1536},
        "camera_to_motor": pictures,
        "cycles": last.cycles - first.cycles,
        "missed": last.misses - first.misses,
        "tasks_done": last.done - first.done,
        "tasks_failed": last.failed - first.failed,
        "modes": last.modes,
        "realtime": last.realtime,
    }


def _usage(launcher_pid: int, specs: tuple[ProcessSpec, ...]) -> dict[str, tuple[float, float]]:
    """CPU seconds and resident MiB of each process of the table, its own children included."""
    found: dict[str, tuple[float, float]] = {}
    for process in psutil.Process(launcher_pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            name = _name_of(" ".join(process.cmdline()), specs)
            family = [process, *process.children(recursive=True)] if name else []
            if name:
                found[name] = (sum(map(_cpu_s, family)), sum(map(_rss_mib, family)))
    return found


def _name_of(command: str, specs: tuple[ProcessSpec, ...]) -> str | None:
    for spec in specs:
        mark = f"-m {spec.module} " if spec.module else f"/{spec.name} "
        if mark in f"{command} ":
            return spec.name
    return None


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _rss_mib(process: psutil.Process) -> float:
    return process.memory_info().rss / 2**20
