"""`bedplate-profile`: another configuration for this slot, checked whole before it counts."""

from pathlib import Path
from typing import Any, Final

import orjson

from conf.control import control_bytes
from conf.plain import dotted
from conf.profile import ProfileError, dump, parse_profile, read_profile
from conf.schema import Config
from conf.tighten import find_moves
from ota import switch
from ota.modules.flow import main
from ota.modules.states import ModuleRefusedError
from ota.schema_version import schema_version
from ota.switch import Surroundings
from runtime.active import Selection

LIMITS: Final = {"profile.json": 4 << 20, "control.json": 1 << 20}
SHOWN: Final = 5


class Profile:
    name = "profile"

    def limits(self, meta: dict[str, Any]) -> dict[str, int]:
        return dict(LIMITS)

    def install(self, around: Surroundings, files: dict[str, bytes], meta: dict[str, Any]) -> str:
        own = read_profile(around.library / "profile.json")
        config = check(files, meta, own)
        switch.store_folder(around.paths.profiles, config.config_hash, files)
        return config.config_hash

    def wanted(self, before: Selection, digest: str, meta: dict[str, Any]) -> Selection:
        return Selection(digest, before.models)


def check(files: dict[str, bytes], meta: dict[str, Any], own: Config) -> Config:
    """Everything that can be known before a switch; `own` is what the slot brought."""
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


if __name__ == "__main__":
    main(Profile())
