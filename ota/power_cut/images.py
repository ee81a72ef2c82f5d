"""Three images of one robot that differ in their name only, and two of them as signed updates."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.boot_env.states import SECTOR_BYTES
from ota.keys import make_keys
from ota.power_cut.recording import Installed

HARDWARE: Final = "qemu_arm64"
FACILITY: Final = "osaka"
NAMES: Final = ("first", "second", "third")
# No fleet is asked here: what is proved is where power may go, not who answers. The hardware's
# profile already only tells of latency, for an emulated second is not a second.
SETTINGS: Final = ("ota.gate.fleet_absence_allowed=true",)
CHUNK_BYTES: Final = 1 << 20
TREE: Final = Path(__file__).resolve().parents[2]


class ImageError(Exception):
    """What could not be built, in the words of whoever could not."""


@dataclass(frozen=True)
class Images:
    """The robot as flashed, and its updates."""

    flashed: Path
    updates: tuple[Path, ...]
    installed: tuple[Installed, ...]


def make_images(folder: Path, say: Callable[[str], object]) -> Images:
    """What is there already is not made again."""
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "images.json"
    if not done.exists():
        sign, check = folder / "sign.pem", folder / "check.pem"
        if not sign.exists():
            make_keys(sign, check)
        rows = [_make(folder, name, sign, check, say) for name in NAMES]
        done.write_text(json.dumps(rows) + "\n")
    rows = json.loads(done.read_text())
    installed = tuple(Installed(**row) for row in rows)
    updates = tuple(folder / f"{name}.mender" for name in NAMES[1:])
    return Images(folder / NAMES[0], updates, installed)


def _make(
    folder: Path, name: str, sign: Path, check: Path, say: Callable[[str], object]
) -> dict[str, str]:
    out = folder / name
    say(f"image {name}")
    words = ["image", "build", "--hardware", HARDWARE, "--facility", FACILITY]
    words += ["--out", str(out), "--update-key", str(check)]
    for setting in (f"artifact_name={name}", *SETTINGS):
        words += ["--set", setting]
    _bedplate(*words)
    digest = slot_digest(out / "slot.img")
    if name != NAMES[0]:
        update = folder / f"{name}.mender"
        words = ["ota", "artifact", "rootfs", "--image", str(out), "--key", str(sign)]
        _bedplate(*words, "--out", str(update))
        for product in ("disk.img", "slot.img"):  # an update is all that is needed of it
            (out / product).unlink()
    return {"name": name, "digest": digest}


def slot_digest(image: Path) -> str:
    """Of all but its last sector, as a slot names itself."""
    left = image.stat().st_size - SECTOR_BYTES
    digest = hashlib.sha256()
    with image.open("rb") as stream:
        while left:
            chunk = stream.read(min(left, CHUNK_BYTES))
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def _bedplate(*words: str) -> None:
    line = [sys.executable, "-m", "bedplate", *words]
    done = subprocess.run(line, cwd=TREE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ImageError(f"bedplate {' '.join(words)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
