"""One emulated robot that is watched from outside: started, asked, reset, its writes recorded."""

import json
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

from image.qemu import Guest, command
from image.ssh import Login
from ota.power_cut.record import recorded

BOOT_ID: Final = "cat /proc/sys/kernel/random/boot_id"
LOOK_S: Final = 10  # a login takes seconds of the emulated processors, and the gate looks at them


class GuestError(Exception):
    """What the guest did not do, and the end of what its console said."""


@dataclass
class Running:
    """A guest that is running; leaving the `with` ends it, as a power cut does."""

    guest: Guest
    key: Path
    log: Path | None = None  # record its writes there
    overlay: Path | None = None  # its disk, where that is not disk.qcow2
    one_login: bool = False  # for all that is asked until a reset by us: no other restart, then
    said_before: int = field(default=0, init=False)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    # In a folder whose path is short enough for one.
    _sockets: TemporaryDirectory[str] = field(default_factory=TemporaryDirectory[str], init=False)
    _logins: int = field(default=0, init=False)

    def __enter__(self) -> Self:
        folder = self.guest.folder
        words = command(self.guest)
        if self.log is not None:
            words = recorded(words, self.overlay or folder / "disk.qcow2", self.log)
        words += ["-qmp", f"unix:{folder / 'qmp'},server=on,wait=off"]
        with (folder / "qemu.log").open("wb") as out:
            # A guest does not outlive whoever watches it.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *error: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self._sockets.cleanup()

    def console(self) -> str:
        """Since the machine was last started or reset by us."""
        file = Path(self.guest.serial.removeprefix("file:"))
        if not file.is_file():
            return ""
        return file.read_bytes()[self.said_before :].decode(errors="replace")

    def wait(self, what: str, holds: Callable[[], bool], timeout_s: float) -> float:
        """Seconds until it held."""
        began_s = time.monotonic()
        while time.monotonic() - began_s < timeout_s:
            if holds():
                return time.monotonic() - began_s
            if self.process is not None and self.process.poll() is not None:
                break
            time.sleep(LOOK_S)
        raise GuestError(f"not within {timeout_s} s: {what}\n{self.console()[-3000:]}")

    def try_ssh(self, words: str, timeout_s: float = 180) -> subprocess.CompletedProcess[str]:
        kept_by = Path(self._sockets.name) / str(self._logins) if self.one_login else None
        return Login(self.guest.ssh_port, self.key, kept_by).ask(words, timeout_s=timeout_s)

    def ssh(self, words: str, timeout_s: float = 180) -> str:
        done = self.try_ssh(words, timeout_s)
        if done.returncode != 0:
            raise GuestError(f"{words}: {done.stdout}{done.stderr}\n{self.console()[-3000:]}")
        return done.stdout

    def holds(self, words: str) -> bool:
        return self.try_ssh(words, timeout_s=120).returncode == 0

    def boot_id(self) -> str:
        return self.try_ssh(BOOT_ID, timeout_s=60).stdout.strip()

    def wait_for_another_start(self, before: str, timeout_s: float) -> float:
        return self.wait("another start", lambda: self.boot_id() not in ("", before), timeout_s)

    def slot_and_choice(self) -> tuple[str, str]:
        """As the loader told the kernel."""
        words: dict[str, str] = {}
        for word in self.ssh("cat /proc/cmdline").split():
            name, _, value = word.partition("=")
            words[name] = value
        return words.get("bedplate.slot", ""), words.get("bedplate.choice", "")

    def reset(self) -> None:
        """At once, as a watchdog does; the disk keeps its power."""
        self.said_before = len(self.console().encode()) + self.said_before
        self._tell("system_reset")
        self._logins += 1

    def _tell(self, order: str) -> None:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(30)
            line.connect(str(self.guest.folder / "qmp"))
            stream = line.makefile("rw")
            for name in ("qmp_capabilities", order):
                stream.readline()  # the greeting, then the answer
                stream.write(json.dumps({"execute": name}) + "\n")
                stream.flush()
            stream.readline()
