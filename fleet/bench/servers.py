"""The real servers of a fleet side for one measurement, and what each has cost so far."""

import os
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from conf.load import compose
from conf.schema.telemetry import Store
from fleet.broker import free_port
from fleet.clock import SystemClock
from fleet.people.first import welcome
from fleet.prepare import Prepared, prepare
from fleet.settings import FleetSettings
from fleet.store.rows import open_rows

BROKER_PORT, PAGE_PORT, ENROLMENT_PORT, INFLUX_PORT = 23_883, 19_080, 19_443, 29_186
START_S, END_S = 240.0, 20.0


@dataclass
class Servers:
    """By name; what a process has started counts with it."""

    settings: FleetSettings
    page_url: str
    parts: dict[str, "subprocess.Popen[bytes]"]

    def cpu_s(self) -> dict[str, float]:
        spent = {name: _cpu_s(psutil.Process(part.pid)) for name, part in self.parts.items()}
        return {**spent, "load": _cpu_s(psutil.Process(), children=False)}

    def memory_mib(self, name: str) -> float:
        return round(psutil.Process(self.parts[name].pid).memory_info().rss / 2**20, 1)

    def disk_bytes(self) -> int:
        """Without SQLite's journals, which do not grow with what is stored."""
        root = self.settings.root
        for path in root.glob("*.sqlite"):
            with closing(sqlite3.connect(path)) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        files = [*root.glob("*.sqlite"), *(root / "influxdb").rglob("*")]
        return sum(path.stat().st_size for path in files if path.is_file())

    def start(self, name: str, command: Sequence[str]) -> None:
        with (self.settings.root / "servers.log").open("ab") as log:
            self.parts[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def sign_in_link(self, clock: SystemClock) -> str:
        rows = open_rows(self.settings.rows_url)
        try:
            return welcome(rows, clock).link(self.page_url)
        finally:
            rows.dispose()

    def end(self) -> None:
        for part in reversed(self.parts.values()):
            part.terminate()
            try:
                part.wait(END_S)
            except subprocess.TimeoutExpired:
                part.kill()
                part.wait()


@contextmanager
def servers(
    store: Store, *, ingesters: int = 1, page: bool = False, rules: str = ""
) -> Iterator[Servers]:
    """`rules` are added to the broker's: for whoever plays a part that a fleet does not have."""
    overrides = [
        f"telemetry.store={store.value}",
        f"telemetry.broker.port={free_port(BROKER_PORT)}",
        f"telemetry.page.port={free_port(PAGE_PORT)}",
        f"telemetry.page.enrolment_port={free_port(ENROLMENT_PORT)}",
        f"telemetry.influx.url=http://127.0.0.1:{free_port(INFLUX_PORT)}",
        "telemetry.broker.via_relay=false",
    ]
    with tempfile.TemporaryDirectory(prefix="bedplate-bench-") as folder:
        made = prepare(compose(overrides=overrides).config, Path(folder) / "fleet", None)
        with (made.settings.root / "broker" / "acl").open("a") as acl:
            acl.write(rules)
        started = Servers(made.settings, made.page_url, {})
        try:
            _start(started, made, ingesters, page)
            yield started
        finally:
            started.end()


def _start(started: Servers, made: Prepared, ingesters: int, page: bool) -> None:
    if made.influxd is not None:
        started.start("influxd", made.influxd)
        _wait(lambda: _answers(f"{made.settings.influx.url}/ping"))
    open_rows(made.settings.rows_url).dispose()  # what it lacks is made before anybody asks
    started.start("broker", made.broker)
    port = made.settings.broker_port
    _wait(lambda: _listens(made.settings.broker_host, port))
    for number in range(1, ingesters + 1):
        started.start(f"ingest{number}", [*made.ingestd, "--name", str(number)])
    if page:
        started.start("page", made.fleetd)
        _wait(lambda: _answers(f"{made.page_url}healthz"))


def _wait(is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while not is_there():
        if time.monotonic() > deadline:
            raise RuntimeError(f"a server does not answer within {START_S:.0f} s")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1.0).is_success
    except httpx.HTTPError:
        return False


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def _cpu_s(process: psutil.Process, *, children: bool = True) -> float:
    times = process.cpu_times()
    spent = times.user + times.system
    for child in process.children(recursive=True) if children else ():
        with suppress(psutil.NoSuchProcess):
            spent += _cpu_s(child, children=False)
    return spent


def load_average() -> float:
    return round(os.getloadavg()[0], 1)
