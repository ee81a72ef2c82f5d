"""Pages of an admin: who there is, what each may do, where they are logged in, who did what.

Forms that need no script. What is secret (a new password, a link) is shown in the answer to the
form that made it, once.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, assert_never

from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from fleet.people.accounts import NAME, PeopleError, Person
from fleet.people.door import Door
from fleet.people.keys import LINK_LIFE_S, Session, Token
from fleet.people.pages import when
from fleet.people.passwords import random_password
from fleet.people.roles import Principal, Role
from fleet.security import Csrf, Hosts, is_own_form, note
from fleet.words import several

ENTRIES = 100
STALE = "That form was too old, nothing was done. Please try again."
Text = Annotated[str, Form(max_length=300)]


class Deed(StrEnum):
    """What a form about an account asks for."""

    ROLE = "role"
    DISABLE = "disable"
    ENABLE = "enable"
    PASSWORD = "password"
    LINK = "link"
    SESSIONS = "sessions"
    TOKEN = "token"


@dataclass(frozen=True)
class Said:
    """What came of a form: words, and what is shown this once."""

    text: str = ""
    secret: str = ""
    is_good: bool = True
    status: int = 200


@dataclass(frozen=True)
class Row:
    person: Person
    sessions: list[Session]
    tokens: list[Token]


class AdminPages:
    def __init__(self, door: Door, csrf: Csrf, hosts: Hosts, pages: Environment) -> None:
        self._door = door
        self._csrf = csrf
        self._hosts = hosts
        self._pages = pages

    def add_to(self, app: FastAPI) -> None:
        app.get("/people", include_in_schema=False)(self.people)
        app.post("/people", include_in_schema=False)(self.add)
        app.post("/people/{name}", include_in_schema=False)(self.change)
        app.get("/audit", include_in_schema=False)(self.audit)

    async def people(self, request: Request) -> HTMLResponse:
        return await self._page(request, Said())

    async def add(
        self, request: Request, name: Text = "", role: Text = "", token: Text = ""
    ) -> HTMLResponse:
        return await self._do(request, token, lambda: self._add(request, name.strip(), role))

    async def change(
        self, request: Request, name: str, do: Text = "", value: Text = "", token: Text = ""
    ) -> HTMLResponse:
        return await self._do(request, token, lambda: self._change(request, name, do, value))

    async def audit(self, request: Request, who: str = "", before: str = "") -> HTMLResponse:
        number = int(before) if before.isascii() and before.isdigit() and len(before) < 16 else None
        entries = await asyncio.to_thread(
            self._door.audit.entries, ENTRIES, number, who[:80] or None
        )
        more = str(entries[-1].id) if len(entries) == ENTRIES else ""
        return self._render("audit.html", request, entries=entries, asked=who[:80], more=more)

    async def _do(self, request: Request, token: str, act: Callable[[], Said]) -> HTMLResponse:
        """Rows are asked on another thread. An admin's token has the API for all this."""
        if not is_own_form(request, self._csrf, self._hosts, token):
            return await self._page(request, Said(STALE, is_good=False, status=403))
        try:
            said = await asyncio.to_thread(act)
        except PeopleError as error:
            said = Said(f"{error}", is_good=False, status=409)
        self._door.forget()
        return await self._page(request, said)

    def _add(self, request: Request, name: str, role: str) -> Said:
        if role not in list(Role):
            raise PeopleError("choose a role; nobody was added")
        password = random_password()
        note(request, f"{name} as {role}")
        self._door.accounts.add(name, Role(role), password)
        return Said(f"{name} may come in as {role}. The password, shown this once:", password)

    def _change(self, request: Request, name: str, do: str, value: str) -> Said:
        if NAME.fullmatch(name) is None or do not in list(Deed):
            raise PeopleError("that form asks for nothing that can be done")
        note(request, f"{do} {value}".strip())
        self._door.accounts.get(name)
        match Deed(do):
            case Deed.ROLE:
                return self._give_role(name, value)
            case Deed.DISABLE | Deed.ENABLE:
                return self._open_or_close(name, closed=do == Deed.DISABLE)
            case Deed.PASSWORD:
                password = random_password()
                self._door.accounts.set_password(name, password)
                return Said(f"New password of {name}, shown this once:", password)
            case Deed.LINK:
                return self._invite(request, name)
            case Deed.SESSIONS:
                ended = several(self._door.keys.end_sessions(name), "session")
                return Said(f"Ended of {name}: {ended}.")
            case Deed.TOKEN:
                if not self._door.keys.revoke(value, name):
                    raise PeopleError(f"{name} has no such token any more")
                return Said(f"Token bp_{value}_… of {name} has ended.")
        assert_never(do)

    def _give_role(self, name: str, value: str) -> Said:
        if value not in list(Role):
            raise PeopleError("choose a role; nothing was changed")
        self._door.accounts.set_role(name, Role(value))
        return Said(f"{name} is {value} now, and has to log in again.")

    def _open_or_close(self, name: str, *, closed: bool) -> Said:
        self._door.accounts.set_disabled(name, disabled=closed)
        if closed:
            return Said(f"{name} can no longer come in; sessions and tokens have ended.")
        return Said(f"{name} can come in again, with the password of before.")

    def _invite(self, request: Request, name: str) -> Said:
        if self._door.accounts.get(name).disabled:
            raise PeopleError(f"{name} is disabled: no link would let them in")
        secret = self._door.keys.make_link(name)
        address = request.url_for("sign_in").include_query_params(key=secret)
        minutes = LINK_LIFE_S // 60
        return Said(
            f"Give {name} this link; it signs in once, within {minutes} minutes:", f"{address}"
        )

    async def _page(self, request: Request, said: Said) -> HTMLResponse:
        rows = await asyncio.to_thread(self._rows)
        return self._render(
            "people.html", request, said.status, said=said, rows=rows, roles=list(Role)
        )

    def _rows(self) -> list[Row]:
        sessions, tokens = self._door.keys.sessions(), self._door.keys.tokens()
        return [
            Row(
                person,
                [one for one in sessions if one.person == person.name],
                [one for one in tokens if one.person == person.name],
            )
            for person in self._door.accounts.all()
        ]

    def _render(
        self, name: str, request: Request, status: int = 200, **known: object
    ) -> HTMLResponse:
        token = self._csrf.token(self._hosts.session_of(request.headers) or "")
        who: Principal = request.state.who
        page = self._pages.get_template(name).render(who=who, token=token, when=when, **known)
        return HTMLResponse(page, status)
