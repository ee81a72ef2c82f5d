"""A vendor's files: named before the long step, checked by hash, refused where they cannot work."""

import hashlib
import json

import pytest

from conf.load import compose
from image.refusal import BuildRefused
from image.steps import vendor
from image.steps.vendor import VendorFile, VendorSet, problems_of, read_vendor, unpacked

CONTENT = b"a driver"


@pytest.fixture(scope="module")
def orin():
    return compose(hardware="jetson_agx_orin").config


def declared(**changes) -> VendorSet:
    file = VendorFile(
        name="driver.bin",
        purpose="the driver",
        where_from="its maker",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        unpack_to="opt/vendor",
    )
    facts = {
        "release": "R1",
        "python": "3.13",
        "kernels": ("6.12",),
        "needs_modules": False,
        "files": (file,),
    }
    return VendorSet(**{**facts, **changes})


def test_missing_file_says_which_and_where_to_put_it(tmp_path, orin):
    (problem,) = problems_of(declared(), tmp_path, orin)
    assert "driver.bin  (the driver)" in str(problem)
    assert hashlib.sha256(CONTENT).hexdigest() in problem.got
    assert str(tmp_path / "driver.bin") in problem.suggestion
    assert "--without-vendor" in problem.suggestion


def test_file_as_declared_is_taken_and_another_is_not(tmp_path, orin):
    (tmp_path / "driver.bin").write_bytes(CONTENT)
    assert problems_of(declared(), tmp_path, orin) == []
    (tmp_path / "driver.bin").write_bytes(b"another")
    (problem,) = problems_of(declared(), tmp_path, orin)
    assert "declared is" in problem.got


def test_file_without_a_hash_says_which_hash_to_write(tmp_path, orin):
    (tmp_path / "driver.bin").write_bytes(CONTENT)
    file = declared().files[0].model_copy(update={"sha256": None})
    (problem,) = problems_of(declared(files=(file,)), tmp_path, orin)
    assert hashlib.sha256(CONTENT).hexdigest() in problem.suggestion


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"python": "3.10"}, "for Python 3.10, the image has 3.13"),
        ({"kernels": ("5.15",)}, "sources for Linux 5.15"),
        ({"needs_modules": True}, "a kernel that loads none"),
    ],
)
def test_combination_that_cannot_work_is_refused(tmp_path, orin, changes, text):
    (tmp_path / "driver.bin").write_bytes(CONTENT)
    (problem,) = problems_of(declared(**changes), tmp_path, orin)
    assert text in problem.got


def test_trees_declaration_is_whole_and_every_published_file_has_its_hash():
    made = read_vendor("jetson_agx_orin")
    assert made is not None
    assert all(file.sha256 for file in made.files if file.name.endswith(".deb"))
    assert {file.purpose.split(",")[0] for file in made.files} >= {"TensorRT", "CUDA driver"}


def test_board_without_a_declaration_needs_nothing(tmp_path):
    assert read_vendor("qemu_arm64") is None


def test_declaration_with_an_unknown_field_is_refused(tmp_path):
    (tmp_path / "board.json").write_text(json.dumps({"release": "R1", "hash": "x"}))
    with pytest.raises(BuildRefused, match=r"board\.json"):
        read_vendor("board", tmp_path)


def test_plain_file_goes_in_as_it_is(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(CONTENT)
    (entry,) = unpacked(path, "opt/vendor")
    assert (entry.path, entry.source) == ("opt/vendor/model.bin", path)


def test_kernel_really_loads_no_modules():
    """The refusal above is of this tree's kernel; it goes when the kernel changes."""
    fragments = (vendor.FOLDER.parents[1] / "rt_kernel/fragments").glob("*.config")
    enabled = [f.name for f in fragments if "\nCONFIG_MODULES=y" in f.read_text()]
    assert bool(enabled) is vendor.KERNEL_LOADS_MODULES
