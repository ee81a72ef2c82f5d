"""Layers: deterministic, and never one over the other."""

import tarfile

import pytest

from image.layers import Entry, join, write_layer
from image.refusal import BuildRefused

EPOCH = 1_700_000_000


def test_same_entries_give_the_same_bytes_in_any_order(tmp_path):
    entries = [Entry.file("b/x", "1"), Entry.link("a", "b/x"), Entry(path="c", mode=0o700)]
    one = write_layer("one", tmp_path / "1.tar", entries, EPOCH)
    two = write_layer("two", tmp_path / "2.tar", list(reversed(entries)), EPOCH)
    assert one.tar.read_bytes() == two.tar.read_bytes()


def test_joined_layers_hold_every_path_once_and_folders_before_what_is_in_them(tmp_path):
    first = write_layer("1", tmp_path / "1.tar", [Entry(path="etc", mode=0o700)], EPOCH)
    long = "opt/" + "x" * 120 + "/file"
    second = write_layer(
        "2", tmp_path / "2.tar", [Entry.file("etc/a", "A"), Entry.file(long, b"B" * 9000)], EPOCH
    )
    join([first, second], tmp_path / "all.tar", EPOCH)
    with tarfile.open(tmp_path / "all.tar") as archive:
        names = [member.name.removeprefix("./") for member in archive]
        content = archive.extractfile(f"./{long}")
        assert content is not None
        assert content.read() == b"B" * 9000
        assert archive.getmember("./etc").mode == 0o700
    assert len(names) == len(set(names))
    assert names.index("opt") < names.index(long)


def test_path_in_two_layers_is_refused_with_both_names(tmp_path):
    layers = [
        write_layer(name, tmp_path / f"{name}.tar", [Entry.file("etc/hosts", name)], EPOCH)
        for name in ("debian", "robot")
    ]
    with pytest.raises(BuildRefused, match=r"/etc/hosts\n  got layers debian and robot"):
        join(layers, tmp_path / "all.tar", EPOCH)


def test_hash_follows_content(tmp_path):
    one = write_layer("1", tmp_path / "1.tar", [Entry.file("a", "1")], EPOCH)
    two = write_layer("1", tmp_path / "2.tar", [Entry.file("a", "2")], EPOCH)
    assert join([one], tmp_path / "x", EPOCH) != join([two], tmp_path / "y", EPOCH)
