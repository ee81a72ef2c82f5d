"""The source is the locked one, byte by byte, or there is none."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt_kernel.kconfig import Text
from rt_kernel.problem import KernelError, SourceGoneError
from rt_kernel.recipe import Recipe, Toolchain
from rt_kernel.source import describe_drift, fetch_source, parse_package, prepare_tree
from tests.rt_kernel.conftest import Archive

STANZA = """Package: linux-source-6.12
Version: 6.12.9-1
Filename: pool/main/l/linux/linux-source-6.12_6.12.9-1_all.deb
Size: 1234
SHA256: aa
"""


def test_what_was_fetched_once_is_not_asked_for_again(archive: Archive, tmp_path: Path):
    first = fetch_source(archive.locked, tmp_path / "cache", archive.say)
    asked = archive.asked
    assert fetch_source(archive.locked, tmp_path / "cache", archive.say) == first
    assert archive.asked == asked > 0


def test_a_package_damaged_in_the_cache_is_fetched_again(archive: Archive, tmp_path: Path):
    kept = fetch_source(archive.locked, tmp_path, archive.say)
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1])
    assert fetch_source(archive.locked, tmp_path, archive.say).read_bytes() == whole
    assert any("damaged" in text for text in archive.said)


def test_an_altered_package_is_refused_and_not_kept(archive: Archive, tmp_path: Path):
    file = archive.folder / archive.locked.path
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(KernelError, match="what came is not what was reviewed"):
        fetch_source(archive.locked, tmp_path, archive.say)
    assert list((tmp_path / "source").iterdir()) == []


def test_a_superseded_package_is_called_so_with_both_ways_on(archive: Archive, tmp_path: Path):
    archive.offer("6.12.2-1")
    with pytest.raises(SourceGoneError, match=r"404(.|\n)*kernel lock(.|\n)*RELOCK=scratch"):
        fetch_source(archive.locked, tmp_path, archive.say)


def test_an_archive_that_does_not_answer_is_no_superseded_package(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("rt_kernel.source.archive_roots", lambda: ("/nowhere/",))
    with pytest.raises(KernelError, match="no such host") as refusal:
        fetch_source(archive.locked, tmp_path, archive.say)
    assert not isinstance(refusal.value, SourceGoneError)


def recipe(archive: Archive, *patches: Text) -> Recipe:
    return Recipe(archive.locked, (), patches, Toolchain("gcc", "ld"))


def test_the_tree_is_unpacked_patched_and_named_once_it_is_whole(archive: Archive, tmp_path: Path):
    patch = Text("p", "--- a/init/main.c\n+++ b/init/main.c\n@@ -1 +1 @@\n-one\n+1\n")
    package = fetch_source(archive.locked, tmp_path, archive.say)
    tree = prepare_tree(recipe(archive, patch), package, tmp_path, archive.say)
    assert (tree / "init/main.c").read_text() == "1\ntwo\nthree\n"
    assert [path.name for path in tmp_path.glob("tree-*")] == [tree.name]


def test_a_patch_that_no_longer_fits_is_refused_and_leaves_no_tree(
    archive: Archive, tmp_path: Path
):
    patch = Text("p.patch", "--- a/init/main.c\n+++ b/init/main.c\n@@ -1 +1 @@\n-zero\n+1\n")
    package = fetch_source(archive.locked, tmp_path, archive.say)
    with pytest.raises(KernelError, match=r"p.patch\n(.|\n)*moved on under this patch"):
        prepare_tree(recipe(archive, patch), package, tmp_path, archive.say)
    assert list(tmp_path.glob("tree-*")) == []


def test_a_package_without_the_source_is_refused(archive: Archive, tmp_path: Path):
    broken = tmp_path / "broken.deb"
    broken.write_bytes((archive.folder / archive.locked.path).read_bytes()[:2000])
    with pytest.raises(KernelError, match="could not be unpacked"):
        prepare_tree(recipe(archive), broken, tmp_path, archive.say)
    assert list(tmp_path.glob("tree-*")) == []


def test_a_paragraph_of_the_package_lists_becomes_a_lock():
    found = parse_package("linux-source-6.12", STANZA)
    assert (found.version, found.size_bytes) == ("6.12.9-1", 1234)
    assert describe_drift(found, found).endswith("the lock is the newest")
    older = parse_package("linux-source-6.12", STANZA.replace("6.12.9", "6.12.8"))
    assert describe_drift(older, found) == "linux-source-6.12: 6.12.8-1 → 6.12.9-1"


@given(st.text(max_size=200))
def test_any_other_paragraph_is_refused(text: str):
    with pytest.raises(KernelError, match="package lists"):
        parse_package("linux-source-6.12", text)
