"""Small signed skills, made in milliseconds."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper, numpy_helper

from runtime.skills.cache import SkillCache
from runtime.skills.package import SkillFiles, archive_bytes, read_source
from runtime.skills.signature import public_pem, sign_folder

OBSERVATION, STEPS, JOINTS = 5, 4, 2


def tiny_network(steps: int = STEPS, fill: float = 0.01) -> bytes:
    """observation [1, 5] → chunk [1, steps, 3]."""
    weights = np.full((OBSERVATION, steps * (JOINTS + 1)), fill, np.float32)
    shape = np.array([1, steps, JOINTS + 1], np.int64)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["observation", "w"], ["flat"]),
            helper.make_node("Reshape", ["flat", "shape"], ["chunk"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, [1, OBSERVATION])],
        [helper.make_tensor_value_info("chunk", TensorProto.FLOAT, [1, steps, JOINTS + 1])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(shape, "shape")],
    )
    opset = helper.make_opsetid("", 17)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString()


def manifest(name: str, version: str, arm: str = "panda") -> dict[str, object]:
    model = {"observation_size": OBSERVATION, "chunk_steps": STEPS, "joints": JOINTS}
    return {
        "format": 1,
        "name": name,
        "version": version,
        "arm": arm,
        "description": "A skill of a test.",
        "policy": {"file": "primary.onnx", **model},
        "backup": {"file": "backup.onnx", **model},
        "execute_steps": 2,
        "home_rad": [0.0, 0.0],
        "limits": {
            "joint_velocity_rad_s": 1.0,
            "joint_acceleration_rad_s2": 4.0,
            "task_timeout_s": 20.0,
        },
        "preconditions": ["gripper_empty"],
        "postconditions": [],
        "card": "card.yaml",
    }


@dataclass
class Workshop:
    """Makes skills, keys and caches below one folder."""

    root: Path
    key: Ed25519PrivateKey

    @property
    def key_folder(self) -> Path:
        return self.root / "keys"

    def folder(
        self,
        name: str = "pick_place",
        version: str = "1.0.0",
        *,
        arm: str = "panda",
        change: Callable[[Path], None] | None = None,
        key: Ed25519PrivateKey | None = None,
    ) -> Path:
        """A signed folder; `change` is made before signing."""
        path = self.root / f"{name}-{version}-{arm}"
        path.mkdir(parents=True)
        (path / "manifest.yaml").write_text(yaml.safe_dump(manifest(name, version, arm)))
        (path / "card.yaml").write_text("about: a test\n")
        (path / "primary.onnx").write_bytes(tiny_network())
        (path / "backup.onnx").write_bytes(tiny_network(fill=0.02))
        if change is not None:
            change(path)
        sign_folder(path, key or self.key)
        return path

    def files(self, **options: object) -> SkillFiles:
        return read_source(self.folder(**options))  # pyright: ignore[reportArgumentType]

    def archive(self, files: SkillFiles, name: str = "a.skill") -> Path:
        path = self.root / name
        path.write_bytes(archive_bytes(files))
        return path

    def cache(self, capacity: int = 100) -> SkillCache:
        return SkillCache.open(self.root / "skills", self.key_folder, capacity=capacity)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    made = Workshop(tmp_path, Ed25519PrivateKey.generate())
    made.key_folder.mkdir()
    (made.key_folder / "dev.pem").write_bytes(public_pem(made.key.public_key()))
    return made
