"""The commands: what they print, and how they refuse."""

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from fleet.cli import app
from fleet.events.log import adopt
from fleet.settings import FleetSettings
from fleet.store.books import Books, Settlement
from fleet.store.embedded import EmbeddedStore
from runtime.telemetry.line import encode_line, encode_tags
from runtime.telemetry.ranges import SeqSet


@pytest.fixture
def filled(settings: FleetSettings) -> FleetSettings:
    tags = {"robot": "osaka-01", "site": "osaka", "hardware": "x", "version": "dev"}
    store, books = EmbeddedStore(settings.series), Books(settings.books_url)
    fields = {"name": "stop.entered", "severity": "critical", "source": "agentd"}
    store.write([encode_line("event", encode_tags(tags), fields, seq=1, epoch=5, time_ns=10**18)])
    books.settle([Settlement("osaka-01", 5, "a" * 64, "dev", SeqSet([(1, 8)]))])
    account = {"v": 1, "epoch": 5, "head": 10, "pending": [[9, 9]], "counters": {}}
    books.note_account("osaka-01", orjson.dumps(account), 1)
    books.set_aside("t", "why", b"\x00", 1)
    assert adopt(books.engine, store, 10**18) == 1
    assert adopt(books.engine, store, 10**18) == 0
    store.close()
    books.close()
    return settings


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments])
    return result.exit_code, result.output


def test_accounting_with_a_missing_record_exits_1(filled: FleetSettings) -> None:
    status, text = run("accounting", "--json", "--fleet-dir", str(filled.root))
    (account,) = orjson.loads(text)
    assert status == 1
    assert (account["stored"], account["pending"], account["missing"]) == (8, 1, 1)
    assert account["missing_ranges"] == [[10, 10]]


def test_accounting_is_a_table_for_people(filled: FleetSettings) -> None:
    _, text = run("accounting", "--fleet-dir", str(filled.root))
    assert text.splitlines()[0].split() == [
        "robot", "head", "stored", "refused", "thinned", "pending", "missing",
    ]  # fmt: skip
    assert text.splitlines()[1].split()[0] == "osaka-01"


def test_events_are_listed_with_their_name(filled: FleetSettings) -> None:
    status, text = run("events", "--json", "--fleet-dir", str(filled.root))
    assert status == 0
    assert [event["name"] for event in orjson.loads(text)] == ["stop.entered"]
    assert "stop.entered" in run("events", "--fleet-dir", str(filled.root))[1]


def test_poison_is_listed_with_its_reason(filled: FleetSettings) -> None:
    _, text = run("poison", "--fleet-dir", str(filled.root))
    assert orjson.loads(text)[0]["reason"] == "why"


@pytest.mark.parametrize("command", ["accounting", "events", "poison", "ingest", "serve"])
def test_command_without_settings_says_how_to_make_them(tmp_path: Path, command: str) -> None:
    status, text = run(command, "--fleet-dir", str(tmp_path))
    assert status == 2
    assert "bedplate fleet prepare" in text


def test_settings_of_another_version_are_refused_by_name(settings: FleetSettings) -> None:
    (settings.root / "fleet.json").write_text('{"root": "/x", "surprise": 1}')
    status, text = run("accounting", "--fleet-dir", str(settings.root))
    assert status == 2
    assert "not the settings this version writes" in text
