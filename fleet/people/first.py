"""The first account of a new fleet, and a link that signs in once."""

from dataclasses import dataclass

from sqlalchemy.engine import Engine

from fleet.clock import Clock
from fleet.people.accounts import Accounts
from fleet.people.keys import Keys
from fleet.people.passwords import random_password
from fleet.people.roles import Role

FIRST = "owner"


@dataclass(frozen=True)
class Welcome:
    """Shown once on the terminal of whoever started the fleet; kept nowhere."""

    name: str
    password: str | None  # None: the account was there already
    key: str | None  # None: the account is disabled or has another name

    def link(self, page_url: str) -> str:
        return page_url if self.key is None else f"{page_url}sign-in?key={self.key}"


def welcome(rows: Engine, clock: Clock) -> Welcome:
    """With nobody there, the first account as admin: somebody must be able to make the others."""
    accounts, keys = Accounts(rows, clock), Keys(rows, clock)
    people = accounts.all()
    if not people:
        password = random_password()
        accounts.add(FIRST, Role.ADMIN, password)
        return Welcome(FIRST, password, keys.make_link(FIRST))
    if any(person.name == FIRST and not person.disabled for person in people):
        return Welcome(FIRST, None, keys.make_link(FIRST))
    return Welcome(FIRST, None, None)
