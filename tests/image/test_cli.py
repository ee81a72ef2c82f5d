"""The commands: one clear message and status 2 where something is wrong."""

import errno
import json

import pytest
from typer.testing import CliRunner

from image import cli
from image.again import compare
from image.blockmap import make_map
from image.refusal import refused
from image.steps.manifest import PRODUCTS
from tests.test_records import HASH, NOW, TRACE

runner = CliRunner()
MANIFEST = {
    **TRACE,
    "hardware": "qemu_arm64",
    "facility": "osaka",
    "tree_version": "abc",
    "lock_sha256": HASH,
    "kernel_release": "6.12-x",
    "kernel_recipe_sha256": HASH,
    "contents_sha256": HASH,
    "inputs": [],
    "built_at": NOW.isoformat(),
}


@pytest.fixture
def products(tmp_path):
    folder = tmp_path / "products"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    (folder / "sbom.json").write_text(
        json.dumps(
            {"components": [{"purl": "pkg:deb/debian/bash@5", "name": "bash", "version": "5"}]}
        )
    )
    (folder / "disk.img").write_bytes(b"x" * 100_000 + bytes(4 << 20))
    (folder / "disk.bmap").write_text(make_map(folder / "disk.img").text())
    for name in PRODUCTS:
        (folder / name).touch()
    return folder


def test_show_prints_what_is_inside_and_from_which_inputs(products):
    done = runner.invoke(cli.app, ["show", "--out", str(products), "--packages"])
    assert done.exit_code == 0, done.output
    for text in ("bedplate-1", HASH, "6.12-x", "1 deb", "bash"):
        assert text in done.output


def test_show_of_nothing_says_how_to_build(tmp_path):
    done = runner.invoke(cli.app, ["show", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "make image" in done.output


def test_flash_to_a_file_writes_and_reads_back(products, tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(8 << 20))
    done = runner.invoke(cli.app, ["flash", str(disk), "--out", str(products)])
    assert done.exit_code == 0, done.output
    assert "written and read back" in done.output
    assert disk.read_bytes()[:100_000] == b"x" * 100_000


def test_flash_to_a_small_disk_changes_nothing(products, tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(b"precious" * 1000)
    done = runner.invoke(cli.app, ["flash", str(disk), "--out", str(products)])
    assert done.exit_code == 2
    assert "too small" in done.output
    assert disk.read_bytes() == b"precious" * 1000


def test_name_and_invitation_belong_together(products, tmp_path):
    arguments = ["flash", str(tmp_path), "--out", str(products), "--robot", "osaka-02"]
    done = runner.invoke(cli.app, arguments)
    assert done.exit_code == 2
    assert "fleet enrol invite osaka-02" in done.output


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (refused("here", "that", "why", "this"), 2, "because why"),
        (OSError(errno.ENOSPC, "no space", "/cache/x"), 2, "no space left"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_build_that_cannot_go_on_ends_with_one_message(monkeypatch, error, status, text):
    def fails(plan):
        raise error

    monkeypatch.setattr(cli, "build", fails)
    done = runner.invoke(cli.app, ["build"])
    assert done.exit_code == status
    assert text in done.output
    assert "Traceback" not in done.output


def test_comparison_names_the_product_and_the_place(products, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for name in PRODUCTS:
        (other / name).write_bytes((products / name).read_bytes())
    assert compare(products, other) == []
    with (other / "disk.img").open("r+b") as out:
        out.seek(5)
        out.write(b"y")
    (other / "disk.bmap").write_text(make_map(other / "disk.img").text())
    (other / "sbom.json").unlink()
    found = {one.name: one.detail for one in compare(products, other)}
    assert found["disk.img"] == "1 ranges differ, the first at block 0"
    assert "missing in the second build" in found["sbom.json"]
    assert "slot.img" not in found
