"""A real PostgreSQL for development and tests: a cluster of its own, on a Unix socket only.

`python -m fleet.postgresd` runs it in the foreground and ends it with itself. A production fleet
points `conf/telemetry` at a server of its own instead.
"""

import hashlib
import logging
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from fleet.launch import launch
from fleet.settings import FleetSettings, PostgresSettings

log = logging.getLogger(__name__)

USER = "bedplate"
PORT = 5432  # names the socket's file; nothing listens on it
START_S = 30.0
SOCKET_PATH_MAX = 107


class PostgresError(RuntimeError):
    """What is missing or wrong, and what to do."""


@dataclass(frozen=True)
class Cluster:
    """Files of one server: data, its socket's folder, its password for us."""

    folder: Path
    password: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def settings(self, database: str) -> PostgresSettings:
        return PostgresSettings(
            host=str(self.folder), database=database, user=USER, password=self.password
        )


def cluster_of(root: Path) -> Cluster:
    """The server refuses to run as root: then its files lie where its own user may go."""
    if os.geteuid() == 0:
        name = hashlib.sha256(str(root).encode()).hexdigest()[:12]
        folder = Path(pwd.getpwnam(account()).pw_dir) / f"bedplate-{name}"
    else:
        folder = root / "postgresql"
    return Cluster(folder, root / "postgresql.password")


def account() -> str:
    """Who runs it."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise PostgresError(
            "PostgreSQL refuses to run as root and there is no user `postgres` to run it as;"
            " install it with: apt-get install postgresql, or work as an ordinary user"
        ) from None


def find_binaries() -> Path | None:
    """The folder with initdb and postgres: the newest that Debian has put there, or PATH's."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb")
    return None if found is None else Path(found).resolve().parent


def ensure_cluster(cluster: Cluster) -> None:
    """Makes its files once, with a random password and no other way in."""
    _check_socket(cluster)
    if (cluster.data / "PG_VERSION").exists():
        return
    binaries = _binaries()
    if not cluster.password.exists():
        handle = os.open(cluster.password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(24))
    cluster.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.chown(cluster.folder, account())
    handed = cluster.folder / "password"  # initdb reads it as the other user
    handed.write_text(cluster.password.read_text())
    shutil.chown(handed, account())
    handed.chmod(0o600)
    made = subprocess.run(
        [binaries / "initdb", "-D", cluster.data, "-U", USER, "--pwfile", handed,
         "--auth=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions"],
        capture_output=True, text=True, check=False, cwd="/", user=_other_user(),
    )  # fmt: skip
    handed.unlink()
    if made.returncode != 0:
        raise PostgresError(f"{cluster.data}: initdb failed:\n{made.stderr[-2000:]}")


def start(cluster: Cluster, *options: str) -> "subprocess.Popen[bytes]":
    """`options` as `name=value`; returns when it answers."""
    ensure_cluster(cluster)
    settings = ["listen_addresses=", f"unix_socket_directories={cluster.folder}", *options]
    command = [str(_binaries() / "postgres"), "-D", str(cluster.data)]
    command += [word for option in settings for word in ("-c", option)]
    with (cluster.password.parent / "postgresql.log").open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd="/", user=_other_user())
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise PostgresError(
                f"PostgreSQL ended with status {process.returncode} at its start;"
                f" see {cluster.password.parent / 'postgresql.log'}"
            )
        try:
            connect(cluster, "postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return process
    process.terminate()
    raise PostgresError(f"PostgreSQL in {cluster.folder} does not answer within {START_S:.0f} s")


def ensure_database(cluster: Cluster, name: str) -> None:
    with connect(cluster, "postgres") as connection:
        there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if there.fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def end_orphan(data: Path) -> None:
    """A server on these files whose starter is gone. Its own note names it, and /proc confirms."""
    try:
        number = int((data / "postmaster.pid").read_text().split()[0])
        command = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, IndexError):
        return
    if str(data).encode() in command:
        os.kill(number, signal.SIGQUIT)


def connect(cluster: Cluster, database: str) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(
        host=str(cluster.folder),
        port=PORT,
        dbname=database,
        user=USER,
        password=cluster.password.read_text(),
        autocommit=True,
        connect_timeout=5,
    )


def serve(settings: FleetSettings) -> int:
    if settings.postgres is None:
        raise PostgresError("this fleet keeps its rows in SQLite; nothing to serve")
    cluster = cluster_of(settings.root)
    process = start(cluster)
    for number in (signal.SIGTERM, signal.SIGINT):  # fast: whoever is connected is cut off
        signal.signal(number, lambda _signal, _frame: process.send_signal(signal.SIGINT))
    ensure_database(cluster, settings.postgres.database)
    log.info("PostgreSQL answers in %s", cluster.folder)
    return process.wait()


def _binaries() -> Path:
    found = find_binaries()
    if found is None:
        raise PostgresError(
            "PostgreSQL is not installed; install it with: apt-get install postgresql,"
            " or keep rows in SQLite (telemetry.rows=sqlite)"
        )
    return found


def _check_socket(cluster: Cluster) -> None:
    path = f"{cluster.folder}/.s.PGSQL.{PORT}"
    if len(path) > SOCKET_PATH_MAX:
        raise PostgresError(
            f"{path}: {len(path)} characters, and a socket's path may have {SOCKET_PATH_MAX};"
            " use a shorter --fleet-dir"
        )


def _other_user() -> str | None:
    return account() if os.geteuid() == 0 else None


def _version(path: Path) -> int:
    name = path.parent.parent.name
    return int(name) if name.isdigit() else 0


def main() -> None:
    launch("postgresd", serve, PostgresError, psycopg.Error, OSError)


if __name__ == "__main__":
    main()
