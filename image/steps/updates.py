"""What a slot holds so that it can be replaced: the client's settings, tools, modules and units."""

from pathlib import Path

from conf.schema import Config
from image.layers import Entry
from image.plan import TREE
from image.refusal import refused
from ota.mender_conf import FILES as SETTINGS
from ota.mender_conf import KEY
from ota.payloads import provides_bytes
from ota.units import ENABLED, STUCK, ota_units
from runtime.units import robot_place

FILES = TREE / "ota" / "mender_files"
MODULES = "usr/share/mender/modules/v3"
UNITS = "usr/lib/systemd/system"
WANTS = "etc/systemd/system"
IMAGE_FILES = TREE / "image" / "files"
TOOL = "/usr/bin/bedplate-boot-env"
# At each start: what GRUB could not flush reaches the disk; and that this start came up is noted.
STARTS = ("bedplate-boot-env.service", "bedplate-confirmed.service")
SCRIPTS = "etc/mender/scripts"
# No slot is written while a copy of the environment still says that it may boot.
READY = f"#!/bin/sh\nexec {TOOL} ready\n"
# By the names that the client looks for.
TOOLS = {"grub-mender-grubenv-print": "print", "grub-mender-grubenv-set": "set"}
KEY_BYTES_MAX = 16_384


def entries(config: Config, key: bytes | None, there: frozenset[str] = frozenset()) -> list[Entry]:
    """`there`: paths that Debian's layer has, it enables its client itself. Without a key the
    client never starts: it would take what nobody signed."""
    place = robot_place(config.robot_id)
    found = [
        *(Entry.copy(f"{MODULES}/{one.name}", one, 0o755) for one in _files("modules")),
        *(Entry.copy(f"usr/share/mender/{one}", FILES / one, 0o755) for one in _asked()),
        Entry.copy(STUCK.lstrip("/"), FILES / "gate-deadline", 0o755),
        Entry.copy("usr/bin/bedplate-boot-env", IMAGE_FILES / "bedplate-boot-env", 0o755),
        *(Entry.copy(f"{UNITS}/{name}", IMAGE_FILES / name) for name in STARTS),
        Entry.file("usr/lib/bedplate/provides.json", provides_bytes(config)),
        *(Entry.file(f"usr/bin/{name}", launcher(word), 0o755) for name, word in TOOLS.items()),
        *(Entry.file(f"{UNITS}/{name}", text) for name, text in ota_units(config, place).items()),
        *(Entry.link(f"etc/mender/{name}", f"/run/bedplate/{name}") for name in linked()),
        Entry.file(f"{SCRIPTS}/version", "3\n"),
        Entry.file(f"{SCRIPTS}/Download_Enter_00_bedplate-ready", READY, 0o755),
        *(Entry.link(_wanted_by(unit), f"/{UNITS}/{unit}") for unit in (*ENABLED, *STARTS)),
    ]
    if key is not None:
        found.append(Entry.file(KEY.lstrip("/"), key))
    return [entry for entry in found if entry.target is None or entry.path not in there]


def launcher(word: str) -> str:
    # Client 3.4 splits no words: a tool of its own for each.
    return f'#!/bin/sh\nexec {TOOL} {word} "$@"\n'


def linked() -> tuple[str, ...]:
    """In the client's own folder, to what each boot writes."""
    return tuple(name for name in SETTINGS if name != "device_type")


def read_key(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _refused(path, str(error)) from error
    if len(data) > KEY_BYTES_MAX or b"-----BEGIN PUBLIC KEY-----" not in data:
        raise _refused(path, "no public key in PEM")
    return data


def _refused(path: Path, got: str) -> Exception:
    return refused(
        str(path),
        got,
        "a robot takes only updates that this key vouches for",
        "bedplate ota keys make, then --update-key with the one that checks",
    )


def _files(folder: str) -> list[Path]:
    place = FILES / folder
    return sorted(one for one in place.iterdir() if one.is_file()) if place.is_dir() else []


def _asked() -> list[str]:
    """Identity and inventory: what the client says of the robot."""
    return [
        f"{folder}/{one.name}" for folder in ("identity", "inventory") for one in _files(folder)
    ]


def _wanted_by(unit: str) -> str:
    target = "timers" if unit.endswith(".timer") else "multi-user"
    if unit == "bedplate-confirmed.service":
        target = "bedplate"
    return f"{WANTS}/{target}.target.wants/{unit}"
