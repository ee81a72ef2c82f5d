"""Accounts: who there is, with which role and password. Changes of either end open sessions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql
from argon2 import PasswordHasher
from sqlalchemy.engine import Connection, Engine

from fleet.clock import Clock
from fleet.people.passwords import HASHER, hash_password, is_dated, is_right, weakness
from fleet.people.roles import Role
from fleet.people.tables import PERSON, SESSION, SIGN_IN, TOKEN
from fleet.store.rows import Transaction, hold, read

NAME = re.compile(r"[a-z][a-z0-9._-]{1,47}")
NS_PER_S = 1_000_000_000


class PeopleError(RuntimeError):
    """A wish that makes no sense just now; the text says why and what to try."""


@dataclass(frozen=True)
class Person:
    name: str
    role: Role
    disabled: bool
    created_s: int
    changed_s: int


class Accounts:
    def __init__(self, rows: Engine, clock: Clock, hasher: PasswordHasher = HASHER) -> None:
        self._rows = rows
        self._clock = clock
        self._hasher = hasher
        self._nobody = hash_password("a password that nobody has", hasher)

    def add(self, name: str, role: Role, password: str) -> Person:
        if NAME.fullmatch(name) is None:
            raise PeopleError(
                f"{name!r} is no name: two to 48 of a-z, 0-9, dot, dash and underscore,"
                " a letter first; the audit names people by it"
            )
        self._refuse_weak(name, password)
        now_s = self._now_s()
        row = {
            "name": name,
            "role": role.value,
            "password_hash": hash_password(password, self._hasher),
            "disabled": False,
            "created_s": now_s,
            "changed_s": now_s,
        }
        with Transaction(self._rows) as connection:
            hold(connection, ["people"])
            if connection.execute(sql.select(PERSON).where(PERSON.c.name == name)).first():
                raise PeopleError(
                    f"there is a {name!r} already; bedplate fleet people list shows who there is"
                )
            connection.execute(sql.insert(PERSON).values(**row))
        return Person(name, role, False, now_s, now_s)

    def all(self) -> Sequence[Person]:
        return [
            _person(row) for row in read(self._rows, sql.select(PERSON).order_by(PERSON.c.name))
        ]

    def get(self, name: str) -> Person:
        rows = read(self._rows, sql.select(PERSON).where(PERSON.c.name == name))
        if not rows:
            raise PeopleError(
                f"there is no {name!r}; bedplate fleet people list shows who there is"
            )
        return _person(rows[0])

    def set_password(self, name: str, password: str) -> None:
        self.get(name)
        self._refuse_weak(name, password)
        hashed = hash_password(password, self._hasher)
        self._change(name, {"password_hash": hashed})

    def set_role(self, name: str, role: Role) -> None:
        self._change(name, {"role": role.value})

    def set_disabled(self, name: str, *, disabled: bool) -> None:
        self._change(name, {"disabled": disabled})

    def check(self, name: str, password: str) -> Person | None:
        """Somebody who may come in. An unknown name takes as long as a wrong password."""
        rows = read(self._rows, sql.select(PERSON).where(PERSON.c.name == name))
        kept = rows[0].password_hash if rows else self._nobody
        if not is_right(kept, password, self._hasher) or not rows or rows[0].disabled:
            return None
        if is_dated(kept, self._hasher):
            self._renew(name, kept, password)
        return _person(rows[0])

    def _renew(self, name: str, before: str, password: str) -> None:
        hashed = hash_password(password, self._hasher)
        same = sql.and_(PERSON.c.name == name, PERSON.c.password_hash == before)
        with Transaction(self._rows) as connection:
            connection.execute(sql.update(PERSON).where(same).values(password_hash=hashed))

    def _change(self, name: str, values: dict[str, Any]) -> None:
        """What the account may have changes at once: nobody stays in with what it was before."""
        with Transaction(self._rows) as connection:
            hold(connection, ["people"])
            same = PERSON.c.name == name
            changed = {**values, "changed_s": self._now_s()}
            before = connection.execute(sql.select(PERSON).where(same)).first()
            if before is None:
                raise PeopleError(f"there is no {name!r}; nothing was changed")
            connection.execute(sql.update(PERSON).where(same).values(**changed))
            if before.role == Role.ADMIN and not before.disabled:
                _refuse_no_admin(connection, name)
            connection.execute(sql.delete(SESSION).where(SESSION.c.person == name))
            connection.execute(sql.delete(SIGN_IN).where(SIGN_IN.c.person == name))
            if values.get("disabled"):
                connection.execute(sql.delete(TOKEN).where(TOKEN.c.person == name))

    def _refuse_weak(self, name: str, password: str) -> None:
        why = weakness(name, password)
        if why is not None:
            raise PeopleError(f"{why}; nothing was changed")

    def _now_s(self) -> int:
        return self._clock.wall_ns() // NS_PER_S


def _refuse_no_admin(connection: Connection, name: str) -> None:
    admins = sql.select(sql.func.count()).select_from(PERSON)
    admins = admins.where(PERSON.c.role == Role.ADMIN.value, PERSON.c.disabled.is_(False))
    if connection.execute(admins).scalar_one() == 0:
        raise PeopleError(
            f"{name!r} is the last admin: nobody could change accounts any more;"
            " make another one first"
        )


def _person(row: Any) -> Person:
    return Person(row.name, Role(row.role), bool(row.disabled), row.created_s, row.changed_s)
