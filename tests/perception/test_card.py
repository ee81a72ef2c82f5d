"""A network is loaded only if it is what its card says."""

from pathlib import Path

import numpy as np
import pytest

from runtime.perception.inference import CardError, read_card
from runtime.perception.inference.card import check_inputs, read_network
from runtime.perception.inference.onnx_cpu import OnnxEngine
from tests.perception.builders import SHAPE, doubling_network, write_network

MODELS = Path(__file__).resolve().parents[2] / "models" / "perception"


def test_network_that_matches_its_card_runs(tmp_path: Path) -> None:
    session = OnnxEngine().load("double", str(write_network(tmp_path)))
    out = session.run({"x": np.full(SHAPE, 3.0, np.float32)})
    assert np.array_equal(out["y"], np.full(SHAPE, 6.0, np.float32))


def test_network_of_another_shape_than_its_card_is_refused(tmp_path: Path) -> None:
    tensor = {"name": "y", "dtype": "float32", "shape": [1, 3, 5]}
    path = write_network(tmp_path, outputs=[tensor])
    with pytest.raises(CardError, match=r"y: float32\[1, 3, 5\] declared.*\[1, 3, 4\] in the file"):
        OnnxEngine().load("double", str(path))


def test_network_with_an_undeclared_tensor_is_refused_with_all_differences(tmp_path: Path) -> None:
    tensor = {"name": "other", "dtype": "uint8", "shape": [1]}
    path = write_network(tmp_path, inputs=[tensor])
    with pytest.raises(CardError) as caught:
        OnnxEngine().load("double", str(path))
    assert "other: uint8[1] declared, nothing in the file" in str(caught.value)
    assert "x: float32[1, 3, 4] in the file, not declared" in str(caught.value)


def test_network_with_another_hash_than_its_card_is_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    (tmp_path / "double.onnx").write_bytes(doubling_network(factor=3.0))
    with pytest.raises(CardError, match="a network that its card does not describe is not loaded"):
        read_network(path, read_card(path))


def test_bytes_that_are_no_network_are_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path, data=b"not a network")
    with pytest.raises(CardError, match="ONNX Runtime refuses the network"):
        OnnxEngine().load("double", str(path))


def test_card_with_an_unknown_key_and_a_bad_value_tells_both(tmp_path: Path) -> None:
    path = write_network(tmp_path, level=7, colour="red")
    with pytest.raises(CardError) as caught:
        read_card(path)
    assert "level" in str(caught.value)
    assert "colour" in str(caught.value)


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"x": np.zeros((1, 3, 5), np.float32)},
        {"x": np.zeros(SHAPE, np.float64)},
        {"x": np.zeros(SHAPE, np.float32), "z": np.zeros(1, np.float32)},
    ],
)
def test_inputs_that_the_card_does_not_declare_are_refused(
    tmp_path: Path, tensors: dict[str, np.ndarray]
) -> None:
    with pytest.raises(CardError, match="the run is refused"):
        check_inputs(read_card(write_network(tmp_path)), tensors)


@pytest.mark.parametrize("name", ["level1", "level2", "level3", "parts"])
def test_shipped_network_loads_against_its_card_and_is_small_enough(name: str) -> None:
    path = MODELS / f"{name}.yaml"
    card = read_card(path)
    OnnxEngine().load(name, str(path))
    assert (MODELS / card.file).stat().st_size < 2_000_000
    covered = {output for share in card.models.values() for output in share.outputs}
    assert covered == {spec.name for spec in card.outputs}
    assert sum(share.mflop for share in card.models.values()) == pytest.approx(card.mflop)


def test_shipped_level_3_costs_ten_times_level_1() -> None:
    costs = [read_card(MODELS / f"level{level}.yaml").total_mflop for level in (1, 3)]
    assert costs[1] >= 10 * costs[0]
