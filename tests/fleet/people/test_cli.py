"""The commands, on a fleet folder of their own."""

import re

import orjson
import pytest
from typer.testing import CliRunner

from fleet.clock import SystemClock
from fleet.people.accounts import Accounts
from fleet.people.cli import app
from fleet.people.first import FIRST, welcome
from fleet.people.keys import Keys
from fleet.people.roles import Role
from fleet.settings import FleetSettings
from fleet.store.rows import open_rows
from tests.fleet.people.conftest import PASSWORD, People


@pytest.fixture
def ask(settings: FleetSettings):
    def run(*words: str, typed: str = ""):
        return CliRunner().invoke(app, [*words, "--fleet-dir", str(settings.root)], input=typed)

    return run


@pytest.mark.timeout(120)
def test_an_account_through_its_life(ask, settings: FleetSettings) -> None:
    made = ask("add", "anna", "--role", "operator")
    assert made.exit_code == 0, made.output
    password = re.search(r"shown this once: (\S+)", made.output)
    assert password is not None
    rows, clock = open_rows(settings.rows_url), SystemClock()
    assert Accounts(rows, clock).check("anna", password[1]) is not None
    assert "anna" in ask("list").output
    typed = ask("password", "anna", "--password-stdin", typed="eleven blue nuts\n")
    assert typed.exit_code == 0
    assert "eleven" not in typed.output
    assert Accounts(rows, clock).check("anna", "eleven blue nuts") is not None
    token = ask("token", "anna", "--role", "viewer", "--label", "wall")
    who = Keys(rows, clock).token(token.stdout.strip())
    assert who is not None
    assert who.role is Role.VIEWER
    assert who.id in ask("tokens").output
    assert ask("revoke", who.id).exit_code == 0
    link = ask("link", "anna")
    assert Keys(rows, clock).use_link(link.stdout.strip().partition("key=")[2]) == "anna"
    assert ask("role", "anna", "viewer").exit_code == 0
    assert ask("disable", "anna").exit_code == 0
    assert Accounts(rows, clock).check("anna", "eleven blue nuts") is None
    assert ask("enable", "anna").exit_code == 0
    rows.dispose()


def test_what_makes_no_sense_is_refused_and_noted(ask) -> None:
    for words in (
        ("add", "Anna"),
        ("disable", "nobody"),
        ("link", "nobody"),
        ("revoke", "12345678"),
        ("token", "nobody"),
    ):
        refused = ask(*words)
        assert refused.exit_code == 2, words
        assert refused.stderr.strip()
    lines = [orjson.loads(line) for line in ask("audit", "--json").stdout.splitlines()]
    assert [line["outcome"] for line in lines] == ["refused"] * 5
    assert all(line["who"].startswith("cli:") for line in lines)
    assert lines[-1]["target"] == "Anna as viewer"


def test_audit_shows_deeds_and_no_secrets(ask) -> None:
    ask("add", "anna", "--role", "admin", "--password-stdin", typed=f"{PASSWORD}\n")
    shown = ask("audit").stdout
    assert "people.add" in shown
    assert "anna as admin" in shown
    assert PASSWORD not in shown


def test_first_start_makes_one_account_and_later_ones_only_a_link(people: People) -> None:
    first = welcome(people.rows, people.clock)
    assert first.password is not None
    again = welcome(people.rows, people.clock)
    assert again.password is None
    assert people.keys.use_link(again.link("http://x/").partition("key=")[2]) == FIRST
    assert [person.name for person in people.accounts.all()] == [FIRST]


def test_fleet_whose_first_account_has_gone_gets_no_way_in_from_a_start(people: People) -> None:
    people.accounts.add("anna", Role.ADMIN, PASSWORD)
    found = welcome(people.rows, people.clock)
    assert (found.password, found.key) == (None, None)
    assert found.link("http://x/") == "http://x/"
    assert [person.name for person in people.accounts.all()] == ["anna"]
