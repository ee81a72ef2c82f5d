"""What all pages share: templates, who looks, and streams of what changes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import HTMLResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.responses import Response
from starlette.types import Scope

from fleet.page.view import View
from fleet.people.door import Door
from fleet.people.roles import Principal, Role
from fleet.problem import ProblemError
from fleet.security import Csrf, Hosts, secret_of
from fleet.watch import TICK_S
from fleet.words import several

PAGE = Path(__file__).parent
STATIC = PAGE / "static"
FOR_EVER = "public, max-age=31536000, immutable"
HEARTBEAT_S = 10.0
STILL_IN_S = 5.0
STREAMS_MAX = 50


class Static(StaticFiles):
    """Style and scripts. Pages name each by its contents, and browsers keep what is named so."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC)
        self._marks = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            for path in sorted(STATIC.iterdir())
        }

    def address(self, name: str) -> str:
        return f"/static/{name}?{self._marks[name]}"

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if scope["query_string"].decode("latin-1") == self._marks.get(path):
            response.headers["cache-control"] = FOR_EVER
        return response


class Frame:
    def __init__(self, csrf: Csrf, hosts: Hosts) -> None:
        self._csrf, self._hosts = csrf, hosts
        self.static = Static()
        self.pages = Environment(
            loader=FileSystemLoader(PAGE / "templates"),
            autoescape=select_autoescape(),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.pages.globals["static"] = self.static.address
        self.pages.globals["several"] = several

    def render(self, name: str, request: Request, **known: Any) -> HTMLResponse:
        who: Principal = request.state.who
        token = self._csrf.token(self._hosts.session_of(request.headers) or "")
        may = {role.value: who.role.covers(role) for role in Role}
        page = self.pages.get_template(name).render(who=who, may=may, token=token, **known)
        return HTMLResponse(page)


class Streams:
    """Server-sent events: to each viewer only what has changed for them, while they are in."""

    def __init__(self, door: Door, hosts: Hosts) -> None:
        self._door, self._hosts = door, hosts
        self.open = 0

    def start(
        self,
        request: Request,
        look: Callable[[], Awaitable[View]],
        period_s: float = TICK_S,
        leave: Callable[[], None] | None = None,
    ) -> StreamingResponse:
        if self.open >= STREAMS_MAX:
            raise ProblemError(503, "busy", f"{STREAMS_MAX} pages are open already; close one")
        secret = secret_of(request.headers, self._hosts)
        return StreamingResponse(
            self._changes(look, secret, period_s, leave),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def _changes(
        self,
        look: Callable[[], Awaitable[View]],
        secret: str | None,
        period_s: float,
        leave: Callable[[], None] | None,
    ) -> AsyncIterator[bytes]:
        self.open += 1
        heartbeat, still_in = round(HEARTBEAT_S / period_s), round(STILL_IN_S / period_s)
        try:
            shown, quiet, ticks = View(), 0, 0
            while ticks % still_in or await self._door.still_in(secret):
                ticks += 1
                view = await look()
                changes = view.changes(shown)
                shown = view
                quiet += 1
                if any(changes.values()):
                    quiet = 0
                    yield b"data: " + orjson.dumps(changes) + b"\n\n"
                elif quiet >= heartbeat:
                    quiet = 0
                    yield b": still here\n\n"
                await asyncio.sleep(period_s)
        finally:
            self.open -= 1
            if leave is not None:
                leave()
