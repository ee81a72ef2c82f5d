"""`bedplate-model`: another network for this slot, run once before anything changes."""

import hashlib
import re
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from conf.profile import read_profile
from conf.schema import Config
from conf.schema.perception import Backend
from ota import switch
from ota.modules.flow import main
from ota.modules.states import ModuleRefusedError
from ota.switch import Surroundings
from runtime.active import NETWORK, Selection
from runtime.perception.inference.card import Card, CardError, read_card

CARD_MAX: Final = 1 << 16
NETWORK_MAX: Final = 256 << 20
PROBE_S: Final = 60.0
FILE: Final = re.compile(r"[a-z0-9_]{1,60}\.onnx")


class Model:
    name = "model"

    def limits(self, meta: dict[str, Any]) -> dict[str, int]:
        """A card and one network; which file that is, the header says."""
        network, file = _network(meta), meta.get("file")
        if not isinstance(file, str) or FILE.fullmatch(file) is None:
            raise _refused(f"its header names the file {str(file)[:80]!r}")
        return {f"{network}.yaml": CARD_MAX, file: NETWORK_MAX}

    def install(self, around: Surroundings, files: dict[str, bytes], meta: dict[str, Any]) -> str:
        network, digest = _network(meta), digest_of(files)
        if digest != meta.get("digest"):
            raise _refused("its files are others than its header says")
        config = read_profile(around.paths.profile)
        check(config, network, files, around.paths.data / "engines")
        switch.store_folder(around.paths.models, digest, files)
        return digest

    def wanted(self, before: Selection, digest: str, meta: dict[str, Any]) -> Selection:
        return Selection(before.profile, {**before.models, _network(meta): digest})


def digest_of(files: dict[str, bytes]) -> str:
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check(config: Config, network: str, files: dict[str, bytes], engines: Path) -> None:
    """Card, place in the cascade, and one inference on this very machine."""
    present = config.perception.networks.get(network)
    if present is None:
        known = ", ".join(sorted(config.perception.networks))
        raise _refused(f"this profile has no network {network!r}; it has {known}")
    with tempfile.TemporaryDirectory(prefix="bedplate-model-") as scratch:
        folder = Path(scratch)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        try:
            card = read_card(folder / f"{network}.yaml")
            probe(config, network, folder / f"{network}.yaml", card, engines)
        except CardError as error:
            raise _refused(str(error)) from error


def probe(config: Config, network: str, path: Path, card: Card, engines: Path) -> None:
    """Loads it as visiond would; TensorRT builds its engine here, so that the restart finds it."""
    match config.perception.backend:
        case Backend.ONNXRUNTIME | Backend.FAKE:
            from runtime.perception.inference.onnx_cpu import OnnxEngine

            engine = OnnxEngine(config.perception.threads)
        case Backend.TENSORRT:
            from runtime.perception.inference.tensorrt_gpu import open_tensorrt

            engine = open_tensorrt(str(engines))
    session = engine.load(network, str(path))
    session.start({spec.name: np.zeros(spec.shape, spec.dtype) for spec in card.inputs})
    until_s = time.monotonic() + PROBE_S
    while (answered := session.collect()) is None:
        if time.monotonic() > until_s:
            raise CardError(f"{card.file}: one inference took longer than {PROBE_S:g} s")
        time.sleep(0.01)
    for spec in card.outputs:
        values = answered[spec.name]
        if not spec.matches(values) or not np.isfinite(values.astype(np.float64)).all():
            raise CardError(f"{card.file}: {spec.name} is not what the card says, or not finite")


def _network(meta: dict[str, Any]) -> str:
    network = meta.get("network")
    if not isinstance(network, str) or NETWORK.fullmatch(network) is None:
        raise _refused(f"its header names the network {str(network)[:80]!r}")
    return network


def _refused(why: str) -> ModuleRefusedError:
    return ModuleRefusedError(f"the model is refused: {why}; nothing was changed")


if __name__ == "__main__":
    main(Model())
