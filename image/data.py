"""The data partition of one robot: what it is given is written into it, without mounting."""

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from image.cache import Cache, default_cache
from image.enrolment import Invitation, entries
from image.layers import Entry
from image.lockfile import read_lock
from image.qemu import Guest, prepare
from image.refusal import refused
from image.show import read_manifest
from image.skills import shipped_skill, skill_entries
from image.steps.accounts import GROUP_ID
from image.steps.tools import Tools, tools
from runtime.units import ACCEPTANCE_WISH

SECTOR_BYTES = 512
CLOCK_STAMP = "var/lib/systemd/timesync/clock"  # timesyncd's: the clock never runs back behind it


@dataclass(frozen=True)
class Place:
    """A partition within a disk or a file, in bytes."""

    start: int
    size: int


def the_tools() -> Tools:
    """The build's own programs; a disk is flashed where its image was built, or can be."""
    return tools(read_lock().sets["tools"], Cache(default_cache()))


def find_partition(disk: Path, name: str, used: Tools) -> Place:
    """By its name in the partition table of the disk."""
    printed = used.run("sfdisk", "--dump", disk, why="find the partitions")
    for line in printed.splitlines():
        pairs = (part.partition("=") for part in line.partition(":")[2].split(","))
        fields = {key.strip(): value.strip().strip('"') for key, _, value in pairs}
        if fields.get("name") == name:
            return Place(int(fields["start"]) * SECTOR_BYTES, int(fields["size"]) * SECTOR_BYTES)
    raise refused(
        str(disk), f"no partition {name}", "the robot's files belong there", "flash it once more"
    )


def write_data(folder: Path, disk: Path, given: Sequence[Entry]) -> None:
    """Puts files into the data partition of a disk that has just been written."""
    read_manifest(folder)
    used = the_tools()
    place = find_partition(disk, "data", used)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        part = work / "data.img"
        _copy(disk, place.start, part, 0, place.size)
        fill(part, given, used, work, _now_s())
        _copy(part, 0, disk, place.start, place.size)


def fill(partition: Path, given: Sequence[Entry], used: Tools, work: Path, now_s: int) -> None:
    """By debugfs: no mount, no rights needed. A robot without a battery for its clock starts with
    the time at which it was flashed; from then on it keeps its own."""
    lines = _stamped(work, now_s)
    for at, entry in enumerate(given):
        if entry.data is None:
            lines += [
                *(f"mkdir {folder}" for folder in _folders(entry.path)),
                f"set_inode_field {entry.path} mode 04{entry.mode:04o}",
                f"set_inode_field {entry.path} uid {entry.uid}",
                f"set_inode_field {entry.path} gid {entry.gid}",
            ]
            continue
        source = work / f"file-{at}"
        source.write_bytes(entry.data)
        lines += [
            f"rm {entry.path}",
            f"write {source} {entry.path}",
            f"set_inode_field {entry.path} mode 010{entry.mode:04o}",
            f"set_inode_field {entry.path} uid {entry.uid}",
            f"set_inode_field {entry.path} gid {entry.gid}",
        ]
    script = work / "commands"
    script.write_text("\n".join(lines) + "\n")
    used.run("debugfs", "-w", "-f", script, partition, why="write the robot's files")
    for entry in given:
        if entry.data is not None:
            _read_back(partition, entry, used, work)


def _now_s() -> int:
    return int(datetime.now(UTC).timestamp())


def _stamped(work: Path, now_s: int) -> list[str]:
    empty = work / "empty"
    empty.touch()
    return [
        *(f"mkdir {folder}" for folder in _folders(str(Path(CLOCK_STAMP).parent))),
        f"rm {CLOCK_STAMP}",
        f"write {empty} {CLOCK_STAMP}",
        f"set_inode_field {CLOCK_STAMP} mtime @{now_s}",
    ]


def _folders(path: str) -> list[str]:
    """From the outermost on; making one that is there is refused and harmless."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _read_back(partition: Path, entry: Entry, used: Tools, work: Path) -> None:
    copy = work / "read-back"
    used.run("debugfs", "-R", f"dump {entry.path} {copy}", partition, why="read them back")
    if not copy.is_file() or copy.read_bytes() != entry.data:
        raise refused(
            f"/data/{entry.path}",
            "not what was written",
            "the robot would come up without its name or its keys",
            "flash it once more",
        )
    copy.unlink()


def _copy(source: Path, start: int, target: Path, offset: int, size: int) -> None:
    with source.open("rb") as stream, target.open("r+b" if target.exists() else "w+b") as out:
        stream.seek(start)
        out.seek(offset)
        left = size
        while left:
            chunk = stream.read(min(left, 4 << 20))
            if not chunk:
                break
            out.write(chunk)
            left -= len(chunk)


def prepare_guest(
    folder: Path,
    guest: Guest,
    invitation: Invitation | None,
    arm: str | None = None,
    extra: Sequence[Entry] = (),
) -> Path:
    """A guest's disk as newly flashed, with a key for this user; where that key is.

    With the name of an arm it also gets this tree's skill, signed with a key of its own.
    """
    read_manifest(folder)
    key = guest.folder / "id_ed25519"
    overlay = guest.folder / "disk.qcow2"
    if overlay.exists():
        return key
    guest.folder.mkdir(parents=True, exist_ok=True)
    if not key.exists():
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bedplate", "-f", str(key)]
        subprocess.run(words, check=True)
    prepare(guest)
    given = [*entries(invitation, key.with_suffix(".pub").read_text()), *extra]
    if arm is not None:
        archive, public = shipped_skill(arm, guest.folder)
        given += skill_entries([archive], [public], arm)
    used = the_tools()
    place = find_partition(guest.image, "data", used)
    with tempfile.TemporaryDirectory(dir=guest.folder) as name:
        work = Path(name)
        part = work / "data.img"
        _copy(guest.image, place.start, part, 0, place.size)
        fill(part, given, used, work, _now_s())
        _into_overlay(part, overlay, place)
    return key


def acceptance_wish(cycles: int | None) -> list[Entry]:
    """So that a robot measures its deadlines before its first start; 0 cycles: as declared."""
    if cycles is None:
        return []
    text = f"{cycles}\n" if cycles else "\n"
    return [
        Entry(path="bedplate", mode=0o3775, gid=GROUP_ID),
        Entry.file(f"bedplate/{ACCEPTANCE_WISH}", text),
    ]


def _into_overlay(part: Path, overlay: Path, place: Place) -> None:
    """The image itself stays as it was built: the robot's own files go over it."""
    words = [
        "qemu-io", "-f", "qcow2", "-c", f"write -q -s {part} {place.start} {place.size}",
        str(overlay),
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise refused("qemu-io", done.stderr.strip(), "the guest needs its key", " ".join(words))
