"""One emulated robot for tests: started, watched on its serial port, asked over SSH."""

import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from image.data import acceptance_wish, prepare_guest
from image.enrolment import Invitation
from image.qemu import Guest, start
from image.ssh import Login, free_port


@dataclass
class Robot:
    """A guest that is running, or was."""

    guest: Guest
    serial: Path
    key: Path
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    seen_s: dict[str, float] = field(default_factory=dict)

    def boot(self) -> None:
        self.started_s = time.monotonic()
        self.process = start(self.guest, self.serial)

    def console(self) -> str:
        return self.serial.read_text(errors="replace") if self.serial.is_file() else ""

    def wait_for(self, text: str, timeout_s: float) -> float:
        """Seconds from power-on until the serial port said it."""
        while time.monotonic() - self.started_s < timeout_s:
            if text in self.console():
                self.seen_s[text] = time.monotonic() - self.started_s
                return self.seen_s[text]
            if self.process is not None and self.process.poll() is not None:
                break
            time.sleep(0.5)
        raise AssertionError(f"no {text!r} in {timeout_s} s:\n{self.console()[-4000:]}")

    def ssh(self, command: str, *, user: str = "operator", timeout_s: float = 180) -> str:
        done = self.try_ssh(command, user=user, timeout_s=timeout_s)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def try_ssh(
        self, command: str, *, user: str = "operator", timeout_s: float = 180, key: bool = True
    ) -> subprocess.CompletedProcess[str]:
        login = Login(self.guest.ssh_port, self.key)
        return login.ask(command, user=user, timeout_s=timeout_s, with_key=key)

    def kernel_started_s(self) -> float:
        """Seconds from power-on until the kernel's clock began."""
        uptime_s = float(self.ssh("cat /proc/uptime").split()[0])
        return time.monotonic() - self.started_s - uptime_s

    def put(self, source: Path, name: str) -> str:
        """A program of the tests', in the operator's home; where it is."""
        Login(self.guest.ssh_port, self.key).put(source, name)
        place = f"/home/operator/{name}"
        self.ssh(f"chmod 755 {place}")
        return place

    def wait_for_ssh(self, timeout_s: float) -> None:
        while time.monotonic() - self.started_s < timeout_s:
            if self.try_ssh("true", timeout_s=60).returncode == 0:
                return
            time.sleep(1)
        raise AssertionError(f"no SSH in {timeout_s} s:\n{self.console()[-4000:]}")

    def cut_power(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def new_robot(
    folder: Path,
    products: Path,
    invitation: Invitation | None = None,
    arm: str | None = None,
    *,
    icount: bool = False,
    accept: int | None = None,
) -> Robot:
    """A guest of the image in `products`, as newly flashed; its disk is of the profile's size."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    serial = folder / "serial.log"
    guest = Guest(
        image=products / "disk.img",
        folder=folder,
        disk_mib=10240,
        ssh_port=free_port(),
        serial=f"file:{serial}",
        icount=icount,
    )
    key = prepare_guest(products, guest, invitation, arm, acceptance_wish(accept))
    return Robot(guest, serial, key)
