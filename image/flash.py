"""An image onto a disk: checks, then the blocks that hold something, then reading them back."""

import json
import os
import stat
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from image.blockmap import BlockMap, hash_of, read_map
from image.disk_layout import MIB
from image.refusal import BuildRefused, Problem, refused

CHUNK_BYTES = 4 * MIB
TABLE_BYTES = MIB  # both partition tables lie within so much of the ends


@dataclass(frozen=True)
class Target:
    """A disk, or a file that stands for one."""

    path: Path
    size_bytes: int
    is_device: bool
    model: str
    mounted: tuple[str, ...]
    holds_system: bool
    read_only: bool


def look_at(path: Path, sysfs: Path = Path("/sys"), mounts: Path = Path("/proc/mounts")) -> Target:
    """Facts only; what follows from them is for `problems_of`."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise refused(
            str(path), str(error.strerror), "there is nothing to write to", "lsblk  lists disks"
        ) from error
    if stat.S_ISREG(mode):
        writable = os.access(path, os.W_OK)
        return Target(path, path.stat().st_size, False, "a file", (), False, not writable)
    if not stat.S_ISBLK(mode):
        raise refused(str(path), "neither a disk nor a file", "only those take an image", "lsblk")
    name = path.resolve().name
    block = sysfs / "class/block" / name
    if (block / "partition").exists():
        raise refused(
            str(path),
            "a partition",
            "an image has a partition table of its own and is a whole disk",
            f"the disk it is part of: {path.resolve().parent / block.resolve().parent.name}",
        )
    names = [name, *(one.name for one in block.resolve().glob(f"{name}*") if one.is_dir())]
    found = _mounted(names, mounts)
    return Target(
        path=path,
        size_bytes=int((block / "size").read_text()) * 512,
        is_device=True,
        model=_text(block / "device/model") or "unknown model",
        mounted=tuple(found.values()),
        holds_system=any(place in ("/", "/boot", "/boot/efi", "/usr") for place in found.values()),
        read_only=_text(block / "ro") == "1",
    )


def _mounted(names: list[str], mounts: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in mounts.read_text().splitlines():
        device, place = line.split()[:2]
        if device.startswith("/dev/") and Path(device).resolve().name in names:
            found[device] = place
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def problems_of(target: Target, image_bytes: int, wanted_mib: int) -> list[Problem]:
    """Why this disk must not, or cannot, take this image."""
    where = f"{target.path} ({target.model}, {target.size_bytes / 1e9:.1f} GB)"
    found: list[Problem] = []
    if target.holds_system:
        found.append(
            Problem(
                where,
                f"this machine runs from it ({', '.join(target.mounted)})",
                "writing the image would destroy this machine's system",
                "another disk: lsblk",
            )
        )
    elif target.mounted:
        found.append(
            Problem(
                where,
                f"mounted at {', '.join(target.mounted)}",
                "what is on it is in use and would be lost",
                f"umount {' '.join(target.mounted)}",
            )
        )
    if target.size_bytes < image_bytes:
        found.append(
            Problem(
                where,
                "too small",
                f"the image has {image_bytes / 1e9:.1f} GB, and data grows beyond that",
                f"a disk of {wanted_mib / 1000:.0f} GB, as the profile says",
            )
        )
    if target.read_only:
        found.append(Problem(where, "read-only", "nothing can be written", "its write switch"))
    return found


def write(
    image: Path, blocks: BlockMap, target: Path, progress: Callable[[str, int, int], None]
) -> None:
    """The ranges of the map, and zeros where an older partition table could be found."""
    done = 0
    with image.open("rb") as source, target.open("r+b", buffering=0) as out:
        end = out.seek(0, os.SEEK_END)
        for place in (0, max(0, end - TABLE_BYTES)):
            out.seek(place)
            out.write(bytes(min(TABLE_BYTES, end - place)))
        for one in blocks.ranges:
            source.seek(one.start_bytes)
            out.seek(one.start_bytes)
            left = one.size_bytes
            while left:
                chunk = source.read(min(left, CHUNK_BYTES))
                if not chunk:
                    break  # the last block of the image may be a part of one
                _write_all(out.fileno(), chunk)
                left -= len(chunk)
                done += len(chunk)
                progress("writing", done, blocks.mapped_bytes)
        os.fsync(out.fileno())


def _write_all(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def verify(blocks: BlockMap, target: Path, progress: Callable[[str, int, int], None]) -> None:
    """Reads every range from the disk itself, not from memory that has just been written."""
    with target.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    done = 0
    for one in blocks.ranges:
        if hash_of(target, one.first, one.last) != one.sha256:
            raise refused(
                f"{target} at {one.start_bytes / 1e6:.0f} MB",
                "other bytes than were written",
                "the disk, its reader or its cable does not keep what it is given",
                "flash it once more; if it comes back, another disk",
            )
        done += one.size_bytes
        progress("reading back", done, blocks.mapped_bytes)


def read_image(folder: Path) -> tuple[Path, BlockMap]:
    """An image and its map, checked against each other in size."""
    image = folder / "disk.img"
    blocks = read_map(folder / "disk.bmap")
    size = image.stat().st_size if image.is_file() else -1
    if size != blocks.size_bytes:
        raise refused(
            str(image),
            "no such file" if size < 0 else f"{size} bytes, its map says {blocks.size_bytes}",
            "an image that was cut short or swapped must not reach a robot",
            "make image",
        )
    return image, blocks


def refuse_if(problems: list[Problem]) -> None:
    if problems:
        raise BuildRefused(problems)


def children_of(device: Path) -> Mapping[str, str]:
    """What lsblk says of a disk, for the confirmation."""
    words = ["lsblk", "--json", "--output", "NAME,SIZE,FSTYPE,LABEL", str(device)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {}
    rows = json.loads(done.stdout).get("blockdevices", [])
    children = [child for row in rows for child in row.get("children", [])]
    return {
        str(child["name"]): " ".join(
            str(child[key]) for key in ("size", "fstype", "label") if child.get(key)
        )
        for child in children
    }
