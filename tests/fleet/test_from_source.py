"""A program that is built from source is built once, and who has no Go is told what to do."""

from pathlib import Path

import pytest

from fleet.from_source import GoProgram, NotBuiltError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PEER", raising=False)
    return tmp_path


def go_that(does: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> GoProgram:
    """In place of Go a script, which is what the program's command then runs."""
    go = folder / "bin" / "go"
    go.parent.mkdir()
    go.write_text(f"#!/bin/sh\n{does}\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")
    return GoProgram("peer", "1.2", "a moment", (("go", "install", "x"),), made="peer")


def test_it_is_built_once_into_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    does = 'echo "$@" >> calls; printf "#!/bin/sh\\n" > "$GOBIN/peer"; chmod +x "$GOBIN/peer"'
    program = go_that(does, cache, monkeypatch)
    assert program.find() is None
    made = program.ensure()
    assert made == cache / "cache/bedplate/peer-1.2/peer"
    assert program.ensure() == program.find() == made
    assert (made.parent / "calls").read_text() == "install x\n"


def test_the_one_that_its_variable_names_comes_first(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = cache / "own"
    own.touch(mode=0o755)
    monkeypatch.setenv("PEER", str(own))
    assert go_that("exit 1", cache, monkeypatch).ensure() == own


@pytest.mark.parametrize(
    ("does", "said"),
    [("echo no network >&2; exit 1", "go install x said:\nno network"), ("true", "has no peer")],
)
def test_what_went_wrong_is_told(
    cache: Path, monkeypatch: pytest.MonkeyPatch, does: str, said: str
) -> None:
    with pytest.raises(NotBuiltError, match=said):
        go_that(does, cache, monkeypatch).ensure()
