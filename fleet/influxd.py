"""A real InfluxDB 1.8 for development: built from its published source where it is missing.

`python -m fleet.influxd` runs it in the foreground, makes its user and database, and ends it with
itself; with `--build` it only sees to it that there is one. A production fleet points
`conf/telemetry` at a server of its own instead.
"""

import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from fleet.from_source import GoProgram, NotBuiltError
from fleet.launch import launch
from fleet.settings import FleetSettings

log = logging.getLogger(__name__)

PROGRAM = GoProgram(
    "influxd",
    "1.8.10",
    "about 90 s",
    (("go", "install", "github.com/influxdata/influxdb/cmd/influxd@v1.8.10"),),
    made="influxd",
)
USER = "bedplate"
START_S = 30.0


class InfluxdError(RuntimeError):
    """What is missing, and what to install."""


def find_binary() -> Path | None:
    """The one named by INFLUXD, or the one built here earlier."""
    return PROGRAM.find()


def ensure_binary() -> Path:
    """Builds it when it is not there: about a minute and a half on two cores, once."""
    try:
        return PROGRAM.ensure()
    except NotBuiltError as error:
        instead = "or keep the embedded store (telemetry.store=embedded)"
        raise InfluxdError(f"{error}; {instead}") from error


def ensure_credentials(path: Path) -> str:
    """`user:password`, made once, for its owner's eyes."""
    if path.exists():
        return path.read_text().strip()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    credentials = f"{USER}:{secrets.token_urlsafe(24)}"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(credentials)
    return credentials


def environment_of(folder: Path, url: str) -> dict[str, str]:
    """Everything on the loopback address, with authentication, and no reports to anybody."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 8086
    return {
        **os.environ,
        "INFLUXDB_HTTP_BIND_ADDRESS": f"{host}:{port}",
        "INFLUXDB_BIND_ADDRESS": f"{host}:{port + 2}",
        "INFLUXDB_META_DIR": str(folder / "meta"),
        "INFLUXDB_DATA_DIR": str(folder / "data"),
        "INFLUXDB_DATA_WAL_DIR": str(folder / "wal"),
        "INFLUXDB_HTTP_AUTH_ENABLED": "true",
        "INFLUXDB_HTTP_FLUX_ENABLED": "false",
        "INFLUXDB_REPORTING_DISABLED": "true",
        "INFLUXDB_HTTP_LOG_ENABLED": "false",
        "INFLUXDB_LOGGING_LEVEL": "warn",
    }


def start(
    folder: Path, url: str, more: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """`more`: settings of its own, as variables of its environment."""
    binary = ensure_binary()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    environment = {**environment_of(folder, url), **(more or {})}
    process = subprocess.Popen([str(binary)], env=environment)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise InfluxdError(f"influxd ended with status {process.returncode} at its start")
        try:
            if httpx.get(f"{url}/ping", timeout=1.0).status_code == httpx.codes.NO_CONTENT:
                return process
        except httpx.HTTPError:
            time.sleep(0.05)
    process.terminate()
    raise InfluxdError(f"influxd does not answer at {url} within {START_S:.0f} s")


def ensure_database(url: str, credentials: str, database: str) -> None:
    """First user and database; both statements change nothing when they are there already."""
    user, password = credentials.split(":", 1)
    create = f"CREATE USER {user} WITH PASSWORD '{password}' WITH ALL PRIVILEGES"
    with httpx.Client(base_url=url, timeout=10.0) as client:
        client.post("/query", params={"q": create})  # refused once the first user exists
        reply = client.post(
            "/query", params={"q": f'CREATE DATABASE "{database}"'}, auth=(user, password)
        )
        if reply.status_code != httpx.codes.OK:
            raise InfluxdError(
                f"database {database} could not be made: {reply.status_code} {reply.text[:200]};"
                " the folder belongs to other credentials: remove it to begin anew"
            )


def serve(settings: FleetSettings) -> int:
    influx = settings.influx
    process = start(influx.credentials.parent, influx.url)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _signal, _frame: process.terminate())
    ensure_database(influx.url, ensure_credentials(influx.credentials), influx.database)
    log.info("influxd answers at %s", influx.url)
    return process.wait()


def main() -> None:
    if sys.argv[1:] == ["--build"]:
        try:
            ensure_binary()
        except InfluxdError as error:
            sys.exit(f"    {error}")
        return
    launch("influxd", serve, InfluxdError)


if __name__ == "__main__":
    main()
