"""The lock: read strictly, written so that a difference reads as one."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image.lockfile import (
    LOCK_FILE,
    Lock,
    PackageSet,
    Row,
    differences,
    lock_bytes,
    parse_lock,
    read_lock,
)
from image.packages import SETS
from image.refusal import BuildRefused

WHEN = datetime(2026, 1, 2, tzinfo=UTC)
HERE = Path("lock.json")


def row(name="bash", version="5.2-1", sha256="a" * 64, **changes) -> Row:
    return Row(
        **{
            "name": name,
            "version": version,
            "architecture": "arm64",
            "archive": "debian",
            "path": f"pool/main/b/{name}_{version}_arm64.deb",
            "size": 10,
            "sha256": sha256,
            **changes,
        }
    )


def lock(*rows: Row) -> Lock:
    one = PackageSet(architecture="arm64", wanted=("bash",), rows=rows)
    return Lock(suite="trixie", made_at=WHEN, sets={"root": one})


def test_written_lock_is_read_back():
    made = lock(row(), row("dash", sha256="b" * 64))
    assert parse_lock(lock_bytes(made), HERE) == made


def test_order_of_rows_does_not_show_in_the_file():
    rows = (row(), row("dash", sha256="b" * 64))
    assert lock_bytes(lock(*rows)) == lock_bytes(lock(*reversed(rows)))


def test_difference_names_new_gone_changed_and_altered():
    old = lock(row(), row("dash", sha256="b" * 64), row("sed", sha256="c" * 64))
    new = lock(
        row(version="5.2-2", sha256="d" * 64),
        row("sed", sha256="e" * 64),
        row("tar", sha256="f" * 64),
    )
    text = "\n".join(differences(old, new))
    assert "5.2-1 → 5.2-2" in text
    assert "gone     5.2-1" in text
    assert "5.2-1 has other content" in text
    assert "new      5.2-1" in text
    assert differences(old, old) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "pool/../../etc/passwd.deb"},
        {"path": "/pool/main/b/bash.deb"},
        {"path": "https://host.example/pool/bash.deb"},
        {"sha256": "A" * 64},
        {"size": 0},
        {"archive": "elsewhere"},
        {"name": "bash; rm"},
    ],
)
def test_row_that_is_no_file_of_an_archive_is_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        row(**changes)


@given(st.binary(max_size=200))
def test_garbage_is_refused_with_a_text(raw):
    with pytest.raises(BuildRefused, match=r"lock\.json"):
        parse_lock(raw, HERE)


def test_unknown_field_is_refused():
    raw = lock_bytes(lock(row())).replace(b'"suite"', b'"mirror":"x","suite"', 1)
    with pytest.raises(BuildRefused, match="mirror"):
        parse_lock(raw, HERE)


def test_trees_lock_covers_every_wanted_package_and_names_no_host():
    made = read_lock()
    assert set(made.sets) == set(SETS)
    for name, wanted in SETS.items():
        locked = {one.name for one in made.sets[name].rows}
        assert {package.split(":")[0] for package in wanted.names} <= locked
    assert b"://" not in LOCK_FILE.read_bytes()


def test_twins_and_the_robots_packages_are_of_one_version():
    """A native Python compiles the robot's modules: it must be the same one."""
    made = read_lock()
    root = {one.name: one.version.split("+b")[0] for one in made.sets["root"].rows}
    tools = {one.name: one.version.split("+b")[0] for one in made.sets["tools"].rows}
    assert {n: (root[n], tools[n]) for n in root.keys() & tools.keys() if root[n] != tools[n]} == {}
