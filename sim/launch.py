"""The pieces of a development run: folders, ports, the supervisor and its children.

`sim/run.py` puts them in order. Everything started here is ended here: children are known by their
process ids, and whatever outlives the supervisor is found and killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import shutil
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
from supervisor.xmlrpc import SupervisorTransport

from runtime.daemon import SecondInstanceError, single_instance
from runtime.paths import Paths, memory_folder

LOOPBACK = "127.0.0.1"
PORTS_TRIED = 50
STOP_TIMEOUT_S = 25.0
KILL_TIMEOUT_S = 5.0
PR_SET_PDEATHSIG = 1


class LaunchError(RuntimeError):
    """Something without which a run makes no sense; the text says what to try."""


@contextlib.contextmanager
def only_launcher(paths: Paths) -> Iterator[None]:
    """One robot of a name at a time: two would fight over shared memory and ports."""
    with contextlib.ExitStack() as held:
        try:
            lock = single_instance(paths.run / "launcher.pid", "run another --facility")
            held.enter_context(lock)
        except SecondInstanceError as error:
            raise LaunchError(str(error)) from error
        yield


def make_folders(paths: Paths, robot_id: str) -> Path:
    """Fresh shared memory, as after a boot; returns its folder."""
    for folder in (paths.run, paths.data, paths.log):
        folder.mkdir(parents=True, exist_ok=True)
    link = paths.run / "shm"
    wanted = memory_folder(robot_id, paths.run)
    try:
        shutil.rmtree(wanted, ignore_errors=True)
        wanted.mkdir(parents=True, exist_ok=True)
    except OSError:
        wanted = (
            paths.run / "shm.files"
        )  # a machine without /dev/shm, or another user's folder there
        shutil.rmtree(wanted, ignore_errors=True)
        wanted.mkdir(parents=True)
    link.unlink(missing_ok=True)
    link.symlink_to(wanted)
    return wanted


def remove_memory(paths: Paths) -> None:
    shutil.rmtree(paths.shm, ignore_errors=True)


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(wanted: int, taken: set[int]) -> int:
    """The wanted port, else the next one that nobody listens on."""
    for port in range(wanted, min(wanted + PORTS_TRIED, 65_536)):
        if port not in taken and is_free(port):
            taken.add(port)
            return port
    raise LaunchError(
        f"ports {wanted} to {wanted + PORTS_TRIED - 1} are all taken on {LOOPBACK};"
        " the robot needs one of them; end what listens there, or give another --port"
    )


@dataclass(frozen=True)
class Child:
    name: str
    state: str
    pid: int
    exit_status: int


class Supervisor:
    """supervisord as a child of this process, asked over its own socket."""

    def __init__(self, configuration: Path, socket_path: Path, log: Path) -> None:
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C reaches the launcher only, which ends all in order
            preexec_fn=_die_with_parent,
        )
        self._socket = socket_path
        self._pids: set[int] = set()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def children(self) -> list[Child]:
        """Empty while supervisord is not answering yet."""
        try:
            found = self._ask()
        except (OSError, xmlrpc.client.Error, http.client.HTTPException):
            return []
        children = [
            Child(row["name"], row["statename"], int(row["pid"]), int(row["exitstatus"]))
            for row in found
        ]
        self._pids |= {child.pid for child in children if child.pid > 0}
        return children

    def _ask(self) -> list[dict[str, Any]]:
        """A connection a question: supervisor's transport does not recover from a broken one."""
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        proxy = xmlrpc.client.ServerProxy(
            f"http://{LOOPBACK}", transport=cast(xmlrpc.client.Transport, transport)
        )
        try:
            return cast(list[dict[str, Any]], proxy.supervisor.getAllProcessInfo())
        finally:
            transport.close()

    def stop(self) -> list[int]:
        """Ends everything; returns the ids of what had to be killed."""
        self.children()
        self._pids |= _descendants(self._process.pid)
        if self.is_alive:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._pids |= _descendants(self._process.pid)
                self._process.kill()
                self._process.wait()
        self._log.close()
        return kill_leftovers(self._pids)


def kill_leftovers(pids: set[int]) -> list[int]:
    """Stopped or hung children that outlived their supervisor."""
    left = [pid for pid in pids if is_running(pid)]
    for pid in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while any(is_running(pid) for pid in left) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop_stale(paths: Paths) -> None:
    """Ends what an earlier launcher left behind when it was killed outright."""
    try:
        pid = int((paths.run / "supervisord.pid").read_text())
        process = psutil.Process(pid)
        ours = str(paths.run) in " ".join(process.cmdline())
    except (OSError, ValueError, psutil.Error):
        return
    if not ours:
        return
    pids = {pid, *_descendants(pid)}
    with contextlib.suppress(psutil.Error):
        process.terminate()
        process.wait(STOP_TIMEOUT_S)
    kill_leftovers(pids)


def _descendants(pid: int) -> set[int]:
    try:
        return {child.pid for child in psutil.Process(pid).children(recursive=True)}
    except psutil.Error:
        return set()


def _die_with_parent() -> None:
    """Even kill -9 of the launcher ends the robot."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
