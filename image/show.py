"""What is in an image, from which inputs: out of the products beside it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from image.refusal import refused
from records import BuildManifest

MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class Shown:
    manifest: BuildManifest
    components: tuple[tuple[str, str, str], ...]  # kind, name, version


def read_manifest(folder: Path) -> BuildManifest:
    path = folder / "manifest.json"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("too large")
        return BuildManifest.model_validate_json(path.read_bytes())
    except (OSError, ValueError, ValidationError) as error:
        lines = str(error).splitlines() or ["unreadable"]
        raise refused(
            str(path),
            lines[0],
            "what an image is made of is said there",
            "make image HARDWARE=… FACILITY=…  first, or --out FOLDER",
        ) from error


def show(folder: Path) -> Shown:
    manifest = read_manifest(folder)
    bill = _bill(folder / "sbom.json")
    rows = [
        (row["purl"].split("/")[0].removeprefix("pkg:"), row["name"], row["version"])
        for row in bill.get("components", [])
    ]
    return Shown(manifest, tuple(sorted(rows)))


def _bill(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def summary(shown: Shown) -> str:
    one = shown.manifest
    kinds: dict[str, int] = {}
    for kind, _, _ in shown.components:
        kinds[kind] = kinds.get(kind, 0) + 1
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    rows = {
        "artifact": one.artifact_name,
        "board": one.hardware,
        "facility": one.facility,
        "config hash": one.config_hash,
        "sources": one.tree_version,
        "lock": f"{one.lock_sha256}, of {one.built_at:%Y-%m-%d}",
        "kernel": one.kernel_release,
        "kernel recipe": one.kernel_recipe_sha256,
        "contents": one.contents_sha256,
        "root hash": one.root_hash or "unknown",
        "image": one.image_sha256 or "unknown",
        "vendor files": one.vendor_release or "none",
        "packages": counted or "no bill of materials",
    }
    return "\n".join(f"{name:<14}{value}" for name, value in rows.items())
