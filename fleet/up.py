"""The whole fleet side in the foreground, for development: `make fleet`.

Real servers where they are installed, the embedded ones otherwise. Nothing is restarted: when one
part ends, all end, and the log of the one says why. In production each part is a service.
"""

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from conf.load import compose
from fleet.alerts.alertmanager import program
from fleet.broker import free_port
from fleet.clock import SystemClock
from fleet.influxd import find_binary
from fleet.people.first import Welcome, welcome
from fleet.postgresd import find_binaries
from fleet.prepare import Prepared, prepare
from fleet.store.rows import open_rows
from fleet.store.series import StoreUnavailableError

BROKER_PORT, PAGE_PORT, ENROLMENT_PORT, ALERTMANAGER_PORT = 8883, 8080, 8443, 9093
START_S = 60.0
END_S = 20.0
LOOK_S = 0.2


class UpError(RuntimeError):
    """A part ended; the text says which and where its log is."""


@dataclass
class Part:
    name: str
    process: "subprocess.Popen[bytes]"
    log: Path


def choose() -> list[str]:
    """Overrides of the configuration: what this machine has, and ports that are free."""
    return [
        f"telemetry.store={'influxdb' if find_binary() is not None else 'embedded'}",
        f"telemetry.rows={'postgresql' if find_binaries() is not None else 'sqlite'}",
        "telemetry.broker.via_relay=false",
        f"telemetry.broker.port={free_port(BROKER_PORT)}",
        f"telemetry.page.port={free_port(PAGE_PORT)}",
        f"telemetry.page.enrolment_port={free_port(ENROLMENT_PORT)}",
        f"alerts.notify.alertmanager={str(program() is not None).lower()}",
        f"alerts.notify.alertmanager_port={free_port(ALERTMANAGER_PORT)}",
    ]


def commands(made: Prepared) -> list[tuple[str, list[str]]]:
    """In the order of their start: databases before those who ask them."""
    wanted = (
        ("postgresql", made.postgresd),
        ("influxd", made.influxd),
        ("mosquitto", made.broker),
        ("alertmanager", made.alertmanager),
        ("ingestd", made.ingestd),
        ("fleetd", made.fleetd),
    )
    return [(name, command) for name, command in wanted if command is not None]


class Side:
    """Ends everything it started, in the opposite order."""

    def __init__(self, root: Path, overrides: Sequence[str] = ()) -> None:
        self.made = prepare(compose(overrides=[*choose(), *overrides]).config, root, None)
        self._parts: list[Part] = []

    def start(self) -> Welcome:
        root = self.made.settings.root
        guest: Welcome | None = None
        for name, command in commands(self.made):
            if name == "ingestd":
                guest = self._rows_are_there()
            log = root / f"{name}.log"
            with log.open("ab") as out:
                process = subprocess.Popen(command, stdout=out, stderr=out)
            self._parts.append(Part(name, process, log))
        assert guest is not None
        return guest

    def check(self) -> None:
        for part in self._parts:
            status = part.process.poll()
            if status is not None:
                raise UpError(f"{part.name} ended with status {status}; its log is {part.log}")

    def run(self, over: Callable[[], bool]) -> None:
        while not over():
            self.check()
            time.sleep(LOOK_S)

    def end(self) -> None:
        for part in reversed(self._parts):
            part.process.terminate()
            try:
                part.process.wait(END_S)
            except subprocess.TimeoutExpired:
                part.process.kill()
                part.process.wait()
        self._parts.clear()

    def _rows_are_there(self) -> Welcome:
        """Waits for the database; what it lacks is made here, once, before anybody asks it."""
        deadline = time.monotonic() + START_S
        while True:
            self.check()
            try:
                rows = open_rows(self.made.settings.rows_url)
            except StoreUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_S)
                continue
            try:
                return welcome(rows, SystemClock())
            finally:
                rows.dispose()
