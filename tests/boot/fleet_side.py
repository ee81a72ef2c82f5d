"""A fleet on this machine for guests: real broker, ingester, page, enrolment, asked as by users."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conf.load import compose
from fleet.broker import broker_command, free_port, write_broker
from fleet.pki import Authority
from fleet.prepare import LocalRobot, make_settings
from fleet.settings import FleetSettings, write_settings
from image.enrolment import Invitation, read_invitation
from image.ssh import GENTLY

ROOT = Path(__file__).resolve().parents[2]
HOST = "10.0.2.2"  # this machine, as a guest sees it


@dataclass
class FleetSide:
    folder: Path
    settings: FleetSettings
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def make(cls, folder: Path) -> "FleetSide":
        local = LocalRobot(folder / "pki", folder / "agent.sock", folder / "faults.sock")
        settings = make_settings(compose(facility="osaka").config, folder / "fleet", local)
        # A robot's firewall knows the profile's ports, so they cannot be any others.
        for port in (settings.broker_port, settings.enrolment_port):
            assert free_port(port) == port, f"port {port} is taken; end what listens there"
        taken = {"page_port": free_port(18_080), "robots": ()}
        settings = settings.model_copy(update=taken)
        write_settings(settings)
        return cls(folder, settings)

    def start(self) -> None:
        """None of it outlives the tests."""
        authority = Authority(self.settings.pki)
        authority.ensure()
        port = self.settings.broker_port
        files = write_broker(self.folder / "broker", authority, "127.0.0.1", port)
        self._run("broker", broker_command(files))
        for name in ("ingest", "serve"):
            self._run(name, self._words(name))

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait(timeout=30)

    def invite(self, robot: str) -> Invitation:
        out = self.folder / f"{robot}.json"
        addresses = [
            *("--fleet-url", f"https://{HOST}:{self.settings.enrolment_port}"),
            *("--broker", f"{HOST}:{self.settings.broker_port}"),
        ]
        self.ask("enrol", "invite", robot, "--site", "osaka", "--out", str(out), *addresses)
        return read_invitation(out, robot)

    def has_asked(self, robot: str) -> bool:
        rows = self.try_ask("enrol", "list").stdout.splitlines()
        return any(row.split()[:3:2] == [robot, "asked"] for row in rows)

    def ask(self, *words: str) -> str:
        done = self.try_ask(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def try_ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*GENTLY, *self._words(*words)], cwd=ROOT, capture_output=True, text=True, check=False
        )

    def events(self, robot: str, name: str) -> list[dict[str, Any]]:
        """The newest of one kind, newest first."""
        rows = json.loads(self.ask("events", "--robot", robot, "--limit", "2000", "--json"))
        return [row for row in rows if row["name"] == name]

    def _words(self, *words: str) -> list[str]:
        place = ["--fleet-dir", str(self.settings.root)]
        return [sys.executable, "-m", "bedplate", "fleet", *words, *place]

    def _run(self, name: str, words: list[str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", *GENTLY, *words],
                    cwd=ROOT,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
