"""Folded weights on disk: what training writes and the ONNX writer reads."""

from pathlib import Path

import numpy as np

Folded = dict[str, tuple[np.ndarray, np.ndarray]]


def save_weights(path: Path, folded: Folded) -> None:
    arrays = {
        f"{name}/{kind}": array
        for name, pair in folded.items()
        for kind, array in zip("wb", pair, strict=True)
    }
    np.savez(path, **arrays)


def load_weights(path: Path) -> Folded:
    with np.load(path) as archive:
        names = {key.rsplit("/", 1)[0] for key in archive.files}
        return {name: (archive[f"{name}/w"], archive[f"{name}/b"]) for name in sorted(names)}
