"""`bedplate-profile`: another configuration for this slot, checked whole before it counts."""

from typing import Any, Final

from ota import switch
from ota.modules.flow import main
from ota.switch import Surroundings
from runtime.active import Selection

LIMITS: Final = {"profile.json": 4 << 20, "control.json": 1 << 20}


class Profile:
    name = "profile"

    def limits(self, meta: dict[str, Any]) -> dict[str, int]:
        return dict(LIMITS)

    def install(self, around: Surroundings, files: dict[str, bytes], meta: dict[str, Any]) -> str:
        from conf.profile import read_profile
        from ota.modules.profile_check import check

        own = read_profile(around.library / "profile.json")
        config = check(files, meta, own)
        switch.store_folder(around.paths.profiles, config.config_hash, files)
        return config.config_hash

    def wanted(self, before: Selection, digest: str, meta: dict[str, Any]) -> Selection:
        return Selection(digest, before.models)


if __name__ == "__main__":
    main(Profile())
