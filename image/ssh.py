"""Asking an emulated robot over SSH, from this machine."""

import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

USER: Final = "operator"
OPTIONS: Final = (
    "-o", "BatchMode=yes",
    "-o", "ConnectTimeout=30",
    "-o", "LogLevel=ERROR",
    "-o", "StrictHostKeyChecking=no",  # its keys are made on its first boot
    "-o", "UserKnownHostsFile=/dev/null",
)  # fmt: skip
# Whoever asks takes no processor from the guest: its arm brakes when its world stands still.
GENTLY: Final = ("nice", "-n", "19")
NO_ANSWER: Final = 255  # what ssh itself ends with when the other side is gone


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Login:
    port: int  # of this machine, led to the guest's
    key: Path
    # A socket: one connection then serves all that is asked, for a login takes a booting guest a
    # quarter of a minute. It ends with the guest; after a reset another socket is needed.
    kept_by: Path | None = None

    def ask(
        self, words: str, *, user: str = USER, timeout_s: float = 180, with_key: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """What came of a command; status NO_ANSWER where nobody answered in time."""
        line = [*GENTLY, "ssh", *OPTIONS, "-p", str(self.port)]
        line += ["-i", str(self.key)] if with_key else ["-o", "PubkeyAuthentication=no"]
        line += [*self._connection(), f"{user}@127.0.0.1", words]
        try:
            return subprocess.run(
                line, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(line, NO_ANSWER, "", f"silent for {timeout_s} s")

    def _connection(self) -> list[str]:
        if self.kept_by is None:
            return []
        options = ("ControlMaster=auto", f"ControlPath={self.kept_by}", "ControlPersist=yes")
        return [word for option in options for word in ("-o", option)]

    def put(self, source: Path, name: str) -> None:
        """A file into the operator's home; CalledProcessError or TimeoutExpired."""
        line = ["scp", *OPTIONS, "-P", str(self.port), "-i", str(self.key), str(source)]
        subprocess.run(
            [*line, f"{USER}@127.0.0.1:{name}"], check=True, capture_output=True, timeout=600
        )
