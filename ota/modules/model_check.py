"""Everything that can be known of a network before it is switched to."""

import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

from conf.schema import Config
from conf.schema.perception import Backend
from ota.modules.model import model_refused
from runtime.perception.inference.card import Card, CardError, read_card

PROBE_S: Final = 60.0


def check(config: Config, network: str, files: dict[str, bytes], engines: Path) -> None:
    """Card, place in the cascade, and one inference on this very machine."""
    present = config.perception.networks.get(network)
    if present is None:
        known = ", ".join(sorted(config.perception.networks))
        raise model_refused(f"this profile has no network {network!r}; it has {known}")
    with tempfile.TemporaryDirectory(prefix="bedplate-model-") as scratch:
        folder = Path(scratch)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        try:
            card = read_card(folder / f"{network}.yaml")
            probe(config, network, folder / f"{network}.yaml", card, engines)
        except CardError as error:
            raise model_refused(str(error)) from error


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
