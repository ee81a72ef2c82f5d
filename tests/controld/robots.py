"""The control process under test, in lock-step and as the real thing."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from runtime.controld.surroundings import Surroundings, Swing, home_of
from runtime.shm import Core, Shm, Source

BINARY = Path("runtime/controld/target/bin/controld").resolve()
MS = 1_000_000


class LockstepRobot:
    """Every process in this one, time as it is told."""

    def __init__(self, shm_dir: Path, control: Path, epoch: int = 1) -> None:
        self.control, self.epoch = control, epoch
        self.core = Core(control, shm_dir, epoch)
        self.shm = Shm(shm_dir)
        self.surroundings = Surroundings(self.shm, control, arms_itself=False)
        self.policy = self.surroundings.policy = Swing(self.shm, home_of(control))
        self.reader = self.shm.reader("state")
        self.now_ns = 1_000 * MS

    @property
    def state(self) -> np.void:
        state = self.reader.latest()
        assert state is not None
        return state

    def run(self, ms: int, each: Callable[[], object] = lambda: None) -> None:
        for _ in range(ms):
            self.surroundings.step(self.now_ns)
            each()
            self.core.cycle(self.now_ns)
            self.now_ns += MS

    def restart(self) -> None:
        """The control process dies and is started anew on the same files."""
        del self.core
        self.epoch += 1
        self.core = Core(self.control, self.shm.directory, self.epoch)

    def command(self, **fields: Any) -> None:
        """A sound command to stay where the arm is, but for the given fields."""
        sound: dict[str, Any] = {
            "epoch": self.epoch,
            "created_ns": self.now_ns,
            "expires_ns": self.now_ns + 20 * MS,
            "source": Source.POLICY,
            "q": self.state["q_cmd"],
        }
        self.policy.commands.write(**(sound | fields))

    def arm(self) -> None:
        """Arms and follows the swing."""
        self.run(120)
        self.surroundings.agent.rearm()
        self.run(200)


class Process:
    """The real process; its surroundings run in the test's own thread, as it looks on."""

    def __init__(self, shm_dir: Path, control: Path) -> None:
        self.shm_dir, self.control = shm_dir, control
        self.shm = Shm(shm_dir)
        self.reader = self.shm.reader("state")
        self.running: subprocess.Popen[str] | None = None
        self.surroundings = Surroundings(self.shm, control)
        self.policy = self.surroundings.policy = Swing(self.shm, home_of(control))

    def start(self, *extra: str) -> subprocess.Popen[str]:
        command = [str(BINARY), "--control", str(self.control), "--shm", str(self.shm_dir), *extra]
        self.running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        return self.running

    def wait_until(self, condition: Callable[[np.void], bool], seconds: float = 20) -> np.void:
        """Keeps the surroundings going until the state is so; a patience, not a measurement."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.surroundings.step(time.monotonic_ns())
            state = self.reader.latest()
            if state is not None and condition(state):
                return state
            time.sleep(0.0005)
        raise AssertionError(f"not within {seconds} s; the last state is {self.reader.latest()}")

    def stop(self) -> str:
        """SIGTERM, and what the process said."""
        assert self.running is not None
        self.running.terminate()
        _, said = self.running.communicate(timeout=20)
        return said

    def close(self) -> None:
        if self.running is not None:
            self.running.kill()
            self.running.communicate()
