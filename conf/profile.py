"""The canonical profile: one line of sorted JSON, read and written without Hydra.

This is what is on a robot. A profile carries its own hashes, so a file that was edited by hand or
cut short is refused.
"""

import hashlib
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from conf.schema import HASHED_SECTIONS, Config

PROFILE_SIZE_MAX = 4 << 20


class ProfileError(ValueError):
    """A profile that cannot be used; the text says where, what, why and what to try."""


def canonical(value: object) -> bytes:
    """Sorted, compact JSON: equal values give equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def sha256_of(value: object) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def hash_sections(data: dict[str, Any]) -> tuple[str, str]:
    """Config hash and unit hash of a dumped configuration."""
    proven = without_tests(data)
    return sha256_of({name: proven[name] for name in HASHED_SECTIONS}), sha256_of(data["unit"])


def without_tests(data: dict[str, Any]) -> dict[str, Any]:
    """Tests of alert rules are no part of a profile: what proves a rule changes no robot."""
    kept = {key: value for key, value in data["alerts"].items() if key != "tests"}
    return {**data, "alerts": kept}


def dump(config: Config) -> dict[str, Any]:
    return config.model_dump(mode="json")


def profile_bytes(config: Config) -> bytes:
    return canonical(without_tests(dump(config))) + b"\n"


def write_profile(config: Config, path: Path) -> None:
    """Write the profile so that a reader finds the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(path.suffix + ".part")
    partial.write_bytes(profile_bytes(config))
    partial.replace(path)


def read_profile(path: Path) -> Config:
    """The configuration in `path`, or a ProfileError."""
    try:
        if path.stat().st_size > PROFILE_SIZE_MAX:
            raise ProfileError(
                _text(path, "file is too large", f"at most {PROFILE_SIZE_MAX} bytes")
            )
        raw = path.read_bytes()
    except OSError as error:
        raise ProfileError(_text(path, error.strerror or str(error), "a readable file")) from error
    return parse_profile(raw, where=path)


def parse_profile(raw: bytes, *, where: Path) -> Config:
    try:
        config = Config.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole file"
        count = f" ({error.error_count()} problems in all)" if error.error_count() > 1 else ""
        raise ProfileError(_text(where, f"{place}: {first['msg']}{count}", "valid JSON")) from error
    hashes = hash_sections(dump(config))
    if hashes != (config.config_hash, config.unit_hash):
        stated = f"hash {config.config_hash[:12]} with contents of hash {hashes[0][:12]}"
        raise ProfileError(_text(where, stated, "contents that match the hashes they carry"))
    return config


def _text(where: Path, got: str, allowed: str) -> str:
    return (
        f"{where}  profile\n"
        f"  got {got}, must be {allowed} as `bedplate config compile` writes it\n"
        "  because the robot runs only what was checked when it was composed\n"
        "  try  bedplate config compile --out DIR, and copy both files"
    )
