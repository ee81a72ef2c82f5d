"""From package to kept kernel, with a source in small in place of Debian's."""

import errno
import os
import signal
import time
import warnings
from pathlib import Path

import pytest

from conf.load import compose
from conf.schema import Config
from rt_kernel.build import KernelBuild, build_kernel, expected_objects
from rt_kernel.problem import KernelError, SourceGoneError
from rt_kernel.progress import OBJECTS_EXPECTED
from tests.rt_kernel.conftest import Archive


@pytest.fixture(scope="module")
def config() -> Config:
    return compose(hardware="jetson_agx_orin").config


def build(archive: Archive, config: Config, cache: Path, *, relock: bool = False) -> KernelBuild:
    return build_kernel(config, cache, 2, archive.say, relock=relock)


def test_a_kernel_is_made_kept_and_found_again(archive: Archive, config: Config, tmp_path: Path):
    made = build(archive, config, tmp_path / "cache")
    assert made.release == f"6.12.0-bedplate-{made.recipe_sha256[:8]}"
    assert [tree.name for tree in made.device_trees.iterdir()] == ["tegra234-board.dtb"]
    assert "CONFIG_PREEMPT_RT=y" in made.kconfig.read_text()
    assert not made.modules
    asked = archive.asked
    assert build(archive, config, tmp_path / "cache") == made
    assert archive.asked == asked
    assert any(text.endswith("in the cache") for text in archive.said)
    assert list((tmp_path / "cache").glob("tree-*")) == []


def test_two_builds_elsewhere_and_otherwise_are_the_same_bytes(
    archive: Archive, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = build(archive, config, tmp_path / "here")
    monkeypatch.setenv("CFLAGS", "-O0")
    monkeypatch.setenv("KBUILD_BUILD_USER", "somebody")
    monkeypatch.setenv("MAKEFLAGS", "--jobserver-auth=3,4 -j")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    second = build(archive, config, tmp_path / "a path that is longer" / "there")
    assert first.image.read_bytes() == second.image.read_bytes()
    assert b"bedplate@bedplate \n" in first.image.read_bytes()


def test_an_option_that_kconfig_drops_stops_the_build_and_says_what_it_needs(
    archive: Archive, config: Config, tmp_path: Path
):
    fragments = tmp_path / "recipe/fragments"
    (fragments / "bogus.config").write_text("# A planted fault.\n# Why.\nCONFIG_BOGUS_DRIVER=y\n")
    with pytest.raises(KernelError) as refusal:
        build(archive, config, tmp_path / "cache")
    said = str(refusal.value)
    assert "1 of 2 options did not survive" in said
    assert "bogus.config:3  CONFIG_BOGUS_DRIVER=y" in said
    assert "needs EXPERT" in said
    assert "needs MAGIC" in said


def test_a_build_that_failed_says_why_and_goes_on(archive: Archive, config: Config, tmp_path: Path):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "fail").touch()
    with pytest.raises(KernelError, match=r"error: planted(.|\n)*it goes on"):
        build(archive, config, cache)
    assert not (cache / "build").exists()
    (tree,) = cache.glob("tree-*")
    (tree / "init/main.c").write_text("kept\n")
    (cache / "fail").unlink()
    assert b"kept" in build(archive, config, cache).image.read_bytes()
    assert any("going on" in text for text in archive.said)


def test_what_was_compiled_for_other_options_is_never_gone_on_with(
    archive: Archive, config: Config, tmp_path: Path
):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "fail").touch()
    with pytest.raises(KernelError, match="planted"):
        build(archive, config, cache)
    (tree,) = cache.glob("tree-*")
    (tree / "init/main.c").write_text("stale\n")
    (tmp_path / "recipe/fragments/b.config").write_text("# Another one.\n# Why.\nCONFIG_B=y\n")
    (cache / "fail").unlink()
    assert b"stale" not in build(archive, config, cache).image.read_bytes()
    assert not tree.exists()


def test_how_long_it_takes_is_learned_from_the_last_build(
    archive: Archive, config: Config, tmp_path: Path
):
    assert expected_objects(tmp_path) == OBJECTS_EXPECTED
    made = build(archive, config, tmp_path)
    assert expected_objects(tmp_path) == 1
    (made.image.parent / "kernel.json").write_text("{}")
    assert expected_objects(tmp_path) == OBJECTS_EXPECTED


def test_half_a_build_is_none(archive: Archive, config: Config, tmp_path: Path):
    made = build(archive, config, tmp_path)
    (made.image.parent / "kernel.json").unlink()
    assert build(archive, config, tmp_path) == made
    left = tmp_path / "build/other.1.partial"
    left.mkdir()
    (tmp_path / "tree-older").mkdir()
    (made.image.parent / "kernel.json").unlink()
    build(archive, config, tmp_path)
    assert not left.exists()
    assert not (tmp_path / "tree-older").exists()


def test_a_full_disk_is_one_message_and_the_next_build_goes_on(
    archive: Archive, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    with monkeypatch.context() as disk:
        disk.setattr("rt_kernel.build.shutil.copyfile", full)
        with pytest.raises(KernelError, match=r"Image\n  got No space left on device"):
            build(archive, config, tmp_path)
    assert build(archive, config, tmp_path).image.is_file()
    assert not list((tmp_path / "build").glob("*.partial"))


def test_killed_in_the_middle_nothing_runs_on_and_the_next_build_goes_on(
    archive: Archive, config: Config, tmp_path: Path
):
    """The small source sleeps in its compiler; the build is killed there, as by the kernel."""
    (tmp_path / "sleep").touch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child never comes back to threads
        child = os.fork()
    if child == 0:
        try:
            build(archive, config, tmp_path)
        finally:
            os._exit(0)
    deadline_s = time.monotonic() + 60
    while not (tmp_path / "sleeping").exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    compiler = int((tmp_path / "sleeping").read_text())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while _runs(compiler):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    (tmp_path / "sleep").unlink()
    assert build(archive, config, tmp_path).image.is_file()


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_source_that_is_gone_stops_the_build_unless_a_newer_one_is_allowed(
    archive: Archive, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    newest = archive.offer("6.12.2-1")
    monkeypatch.setattr("rt_kernel.build.newest_source", lambda name: newest)
    with pytest.raises(SourceGoneError):
        build(archive, config, tmp_path / "cache")
    made = build(archive, config, tmp_path / "cache", relock=True)
    assert made.source == newest
    drift = "drift: linux-source-6.12: 6.12.1-1 → 6.12.2-1 (the lock stays as it is)"
    assert archive.said.count(drift) == 1
    assert '"6.12.1-1"' in (tmp_path / "recipe/source.json").read_text()
    assert build(archive, config, tmp_path / "cache", relock=True) == made


@pytest.mark.parametrize("hardware", ["sim_x86"])
def test_a_board_without_a_kernel_of_its_own_is_refused_at_once(
    archive: Archive, tmp_path: Path, hardware: str
):
    with pytest.raises(KernelError, match=r"conf/hardware/sim_x86.yaml  arch\n  got x86_64"):
        build(archive, compose(hardware=hardware).config, tmp_path)
    assert archive.asked == 0
