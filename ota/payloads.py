"""What goes into an artifact: a slot's image, a profile, or a model, each with its terms.

The terms are read by the robot's client before a byte is written: the board, the schema of the
settings, and which versions of the data on a robot the new slot can take over.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from conf.control import control_bytes
from conf.profile import profile_bytes
from conf.schema import Config
from ota.artifact import Artifact, Payload, file_sha256
from ota.migrations import data_version, readable_from
from ota.refusal import OtaRefusedError, refused
from ota.schema_version import schema_version

SCRIPTS: Final = Path(__file__).resolve().parent / "state_scripts"
ROOTFS: Final = "rootfs-image"
PROFILE: Final = "bedplate-profile"
MODEL: Final = "bedplate-model"
SEED: Final = "bedplate-seed"
SLOT_IMAGE: Final = "slot.img"
PROVIDES: Final = "provides.json"
STATED: Final = ("bedplate.config_hash", "bedplate.config_schema", "bedplate.data_version")
CARD_MAX: Final = 1 << 16
NETWORK_MAX: Final = 256 << 20


def state_scripts() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(SCRIPTS.iterdir())}


def slot_provides(name: str, config_hash: str, checksum: str) -> dict[str, str]:
    """What a robot says of itself once the slot is committed, or was flashed."""
    return {
        "rootfs-image.version": name,
        "rootfs-image.checksum": checksum,
        "bedplate.config_hash": config_hash,
        "bedplate.config_schema": schema_version(),
        "bedplate.data_version": str(data_version()),
    }


def provides_bytes(config: Config) -> bytes:
    """For the image, as /usr/lib/bedplate/provides.json: known at each boot without loading the
    schema. Of itself the image has no checksum; what installs it has."""
    table = slot_provides(config.artifact_name, config.config_hash, "")
    del table["rootfs-image.checksum"]
    return orjson.dumps(table, option=orjson.OPT_SORT_KEYS) + b"\n"


def rootfs(folder: Path, name: str | None = None) -> Artifact:
    """From the folder of an image build: slot.img, and the manifest that says what it is.

    What it provides is the image's own word, whatever checkout packs it: a robot that believed in
    another schema or version of data than it has would refuse what fits and take what does not. On
    the schema of what runs now it does not depend: a slot brings a profile of its own.
    """
    image, manifest = folder / SLOT_IMAGE, _table(folder / "manifest.json")
    if not image.is_file():
        raise refused(image, "nothing", "an update carries the slot's image", "make image")
    name = name or str(manifest["artifact_name"])
    stated = stated_by(image)
    if stated["bedplate.config_hash"] != manifest["config_hash"]:
        raise refused(
            image,
            f"an image of profile {stated['bedplate.config_hash'][:12]}",
            f"the manifest beside it is of {str(manifest['config_hash'])[:12]}",
            "make image, which writes both",
        )
    own = {"rootfs-image.version": name, "rootfs-image.checksum": file_sha256(image)}
    data = int(stated["bedplate.data_version"])
    payload = Payload(
        kind=ROOTFS,
        files={SLOT_IMAGE: image},
        provides=stated | own,
        clears=("artifact_group", "rootfs-image.*", "bedplate.*", "bedplate-profile.*",
                "bedplate-model.*"),
        depends={"bedplate.data_version": tuple(map(str, readable_from(data)))},
    )  # fmt: skip
    return Artifact(name, (str(manifest["hardware"]),), payload, state_scripts())


def stated_by(image: Path) -> dict[str, str]:
    """What the slot in an image says of itself, read out of its file system without a mount."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    program = shutil.which("debugfs", path=path)
    if program is None:
        raise refused(
            "debugfs", "nothing", "it reads what the image says of itself", "apt install e2fsprogs"
        )
    words = [program, "-R", f"cat /usr/lib/bedplate/{PROVIDES}", str(image)]
    said = subprocess.run(words, capture_output=True, check=False).stdout
    try:
        found = orjson.loads(said)
        table = {key: str(found[key]) for key in STATED}
        int(table["bedplate.data_version"])
    except (ValueError, LookupError, TypeError) as error:
        raise refused(
            image,
            f"no word of what it provides ({type(error).__name__})",
            "a robot holds the terms of later artifacts against it",
            "make image",
        ) from error
    return table


def _table(path: Path) -> dict[str, Any]:
    try:
        table = orjson.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise refused(
            path, f"nothing readable ({error})", "it says what the image is", "make image"
        ) from error
    for key in ("artifact_name", "config_hash", "hardware"):
        if not isinstance(table, dict) or not isinstance(table.get(key), str):
            raise refused(path, f"no {key}", "it says what the image is", "make image")
    return table


def profile(config: Config, name: str) -> Artifact:
    """A composed configuration: what the robot is told, and the rules of Tier 1 made from it."""
    named = config.model_copy(update={"artifact_name": name})
    payload = Payload(
        kind=PROFILE,
        files={"profile.json": profile_bytes(named), "control.json": control_bytes(named)},
        provides={
            "bedplate-profile.version": name,
            "bedplate-profile.config_hash": config.config_hash,
        },
        clears=("bedplate-profile.*",),
        depends={"bedplate.config_schema": schema_version()},
        meta={"config_hash": config.config_hash, "config_schema": schema_version()},
    )
    return Artifact(name, (config.hardware.name,), payload)


def model(folder: Path, network: str, name: str, device_types: tuple[str, ...]) -> Artifact:
    """A network and its card, as models/ keeps them: NETWORK.yaml, and the file it names."""
    files = model_files(folder, network)
    digest = files_digest(files)
    payload = Payload(
        kind=MODEL,
        files=files,
        provides={
            f"bedplate-model.{network}.version": name,
            f"bedplate-model.{network}.digest": digest,
        },
        clears=(f"bedplate-model.{network}.*",),
        meta={
            "network": network,
            "digest": digest,
            "file": next(name for name in files if name.endswith(".onnx")),
        },
    )
    return Artifact(name, device_types, payload)


def model_files(folder: Path, network: str) -> dict[str, bytes]:
    """Read once; what is packed is what was looked at."""
    card = folder / f"{network}.yaml"
    try:
        text = card.read_bytes()
        stated = [line for line in text.splitlines() if line.startswith(b"file:")]
        file = stated[0].partition(b":")[2].strip().decode() if len(stated) == 1 else ""
        body = (folder / file).read_bytes() if file else b""
    except (OSError, UnicodeDecodeError) as error:
        raise _no_model(card, f"nothing readable ({error})") from error
    if not body or len(text) > CARD_MAX or len(body) > NETWORK_MAX or "/" in file:
        raise _no_model(card, f"file {file!r} of {len(body)} bytes")
    return {card.name: text, file: body}


def _no_model(card: Path, got: str) -> OtaRefusedError:
    return refused(
        card, got, "a model is a card and the network it names", "a folder as models/perception"
    )


def files_digest(files: Mapping[str, bytes]) -> str:
    """As the robot computes it over the folder (runtime/active.py)."""
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def seed(name: str, device_type: str, provides: Mapping[str, str]) -> Artifact:
    """What a freshly flashed robot tells its client about itself; it changes nothing else."""
    payload = Payload(SEED, {"seed": b"\n"}, provides, ("bedplate.*", "rootfs-image.*"))
    return Artifact(name, (device_type,), payload)
