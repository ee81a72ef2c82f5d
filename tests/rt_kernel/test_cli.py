"""What an engineer types."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conf.load import compose
from conf.profile import write_profile
from rt_kernel import cli
from rt_kernel.recipe import parse_source
from tests.rt_kernel.conftest import Archive


@pytest.fixture
def small(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """The commands, on the small source and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cli, "SOURCE_LOCK", tmp_path / "recipe/source.json")
    monkeypatch.setattr(cli, "check_machine", lambda cache: None)
    monkeypatch.delenv("RELOCK", raising=False)
    return archive


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, list(words))
    return result.exit_code, result.output


def test_build_ends_with_the_image_and_show_knows_it(small: Archive):
    assert "built      not yet" in run("show")[1]
    code, output = run("build", "--jobs", "1")
    assert code == 0
    image = output.splitlines()[-1]
    assert Path(image).is_file()
    code, output = run("show", "--hardware", "jetson_agx_orin")
    assert code == 0
    assert image in output
    assert "nohz_full=8-11" in output
    assert "nothing is signed" in output


def test_check_counts_what_survives_and_compiles_nothing(small: Archive, tmp_path: Path):
    assert run("check")[0] == 0
    assert "all 1 options of 1 fragments survive" in run("check")[1]
    assert not (tmp_path / "cache/bedplate/kernel/build").exists()
    (tmp_path / "recipe/fragments/b.config").write_text(
        "# A planted fault.\n# Why.\nCONFIG_BOGUS_DRIVER=y\n"
    )
    code, output = run("check")
    assert code == 2
    assert "CONFIG_BOGUS_DRIVER=y" in output


def test_a_source_that_is_gone_needs_the_word_of_the_caller(
    small: Archive, monkeypatch: pytest.MonkeyPatch
):
    newest = small.offer("6.12.3-1")
    monkeypatch.setattr("rt_kernel.build.newest_source", lambda name: newest)
    code, output = run("build")
    assert code == 2
    assert "RELOCK=scratch" in output
    monkeypatch.setenv("RELOCK", "scratch")
    code, output = run("build")
    assert code == 0
    assert "drift: linux-source-6.12: 6.12.1-1 → 6.12.3-1" in output


def test_lock_writes_the_newest_and_prints_the_difference(
    small: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    newest = small.offer("6.12.3-1")
    monkeypatch.setattr(cli, "newest_source", lambda name: newest)
    assert run("lock") == (0, "linux-source-6.12: 6.12.1-1 → 6.12.3-1\n")
    assert parse_source((tmp_path / "recipe/source.json").read_text(), "lock") == newest


def test_a_board_without_a_kernel_of_its_own_is_refused(small: Archive):
    code, output = run("build", "--hardware", "sim_x86")
    assert code == 2
    assert "others run the one they have" in output


def test_verify_on_a_machine_that_is_no_such_robot_says_so_by_its_status(tmp_path: Path):
    write_profile(compose(hardware="jetson_agx_orin").config, tmp_path / "profile.json")
    code, output = run("verify", "--profile", str(tmp_path / "profile.json"), "--json")
    rows = {row["item"]: row for row in json.loads(output)}
    assert code == 1
    assert rows["argument.isolcpus"]["verdict"] == "wrong"
    assert rows["kernel.release"]["verdict"] == "unknown"
    code, output = run("verify", "--profile", str(tmp_path / "none.json"))
    assert code == 2
