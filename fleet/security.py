"""What every request passes: host, who asks, what they may, how often; and then a note of it.

The page can stop robots and break simulated ones, so a request that changes anything and comes
with a browser's cookie carries a token tied to that session, and a host name that is not ours (DNS
rebinding) is refused. With an API token there is no need: no browser sends one by itself.
"""

import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fleet.people.audit import Entry
from fleet.people.door import Door, Wait, bearer_of
from fleet.people.roles import Principal, Verdict, Via, decide, need_of
from fleet.problem import problem
from fleet.store.series import StoreUnavailableError

log = logging.getLogger(__name__)

COOKIE = "bedplate_session"
TOKEN_HEADER = "x-csrf-token"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
BODY_MAX_BYTES = 16_384
NOTE_MAX = 100
# A browser that is not logged in is led to the login page from these; anything else gets a 401.
PAGES = (
    "/",
    "/fleet",
    "/robots/{robot_id}",
    "/robots/{robot_id}/tasks/{task_id}",
    "/events",
    "/incidents",
    "/incidents/{incident_id}",
    "/account",
    "/people",
    "/audit",
)
# Forms that work without JavaScript carry the token as a field, which their handlers check.
FORMS = (
    "/login",
    "/logout",
    "/account/password",
    "/account/tokens",
    "/account/tokens/{token_id}/end",
    "/account/sessions/end",
    "/people",
    "/people/{name}",
    "/incidents",
    "/incidents/{incident_id}/notes",
    "/incidents/{incident_id}/steps/{number}",
    "/incidents/{incident_id}/close",
)

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    # With "no-referrer" a form is sent with `Origin: null`, which is refused: nobody could log in.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
HSTS = "max-age=31536000"


class Csrf:
    """Of a session or of a visitor who logs in: derived from the cookie with a secret of ours."""

    def __init__(self, secret_path: Path) -> None:
        self._secret = _ensure_secret(secret_path)

    def token(self, session: str) -> str:
        return hmac.new(self._secret, session.encode(), hashlib.sha256).hexdigest()

    def is_good(self, session: str | None, token: str | None) -> bool:
        if not session or not token:
            return False
        return hmac.compare_digest(self.token(session).encode(), token.encode())


@dataclass(frozen=True)
class Hosts:
    """Under which names browsers reach this page, and whether the last stretch is encrypted."""

    names: frozenset[str]
    secure: bool = False

    @property
    def cookie(self) -> str:
        """Browsers take a name that begins so from nobody but this host, over https."""
        return f"__Host-{COOKIE}" if self.secure else COOKIE

    def is_ours(self, origin: str) -> bool:
        parts = urlsplit(origin)
        wanted = "https" if self.secure and not _is_local(parts.hostname) else "http"
        return parts.scheme == wanted and parts.netloc in self.names

    def session_of(self, headers: Headers) -> str | None:
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except CookieError:
            return None
        found = cookies.get(self.cookie)
        return None if found is None or not found.value else found.value

    def set_session(self, response: Response, session: str) -> None:
        response.set_cookie(
            self.cookie, session, httponly=True, samesite="strict", path="/", secure=self.secure
        )

    def end_session(self, response: Response) -> None:
        response.delete_cookie(
            self.cookie, httponly=True, samesite="strict", path="/", secure=self.secure
        )


class Guard:
    """Pure ASGI, so that streams pass through it untouched."""

    def __init__(
        self, app: ASGIApp, routes: Sequence[BaseRoute], csrf: Csrf, door: Door, hosts: Hosts
    ) -> None:
        self._app = app
        self._routes = routes
        self._csrf = csrf
        self._door = door
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if self._hosts.secure:
                    headers["strict-transport-security"] = HSTS
                if "cache-control" not in headers:
                    headers["cache-control"] = "no-store"
            await send(message)

        asked = _asked(scope, self._routes)
        refusal = await self._refusal(scope, asked)
        if refusal is not None:
            await refusal(scope, receive, send_guarded)
            return
        try:
            await self._app(scope, receive, send_guarded)
        finally:
            await self._note_deed(scope, asked, status)

    async def _refusal(self, scope: Scope, asked: "Asked") -> Response | None:
        headers = Headers(scope=scope)
        if headers.get("host") not in self._hosts.names:
            return problem(
                421,
                "wrong_host",
                f"this page answers as {', '.join(sorted(self._hosts.names))} only",
            )
        session = self._hosts.session_of(headers)
        try:
            who = await self._door.identify(secret_of(headers, self._hosts), asked.address)
        except StoreUnavailableError as error:
            return problem(503, "store_unavailable", f"nobody can be recognised just now: {error}")
        if isinstance(who, Wait):
            detail = f"too many requests; try again in {who.seconds:.0f} s"
            return problem(429, "too_many_requests", detail, who.headers)
        scope.setdefault("state", {})["who"] = who
        match decide(who, need_of(asked.method, asked.route)):
            case Verdict.WHO:
                return self._ask_who(asked)
            case Verdict.FORBIDDEN:
                return await self._forbid(who, asked)
            case Verdict.ALLOWED:
                return self._faulty(headers, session, who, asked)

    def _ask_who(self, asked: "Asked") -> Response:
        if asked.method == "GET" and asked.route in PAGES:
            return RedirectResponse(f"/login?next={quote(asked.path)}", 303)
        return problem(
            401,
            "login_needed",
            "log in at /login, or send an API token: Authorization: Bearer bp_…",
            {"www-authenticate": 'Bearer realm="bedplate"'},
        )

    async def _forbid(self, who: Principal | None, asked: "Asked") -> Response:
        need = need_of(asked.method, asked.route)
        if who is not None:
            await self._note(who, asked, "forbidden")
        role = "nobody" if who is None else who.role.value
        return problem(403, "forbidden", f"this needs the role {need.value}, yours is {role}")

    def _faulty(
        self, headers: Headers, session: str | None, who: Principal | None, asked: "Asked"
    ) -> Response | None:
        if asked.method in SAFE_METHODS:
            return None
        origin = headers.get("origin")
        if origin is not None and not self._hosts.is_ours(origin):
            return problem(403, "wrong_origin", "the request came from another site")
        needs_none = asked.route in FORMS or (who is not None and who.via is Via.TOKEN)
        if not needs_none and not self._csrf.is_good(session, headers.get(TOKEN_HEADER)):
            return problem(403, "no_csrf_token", "the request has no valid token: reload the page")
        length = headers.get("content-length", "x" if "transfer-encoding" in headers else "0")
        if not (length.isascii() and length.isdigit()):
            return problem(411, "length_needed", "the request must say how long it is")
        if int(length) > BODY_MAX_BYTES:
            detail = f"the request is longer than {BODY_MAX_BYTES} bytes"
            return problem(413, "too_long", detail)
        return None

    async def _note_deed(self, scope: Scope, asked: "Asked", status: int) -> None:
        who = scope["state"].get("who")
        if asked.method not in SAFE_METHODS and who is not None and asked.route is not None:
            await self._note(who, asked, str(status), scope["state"].get("deed", ""))

    async def _note(self, who: Principal, asked: "Asked", outcome: str, deed: str = "") -> None:
        """`deed`: what the handler adds to the path, such as the level of a stop."""
        action, target = f"{asked.method} {asked.route}", f"{asked.path} {deed}".rstrip()
        entry = Entry(who.name, who.via.value, asked.address, action, target, outcome)
        try:
            await self._door.note(entry)
        except StoreUnavailableError as error:
            log.error("not in the audit: %s (%s)", entry, error)


@dataclass(frozen=True)
class Asked:
    """A request as the table of rights knows it."""

    method: str
    path: str
    route: str | None
    address: str


def _asked(scope: Scope, routes: Sequence[BaseRoute]) -> Asked:
    client = scope.get("client")
    return Asked(
        method=scope["method"],
        path=scope["path"],
        route=route_of(scope, routes),
        address="local" if client is None else str(client[0]),
    )


def route_of(scope: Scope, routes: Sequence[BaseRoute]) -> str | None:
    """The template that the application will choose: the first that fits."""
    partial: str | None = None
    for route in routes:
        match, _child = route.matches(scope)
        if match is Match.FULL:
            return str(getattr(route, "path", ""))
        if match is Match.PARTIAL and partial is None:
            partial = str(getattr(route, "path", ""))
    return partial


def is_own_form(request: Request, csrf: Csrf, hosts: Hosts, token: str) -> bool:
    """Filled in on a page of ours, by the session that it was made for. An API token has no forms:
    the API does the same for it."""
    session = hosts.session_of(request.headers)
    return request.state.who.via is Via.SESSION and csrf.is_good(session, token)


def note(request: Request, words: str) -> None:
    """What a handler adds to the path in the audit, such as the level of a stop. No secrets."""
    request.state.deed = "".join(c if c.isprintable() else "?" for c in words[:NOTE_MAX])


def hosts_of(port: int, public_url: str = "") -> Hosts:
    """This machine's own names, and the name that a proxy in front serves it under."""
    names = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
    parts = urlsplit(public_url)
    if parts.netloc:
        names.add(parts.netloc)
    return Hosts(frozenset(names), parts.scheme == "https")


def secret_of(headers: Headers, hosts: Hosts) -> str | None:
    """What the asker has shown: a token or a cookie."""
    return bearer_of(headers) or hosts.session_of(headers)


def _is_local(host: str | None) -> bool:
    return host in ("127.0.0.1", "localhost", "::1")


def _ensure_secret(path: Path) -> bytes:
    """Kept over restarts, so that an open page goes on working."""
    if path.exists():
        return path.read_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    secret = secrets.token_bytes(32)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(secret)
    return secret
