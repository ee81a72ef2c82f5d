"""Running other programs: a failure names the program and repeats its last words."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from image.refusal import refused

TAIL_CHARACTERS = 1500


def run(
    command: Sequence[str | Path],
    *,
    why: str,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
    log: IO[bytes] | None = None,
    alone: bool = False,
) -> str:
    """What the program printed, or a refusal that says why it was needed.

    With `log` the output goes there as it comes; with `alone` nothing of the caller's environment
    reaches the program but its search path.
    """
    words = [str(part) for part in command]
    base = {"PATH": os.environ.get("PATH", os.defpath)} if alone else dict(os.environ)
    process = subprocess.Popen(
        [*_tied(), *words],
        cwd=cwd,
        env={**base, "LC_ALL": "C.UTF-8", "TZ": "UTC", **(environment or {})},
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=log or subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # an interrupt is handed on below, to the whole family
    )
    try:
        output, _ = process.communicate(None if stdin is None else stdin.encode())
    except BaseException:
        _end_family(process)
        raise
    text = _text(output, log)
    if process.returncode != 0:
        raise refused(
            f"{_name(words)}: {why}",
            f"status {process.returncode}: {text[-TAIL_CHARACTERS:].strip() or 'no output'}",
            "the next step needs its result",
            f"run it by hand: {' '.join(words)[:400]}",
        )
    return text


def _tied() -> list[str]:
    """Should this process be killed outright, the program is asked to end too."""
    setpriv = shutil.which("setpriv", path=f"{os.environ.get('PATH', '')}:/usr/bin:/bin")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def _name(words: Sequence[str]) -> str:
    """The program's name, also where a loader of its own starts it."""
    if "--argv0" in words:
        return words[words.index("--argv0") + 1]
    return Path(words[0]).name


def _text(output: bytes | None, log: IO[bytes] | None) -> str:
    if output is not None:
        return output.decode(errors="replace")
    if log is None or not log.name:
        return ""
    log.flush()
    return Path(log.name).read_bytes()[-TAIL_CHARACTERS:].decode(errors="replace")


def _end_family(process: subprocess.Popen[bytes]) -> None:
    """First politely, so that a program undoes its mounts; then for good."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue
        return
