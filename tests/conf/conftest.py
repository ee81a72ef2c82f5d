import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from conf.load import CONF_DIR, Composed, compose
from conf.mistake import ConfigError, Mistake


class Tree:
    """A copy of conf/ that a test may spoil."""

    def __init__(self, folder: Path):
        self.folder = folder

    def write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> int:
        """Replace a text that occurs once; gives its line."""
        file = self.folder / name
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {name}"
        file.write_text(text.replace(old, new), encoding="utf-8")
        return text[: text.index(old)].count("\n") + 1

    def append(self, name: str, text: str) -> int:
        """Append lines; gives the first one's number."""
        file = self.folder / name
        before = file.read_text(encoding="utf-8")
        file.write_text(before + text, encoding="utf-8")
        return before.count("\n") + 1

    def compose(self, **choices: object) -> Composed:
        return compose(conf_dir=self.folder, **choices)  # type: ignore[arg-type]

    def mistakes(self, **choices: object) -> tuple[Mistake, ...]:
        with pytest.raises(ConfigError) as caught:
            self.compose(**choices)
        return caught.value.mistakes

    def text_of_refusal(self, **choices: object) -> str:
        with pytest.raises(ConfigError) as caught:
            self.compose(**choices)
        return str(caught.value)


def copy_tree(folder: Path) -> Tree:
    target = folder / "conf"
    for file in CONF_DIR.rglob("*.yaml"):
        copied = target / file.relative_to(CONF_DIR)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copied)
    return Tree(target)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return copy_tree(tmp_path)


@pytest.fixture
def make_tree(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Tree]:
    return lambda: copy_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def composed() -> Composed:
    return compose()
