"""`bedplate-model`: another network for this slot, run once before it counts."""

import hashlib
import re
from typing import Any, Final

from ota import switch
from ota.modules.flow import main
from ota.modules.states import ModuleRefusedError
from ota.switch import Surroundings
from runtime.active import NETWORK, Selection

CARD_MAX: Final = 1 << 16
NETWORK_MAX: Final = 256 << 20
FILE: Final = re.compile(r"[a-z0-9_]{1,60}\.onnx")


class Model:
    name = "model"

    def limits(self, meta: dict[str, Any]) -> dict[str, int]:
        """A card and one network; which file that is, the header says."""
        network, file = network_of(meta), meta.get("file")
        if not isinstance(file, str) or FILE.fullmatch(file) is None:
            raise model_refused(f"its header names the file {str(file)[:80]!r}")
        return {f"{network}.yaml": CARD_MAX, file: NETWORK_MAX}

    def install(self, around: Surroundings, files: dict[str, bytes], meta: dict[str, Any]) -> str:
        from conf.profile import read_profile
        from ota.modules.model_check import check

        network, digest = network_of(meta), digest_of(files)
        if digest != meta.get("digest"):
            raise model_refused("its files are others than its header says")
        config = read_profile(around.paths.profile)
        check(config, network, files, around.paths.data / "engines")
        switch.store_folder(around.paths.models, digest, files)
        return digest

    def wanted(self, before: Selection, digest: str, meta: dict[str, Any]) -> Selection:
        return Selection(before.profile, {**before.models, network_of(meta): digest})


def digest_of(files: dict[str, bytes]) -> str:
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def network_of(meta: dict[str, Any]) -> str:
    network = meta.get("network")
    if not isinstance(network, str) or NETWORK.fullmatch(network) is None:
        raise model_refused(f"its header names the network {str(network)[:80]!r}")
    return network


def model_refused(why: str) -> ModuleRefusedError:
    return ModuleRefusedError(f"the model is refused: {why}; nothing was changed")


if __name__ == "__main__":
    main(Model())
