"""Programs that Debian does not have, or not as wanted here: built once, from their Go source."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class NotBuiltError(RuntimeError):
    """Why there is no such program, and what to install."""


@dataclass(frozen=True)
class GoProgram:
    """`commands` are run in its folder of the cache and leave `made` there; `go` is Go itself."""

    name: str
    release: str
    takes: str  # how long, in words
    commands: Sequence[Sequence[str]]
    made: str

    @property
    def folder(self) -> Path:
        base = os.environ.get("XDG_CACHE_HOME")
        cache = Path(base) if base else Path.home() / ".cache"
        return cache / "bedplate" / f"{self.name}-{self.release}"

    def find(self) -> Path | None:
        """The one that the variable of its name says, or the one built here earlier."""
        named = os.environ.get(self.name.upper())
        for candidate in (Path(named) if named else None, self.folder / self.made):
            if candidate is not None and os.access(candidate, os.X_OK):
                return candidate
        return None

    def ensure(self) -> Path:
        """Builds it when it is not there; NotBuiltError."""
        found = self.find()
        if found is not None:
            return found
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
        if go is None:
            raise NotBuiltError(
                f"{self.name} is not there and cannot be built: Go (1.19 or later) is not"
                " installed; install it (apt-get install golang-go), or set"
                f" {self.name.upper()} to {self.name} {self.release}"
            )
        said = f"{self.name} {self.release} into {self.folder}: once, {self.takes}"
        print(f"    building {said}", flush=True)  # noqa: T201
        self._build(go)
        return self.folder / self.made

    def _build(self, go: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "PATH": f"{Path(go).parent}:{os.environ.get('PATH', '')}",
            "GOBIN": str(self.folder),
            "CGO_ENABLED": "0",
            "GOFLAGS": "-p=2",
        }
        for command in self.commands:
            built = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            if built.returncode != 0:
                words = " ".join(command)
                raise NotBuiltError(
                    f"{self.name} could not be built; {words} said:\n{built.stderr[-2000:]}"
                )
        if not os.access(self.folder / self.made, os.X_OK):
            raise NotBuiltError(f"{self.name} was built, but {self.folder} has no {self.made}")
