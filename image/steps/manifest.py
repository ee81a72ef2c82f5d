"""What the image says of itself: BuildManifest and bill of materials; and the build's products."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from image.blockmap import make_map
from image.cache import sha256_of_text
from image.disk_layout import Layout, derived
from image.layers import Entry
from image.plan import Plan, tree_version
from image.steps import python
from image.steps.base import Base
from image.steps.disk import copy_sparse
from image.steps.extension import RUCKIG, locked_source
from image.steps.kernel import Kernel
from image.steps.robot import LIBRARY
from image.steps.root import status_versions
from image.steps.slot import Slot
from image.steps.tools import Tools
from records import BuildInput, BuildManifest

MANIFEST = "manifest.json"
SBOM = "sbom.json"
PRODUCTS = ("disk.img", "disk.bmap", "slot.img", "slot.img.zst", MANIFEST, SBOM, "slot.cfg")


@dataclass(frozen=True)
class Document:
    """A text that is in the image and beside it."""

    entry: Entry
    manifest: BuildManifest | None = None

    @property
    def data(self) -> bytes:
        return self.entry.data or b""


@dataclass(frozen=True)
class Made:
    """Where the products are, and what they measure."""

    out: Path
    manifest: BuildManifest
    slot_bytes: int
    compressed_bytes: int
    image_bytes: int
    mapped_bytes: int


def seed(plan: Plan, contents: str) -> str:
    """What all identities on the disk are derived from: the profile and what the image holds."""
    return sha256_of_text(plan.config.config_hash, contents)


def manifest_inside(plan: Plan, kernel: Kernel, contents: str) -> Document:
    manifest = BuildManifest(
        config_hash=plan.config.config_hash,
        artifact_name=plan.config.artifact_name,
        hardware=plan.config.hardware.name,
        facility=plan.config.facility.name,
        tree_version=tree_version(plan.tree),
        lock_sha256=hashlib.sha256(plan.lock_file.read_bytes()).hexdigest(),
        kernel_release=kernel.build.release,
        kernel_recipe_sha256=kernel.build.recipe_sha256,
        contents_sha256=contents,
        inputs=tuple(
            BuildInput(name=row.name, version=row.version, sha256=row.sha256)
            for row in plan.lock.sets["root"].rows
        ),
        built_at=plan.lock.made_at,
    )
    data = manifest.model_dump_json(indent=1).encode() + b"\n"
    return Document(Entry.file(f"{LIBRARY}/{MANIFEST}", data), manifest)


def sbom(plan: Plan, debian: Base, packages: Path, kernel: Kernel, inside: Document) -> Document:
    """CycloneDX 1.6: Debian's packages, with the hashes of the lock, Python's, the kernel."""
    hashes = {row.name: row.sha256 for row in plan.lock.sets["root"].rows}
    rows = [
        _component(
            name,
            version,
            f"pkg:deb/debian/{name}@{version}?arch={architecture}&distro={plan.lock.suite}",
            hashes.get(name),
        )
        for name, version, architecture in status_versions(debian.status)
    ]
    rows += [
        _component(name, version, f"pkg:pypi/{name.replace('_', '-').lower()}@{version}", None)
        for name, version in [*python.installed(packages), _ruckig(plan)]
    ]
    source = kernel.build.source
    origin = f"pkg:deb/debian/{source.name}@{source.version}?arch=source"
    rows.append(_component("linux", kernel.build.release, origin, source.sha256))
    assert inside.manifest is not None
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{derived(inside.manifest.contents_sha256, 'sbom')}",
        "version": 1,
        "metadata": {
            "timestamp": plan.lock.made_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "operating-system",
                "name": "bedplate",
                "version": plan.config.artifact_name,
            },
        },
        "components": sorted(rows, key=lambda row: str(row["purl"])),
    }
    data = orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"
    return Document(Entry.file(f"{LIBRARY}/{SBOM}", data))


def _ruckig(plan: Plan) -> tuple[str, str]:
    return RUCKIG.name, locked_source(plan.tree, RUCKIG.name).version


def _component(name: str, version: str, purl: str, sha256: str | None) -> dict[str, object]:
    row: dict[str, object] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
    }
    if sha256:
        row["hashes"] = [{"alg": "SHA-256", "content": sha256}]
    return row


def write_products(
    plan: Plan,
    inside: Document,
    listed: Document,
    slot: Slot,
    disk: Layout,
    used: Tools,
    work: Path,
    say: Callable[[str], None],
) -> Made:
    """Into the folder of this image, the disk last: while that is new, the others are of it."""
    blocks = make_map(work / "disk.img")
    (work / "disk.bmap").write_text(blocks.text())
    packed = work / "slot.img.zst"
    used.run("zstd", "-q", "-3", "-T0", slot.image, "-o", packed, why="see how small it gets")
    assert inside.manifest is not None
    manifest = inside.manifest.model_copy(
        update={"root_hash": slot.root_hash, "image_sha256": blocks.sha256}
    )
    (work / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n")
    (work / SBOM).write_bytes(listed.data)
    (work / "slot.cfg").write_text(
        json.dumps({"root_hash": slot.root_hash, "salt": slot.salt, "bytes": slot.size.total_bytes})
    )
    plan.out.mkdir(parents=True, exist_ok=True)
    for name in reversed(PRODUCTS):
        _move(work / name, plan.out / name)
    made = Made(
        plan.out,
        manifest,
        slot.size.total_bytes,
        (plan.out / packed.name).stat().st_size,
        disk.size_mib << 20,
        blocks.mapped_bytes,
    )
    say(f"slot {made.slot_bytes >> 20} MiB, compressed {made.compressed_bytes >> 20} MiB")
    return made


def _move(source: Path, target: Path) -> None:
    """By another name first: a reader finds the old one or the new one."""
    part = target.with_name(f".{target.name}.part")
    try:
        source.rename(part)
    except OSError:  # another file system
        with part.open("wb") as out:
            out.truncate(source.stat().st_size)
            copy_sparse(source, out, 0)
        shutil.copystat(source, part)
    part.replace(target)
