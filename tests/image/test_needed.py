"""A library that is named and not there is found when the image is built."""

import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image.needed import Libraries, needed
from image.refusal import BuildRefused

SHELL = Path(shutil.which("sh") or sys.executable).resolve()


def test_names_are_read_from_a_real_program():
    assert "libc.so.6" in needed(SHELL.read_bytes())


def test_missing_library_is_named_with_who_names_it():
    found = Libraries()
    found.add("usr/bin/sh", SHELL.read_bytes())
    with pytest.raises(BuildRefused, match=r"libc\.so\.6 \(named by /usr/bin/sh\)"):
        found.check()
    for name in needed(SHELL.read_bytes()):
        found.add(f"usr/lib/{name}", None)
    found.check()


@given(st.binary(max_size=200))
def test_what_is_no_program_names_nothing(data):
    assert needed(data) == []


@given(st.integers(min_value=0, max_value=4000), st.binary(min_size=1, max_size=8))
def test_spoiled_program_is_read_without_harm(at, junk):
    data = bytearray(SHELL.read_bytes())
    data[at : at + len(junk)] = junk
    assert all(isinstance(name, str) for name in needed(bytes(data)))


def test_program_cut_short_names_nothing():
    assert needed(SHELL.read_bytes()[:100]) == []
