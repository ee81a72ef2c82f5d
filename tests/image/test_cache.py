"""The cache: by content, safe to end at any moment."""

import os

import pytest

from image.cache import Cache


def test_tree_is_made_once(tmp_path):
    cache, made = Cache(tmp_path), []

    def build(work):
        made.append(work)
        (work / "result").write_text("x")

    first = cache.make("kind", "r" * 64, build)
    assert cache.make("kind", "r" * 64, build) == first
    assert len(made) == 1
    assert (first / "result").read_text() == "x"


def test_tree_that_fails_half_way_is_not_there(tmp_path):
    cache = Cache(tmp_path)

    def build(work):
        (work / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.make("kind", "r" * 64, build)
    assert not cache.made("kind", "r" * 64).exists()
    assert list((tmp_path / "work").iterdir()) == []


def test_what_a_killed_build_left_is_swept_and_a_running_ones_is_not(tmp_path):
    cache = Cache(tmp_path)
    dead = tmp_path / "work" / f"root-{2**22 + 1}-abc"
    alive = tmp_path / "work" / f"root-{os.getpid()}-abc"
    dead.mkdir()
    alive.mkdir()
    assert cache.sweep() == [dead.name]
    assert alive.is_dir()
