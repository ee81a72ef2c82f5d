"""The model on disk: its card must fit it, or there is no verdict."""

import shutil

import numpy as np
import pytest
import yaml

from runtime.safety.features import input_size, output_size
from runtime.safety.model import MODEL_FOLDER, SafetyModelError, load_model
from sim.robot_model import ARMS, Arm


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(MODEL_FOLDER / "panda", tmp_path / "panda")
    return tmp_path


def edit_card(folder, change):
    path = folder / "panda" / "next_state.yaml"
    card = yaml.safe_load(path.read_text())
    change(card)
    path.write_text(yaml.safe_dump(card))


@pytest.mark.parametrize("arm", list(Arm))
def test_shipped_model_loads_and_predicts(arm):
    joints = len(ARMS[arm].home_rad)
    model = load_model("next_state", arm.value, joints)
    found = model.predict(np.zeros(input_size(joints)))
    assert found.shape == (output_size(joints),)
    assert 0 < model.calibration.restrict_above < model.calibration.veto_above


def test_missing_model_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(SafetyModelError, match=r"python -m models\.safety\.train"):
        load_model("next_state", "panda", 7, tmp_path)


def test_changed_network_is_refused(copy):
    path = copy / "panda" / "next_state.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(SafetyModelError, match="sha256"):
        load_model("next_state", "panda", 7, copy)


def test_scales_of_another_arm_are_refused(copy):
    def shorten(card):
        card["calibration"]["scale_free"] = card["calibration"]["scale_free"][:-1]

    edit_card(copy, shorten)
    with pytest.raises(SafetyModelError, match="scales of 20"):
        load_model("next_state", "panda", 7, copy)


@pytest.mark.parametrize("value", [float("nan"), 0.0, -1.0, float("inf")])
def test_threshold_that_means_nothing_is_refused(copy, value):
    def spoil(card):
        card["calibration"]["veto_above"] = value

    edit_card(copy, spoil)
    with pytest.raises(SafetyModelError, match="veto_above"):
        load_model("next_state", "panda", 7, copy)


def test_network_of_another_arm_is_refused(copy):
    with pytest.raises(SafetyModelError):
        load_model("next_state", "panda", 6, copy)
