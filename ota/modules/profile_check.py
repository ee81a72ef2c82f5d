"""Everything that can be known of a profile before it is switched to."""

from pathlib import Path
from typing import Any, Final

import orjson

from conf.control import control_bytes
from conf.plain import dotted
from conf.profile import ProfileError, dump, parse_profile
from conf.schema import Config
from conf.tighten import find_moves
from ota.modules.states import ModuleRefusedError
from ota.schema_version import schema_version

SHOWN: Final = 5


def check(files: dict[str, bytes], meta: dict[str, Any], own: Config) -> Config:
    """`own` is what the slot brought."""
    if meta.get("config_schema") != schema_version():
        raise _refused(
            f"it was made with schema {str(meta.get('config_schema'))[:40]}, this slot has"
            f" {schema_version()}"
        )
    try:
        config = parse_profile(files["profile.json"], where=Path("profile.json"))
    except ProfileError as error:
        raise _refused(str(error)) from error
    if config.config_hash != meta.get("config_hash"):
        raise _refused("its contents are another profile's than its header says")
    if files["control.json"] != control_bytes(config):
        raise _refused("its control file is not the one that follows from its profile")
    check_against(config, own)
    return config


def check_against(config: Config, own: Config) -> None:
    """The same board, and no safety setting looser than in what the slot brought."""
    if config.hardware != own.hardware:
        raise _refused(
            f"its board is {config.hardware.name} as it declares it, this slot was built for"
            f" {own.hardware.name}; another board or another use of its processors is the image's"
        )
    before, after = orjson.loads(orjson.dumps(dump(own))), orjson.loads(orjson.dumps(dump(config)))
    refused = [move for move in find_moves(Config, before, after) if move.refused]
    if refused:
        rows = "; ".join(
            f"{dotted(move.path)} {move.before} → {move.after}" for move in refused[:SHOWN]
        )
        raise _refused(
            f"it loosens {len(refused)} safety settings of this slot ({rows}); a profile may only"
            " tighten, what loosens comes with a root filesystem"
        )


def _refused(why: str) -> ModuleRefusedError:
    return ModuleRefusedError(f"the profile is refused: {why}; nothing was changed")
