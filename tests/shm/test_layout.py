"""Both sides speak of the same bytes, because both take them from one declaration."""

import re
from enum import IntEnum, IntFlag
from pathlib import Path

import numpy as np
import pytest

import runtime.shm
from runtime.shm import _native, enums

ROOT = Path(__file__).parents[2]
J = 8


def test_every_enum_has_the_same_names_and_values_on_both_sides() -> None:
    for name, values in _native.ENUMS:
        python = getattr(enums, name)
        assert issubclass(python, IntEnum | IntFlag)
        assert {key: int(value) for key, value in python.__members__.items()} == dict(values)
        assert getattr(runtime.shm, name) is python


def test_every_record_is_whole_words_without_hidden_bytes() -> None:
    for record, _, size, fields in _native.RECORDS:
        end = 0
        for name, code, shape, offset, _ in fields:
            assert offset == end, f"{record}.{name} leaves a gap"
            end = offset + np.dtype((code, tuple(shape))).itemsize
        assert end == size
        assert size % 8 == 0


def test_every_record_starts_with_the_same_header() -> None:
    for dtype in runtime.shm.DTYPES.values():
        assert (dtype.names or ())[:4] == ("seq", "epoch", "created_ns", "expires_ns")


def test_the_layouts_hash_is_the_compiled_modules() -> None:
    assert re.fullmatch("[0-9a-f]{64}", runtime.shm.LAYOUT_HASH)
    assert enums.LAYOUT_HASH == _native.LAYOUT_HASH


@pytest.mark.parametrize("topic", ["state", "hal.sensors", "hal.actuators", "command.policy"])
def test_joint_fields_have_room_for_every_joint(topic: str) -> None:
    dtype = runtime.shm.DTYPES[topic]
    joint_fields = [name for name in dtype.names or () if dtype[name].shape == (J,)]
    assert joint_fields


def test_histogram_bounds_rise_and_end_in_infinity() -> None:
    bounds = runtime.shm.BUCKET_UPPER_US
    assert (np.diff(bounds) > 0).all()
    assert np.isinf(bounds[-1])
    assert bounds[0] < 0.1
    assert bounds[-2] > 250_000
