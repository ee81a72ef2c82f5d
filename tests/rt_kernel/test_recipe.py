"""The recipe's hash moves with everything that moves the kernel's bytes, and with nothing else."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt_kernel.kconfig import Text
from rt_kernel.problem import KernelError
from rt_kernel.recipe import (
    SOURCE_LOCK,
    Recipe,
    Toolchain,
    parse_source,
    read_recipe,
    render_source,
)

SOURCE = parse_source(SOURCE_LOCK.read_text(), "source.json")
TOOLCHAIN = Toolchain(compiler="gcc 12.2.0", linker="ld 2.40")
FRAGMENT = Text("a.config", "# One purpose.\n# Why.\nCONFIG_A=y\n")
RECIPE = Recipe(SOURCE, (FRAGMENT,), (Text("p.patch", "--- a\n+++ b\n"),), TOOLCHAIN)


@pytest.mark.parametrize(
    "changed",
    [
        {"source": replace(SOURCE, sha256="0" * 64)},
        {"toolchain": Toolchain(compiler="gcc 14.2.0", linker="ld 2.44")},
        {"patches": ()},
        {"fragments": (Text("a.config", FRAGMENT.text.replace("=y", "=1")),)},
    ],
)
def test_another_input_is_another_recipe(changed: dict[str, object]):
    assert replace(RECIPE, **changed).sha256 != RECIPE.sha256


def test_a_better_reason_is_the_same_kernel():
    reworded = Text("a.config", FRAGMENT.text.replace("Why.", "A better reason."))
    assert replace(RECIPE, fragments=(reworded,)).sha256 == RECIPE.sha256


def test_uname_leads_back_to_the_recipe():
    assert RECIPE.local_version == f"-bedplate-{RECIPE.sha256[:8]}"


def test_the_recipe_in_the_repository_is_whole():
    recipe = read_recipe(TOOLCHAIN, SOURCE)
    assert len(recipe.fragments) >= 10
    assert len(recipe.requests) > 200
    assert [patch.name for patch in recipe.patches] == ["rt_kernel/patches/realtime_sysfs.patch"]


def test_a_lock_is_read_as_it_was_written():
    assert parse_source(render_source(SOURCE), "lock") == SOURCE


@pytest.mark.parametrize(
    "damage",
    [
        {"sha256": "abc"},
        {"sha256": None},
        {"path": "/pool/a.deb"},
        {"path": "http" + "://mirror/pool/a.deb"},
        {"path": "pool/../../a.deb"},
        {"size_bytes": "5"},
        {"size_bytes": True},
        {"extra": 1},
    ],
)
def test_a_damaged_lock_is_refused(damage: dict[str, object]):
    row = json.loads(render_source(SOURCE)) | damage
    with pytest.raises(KernelError, match="lock"):
        parse_source(json.dumps(row), "rt_kernel/source.json")


@given(st.text(max_size=200) | st.recursive(st.none() | st.integers(), st.lists).map(json.dumps))
def test_any_text_is_a_lock_or_refused(text: str):
    with pytest.raises(KernelError):
        parse_source(text, "lock")


def test_the_lock_names_no_host():
    assert "://" not in SOURCE_LOCK.read_text()
