"""Makes the shipped files from trained weights.

`python -m models.perception.make --weights W --data D`. For each network: the ONNX graph, its
numbers on pictures that training did not see, and the card.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from models.perception import export, graph
from models.perception.graph import Net
from models.perception.quality import part_quality, people_quality
from models.perception.render import dataset
from models.perception.weights import load_weights
from models.perception.zoo import NETS
from runtime.perception.inference.card import Card, read_card
from runtime.perception.inference.onnx_cpu import OnnxEngine

HERE = Path(__file__).resolve().parent
HEIGHT, WIDTH = 120, 160
SUMMARIES = {
    "level1": "Person centres on every second pixel: detector, range with its doubt, and motion.",
    "level2": "Features, person segmentation, pose (centre, box, range, keypoints, hidden share).",
    "level3": "The large variants of level 2's models: same outputs, a wide trunk.",
    "parts": "Parts in bin and tray seen from above: centre of the upper side, size, range.",
}
MODELS_OF_OUTPUT = {
    "level1": {"detector": ("center", "box"), "depth": ("range",), "motion": ("current", "motion")},
    "level2": {
        "features": ("feature_vector",),
        "segmentation": ("mask_ratio",),
        "pose": ("center", "box", "range", "pose", "occlusion_ratio"),
    },
    "level3": {
        "large_features": ("feature_vector",),
        "large_segmentation": ("mask_ratio",),
        "large_pose": ("center", "box", "range", "pose", "occlusion_ratio"),
    },
    "parts": {"parts": ("center", "box", "range")},
}
_DTYPES = {1: "float32", 2: "uint8"}


def _tensors(values: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": value.name,
            "dtype": _DTYPES[value.type.tensor_type.elem_type],
            "shape": [dim.dim_value for dim in value.type.tensor_type.shape.dim],
        }
        for value in values
    ]


def shares(net: Net) -> dict[str, dict[str, Any]]:
    """Each declared model's outputs and its share of the work."""
    counts = graph.flops(net, HEIGHT, WIDTH)
    if net.name == "level1":
        counts["motion"] = export.motion_flops(HEIGHT, WIDTH)
    return {
        model: {"outputs": list(outputs), "mflop": round(counts[model] / 1e6, 4)}
        for model, outputs in MODELS_OF_OUTPUT[net.name].items()
    }


def write_network(net: Net, weights: Path, out: Path) -> dict[str, Any]:
    """The ONNX file, and the card's rows that follow from it."""
    model = export.build(net, load_weights(weights / f"{net.name}.npz"), HEIGHT, WIDTH)
    data = model.SerializeToString()
    (out / f"{net.name}.onnx").write_bytes(data)
    models = shares(net)
    return {
        "name": net.name,
        "level": net.level,
        "file": f"{net.name}.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "summary": SUMMARIES[net.name],
        "parameters": graph.parameters(net),
        "mflop": round(sum(row["mflop"] for row in models.values()), 4),
        "preparation_mflop": round(graph.preparation_flops(net, HEIGHT, WIDTH) / 1e6, 4),
        "grid_stride_px": net.grid_stride,
        "classes": list(net.classes),
        "inputs": _tensors(model.graph.input),
        "outputs": _tensors(model.graph.output),
        "models": models,
    }


def write_card(path: Path, rows: dict[str, Any]) -> Card:
    text = yaml.safe_dump(rows, sort_keys=False, width=100, default_flow_style=None)
    path.write_text(
        "# Made by `python -m models.perception.make`. Do not edit.\n" + text, encoding="utf-8"
    )
    return read_card(path)


def make(net: Net, weights: Path, data: Path, out: Path) -> Card:
    rows = write_network(net, weights, out)
    camera = "bin" if net.name == "parts" else "cell"
    rows["data"] = {
        "source": "rendered, sim/scene.py, style train",
        "camera": camera,
        "size_px": f"{WIDTH}x{HEIGHT}",
    }
    rows["training"] = json.loads((weights / f"{net.name}.json").read_text())
    rows["quality"] = {"measured": "no"}
    card = write_card(out / f"{net.name}.yaml", rows)
    session = OnnxEngine().load(net.name, str(out / f"{net.name}.yaml"))
    held = dataset(data, camera, "validation")
    judge = part_quality if net.name == "parts" else people_quality
    rows["quality"] = {"pictures": len(held), **judge(session, card, held)}
    return write_card(out / f"{net.name}.yaml", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nets", nargs="*", default=sorted(NETS))
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE)
    args = parser.parse_args()
    for name in args.nets:
        card = make(NETS[name], args.weights, args.data, args.out)
        print(f"{name}: {card.total_mflop:.2f} MFLOP, {card.quality}")


if __name__ == "__main__":
    main()
