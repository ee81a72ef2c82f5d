"""Tells the client what the running slot provides, where it does not know: on a robot that was just
flashed, or that an artifact of somebody else's making was installed on.

`python -m ota.provides --run-dir R --data-dir D --library L`, as root, before the client. The terms
of an artifact are held against what the client knows, so a client that knows nothing refuses every
one of ours. It is told by a small artifact of the type `bedplate-seed`, which installs nothing,
made here and therefore unsigned: this one call runs with settings that name no key. What comes from
outside never takes this way.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ota.client import COMMAND
from ota.looking import PRINT_TOOL, read_table, run_program
from ota.migrations import DataVersionError, read_version

log = logging.getLogger(__name__)

PROVIDES: Final = "provides.json"
SLOT_KEYS: Final = ("bedplate.config_schema", "bedplate.data_version")
Run = Callable[[Sequence[str]], str | None]


def parse(said: str) -> dict[str, str]:
    """What `mender show-provides` prints."""
    rows = [line.partition("=") for line in said.splitlines()]
    return {key: value for key, sign, value in rows if sign}


def wanted(known: Mapping[str, str], provides: Mapping[str, str]) -> dict[str, str] | None:
    """What to tell; None where the client knows it. A checksum of its own is kept: it comes from
    the artifact that the slot was installed from."""
    if all(known.get(key) == provides[key] for key in SLOT_KEYS):
        return None
    kept = {key: value for key, value in known.items() if key.startswith("rootfs-image.")}
    return {**provides, **kept}


def tell(name: str, device_type: str, provides: Mapping[str, str], run: Run) -> bool:
    from ota.artifact import write_artifact  # only where something is to be told
    from ota.payloads import seed

    with tempfile.TemporaryDirectory(prefix="bedplate-provides-") as scratch:
        folder = Path(scratch)
        file = write_artifact(seed(name, device_type, provides), None, folder / "seed.mender").path
        settings = {"DeviceTypeFile": str(folder / "device_type")}
        (folder / "device_type").write_text(f"device_type={device_type}\n")
        (folder / "mender.conf").write_text(json.dumps(settings))
        # Later clients want a fallback that is there, so both are these settings.
        settled = str(folder / "mender.conf")
        command = [COMMAND, "--config", settled, "--fallback-config", settled]
        command += ["install", str(file)]
        return run(command) is not None


def main() -> None:
    parser = argparse.ArgumentParser(prog="provides", description="What the slot provides")
    parser.add_argument("--data-dir", type=Path, default=Path("/data/bedplate"))
    parser.add_argument("--library", type=Path, default=Path("/usr/lib/bedplate"))
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="provides %(message)s")
    manifest = read_table(args.library / "manifest.json") or {}
    if run_program([PRINT_TOOL, "upgrade_available"]) != "upgrade_available=0\n":
        log.info("a slot is on trial, or it cannot be told: its artifact says what it provides")
        return
    known = parse(run_program([COMMAND, "show-provides"]) or "")
    name, provides = str(manifest["artifact_name"]), read_table(args.library / PROVIDES)
    if not provides or not set(SLOT_KEYS) <= set(provides):
        log.error("%s says nothing of this slot; nothing is told", args.library / PROVIDES)
        sys.exit(1)
    try:
        provides["bedplate.data_version"] = str(read_version(args.data_dir))
    except DataVersionError as error:
        log.error("%s", error)
        sys.exit(1)
    told = wanted(known, provides)
    if told is None:
        return
    if not tell(known.get("artifact_name", name), str(manifest["hardware"]), told, long_run):
        log.error("the client took no word of it; it will refuse artifacts with terms")
        sys.exit(1)


def long_run(command: Sequence[str]) -> str | None:
    """The client syncs the disk, which in emulation takes its time."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.error("%s", error)
        return None
    if done.returncode:
        log.error("%s", done.stderr.strip()[-400:])
    return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
    main()
