"""Where one robot keeps what, and the room there; nobody else knows the names in these folders."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True)
class Paths:
    """`run` holds what a boot makes (sockets, pid files, the profile); `data` outlives it."""

    run: Path
    data: Path

    @property
    def profile(self) -> Path:
        return self.run / "profile.json"

    @property
    def control(self) -> Path:
        return self.run / "control.json"

    @property
    def shm(self) -> Path:
        """The shared-memory folder: a link into RAM where there is one, else a plain folder."""
        return (self.run / "shm").resolve()

    @property
    def agent_socket(self) -> Path:
        return self.run / "agent.sock"

    @property
    def telemetry_socket(self) -> Path:
        return self.run / "telemetry.sock"

    @property
    def faults_socket(self) -> Path:
        return self.run / "faults.sock"

    @property
    def uplink(self) -> Path:
        return self.run / "uplink.json"

    @property
    def realtime(self) -> Path:
        """What the kernel granted to controld."""
        return self.run / "realtime.json"

    @property
    def kernel(self) -> Path:
        """What rt_kernel/verify.py found."""
        return self.run / "kernel.json"

    @property
    def boot_report(self) -> Path:
        return self.run / "boot.json"

    @property
    def first_boot(self) -> Path:
        """A line for each thing that was done because it was this robot's first boot."""
        return self.run / "first-boot"

    @property
    def data_volatile(self) -> Path:
        """Why nothing is kept over this boot; missing where the data partition is."""
        return self.run / "data-volatile"

    @property
    def enrolment(self) -> Path:
        return self.data / "enrolment.json"

    @property
    def log(self) -> Path:
        return self.run / "log"

    @property
    def spool(self) -> Path:
        return self.data / "spool.sqlite"

    @property
    def tasks(self) -> Path:
        return self.data / "tasks.sqlite"

    @property
    def skills(self) -> Path:
        return self.data / "skills"

    @property
    def feature_cache(self) -> Path:
        return self.data / "features"

    @property
    def pki(self) -> Path:
        return self.data / "pki"

    @property
    def active(self) -> Path:
        """Which profile and models each slot runs instead of its own."""
        return self.data / "active.json"

    @property
    def trial(self) -> Path:
        """A profile or model that was switched to and is not committed; on data, so that a boot in
        between is seen as one."""
        return self.data / "trial.json"

    @property
    def profiles(self) -> Path:
        return self.data / "profiles"

    @property
    def models(self) -> Path:
        return self.data / "models"

    @property
    def chosen_models(self) -> Path:
        """Networks that stand in for the slot's own, as this boot was told."""
        return self.run / "models.json"

    @property
    def gate(self) -> Path:
        """The commit gate's verdict on the slot that runs."""
        return self.run / "gate.json"

    @property
    def switch_gate(self) -> Path:
        """The same on a profile or model that was switched to."""
        return self.run / "gate-switch.json"

    @property
    def ota(self) -> Path:
        """What updates keep: the last committed latency, how an install came here, the versions of
        what lies on data."""
        return self.data / "ota"

    def pid_file(self, process: str) -> Path:
        return self.run / f"{process}.pid"


def robot_paths(root: Path, robot_id: str) -> Paths:
    """The folders of one robot below `root` (the repository's var/ in development)."""
    home = root / "robots" / robot_id
    return Paths(run=home / "run", data=home / "data")


def memory_folder(robot_id: str, run: Path) -> Path:
    """Shared memory lies in RAM, so that dirty pages never wait for a disk.

    Each user and each run folder has its own: two checkouts on one machine may both run a robot of
    this name, and neither may wipe the other's memory.
    """
    place = hashlib.sha256(str(run.absolute()).encode()).hexdigest()[:8]
    return Path("/dev/shm") / f"bedplate-{os.getuid()}" / f"{robot_id}-{place}"


class Space(NamedTuple):
    """Of the file system that a folder is on, for who is not root; read-only, it has no room."""

    free_bytes: int
    size_bytes: int
    is_read_only: bool

    @property
    def free_mib(self) -> float:
        return self.free_bytes / 2**20


def space_at(folder: Path) -> Space:
    """Raises OSError where it cannot be asked."""
    found = os.statvfs(folder)
    is_read_only = bool(found.f_flag & os.ST_RDONLY)
    free = 0 if is_read_only else found.f_bavail * found.f_frsize
    return Space(free, found.f_blocks * found.f_frsize, is_read_only)
