"""Logging in and out, a link that signs in once, one's own account: pages that need no script."""

import asyncio
import secrets
from datetime import UTC, datetime
from typing import Annotated

from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment

from fleet.people.accounts import PeopleError
from fleet.people.audit import Entry
from fleet.people.door import Door, Wait
from fleet.people.roles import Principal, Role
from fleet.security import Csrf, Hosts, is_own_form, note

WRONG = "Name or password is wrong."
STALE = "That form was too old. Please try again."
LINK_GONE = "That link was used already or is too old. Log in, or ask for another one."

Text = Annotated[str, Form(max_length=300)]


class PeoplePages:
    def __init__(self, door: Door, csrf: Csrf, hosts: Hosts, pages: Environment) -> None:
        self._door = door
        self._csrf = csrf
        self._hosts = hosts
        self._pages = pages

    def add_to(self, app: FastAPI) -> None:
        app.get("/login", include_in_schema=False)(self.login_page)
        app.post("/login", include_in_schema=False)(self.login)
        app.get("/sign-in", include_in_schema=False)(self.sign_in)
        app.post("/logout", include_in_schema=False)(self.logout)
        app.get("/account", include_in_schema=False)(self.account)
        app.post("/account/password", include_in_schema=False)(self.change_password)
        app.post("/account/sessions/end", include_in_schema=False)(self.end_sessions)
        app.post("/account/tokens", include_in_schema=False)(self.make_token)
        app.post("/account/tokens/{token_id}/end", include_in_schema=False)(self.end_token)

    async def login_page(self, request: Request, next: str = "/") -> Response:
        if getattr(request.state, "who", None) is not None:
            return RedirectResponse(local_path(next), 303)
        return self._login_form(request, local_path(next), "", 200)

    async def login(
        self,
        request: Request,
        name: Text = "",
        password: Text = "",
        token: Text = "",
        next: Text = "/",
    ) -> Response:
        to, address = local_path(next), address_of(request)
        if not self._csrf.is_good(self._hosts.session_of(request.headers), token):
            return self._login_form(request, to, STALE, 403)
        person = await self._door.enter(name, password, address)
        if isinstance(person, Wait):
            await self._door.note_refusal(_entry(name, address, "too many tries"))
            text = f"Too many tries. Please wait {person.seconds:.0f} s."
            return self._login_form(request, to, text, 429, person.headers)
        if person is None:
            await self._door.note_refusal(_entry(name, address, "refused"))
            return self._login_form(request, to, WRONG, 401)
        await self._door.note(_entry(person.name, address, "ok"))
        return await self._come_in(request, person.name, to)

    async def sign_in(self, request: Request, key: str = "", next: str = "/") -> Response:
        address = address_of(request)
        name = await asyncio.to_thread(self._door.keys.use_link, key) if key else None
        if name is None:
            await self._door.note_refusal(_entry("somebody", address, "refused", "sign-in link"))
            return self._login_form(request, "/", LINK_GONE, 403)
        await self._door.note(_entry(name, address, "ok", "sign-in link"))
        return await self._come_in(request, name, local_path(next))

    async def logout(self, request: Request, token: Text = "") -> Response:
        session = self._hosts.session_of(request.headers)
        response = RedirectResponse("/login", 303)
        if session is not None and self._csrf.is_good(session, token):
            await self._end(session)
            self._hosts.end_session(response)
        return response

    async def account(self, request: Request) -> Response:
        return await self._account_page(request, "", 200)

    async def change_password(
        self, request: Request, now: Text = "", new: Text = "", token: Text = ""
    ) -> Response:
        who: Principal = request.state.who
        if not is_own_form(request, self._csrf, self._hosts, token):
            return await self._account_page(request, STALE, 403)
        person = await self._door.enter(who.name, now, address_of(request))
        if isinstance(person, Wait):
            return await self._account_page(request, "Too many tries. Please wait.", 429)
        if person is None:
            return await self._account_page(request, "The present password is wrong.", 403)
        try:
            await asyncio.to_thread(self._door.accounts.set_password, who.name, new)
        except PeopleError as error:
            return await self._account_page(request, f"{error}".capitalize(), 422)
        self._door.forget()  # every session of theirs has ended, this one too
        return await self._come_in(request, who.name, "/account")

    async def end_sessions(self, request: Request, token: Text = "") -> Response:
        if not is_own_form(request, self._csrf, self._hosts, token):
            return await self._account_page(request, STALE, 403)
        who: Principal = request.state.who
        ended = await asyncio.to_thread(self._door.keys.end_sessions, who.name, None, who.id)
        self._door.forget()
        return await self._account_page(request, f"Ended elsewhere: {ended}.", 200)

    async def make_token(
        self,
        request: Request,
        label: Text = "",
        role: Text = "",
        days: Text = "",
        token: Text = "",
    ) -> Response:
        if not is_own_form(request, self._csrf, self._hosts, token):
            return await self._account_page(request, STALE, 403)
        who: Principal = request.state.who
        if role not in list(Role) or not days.isdecimal():
            return await self._account_page(request, "Choose a role, and days as a number.", 422)
        note(request, f"{label} as {role}")
        make = self._door.keys.make_token
        try:
            made, secret = await asyncio.to_thread(make, who.name, label, Role(role), int(days[:6]))
        except PeopleError as error:
            return await self._account_page(request, f"{error}".capitalize(), 409)
        text = f"Token bp_{made.id}_… as {made.role.value}, shown this once:"
        return await self._account_page(request, text, 200, secret)

    async def end_token(self, request: Request, token_id: str, token: Text = "") -> Response:
        if not is_own_form(request, self._csrf, self._hosts, token):
            return await self._account_page(request, STALE, 403)
        name = request.state.who.name
        ended = await asyncio.to_thread(self._door.keys.revoke, token_id, name)
        self._door.forget()
        text = f"Token bp_{token_id}_… has ended." if ended else "There is no such token of yours."
        return await self._account_page(request, text, 200 if ended else 404)

    async def _come_in(self, request: Request, name: str, to: str) -> Response:
        before = self._hosts.session_of(request.headers)
        if before is not None:
            await self._end(before)
        keys, address = self._door.keys, address_of(request)
        response = RedirectResponse(to, 303)
        self._hosts.set_session(
            response, await asyncio.to_thread(keys.start_session, name, address)
        )
        return response

    async def _end(self, session: str) -> None:
        await asyncio.to_thread(self._door.keys.end_session, session)
        self._door.forget(session)

    def _login_form(
        self,
        request: Request,
        to: str,
        text: str,
        status: int,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """A visitor has a cookie too, so that nobody else can log them in."""
        visitor = self._hosts.session_of(request.headers)
        fresh = visitor or secrets.token_urlsafe(24)
        page = self._pages.get_template("login.html").render(
            token=self._csrf.token(fresh), to=to, text=text
        )
        response = HTMLResponse(page, status, headers)
        if visitor is None:
            self._hosts.set_session(response, fresh)
        return response

    async def _account_page(
        self, request: Request, text: str, status: int, secret: str = ""
    ) -> Response:
        who: Principal = request.state.who
        keys = self._door.keys
        tokens, sessions = await asyncio.gather(
            asyncio.to_thread(keys.tokens, who.name), asyncio.to_thread(keys.sessions, who.name)
        )
        page = self._pages.get_template("account.html").render(
            who=who,
            token=self._csrf.token(self._hosts.session_of(request.headers) or ""),
            tokens=tokens,
            sessions=sessions,
            roles=[role for role in Role if who.role.covers(role)],
            text=text,
            secret=secret,
            when=when,
        )
        return HTMLResponse(page, status)


def when(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")


def address_of(request: Request) -> str:
    return "local" if request.client is None else request.client.host


def local_path(wanted: str) -> str:
    """Nobody is led to another site by a link to this one's login."""
    is_local = wanted.startswith("/") and not wanted.startswith("//")
    plain = wanted.isprintable() and "\\" not in wanted
    return wanted if is_local and plain and len(wanted) <= 300 else "/"


def _entry(name: str, address: str, outcome: str, how: str = "password") -> Entry:
    return Entry(name, how, address, "login", "/login", outcome)
