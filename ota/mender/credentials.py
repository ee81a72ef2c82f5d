"""The token of whoever sits here: one file of their own, that nobody else may read."""

import os
import stat
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ota.mender.errors import MenderError
from ota.mender.session import Address, Session


class Credentials(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    url: Annotated[str, Field(pattern=r"^https://[^\s/?#]+/?$", max_length=300)]
    authority: Path | None = None
    user: str = ""
    token: Annotated[str, Field(min_length=1, max_length=16_384)] = Field(repr=False)

    def session(self) -> Session:
        return Session(Address(self.url, self.authority), token=self.token)


def default_path() -> Path:
    """In the user's own folder for settings."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "bedplate" / "mender.json"


def read_credentials(path: Path) -> Credentials:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise _unusable(path, f"readable by others (mode {mode:o})", f"chmod 600 {path}")
            return Credentials.model_validate_json(file.read(65_536))
    except FileNotFoundError as error:
        raise _unusable(path, "no such file", "bedplate ota login URL --user NAME") from error
    except OSError as error:
        raise _unusable(path, error.strerror or str(error), "bedplate ota login") from error
    except ValidationError as error:
        # Nothing of the contents is repeated: it holds the token.
        raise _unusable(path, "not what `login` writes", "bedplate ota login") from error


def write_credentials(path: Path, credentials: Credentials) -> None:
    """Its owner's alone from the first byte on; the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f"{path.name}.part")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(credentials.model_dump_json() + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _unusable(path: Path, got: str, suggestion: str) -> MenderError:
    return MenderError(
        str(path), got, "it holds the token that the Mender server asks for", suggestion
    )
