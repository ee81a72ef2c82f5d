"""Who may ask this page for something: same machine, same origin, a token that only the page has.

The page can stop robots and break simulated ones, so a request that changes anything carries a
token tied to the visitor's session, and a host name that is not ours (DNS rebinding) is refused.
"""

import hashlib
import hmac
import os
import secrets
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "bedplate_session"
TOKEN_HEADER = "x-csrf-token"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
BODY_MAX_BYTES = 16_384

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Sessions:
    """A visitor's session is a random cookie; its token is derived with a secret of this fleet."""

    def __init__(self, secret_path: Path) -> None:
        self._secret = _ensure_secret(secret_path)

    def new(self) -> str:
        return secrets.token_urlsafe(24)

    def token(self, session: str) -> str:
        return hmac.new(self._secret, session.encode(), hashlib.sha256).hexdigest()

    def is_good(self, session: str | None, token: str | None) -> bool:
        if not session or not token:
            return False
        return hmac.compare_digest(self.token(session).encode(), token.encode())


def session_of(headers: Headers) -> str | None:
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", ""))
    except CookieError:
        return None
    found = cookies.get(COOKIE)
    return None if found is None else found.value


class Guard:
    """Pure ASGI, so that streams pass through it untouched."""

    def __init__(self, app: ASGIApp, sessions: Sessions, hosts: frozenset[str]) -> None:
        self._app = app
        self._sessions = sessions
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        problem = self._problem(scope)
        if problem is not None:
            status, text = problem
            await JSONResponse({"error": text}, status)(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _problem(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if headers.get("host") not in self._hosts:
            return 421, f"this page answers as {', '.join(sorted(self._hosts))} only"
        if scope["method"] in SAFE_METHODS:
            return None
        origin = headers.get("origin")
        if origin is not None and origin.removeprefix("http://") not in self._hosts:
            return 403, "the request came from another site"
        if not self._sessions.is_good(session_of(headers), headers.get(TOKEN_HEADER)):
            return 403, "the request has no valid token: reload the page"
        if not headers.get("content-length", "x").isdigit():
            return 411, "the request must say how long it is"
        if int(headers["content-length"]) > BODY_MAX_BYTES:
            return 413, f"the request is longer than {BODY_MAX_BYTES} bytes"
        return None


def local_hosts(port: int) -> frozenset[str]:
    return frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))


def set_session(response: Any, session: str) -> None:
    response.set_cookie(COOKIE, session, httponly=True, samesite="strict", path="/")


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
