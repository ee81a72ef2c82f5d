"""docs/ota.md: every command in it exists, with the options that are shown."""

import re
import shlex

import pytest
from typer.testing import CliRunner

from ota.cli import app
from ota.commit_gate import Item
from tests.ota.robot.bench import ROOT

GUIDE = (ROOT / "docs/ota.md").read_text(encoding="utf-8")
COMMANDS = sorted({line for line in GUIDE.splitlines() if line.startswith("bedplate ota ")})


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_guide_exists_with_its_options(line: str) -> None:
    words = shlex.split(line)[2:]
    depth = 2 if words[0] in {"keys", "artifact"} else 1
    said = CliRunner().invoke(app, [*words[:depth], "--help"], env={"COLUMNS": "200"})
    assert said.exit_code == 0, said.output
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", said.output), option


def test_the_guide_has_commands() -> None:
    assert len(COMMANDS) >= 7


def test_every_reading_of_the_gate_is_in_the_guide() -> None:
    for item in Item:
        assert item.value in GUIDE
