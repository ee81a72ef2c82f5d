"""Three images of one robot that differ in their name only, and two of them as signed updates."""

import hashlib
import json
import shutil
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
# No fleet is asked here: what is proved is where power may go, not who answers. A command line may
# not excuse the fleet's absence, so the settings of a copy of this tree do.
EXCUSED: Final = ("conf/ota/default.yaml", "fleet_absence_allowed: false")
NATIVE: Final = "runtime/shm/_native*.so"  # built, so not among the tracked files
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
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "images.json"
    if not done.exists():
        sign, check = folder / "sign.pem", folder / "check.pem"
        if not sign.exists():
            make_keys(sign, check)
        copy_tree(folder / "tree")
        excuse_absence(folder / "tree")
        rows = [_make(folder, name, sign, check, say) for name in NAMES]
        done.write_text(json.dumps(rows) + "\n")
    rows = json.loads(done.read_text())
    installed = tuple(Installed(**row) for row in rows)
    updates = tuple(folder / f"{name}.mender" for name in NAMES[1:])
    return Images(folder / NAMES[0], updates, installed)


def copy_tree(target: Path) -> None:
    """This tree as it is tracked, in a checkout of its own from which an image can be built."""
    shutil.rmtree(target, ignore_errors=True)
    _git("clone", "--quiet", str(TREE), str(target))
    listed = _git("ls-files", "-z").split("\0")
    names = [name for name in listed if (TREE / name).is_file()]
    names += [str(file.relative_to(TREE)) for file in TREE.glob(NATIVE)]
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TREE / name, target / name, follow_symlinks=False)


def excuse_absence(tree: Path) -> None:
    """A robot of that tree may commit without a fleet."""
    file, line = EXCUSED
    text = (tree / file).read_text()
    if line not in text:
        raise ImageError(f"{file} has no line {line!r}: no robot would commit without a fleet")
    (tree / file).write_text(text.replace(line, line.replace("false", "true")))


def _make(
    folder: Path, name: str, sign: Path, check: Path, say: Callable[[str], object]
) -> dict[str, str]:
    out = folder / name
    say(f"image {name}")
    words = ["image", "build", "--hardware", HARDWARE, "--facility", FACILITY]
    words += ["--out", str(out), "--update-key", str(check)]
    _bedplate(folder / "tree", *words, "--set", f"artifact_name={name}")
    digest = slot_digest(out / "slot.img")
    if name != NAMES[0]:
        update = folder / f"{name}.mender"
        words = ["ota", "artifact", "rootfs", "--image", str(out), "--key", str(sign)]
        _bedplate(folder / "tree", *words, "--out", str(update))
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


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=TREE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ImageError(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _bedplate(tree: Path, *words: str) -> None:
    line = [sys.executable, "-m", "bedplate", *words]
    done = subprocess.run(line, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ImageError(f"bedplate {' '.join(words)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
